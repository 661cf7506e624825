//! Whole numbers in answers, as Python reads them.

use fapo_tenant_sdk::scoring::{decimal_digit, is_python_space, is_word};

/// Longest text of digits that Python makes a number of.
const DIGITS_MAX: usize = 4_300;

/// A whole number: its sign, and its digits without zeros before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    negative: bool,
    digits: String,
}

/// Python's `int(text)`: blanks around it, a sign, digits of any script, single `_` between digits.
pub(crate) fn python_int(text: &str) -> Option<Whole> {
    let text = text.trim_matches(is_python_space);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut digits = String::new();
    let mut after_digit = false;
    for c in text.chars() {
        match decimal_digit(c) {
            Some(digit) => {
                digits.push(char::from_digit(digit, 10)?);
                after_digit = true;
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    if !after_digit || digits.len() > DIGITS_MAX {
        return None;
    }
    let digits = digits.trim_start_matches('0').to_string();
    Some(Whole { negative: negative && !digits.is_empty(), digits })
}

/// What the last `\boxed{…}` of digits alone holds, as written.
pub(crate) fn boxed_digits(text: &str) -> Option<&str> {
    boxes(text).rfind(|inside| !inside.is_empty() && inside.chars().all(|c| decimal_digit(c).is_some()))
}

/// The number in the last `\boxed{…}` that holds one, blanks and a sign allowed.
pub(crate) fn boxed_int(text: &str) -> Option<Whole> {
    let without_marks = |inside: &&str| !inside.contains('_');
    boxes(text).filter(without_marks).filter_map(python_int).next_back()
}

fn boxes(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let parts: Vec<&str> = text.split("\\boxed{").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
    parts.into_iter()
}

/// The text of the field `answer` of a reply in fields: what stands behind the first heading up to the next one.
pub(crate) fn answer_field(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (_, behind) = rest.split_once("[[")?;
        let (heading, after) = behind.split_once("]]")?;
        let name = heading.trim().strip_prefix("##").and_then(|name| name.strip_suffix("##")).map(str::trim);
        if name == Some("answer") {
            let end = after.find("[[ ##").or_else(|| after.find("[[##")).unwrap_or(after.len());
            return Some(after[..end].trim());
        }
        rest = behind;
    }
}

/// The last run of digits between word boundaries, as written.
pub(crate) fn last_digits(text: &str) -> Option<&str> {
    let mut found = None;
    let mut start: Option<usize> = None;
    let mut before: Option<char> = None;
    let ends = text.char_indices().map(|(at, c)| (at, Some(c))).chain([(text.len(), None)]);
    for (at, c) in ends {
        match (start, c.is_some_and(|c| decimal_digit(c).is_some())) {
            (None, true) if !before.is_some_and(is_word) => start = Some(at),
            (Some(from), false) => {
                if !c.is_some_and(is_word) {
                    found = Some(&text[from..at]);
                }
                start = None;
            }
            _ => {}
        }
        before = c;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Whole {
        python_int(text).expect("a number")
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        for text in [" 70\n", "+70", "7_0", "070", "７０", "\u{1f}70\u{a0}", "٧٠"] {
            assert_eq!(python_int(text), Some(whole("70")), "{text:?}");
        }
        for text in ["70.", "$70$", "70.0", "", "-", "_70", "70_", "7__0", "7 0", "+-70", "seventy", "½", "7\u{300}0"]
        {
            assert_eq!(python_int(text), None, "{text:?}");
        }
        assert_eq!(whole("-0"), whole("000"));
        assert_ne!(whole("-70"), whole("70"));
        assert!(python_int(&"1".repeat(4_300)).is_some() && python_int(&"1".repeat(4_301)).is_none());
    }

    #[test]
    fn boxes_fields_and_last_numbers_are_found() {
        let text = "\\boxed{12} then \\boxed{ 70 } and \\boxed{x}";
        assert_eq!((boxed_digits(text), boxed_int(text)), (Some("12"), Some(whole("70"))));
        assert_eq!(boxed_int("\\boxed{-5}"), Some(whole("-5")));
        assert_eq!((boxed_digits("\\boxed{12"), boxed_int("\\boxed{7_0}")), (None, None));
        for (text, last) in [
            ("1,234", Some("234")),
            ("70 (in 2025)", Some("2025")),
            ("70.5", Some("5")),
            ("-5", Some("5")),
            ("70", Some("70")),
            ("x70 y", None),
            ("70th and 8", Some("8")),
            ("8 and 70th", Some("8")),
            ("70²", None),
            ("e\u{301}70", Some("70")),
            ("", None),
        ] {
            assert_eq!(last_digits(text), last, "{text:?}");
        }
        let reply = "[[ ## reasoning ## ]]\n12 + 58\n\n[[ ## answer ## ]]\n70\n\n[[ ## completed ## ]]";
        assert_eq!(answer_field(reply), Some("70"));
        assert_eq!(answer_field("[[##answer##]] 70"), Some("70"));
        assert_eq!((answer_field("70"), answer_field("[[ ## other ## ]] 70")), (None, None));
    }
}
