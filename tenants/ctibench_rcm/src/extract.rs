//! The id that an answer names: the reference's rule, which takes an id only where all that fit a pattern are the same.
//!
//! Two patterns are tried in order, letter case aside, each between word boundaries as Python has them (letters, numbers
//! and `_` are word characters, combining marks are not):
//!
//! 1. `cwe-79`, with a hyphen or a non-breaking one (U+2011): a proper answer.
//! 2. `cwe: 79` or `id: 79`, with at least one blank: an improper one.
//!
//! Where a pattern fits several different ids it names none, and the next one is tried.

use fapo_tenant_sdk::scoring::{decimal_digit, is_python_space, is_word};
use std::str::Chars;

/// How an answer names its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As an id: 100 points of `answer_format`.
    Proper,
    /// As a number after a word: 50.
    Improper,
    /// Not at all, or several: 0.
    Invalid,
}

impl Format {
    /// Points of `answer_format`.
    pub fn points(self) -> f64 {
        match self {
            Format::Proper => 100.0,
            Format::Improper => 50.0,
            Format::Invalid => 0.0,
        }
    }
}

/// The id in upper case and how it is named; none where there is none or more than one.
pub fn extract(answer: &str) -> (Option<String>, Format) {
    if let Some(id) = unique(answer, proper) {
        return (Some(id), Format::Proper);
    }
    match unique(answer, improper) {
        Some(id) => (Some(id), Format::Improper),
        None => (None, Format::Invalid),
    }
}

