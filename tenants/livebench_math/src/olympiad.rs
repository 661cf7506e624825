//! Olympiad questions: the masked formulae of a proof, as a list of numbers, scored by edit distance.

use crate::boxed::{BrokenBox, last_boxed};
use fapo_tenant_sdk::scoring::{decimal_digit, is_python_space};

/// Longest list that is compared: the distance takes time by the product of both lengths. The longest of the benchmark
/// has 62 numbers.
const NUMBERS_MAX: usize = 2_000;

/// Share of the list that need not be changed: 1 - distance / the longer length. Lists beyond [`NUMBERS_MAX`] score 0.
pub(crate) fn score(gold: &[i64], answer: &str) -> Result<f64, BrokenBox> {
    let numbers = completions(answer)?;
    let longer = numbers.len().max(gold.len());
    if longer == 0 || numbers.len() > NUMBERS_MAX {
        return Ok(0.0);
    }
    let gold: Vec<Option<i64>> = gold.iter().copied().map(Some).collect();
    Ok(1.0 - distance(&numbers, &gold) as f64 / longer as f64)
}

/// The label: whole numbers between commas.
pub(crate) fn gold(text: &str) -> Option<Vec<i64>> {
    text.split(',').map(number).collect()
}

/// The numbers an answer gives. An element that is none stays in the list as one that fits nothing.
///
/// The first of these that gives a number: the line with the last "answer:" (the next line where nothing follows); the
/// last box; the digits of the last line; the digits behind the last "answer:", up to the first number that something
/// else stands at.
fn completions(answer: &str) -> Result<Vec<Option<i64>>, BrokenBox> {
    let lower = answer.to_lowercase();
    let found = |numbers: &Vec<Option<i64>>| numbers.iter().any(Option::is_some);
    if let Some(numbers) = after_answer(&lower).filter(found) {
        return Ok(numbers);
    }
    if answer.contains("\\boxed") {
        let inside = last_boxed(answer)?.unwrap_or_else(|| answer.to_string());
        let inside = inside.replace("\\text{", "").replace(['}', '\\'], "");
        let numbers = inside.trim_matches(is_python_space).split(',').map(number).collect();
        if found(&numbers) {
            return Ok(numbers);
        }
    }
    let last_line = lower.trim_matches(is_python_space).rsplit('\n').next().unwrap_or_default();
    let numbers: Vec<_> =
        last_line.split(',').filter_map(|part| Some(digits(part).0).filter(|d| !d.is_empty())).map(number).collect();
    if found(&numbers) {
        return Ok(numbers);
    }
    let mut numbers = Vec::new();
    for (at, part) in lower.rsplit("answer:").next().unwrap_or_default().split(',').enumerate() {
        let part = part.trim_matches(is_python_space);
        let (inside, around) = digits(part);
        numbers.extend(number(inside).map(Some));
        if at > 0 && around {
            break;
        }
    }
    Ok(numbers)
}

fn after_answer(lower: &str) -> Option<Vec<Option<i64>>> {
    let lines: Vec<&str> = lower.trim_matches(is_python_space).split('\n').collect();
    let at = lines.iter().rposition(|line| line.contains("answer:"))?;
    let bare = |text: &str| text.replace("answer:", "").replace("**", "").replace('.', "");
    let mut list = bare(lines[at].split("answer:").nth(1)?);
    if list.trim_matches(is_python_space).is_empty() && at + 1 < lines.len() {
        list = bare(lines[at + 1]);
    }
    let element = |part: &str| {
        let word = part.trim_matches(is_python_space).rsplit(' ').next().unwrap_or_default();
        number(&word.replace(['$', '{', '}', '\\'], "").replace("boxed", "").replace(['<', '>'], ""))
    };
    Some(list.trim_matches(is_python_space).split(',').map(element).collect())
}

/// The first run of digits, and whether anything else stands around it.
fn digits(text: &str) -> (&str, bool) {
    let is_digit = |c: char| decimal_digit(c).is_some();
    let Some(start) = text.find(is_digit) else { return ("", !text.is_empty()) };
    let run = &text[start..];
    let run = &run[..run.find(|c| !is_digit(c)).unwrap_or(run.len())];
    (run, run.len() < text.len())
}

/// Python's `int` of a text; a number beyond 64 bits fits no label and is none.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_matches(is_python_space);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value = 0_i64;
    let mut after_digit = false;
    for c in digits.chars() {
        match decimal_digit(c) {
            Some(digit) => {
                value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
                after_digit = true;
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    after_digit.then_some(sign * value)
}

/// Fewest insertions, deletions and replacements that turn one list into the other.
fn distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(answer: &str) -> Vec<i64> {
        completions(answer).expect("no broken box").into_iter().map(|n| n.unwrap_or(-1)).collect()
    }

    #[test]
    fn lists_are_read_by_the_first_rule_that_gives_a_number() {
        for (answer, list) in [
            ("Answer: 5, 22, 3", vec![5, 22, 3]),
            ("answer: 1\nthen **Answer:** 2, 4.\nbye", vec![2, 4]),
            ("Answer:\n7, 8", vec![7, 8]),
            ("Answer: expression 4, $\\boxed{6}$, <9>", vec![4, 6, 9]),
            ("Answer: 4, none, 6", vec![4, -1, 6]),
            ("Answer: see the box\n\\boxed{3, \\text{4}}", vec![3, 4]),
            ("So it is\n\\boxed{3,4}", vec![3, 4]),
            ("The list is 3, <4> and (5)", vec![3, 4]),
            ("Answer: x\n1 a, 2 b, 3", vec![1, 2, 3]),
            ("Answer: x 12 y, z\nnothing", vec![12]),
            ("nothing at all", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(numbers(answer), list, "{answer:?}");
        }
        assert_eq!(completions("\\boxed3 {4}"), Err(BrokenBox));
    }

    #[test]
    fn scores_are_one_less_the_share_of_changes() {
        let gold = gold("1, 2,3, 4").expect("a label");
        for (answer, share) in [
            ("Answer: 1, 2, 3, 4", 1.0),
            ("Answer: 2, 3, 4", 0.75),
            ("Answer: 1, 3, 2, 4", 0.5),
            ("Answer: 1, 2, 3, 4, 5", 0.8),
            ("Answer: 1, nothing, 3, 4", 0.75),
            ("", 0.0),
        ] {
            let given = score(&gold, answer).expect("no broken box");
            assert!((given - share).abs() < 1e-12, "{answer:?} {given}");
        }
        let flood = format!("Answer: {}", "1,".repeat(NUMBERS_MAX + 1));
        assert_eq!(score(&gold, &flood), Ok(0.0));
    }
}
