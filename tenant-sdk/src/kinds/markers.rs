//! Fields of a reply in DSPy's marker format: `[[ ## answer ## ]]` on a line, then the text.

use crate::scoring::{is_python_space, is_word};

/// A field's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Trimmed.
    pub text: &'a str,
    /// False where the reply has no such marker and `text` is all of it.
    pub marked: bool,
}

/// The text of the first field of this name, up to the next marker of any name.
pub fn field<'a>(reply: &'a str, name: &str) -> Field<'a> {
    let markers = markers(reply);
    match markers.iter().position(|marker| marker.name == name) {
        Some(found) => {
            let end = markers.get(found + 1).map_or(reply.len(), |next| next.start);
            Field { text: reply[markers[found].end..end].trim_matches(is_python_space), marked: true }
        }
        None => Field { text: reply.trim_matches(is_python_space), marked: false },
    }
}

struct Marker<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

/// Every `[[ ## word ## ]]`, as the pattern `\[\[\s*##\s*(\w+)\s*##\s*\]\]` finds them.
fn markers(text: &str) -> Vec<Marker<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find("[[") {
        let start = at + open;
        match marker(&text[start..]) {
            Some((name, length)) => {
                found.push(Marker { name, start, end: start + length });
                at = start + length;
            }
            None => at = start + 1,
        }
    }
    found
}

/// Name and length of the marker at the start of a text.
fn marker(text: &str) -> Option<(&str, usize)> {
    let space = |text: &'_ str| text.len() - text.trim_start_matches(is_python_space).len();
    let mut at = 2 + space(&text[2..]);
    at += text[at..].starts_with("##").then_some(2)?;
    at += space(&text[at..]);
    let rest = &text[at..];
    let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
    if name.is_empty() {
        return None;
    }
    at += name.len();
    at += space(&text[at..]);
    at += text[at..].starts_with("##").then_some(2)?;
    at += space(&text[at..]);
    at += text[at..].starts_with("]]").then_some(2)?;
    Some((name, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &str, name: &str, text: &str, marked: bool) {
        assert_eq!(field(reply, name), Field { text, marked }, "{reply:?}");
    }

    #[test]
    fn a_field_runs_to_the_next_marker() {
        let reply = "[[ ## reasoning ## ]]\nlong\n\n[[ ## answer ## ]]\n Mara Quill \n\n[[ ## completed ## ]]";
        check(reply, "answer", "Mara Quill", true);
        check(reply, "reasoning", "long", true);
        check(reply, "completed", "", true);
        check("before [[##answer##]]x[[  ##  answer\n## ]]y", "answer", "x", true);
        check("[[[ ## a ## ]]b", "a", "b", true);
        check("[[ ## a ## ]] b [[ ## not a marker ]] c", "a", "b [[ ## not a marker ]] c", true);
    }

    #[test]
    fn without_the_marker_all_of_it_is_taken() {
        check(" just text\n", "answer", "just text", false);
        check(" [[ ## other ## ]] x ", "answer", "[[ ## other ## ]] x", false);
        check("", "answer", "", false);
        check("[[ ## answ\u{e9}r", "answer", "[[ ## answ\u{e9}r", false);
    }
}
