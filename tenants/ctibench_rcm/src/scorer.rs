//! Exact match of the id, and the form in which it was given.

use crate::extract::{Format, extract};
use fapo_tenant_sdk::{FinishedCase, LabelledCase, Score, Scorer, Value, expected_answer};

/// Scores the id an answer names (scoring profile `metric`, `fapo`: the reference's rule with its unique match).
pub struct RcmScorer;

impl Scorer for RcmScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        match profile.get("metric").and_then(Value::as_str).unwrap_or("fapo") {
            "fapo" => {}
            other => return Err(format!("metric {other:?} is not fapo")),
        }
        let gold = gold(&case.expected)?;
        match extract(&gold) {
            (Some(id), Format::Proper) if id == gold => Ok(()),
            _ => Err(format!("`expected.answer` {gold:?} is no id like CWE-79")),
        }
    }

    fn score(finished: &FinishedCase, _: &Value) -> Result<Score, String> {
        let gold = gold(&finished.labelled.expected)?;
        let answer = finished.answer(Some("classify"));
        let (id, format) = extract(answer);
        let right = id.as_ref() == Some(&gold);
        let exact = if right { 100.0 } else { 0.0 };
        let score = Score::new(exact).metric("exact_match", exact).metric("answer_format", format.points());
        Ok(score.feedback(match (&id, right) {
            (Some(id), true) => format!("right: {id}"),
            (Some(id), false) => format!("expected {gold}, got {id}"),
            (None, _) => format!("expected {gold}, but the answer names no id, or more than one"),
        }))
    }
}

/// The label as the reference has it: stripped, in upper case.
fn gold(expected: &Value) -> Result<String, String> {
    let gold = expected_answer(expected).ok_or("`expected.answer` is missing")?;
    Ok(gold.trim().to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::{CaseInput, json};
    use std::path::PathBuf;

    fn finished(answer: &str, gold: &str) -> FinishedCase {
        FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "cwe_mapping".into(), context: vec![] },
                expected: json!({"answer": gold}),
                metadata: json!({}),
            },
            steps: vec![],
            searches: vec![],
            output_text: answer.into(),
        }
    }

    #[test]
    fn only_the_right_id_scores_and_the_form_is_told_apart() {
        for (answer, gold, exact, form) in [
            ("because\nCWE-79", "CWE-79", 100.0, 100.0),
            ("because\ncwe-79", " cwe-79 ", 100.0, 100.0),
            ("CWE: 79", "CWE-79", 100.0, 50.0),
            ("CWE-80", "CWE-79", 0.0, 100.0),
            ("CWE-79 or CWE-80", "CWE-79", 0.0, 0.0),
            ("", "CWE-79", 0.0, 0.0),
        ] {
            let score = RcmScorer::score(&finished(answer, gold), &json!({})).expect("a score");
            assert_eq!(score.composite, exact, "{answer}");
            assert_eq!(score.breakdown, [("exact_match".into(), exact), ("answer_format".into(), form)], "{answer}");
        }
    }

    #[test]
    fn a_row_whose_label_is_no_id_is_refused() {
        let validate = |gold: &str, profile: Value| RcmScorer::validate(&finished("", gold).labelled, &profile);
        assert!(validate("CWE-79", json!({})).is_ok() && validate("cwe-79", json!({"metric": "fapo"})).is_ok());
        for gold in ["79", "", "CWE-79 CWE-80", "CWE: 79", "CWE-79."] {
            assert!(validate(gold, json!({})).is_err(), "{gold}");
        }
        assert!(validate("CWE-79", json!({"metric": "official"})).is_err());
    }

    /// On recorded answers, where they are at hand: the rule's own figures.
    #[test]
    fn recorded_answers_are_read_as_by_the_reference() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from).join("cti_rcm");
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let (Ok(responses), Ok(log)) = (read("cti-rcm-responses.tsv"), read("log-gpt3-cti-rcm.txt")) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no cti_rcm under FAPO_DATA_DIR");
            }
            return;
        };
        let rows: Vec<Vec<&str>> = responses.lines().skip(1).map(|line| line.split('\t').collect()).collect();
        let (mut same, mut right, mut lines) = (0, 0, 0);
        for (at, row) in rows.iter().enumerate() {
            let Some((_, rest)) = log.split_once(&format!("#####{}#####", at + 1)) else { continue };
            let answer = rest.split("\n#####").next().unwrap_or_default();
            let (id, _) = extract(answer);
            lines += 1;
            same += usize::from(id.as_deref() == Some(row[1]));
            right += usize::from(id.as_deref() == Some(row[0]));
        }
        assert_eq!((lines, same, right), (1000, 1000, 672));
    }
}
