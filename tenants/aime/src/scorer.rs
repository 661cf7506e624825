//! Whether the answer is the number, in one of three ways of reading it (scoring profile `metric`):
//!
//! - `fapo`, the default: the last `\boxed{…}` with a number, else the last number of the field `answer`, else the last
//!   number of all; compared as numbers.
//! - `fapo-run`: the last `\boxed{…}` of digits alone, else the last number; compared as texts, so that `025` is not `25`.
//! - `gepa`: the whole answer (its field `answer` where it has one) must be a number for Python's `int`; compared as
//!   numbers.

use crate::parse::{Whole, answer_field, boxed_digits, boxed_int, last_digits, python_int};
use fapo_tenant_sdk::{FinishedCase, LabelledCase, Score, Scorer, Value, expected_answer};

/// Scores the number an answer gives.
pub struct AimeScorer;

#[derive(Clone, Copy)]
enum Metric {
    Fapo,
    FapoRun,
    Gepa,
}

impl Scorer for AimeScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        metric(profile)?;
        let gold = gold(&case.expected)?;
        python_int(&gold).map(drop).ok_or_else(|| format!("`expected.answer` {gold:?} is no whole number"))
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        let gold = gold(&finished.labelled.expected)?;
        let answer = finished.answer(Some("answer"));
        let (given, right) = match metric(profile)? {
            Metric::Fapo => compared(tolerant(answer), &gold),
            Metric::Gepa => compared(python_int(answer_field(answer).unwrap_or(answer)), &gold),
            Metric::FapoRun => {
                let given = boxed_digits(answer).or_else(|| last_digits(answer));
                (given.is_some(), given == Some(gold.as_str()))
            }
        };
        let points = |yes: bool| if yes { 100.0 } else { 0.0 };
        let score =
            Score::new(points(right)).metric("exact_match", points(right)).metric("answer_format", points(given));
        Ok(score.feedback(match (given, right) {
            (_, true) => format!("right: {gold}"),
            (true, false) => format!("expected {gold}, got another number"),
            (false, false) => format!("expected {gold}, but no number can be read from the answer"),
        }))
    }
}

fn compared(given: Option<Whole>, gold: &str) -> (bool, bool) {
    (given.is_some(), given.is_some() && given == python_int(gold))
}

fn tolerant(answer: &str) -> Option<Whole> {
    let last = |text| last_digits(text).and_then(python_int);
    boxed_int(answer).or_else(|| answer_field(answer).and_then(last)).or_else(|| last(answer))
}

fn metric(profile: &Value) -> Result<Metric, String> {
    match profile.get("metric").and_then(Value::as_str).unwrap_or("fapo") {
        "fapo" => Ok(Metric::Fapo),
        "fapo-run" => Ok(Metric::FapoRun),
        "gepa" => Ok(Metric::Gepa),
        other => Err(format!("metric {other:?} is none of fapo, fapo-run, gepa")),
    }
}

/// The label, a text or a number in the row.
fn gold(expected: &Value) -> Result<String, String> {
    if let Some(number) = expected.get("answer").and_then(Value::as_u64) {
        return Ok(number.to_string());
    }
    expected_answer(expected).map(|gold| gold.trim().to_string()).ok_or("`expected.answer` is missing".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::{CaseInput, json};

    fn finished(answer: &str, gold: &Value) -> FinishedCase {
        FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "competition_math".into(), context: vec![] },
                expected: json!({"answer": gold}),
                metadata: json!({}),
            },
            steps: vec![],
            searches: vec![],
            output_text: answer.into(),
        }
    }

    /// Whether an answer is right by each metric: fapo, fapo-run, gepa.
    fn right(answer: &str, gold: &str) -> [bool; 3] {
        ["fapo", "fapo-run", "gepa"].map(|metric| {
            let score =
                AimeScorer::score(&finished(answer, &json!(gold)), &json!({"metric": metric})).expect("a score");
            assert_eq!(score.composite, score.breakdown[0].1, "the composite is the exact match");
            score.composite == 100.0
        })
    }

    #[test]
    fn the_three_ways_of_reading_an_answer_differ_where_their_references_do() {
        for (answer, gold, expected) in [
            ("70", "70", [true, true, true]),
            (" 70\n", "70", [true, true, true]),
            ("070", "70", [true, false, true]),
            ("025", "25", [true, false, true]),
            ("25", "025", [true, false, true]),
            ("025", "025", [true, true, true]),
            ("\\boxed{70}", "70", [true, true, false]),
            ("\\boxed{ 70 }", "70", [true, true, false]),
            ("7 \\boxed{ 70 } of 2025", "70", [true, false, false]),
            ("\\boxed{70} in 2025", "70", [true, true, false]),
            ("\\boxed{12} no, \\boxed{70}", "70", [true, true, false]),
            ("+70", "70", [true, true, true]),
            ("7_0", "70", [false, false, true]),
            ("７０", "70", [true, false, true]),
            ("70.", "70", [true, true, false]),
            ("$70$", "70", [true, true, false]),
            ("70.0", "70", [false, false, false]),
            ("70 (in 2025)", "70", [false, false, false]),
            ("1,234", "234", [true, true, false]),
            ("-5", "5", [true, true, false]),
            ("[[ ## reasoning ## ]]\n8\n[[ ## answer ## ]]\n70\n[[ ## completed ## ]]\n9", "70", [true, false, true]),
            ("[[ ## answer ## ]]\n70 apples\n[[ ## completed ## ]]", "70", [true, true, false]),
            ("I do not know.", "70", [false, false, false]),
            ("", "70", [false, false, false]),
        ] {
            assert_eq!(right(answer, gold), expected, "{answer:?} for {gold:?}");
        }
    }

    #[test]
    fn a_row_without_a_whole_number_is_refused() {
        let validate = |gold: Value, profile: Value| AimeScorer::validate(&finished("", &gold).labelled, &profile);
        assert!(validate(json!("025"), json!({})).is_ok() && validate(json!(25), json!({"metric": "gepa"})).is_ok());
        assert!(validate(json!("2.5"), json!({})).is_err() && validate(json!(""), json!({})).is_err());
        assert!(validate(json!("25"), json!({"metric": "official"})).is_err());
        assert_eq!(
            right("25", "25")[0],
            AimeScorer::score(&finished("25", &json!(25)), &json!({})).expect("a score").composite == 100.0
        );
    }
}
