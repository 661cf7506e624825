//! Characters as Python's `re` and `str` class them, which Rust's `char` methods do not quite.

/// Python's `\w`: letters, numbers, `_`.
///
/// Rust's `is_alphabetic` also takes combining marks and circled letters. The first matters: after decomposition the
/// mark of "à" ends a word in Python, so its "a" is an article there.
pub fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let circled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}' | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}');
    c.is_numeric() || (c.is_alphabetic() && !circled && !unicode_normalization::char::is_combining_mark(c))
}

/// Python's `str.isspace`: Unicode white space and the four ASCII separators U+001C to U+001F.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_characters_are_pythons() {
        for c in "aZ09_é²½Ⅷ中हªₐ٣".chars() {
            assert!(is_word(c), "{c:?}");
        }
        for c in " -.'’\u{300}\u{93f}\u{940}ⓐ€\u{200b}".chars() {
            assert!(!is_word(c), "{c:?}");
        }
    }

    #[test]
    fn white_space_is_pythons() {
        for c in " \t\n\u{1c}\u{1f}\u{85}\u{a0}\u{3000}".chars() {
            assert!(is_python_space(c), "{c:?}");
        }
        for c in "a\u{200b}\u{1b}".chars() {
            assert!(!is_python_space(c), "{c:?}");
        }
    }
}
