//! A service's words, made fit for our messages: without the key, in one line, cut.

use secrecy::{ExposeSecret, SecretString};

/// The service's words are quoted up to here.
const QUOTE_CHARS_MAX: usize = 300;

/// What `text` says, in at most 300 characters of it.
pub(super) fn quote(text: &str, key: Option<&SecretString>) -> String {
    // Redacted before the cut, which could leave half a key.
    let text = redact(text, key);
    let text = text.trim();
    let mut quoted = String::new();
    for c in text.chars().take(QUOTE_CHARS_MAX) {
        if is_hidden(c) {
            quoted.extend(c.escape_default());
        } else {
            quoted.push(c);
        }
    }
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The text without the key: a service may repeat what it was sent.
pub(super) fn redact(text: &str, key: Option<&SecretString>) -> String {
    match key.map(ExposeSecret::expose_secret) {
        Some(key) if !key.is_empty() => text.replace(key, "[key]"),
        _ => text.to_owned(),
    }
}

/// Characters that move a terminal's cursor, colour it, or turn the direction of the text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_cut_and_without_the_key() {
        let key = SecretString::from("sk-1234");
        let table = [
            ("  plain é \"words\"  ", "plain é \"words\""),
            ("a\nb\u{1b}[31mc\u{202e}d", "a\\nb\\u{1b}[31mc\\u{202e}d"),
            ("the key sk-1234 and sk-1234", "the key [key] and [key]"),
        ];
        for (text, expected) in table {
            assert_eq!(quote(text, Some(&key)), expected);
        }
        assert_eq!(quote(&"x".repeat(300), None), "x".repeat(300));
        assert_eq!(quote(&"x".repeat(301), None), format!("{}…", "x".repeat(300)));
        let cut_inside_the_key = format!("{}sk-1234", "x".repeat(297));
        assert!(!quote(&cut_inside_the_key, Some(&key)).contains("sk-"));
    }
}
