//! Titles of articles, as the two references compare them and read them out of text.

use fapo_tenant_sdk::scoring::{Metric, decimal_digit, is_python_space, normalise, without_articles};

/// A title as GEPA compares it: decomposed, lower case, without ASCII punctuation, then without articles.
pub(crate) fn gepa(title: &str) -> String {
    normalise(title, Metric::Gepa)
}

/// A title as FAPO compares it: lower case, without articles, then without ASCII punctuation; not decomposed.
pub(crate) fn fapo(title: &str) -> String {
    let bare: String = without_articles(&title.to_lowercase()).chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words: Vec<&str> = bare.split(is_python_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// Titles in a list of passages, as the pattern `\[\d+\]\s*[«"](.+?)\s*\|` finds them.
pub(crate) fn in_text(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let behind = &rest[at + 1..];
        match title_at(behind) {
            Some((title, after)) => {
                found.push(title);
                rest = after;
            }
            None => rest = behind,
        }
    }
    found
}

/// The title behind an opening bracket, and what follows its bar.
fn title_at(text: &str) -> Option<(&str, &str)> {
    let after_digits = text.trim_start_matches(|c| decimal_digit(c).is_some());
    if after_digits.len() == text.len() {
        return None;
    }
    let quoted = after_digits.strip_prefix(']')?.trim_start_matches(is_python_space);
    let inside = quoted.strip_prefix('«').or_else(|| quoted.strip_prefix('"'))?;
    // At least one character, none of them a line's end, then blanks of any kind and the bar.
    let first = inside.chars().next().filter(|c| *c != '\n')?;
    let bar = inside[first.len_utf8()..].find('|')? + first.len_utf8();
    let title = inside[..bar].trim_end_matches(is_python_space);
    let title = if title.is_empty() { &inside[..first.len_utf8()] } else { title };
    (!title.contains('\n')).then(|| (title, &inside[bar + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_compare_titles_differently() {
        for (a, b, equal_gepa, equal_fapo) in [
            ("The A-Team", "Team", false, true),
            ("a.b", "b", false, true),
            ("Beyonc\u{e9}", "Beyonce\u{301}", true, false),
            ("The Quay", "quay", true, true),
            ("Quay (film)", "Quay film", true, true),
        ] {
            assert_eq!((gepa(a) == gepa(b), fapo(a) == fapo(b)), (equal_gepa, equal_fapo), "{a} {b}");
        }
    }

    #[test]
    fn titles_are_read_out_of_lists() {
        let text =
            "[1] «Tarn | An isle.»\n[2]\"Quill  | A [3] «feather | x»\n[x] «No | »\n[4] «two\nlines | y»\n[٥] «Five|z»";
        assert_eq!(in_text(text), ["Tarn", "Quill", "feather", "Five"]);
        assert!(in_text("[1] «|»").is_empty() && in_text("").is_empty());
    }
}