/// The one id that a pattern finds at word boundaries; none where it finds several different ones.
fn unique(answer: &str, pattern: fn(&mut Chars<'_>) -> Option<String>) -> Option<String> {
    let mut found: Option<String> = None;
    let mut rest = answer.chars();
    let mut before = None;
    loop {
        if !before.is_some_and(is_word) {
            let mut here = rest.clone();
            if let Some(id) = pattern(&mut here) {
                if found.as_ref().is_some_and(|known| *known != id) {
                    return None;
                }
                found = Some(id);
                // The last character of what fitted is a digit, so the next fit begins behind it.
                before = Some('0');
                rest = here;
                continue;
            }
        }
        match rest.next() {
            Some(passed) => before = Some(passed),
            None => return found,
        }
    }
}

fn proper(text: &mut Chars<'_>) -> Option<String> {
    word(text, "cwe")?;
    let hyphen = text.next().filter(|c| matches!(c, '-' | '\u{2011}'))?;
    Some(format!("CWE{hyphen}{}", digits(text)?))
}

fn improper(text: &mut Chars<'_>) -> Option<String> {
    let mut other = text.clone();
    if word(text, "cwe").is_none() {
        word(&mut other, "id")?;
        *text = other;
    }
    text.next().filter(|c| *c == ':')?;
    text.next().filter(|c| is_python_space(*c))?;
    while text.clone().next().is_some_and(is_python_space) {
        text.next();
    }
    Some(format!("CWE-{}", digits(text)?))
}

fn word(text: &mut Chars<'_>, lower: &str) -> Option<()> {
    lower.chars().all(|c| text.next().is_some_and(|found| found.eq_ignore_ascii_case(&c))).then_some(())
}

/// Digits up to a word boundary.
fn digits(text: &mut Chars<'_>) -> Option<String> {
    let mut digits = String::new();
    while let Some(digit) = text.clone().next().filter(|c| decimal_digit(*c).is_some()) {
        digits.push(digit);
        text.next();
    }
    let ends = !text.clone().next().is_some_and(is_word);
    (ends && !digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixty answers with what the reference's two patterns make of them.
    const ANSWERS: &[(&str, Option<&str>, Format)] = {
        use Format::{Improper, Invalid, Proper};
        &[
            ("CWE-79", Some("CWE-79"), Proper),
            ("cwe-79", Some("CWE-79"), Proper),
            ("Cwe-79.", Some("CWE-79"), Proper),
            ("The weakness is CWE-79", Some("CWE-79"), Proper),
            ("The weakness is CWE-79\n", Some("CWE-79"), Proper),
            ("CWE-79: Cross-site Scripting\n\nCWE-79", Some("CWE-79"), Proper),
            ("cwe-79 and again CWE-79", Some("CWE-79"), Proper),
            ("**CWE-79**", Some("CWE-79"), Proper),
            ("(CWE-79)", Some("CWE-79"), Proper),
            ("[CWE-79](link)", Some("CWE-79"), Proper),
            ("`CWE-79`", Some("CWE-79"), Proper),
            ("CWE-79, CWE-79; CWE-79", Some("CWE-79"), Proper),
            ("CWE-1021", Some("CWE-1021"), Proper),
            ("CWE-0079", Some("CWE-0079"), Proper),
            ("CWE-7\u{669}", Some("CWE-7\u{669}"), Proper),
            ("CWE-79-80", Some("CWE-79"), Proper),
            ("CWE-79.80", Some("CWE-79"), Proper),
            ("x-CWE-79", Some("CWE-79"), Proper),
            ("CWE\u{2011}79", Some("CWE\u{2011}79"), Proper),
            ("été CWE-79", Some("CWE-79"), Proper),
            ("e\u{301}CWE-79", Some("CWE-79"), Proper),
            ("CWE-79\u{301}", Some("CWE-79"), Proper),
            ("\u{2014}CWE-79\u{2014}", Some("CWE-79"), Proper),
            ("CWE-79 CWE: 80", Some("CWE-79"), Proper),
            ("CWE-79 or CWE-80", None, Invalid),
            ("Not CWE-80 but CWE-79\nCWE-79", None, Invalid),
            ("CWE-79 and CWE\u{2011}79", None, Invalid),
            ("CWE-79 and CWE-079", None, Invalid),
            ("CWE-79 and CWE-80, id: 81", Some("CWE-81"), Improper),
            ("CWE-79 and CWE-80, CWE: 79", Some("CWE-79"), Improper),
            ("CWE: 79", Some("CWE-79"), Improper),
            ("cwe: 79", Some("CWE-79"), Improper),
            ("CWE:   79", Some("CWE-79"), Improper),
            ("CWE:\n79", Some("CWE-79"), Improper),
            ("CWE:\u{a0}79", Some("CWE-79"), Improper),
            ("CWE:\u{1f}79", Some("CWE-79"), Improper),
            ("CWE ID: 79", Some("CWE-79"), Improper),
            ("CWE-ID: 79", Some("CWE-79"), Improper),
            ("id: 79 and CWE: 79", Some("CWE-79"), Improper),
            ("id: 79 and CWE: 80", None, Invalid),
            ("grid: 79", None, Invalid),
            ("CWE:79", None, Invalid),
            ("CWE 79", None, Invalid),
            ("CWE79", None, Invalid),
            ("CWE--79", None, Invalid),
            ("CWE\u{2013}79", None, Invalid),
            ("CWE\u{2010}79", None, Invalid),
            ("CWE-", None, Invalid),
            ("CWE-x79", None, Invalid),
            ("CWE-79a", None, Invalid),
            ("CWE-79_", None, Invalid),
            ("CWE-79é", None, Invalid),
            ("XCWE-79", None, Invalid),
            ("_CWE-79", None, Invalid),
            ("éCWE-79", None, Invalid),
            ("1CWE-79", None, Invalid),
            ("79", None, Invalid),
            ("id: seventy-nine", None, Invalid),
            ("I do not know.", None, Invalid),
            ("", None, Invalid),
        ]
    };

    #[test]
    fn an_answer_names_an_id_only_where_all_that_fit_are_the_same() {
        assert_eq!(ANSWERS.len(), 60);
        for (answer, id, format) in ANSWERS {
            assert_eq!(extract(answer), (id.map(str::to_string), *format), "{answer:?}");
        }
    }
}
