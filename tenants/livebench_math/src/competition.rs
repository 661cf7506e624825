//! Competition questions: a letter of five (AMC and its kin), or a whole number of three digits (AIME).

use crate::boxed::{BrokenBox, last_boxed};
use fapo_tenant_sdk::scoring::is_python_space;

/// How many characters from the end of an answer the number of an AIME question may stand.
const AIME_TAIL: usize = 50;

/// Characters that may follow the value of an option at the end of an answer.
const VALUE_TAIL: usize = 20;

/// Whether the answer gives the letter, by the first rule that says so; the rule's name.
pub(crate) fn letter(gold: char, answer: &str, question: &str) -> Result<Option<&'static str>, BrokenBox> {
    let is_gold = |text: &str| text.to_lowercase() == gold.to_lowercase().to_string();
    if solutions(answer).last().is_some_and(|solution| {
        let mut letters = solution.chars();
        let first = letters.next();
        first.is_some_and(|first| letters.all(|c| c == first) && is_gold(&first.to_string()))
    }) {
        return Ok(Some("between solution tags"));
    }
    if answer.contains(&gold.to_string().repeat(4)) {
        return Ok(Some("as a repeated letter"));
    }
    if let Some(inside) = last_boxed(&answer.replace("\\\\fbox{", "\\\\boxed{"))?
        && is_gold(&inside.replace("\\text{", "").replace(['}', '\\'], ""))
    {
        return Ok(Some("in a box"));
    }
    let value = option_value(question, gold);
    if tail(answer, VALUE_TAIL + value.chars().count()).contains(&value) {
        return Ok(Some("as the option's value at the end"));
    }
    let last_line = answer.trim_matches(is_python_space).rsplit('\n').next().unwrap_or_default();
    if is_gold(&last_line.trim_matches(is_python_space).replace('*', "")) {
        return Ok(Some("as the last line"));
    }
    let in_parentheses = last_line.split_once('(').map(|(_, rest)| rest.split('(').next().unwrap_or_default());
    if let Some(rest) = in_parentheses.filter(|_| last_line.contains(')'))
        && is_gold(rest.split(')').next().unwrap_or_default())
    {
        return Ok(Some("in parentheses on the last line"));
    }
    Ok(None)
}

/// Whether the number stands at the end of the answer, as a text: "33" is found in "133."
pub(crate) fn aime(gold: &str, answer: &str) -> bool {
    tail(answer, AIME_TAIL).contains(gold)
}

/// Contents of `<solution>` tags; none reaches over a line's end.
fn solutions(answer: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = answer;
    while let Some((_, after)) = rest.split_once("<solution>") {
        let Some((inside, behind)) = after.split_once("</solution>") else { break };
        if inside.contains('\n') {
            rest = after;
        } else {
            found.push(inside);
            rest = behind;
        }
    }
    found
}

/// What the question says behind the option's letter; `FAILURE` where it says nothing.
///
/// An option is `\textbf{(A)}`, with at most one blank before the closing brace, and goes on to the next `\qquad` or `$`.
fn option_value(question: &str, letter: char) -> String {
    const OPEN: &str = "\\textbf{(";
    let mut value = None;
    let mut rest = question;
    while let Some(at) = rest.find(OPEN) {
        let behind = &rest[at + OPEN.len()..];
        match option_at(behind) {
            Some((found, inside, after)) => {
                if found == letter {
                    value = Some(inside.trim_matches(is_python_space));
                }
                rest = after;
            }
            None => rest = behind,
        }
    }
    let value = value.filter(|value| !value.is_empty()).unwrap_or("FAILURE");
    value.trim_matches('$').trim_matches('~').to_string()
}

/// The letter, its text and what follows, from behind the opening of an option.
fn option_at(text: &str) -> Option<(char, &str, &str)> {
    let letter = text.chars().next().filter(|c| ('A'..='E').contains(c))?;
    let text = text[1..].strip_prefix(')')?;
    let text = text.strip_prefix(is_python_space).unwrap_or(text).strip_prefix('}')?;
    let ends = [text.find("\\qquad").map(|at| (at, "\\qquad".len())), text.find('$').map(|at| (at, 1))];
    let (end, length) = ends.into_iter().flatten().min()?;
    (!text[..end].contains('\n')).then(|| (letter, &text[..end], &text[end + length..]))
}

/// The last characters of a text, counted as code points.
fn tail(text: &str, characters: usize) -> &str {
    let start = text.char_indices().rev().nth(characters.saturating_sub(1)).map_or(0, |(at, _)| at);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &str = "How many? $\\textbf{(A)}~2\\qquad\\textbf{(B) }\\frac{7}{3}\\qquad\\textbf{(C)} 12$";

    #[test]
    fn letters_are_found_by_each_rule() {
        for (answer, rule) in [
            ("<solution>A</solution> <solution>bb</solution>", Some("between solution tags")),
            ("<solution>BB</solution> <solution>AA</solution>", None),
            ("<solution>\nB</solution>", None),
            ("I say BBBBB", Some("as a repeated letter")),
            ("\\boxed{\\text{B}}", Some("in a box")),
            ("$\\boxed{b}$", Some("in a box")),
            ("which is \\frac{7}{3} of all the oranges in the crate", None),
            ("which is \\frac{7}{3} of all.", Some("as the option's value at the end")),
            ("My answer:\n**B**\n", Some("as the last line")),
            ("It has to be option (B), I think", Some("in parentheses on the last line")),
            ("It has to be (A) or (B), I think", None),
            ("", None),
        ] {
            assert_eq!(letter('B', answer, QUESTION), Ok(rule), "{answer:?}");
        }
        assert_eq!(letter('B', "\\boxed B {}", ""), Ok(None));
        assert_eq!(letter('B', "\\boxedB {}", ""), Err(BrokenBox));
    }

    #[test]
    fn values_of_options_are_read_from_the_question() {
        assert_eq!(option_value(QUESTION, 'A'), "2");
        assert_eq!(option_value(QUESTION, 'B'), "\\frac{7}{3}");
        assert_eq!(option_value(QUESTION, 'C'), "12");
        assert_eq!(option_value(QUESTION, 'D'), "FAILURE");
        assert_eq!(option_value("$\\textbf{(A)  }1$ \\textbf{(A)}\\qquad", 'A'), "FAILURE");
    }

    #[test]
    fn the_number_stands_within_the_last_fifty_characters() {
        assert!(aime("025", "so it is 025.") && aime("33", "133."));
        assert!(aime("025", &format!("025{}", "é".repeat(47))) && !aime("025", &format!("025{}", "é".repeat(48))));
    }
}
