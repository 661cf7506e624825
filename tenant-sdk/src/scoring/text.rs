//! Characters as Python's `re` and `str` class them, which Rust's `char` methods do not quite.

use super::unicode::is_mark;

/// Python's `\w`: letters, numbers, `_`.
///
/// Rust's `is_alphabetic` also takes combining marks and circled letters. The first matters: after decomposition the
/// mark of "à" ends a word in Python, so its "a" is an article there.
pub fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let circled = matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}' | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}');
    c.is_numeric() || (c.is_alphabetic() && !circled && !is_mark(c))
}

/// Python's `str.isspace`: Unicode white space and the four ASCII separators U+001C to U+001F.
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// The zeros of Unicode's decimal digits (category Nd, Unicode 14), each followed by the digits up to nine.
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The value of a decimal digit of any script, as Python's `\d` and `int` take it; none for other characters.
pub fn decimal_digit(c: char) -> Option<u32> {
    let code = u32::from(c);
    let at = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    Some(code - ZEROS[at]).filter(|digit| *digit < 10)
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
    fn digits_are_those_of_all_scripts() {
        assert!(ZEROS.is_sorted());
        for (c, value) in [('0', 0), ('9', 9), ('٣', 3), ('７', 7), ('𝟘', 0), ('𝟿', 9), ('৪', 4)] {
            assert_eq!(decimal_digit(c), Some(value), "{c:?}");
        }
        for c in "a/:²½Ⅷ中 \u{200b}".chars() {
            assert_eq!(decimal_digit(c), None, "{c:?}");
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
