//! The score of an answer, by the rule of the question's family (`expected.subtask`):
//!
//! - `amc_…`, `smc`, `…_amc_…`: the letter, found by the first of six rules;
//! - `aime_…`: the number within the last fifty characters;
//! - `imo`, `usamo`: a list of numbers, by edit distance;
//! - `amps_hard_…`: a formula equal to the label.
//!
//! The versions in use (`gepa`, `fapo`, `official`) have the same rules, so `metric` may name any of them. What stands
//! between `<think>` and `</think>` is no part of an answer.

use crate::amps::{self, Verdict};
use crate::{competition, olympiad};
use fapo_tenant_sdk::{FinishedCase, LabelledCase, Score, Scorer, Value, expected_answer};

/// Scores the answer of the step `solve`.
pub struct LiveBenchScorer;

/// A family of questions, with the label in its form.
#[derive(Debug, PartialEq)]
enum Question {
    Letter(char),
    Number(String),
    Ordering(Vec<i64>),
    Formula(String),
}

impl Scorer for LiveBenchScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        check_metric(profile)?;
        question(case).map(drop)
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        check_metric(profile)?;
        let question = question(&finished.labelled)?;
        let answer = without_thoughts(finished.answer(Some("solve")));
        let context = &finished.labelled.input.context;
        let text = context.iter().find(|entry| entry.name == "question").map_or("", |entry| &entry.value);
        let judged = judge(&question, &answer, text);
        let points = judged.as_ref().map_or(0.0, |(share, _)| share * 100.0);
        let score = Score::new(points).metric("livebench_score", points);
        let score = score.metric("scorer_ok", if judged.is_ok() { 100.0 } else { 0.0 });
        Ok(score.feedback(judged.map_or_else(|e| e, |(_, feedback)| feedback)))
    }
}

/// The share of the points and why; `Err` where the reference's own scorer fails on the answer.
fn judge(question: &Question, answer: &str, text: &str) -> Result<(f64, String), String> {
    let broken = |_| "the answer has a \\boxed without braces around its content".to_string();
    let all_or_nothing = |right: bool| if right { 1.0 } else { 0.0 };
    Ok(match question {
        Question::Letter(gold) => match competition::letter(*gold, answer, text).map_err(broken)? {
            Some(found) => (1.0, format!("right: {gold}, found {found}")),
            None => (0.0, format!("expected {gold}; give the letter five times, in \\boxed{{}} or on the last line")),
        },
        Question::Number(gold) if competition::aime(gold, answer) => (1.0, format!("right: {gold}")),
        Question::Number(gold) => (0.0, format!("expected {gold} within the last 50 characters of the answer")),
        Question::Ordering(gold) => {
            let share = olympiad::score(gold, answer).map_err(broken)?;
            let gold: Vec<String> = gold.iter().map(i64::to_string).collect();
            let missed = if share < 1.0 { "expected" } else { "right:" };
            (share, format!("{missed} {}; {:.0} % of the list stands", gold.join(", "), share * 100.0))
        }
        Question::Formula(gold) => {
            let verdict = amps::compare(gold, answer).map_err(broken)?;
            let feedback = match verdict {
                Verdict::Equal => format!("right: {gold}"),
                Verdict::Different => format!("expected {gold}, got something else"),
                Verdict::Unread => format!("expected {gold}, but the answer ends with no formula; use \\boxed{{}}"),
            };
            (all_or_nothing(verdict == Verdict::Equal), feedback)
        }
    })
}

/// The family is that of `expected`; rows of the original keep the published row as `metadata.question_d`.
fn question(case: &LabelledCase) -> Result<Question, String> {
    let expected = &case.expected;
    let published = case.metadata.get("question_d").unwrap_or(&Value::Null);
    let gold = expected_answer(expected).or_else(|| published["ground_truth"].as_str().map(str::to_string));
    let gold = gold.ok_or("`expected.answer` is missing")?;
    let named = |row: &Value| row.get("subtask").or(row.get("task")).and_then(Value::as_str).map(str::to_string);
    let subtask = named(expected).or_else(|| named(published)).ok_or("`expected.subtask` is missing")?;
    let mut words = subtask.split('_');
    match (words.next().unwrap_or_default(), words.next()) {
        ("amc" | "smc", _) | (_, Some("amc")) => match gold.chars().collect::<Vec<_>>()[..] {
            [letter @ 'A'..='E'] => Ok(Question::Letter(letter)),
            _ => Err(format!("`expected.answer` {gold:?} is no letter from A to E")),
        },
        ("aime", _) => Ok(Question::Number(gold)),
        ("imo" | "usamo", _) => olympiad::gold(&gold)
            .map(Question::Ordering)
            .ok_or_else(|| format!("`expected.answer` {gold:?} is no list of numbers between commas")),
        _ if subtask.contains("amps_hard") => Ok(Question::Formula(gold)),
        _ => Err(format!("`expected.subtask` {subtask:?} is none of amc, smc, aime, imo, usamo, amps_hard")),
    }
}

fn check_metric(profile: &Value) -> Result<(), String> {
    match profile.get("metric").and_then(Value::as_str).unwrap_or("gepa") {
        "gepa" | "fapo" | "official" => Ok(()),
        other => Err(format!("metric {other:?} is none of gepa, fapo, official")),
    }
}

/// The answer without closed `<think>` blocks.
fn without_thoughts(answer: &str) -> String {
    let mut kept = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some((before, after)) = rest.split_once("<think>") {
        let Some((_, behind)) = after.split_once("</think>") else { break };
        kept.push_str(before);
        rest = behind;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::{CaseInput, Entry, json};
    use std::collections::HashMap;
    use std::path::PathBuf;

    fn finished(subtask: &str, gold: &str, question: &str, answer: &str) -> FinishedCase {
        let context = vec![Entry::new("question", question)];
        FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "competition_math".into(), context },
                expected: json!({"answer": gold, "subtask": subtask}),
                metadata: json!({}),
            },
            steps: vec![],
            searches: vec![],
            output_text: answer.into(),
        }
    }

    fn points(subtask: &str, gold: &str, question: &str, answer: &str) -> f64 {
        let case = finished(subtask, gold, question, answer);
        LiveBenchScorer::score(&case, &json!({"metric": "gepa"})).expect("a score").composite
    }

    #[test]
    fn each_family_has_its_rule() {
        for (subtask, gold, answer, expected) in [
            ("amc_12a_2023", "C", "<think>AAAA</think> CCCCC", 100.0),
            ("updated_amc_12b_2023", "C", "<think>CCCC</think> AAAAA", 0.0),
            ("smc", "C", "\\boxed{C}", 100.0),
            ("aime_i_2024", "025", "so 025", 100.0),
            ("imo", "1,2,3,4", "Answer: 1,2,3", 75.0),
            ("usamo", "1,2", "no idea", 0.0),
            ("amps_hard_gcd", "\\frac{1}{2}", "$\\boxed{0.5}$", 100.0),
            ("amps_hard_gcd", "\\frac{1}{2}", "\\boxed0.5 {}", 0.0),
        ] {
            assert_eq!(points(subtask, gold, "", answer), expected, "{subtask} {answer}");
        }
        let broken = finished("amps_hard_gcd", "1", "", "\\boxed1 {}");
        let score = LiveBenchScorer::score(&broken, &json!({})).expect("a score");
        assert_eq!(score.breakdown[1], ("scorer_ok".to_string(), 0.0), "{}", score.feedback);
    }

    #[test]
    fn rows_that_cannot_be_scored_are_refused() {
        for (subtask, gold) in [("amc_12", "F"), ("amc_12", "AB"), ("imo", "1;2"), ("chess", "1")] {
            assert!(LiveBenchScorer::validate(&finished(subtask, gold, "", "").labelled, &json!({})).is_err());
        }
        let mut original = finished("", "", "", "").labelled;
        original.expected = json!({"answer": "025"});
        original.metadata =
            json!({"question_d": {"task": "math_comp", "subtask": "aime_i_2024", "ground_truth": "025"}});
        assert_eq!(question(&original), Ok(Question::Number("025".into())));
        let good = finished("aime_i_2024", "025", "", "").labelled;
        assert!(LiveBenchScorer::validate(&good, &json!({})).is_ok());
        assert!(LiveBenchScorer::validate(&good, &json!({"metric": "exact"})).is_err());
    }

    #[test]
    fn only_closed_thoughts_are_left_out() {
        assert_eq!(without_thoughts("a<think>b\n</think>c<think>d</think>"), "ac");
        assert_eq!(without_thoughts("a<think>b"), "a<think>b");
    }

    /// Recorded scores of the reference; the data is not part of the project.
    #[test]
    fn recorded_scores_of_the_reference_are_met() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from).join("livebench_math");
        let rows = |name: &str| -> Option<Vec<Value>> {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            Some(text.lines().map(|line| line.parse().expect("JSON")).collect())
        };
        let Some(scores) = rows("gepa_scores.jsonl") else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no livebench_math/gepa_scores.jsonl under FAPO_DATA_DIR");
            }
            return;
        };
        let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_string();
        let recorded: HashMap<(String, String), f64> = scores
            .iter()
            .map(|row| ((text(row, "model"), text(row, "question_id")), row["score"].as_f64().expect("a number")))
            .collect();
        let mut seen = 0;
        let mut missed = Vec::new();
        for family in ["AMPS_Hard", "math_comp", "olympiad"] {
            let questions = rows(&format!("{family}.question.jsonl")).expect("questions");
            let questions: HashMap<String, Value> =
                questions.into_iter().map(|row| (text(&row, "question_id"), row)).collect();
            for question in questions.values().filter(|_| family == "AMPS_Hard") {
                let gold = text(question, "ground_truth");
                let given = points(&text(question, "subtask"), &gold, "", &format!("$\\boxed{{{gold}}}$"));
                assert_eq!(given == 100.0, !gold.contains("Aborted"), "a label is equal to itself: {gold}");
            }
            for row in rows(&format!("{family}.answers.jsonl")).expect("answers") {
                let id = text(&row, "question_id");
                let question = &questions[&id];
                let turn = question["turns"][0].as_str().expect("a question");
                let given =
                    points(&text(question, "subtask"), &text(question, "ground_truth"), turn, &text(&row, "answer"));
                let expected = recorded[&(text(&row, "model"), id.clone())] * 100.0;
                seen += 1;
                if (given - expected).abs() > 1e-9 {
                    missed.push(format!("{family} {id}: {given} instead of {expected}"));
                }
            }
        }
        assert!(seen >= 200, "{seen} answers");
        assert!(missed.is_empty(), "{} of {seen} apart:\n{}", missed.len(), missed.join("\n"));
    }
}
