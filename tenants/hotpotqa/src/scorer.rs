//! Exact match and token F1 of the answer, in one of three versions that differ in places (scoring profile `metric`).

use fapo_tenant_sdk::scoring::{Metric, evidence_feedback, exact_match, f1_points, gold_titles};
use fapo_tenant_sdk::{FinishedCase, LabelledCase, Score, Scorer, Value, expected_answer};

/// Scores the answer; the composite is the exact match.
pub struct HotpotScorer;

impl Scorer for HotpotScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        metric(profile)?;
        expected_answer(&case.expected).map(drop).ok_or("`expected.answer` is missing".into())
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        let metric = metric(profile)?;
        let answer = finished.answer(Some("answer"));
        let gold = expected_answer(&finished.labelled.expected).ok_or("`expected.answer` is missing")?;
        let exact = if exact_match(answer, &gold, metric) { 100.0 } else { 0.0 };
        let score = Score::new(exact).metric("exact_match", exact).metric("f1", f1_points(answer, &gold, metric));
        Ok(score.feedback(feedback(finished, answer, &gold, exact > 0.0)))
    }
}

fn metric(profile: &Value) -> Result<Metric, String> {
    match profile.get("metric").and_then(Value::as_str).unwrap_or("fapo") {
        "official" => Ok(Metric::Official),
        "gepa" => Ok(Metric::Gepa),
        "fapo" => Ok(Metric::Fapo),
        other => Err(format!("metric {other:?} is none of official, gepa, fapo")),
    }
}

/// The verdict, and for each search which gold passages it brought.
fn feedback(finished: &FinishedCase, answer: &str, gold: &str, right: bool) -> String {
    let verdict = if right { format!("right: {answer:?}") } else { format!("expected {gold:?}, got {answer:?}") };
    let titles = gold_titles(&finished.labelled.expected);
    format!("{verdict}{}", evidence_feedback(&titles, &finished.searches))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::scoring::normalise;
    use fapo_tenant_sdk::{CaseInput, ObservedSearch, StepId, json};
    use std::path::PathBuf;

    fn finished(answer: &str, gold: &str, searches: &[(&str, &[&str])]) -> FinishedCase {
        let search = |(node, titles): &(&str, &[&str])| ObservedSearch {
            id: StepId { node: (*node).into(), visit: 0 },
            index: "wiki".into(),
            query: "q".into(),
            hits: titles.iter().map(|title| ("id".into(), (*title).into())).collect(),
        };
        FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "multihop_qa".into(), context: vec![] },
                expected: json!({"answer": gold, "supporting_facts": [["Tarn", 0], ["Quill", 1], ["Tarn", 2]]}),
                metadata: json!({}),
            },
            steps: vec![],
            searches: searches.iter().map(search).collect(),
            output_text: answer.into(),
        }
    }

    fn score(answer: &str, gold: &str, version: &str) -> (f64, f64) {
        if gold.trim().is_empty() {
            // No dataset has such a label, and `validate` refuses it; the functions below are defined for it all the same.
            let metric = metric(&json!({"metric": version})).expect("a metric");
            return (if exact_match(answer, gold, metric) { 100.0 } else { 0.0 }, f1_points(answer, gold, metric));
        }
        let score = HotpotScorer::score(&finished(answer, gold, &[]), &json!({"metric": version})).expect("a score");
        assert_eq!(score.composite, score.breakdown[0].1, "the composite is the exact match");
        (score.breakdown[0].1, score.breakdown[1].1)
    }

    fn rows(text: &str) -> impl Iterator<Item = Value> {
        text.lines().map(|line| line.parse().expect("JSON"))
    }

    fn number(value: &Value) -> f64 {
        value.as_f64().expect("a number")
    }

    #[test]
    fn our_pairs_score_as_each_version_says_and_tell_the_versions_apart() {
        let mut apart = 0;
        for row in rows(include_str!("../tests/metric_pairs.jsonl")) {
            let text = |name: &str| row[name].as_str().expect("a text").to_string();
            let (prediction, gold) = (text("prediction"), text("gold"));
            for (metric, scale) in [("official", 100.0), ("gepa", 100.0), ("fapo", 1.0)] {
                let (exact, f1) = score(&prediction, &gold, metric);
                assert_eq!(exact, number(&row[metric]["em"]) * scale, "{metric} em: {row}");
                assert!((f1 - number(&row[metric]["f1"]) * scale).abs() < 1e-9, "{metric} f1 {f1}: {row}");
            }
            let points = |name: &str| number(&row[name]["f1"]);
            apart += usize::from(row["official"] != row["gepa"] || points("gepa") * 100.0 != points("fapo"));
        }
        assert!(apart >= 40, "{apart} pairs tell one version from another");
    }

    /// Recorded EM and F1 of the reference scorer; the data is not part of the project.
    #[test]
    fn recorded_verdicts_of_the_reference_are_met() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from);
        let Ok(text) = std::fs::read_to_string(folder.join("hotpotqa/predictions_em_f1.jsonl")) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no hotpotqa/predictions_em_f1.jsonl under FAPO_DATA_DIR");
            }
            return;
        };
        let mut seen = 0;
        for row in rows(&text) {
            let text = |name: &str| row[name].as_str().expect("a text").to_string();
            let (exact, f1) = score(&text("prediction"), &text("gold"), "official");
            assert_eq!(exact, number(&row["em"]) * 100.0, "{row}");
            assert!((f1 / 100.0 - number(&row["f1"])).abs() < 1e-9, "{f1} {row}");
            seen += 1;
        }
        assert!(seen > 100, "{seen} rows");
    }

    /// Texts with what the reference's normaliser makes of them; the data is not part of the project.
    #[test]
    fn recorded_normal_forms_of_the_reference_are_met() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from);
        let Ok(text) = std::fs::read_to_string(folder.join("hotpotqa/normalize_python_vectors.jsonl")) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no hotpotqa/normalize_python_vectors.jsonl under FAPO_DATA_DIR");
            }
            return;
        };
        let mut seen = 0;
        for row in rows(&text) {
            let text = |name: &str| row[name].as_str().expect("a text").to_string();
            assert_eq!(normalise(&text("input"), Metric::Gepa), text("normalized"), "{row}");
            seen += 1;
        }
        assert_eq!(seen, 36);
    }

    #[test]
    fn feedback_names_gold_passages_by_search() {
        let finished = finished("x", "Mara", &[("retrieve_hop1", &["Tarn", "Other"]), ("retrieve_hop2", &["Tarn"])]);
        let score = HotpotScorer::score(&finished, &json!({})).expect("a score");
        assert_eq!(
            score.feedback,
            "expected \"Mara\", got \"x\"; retrieve_hop1 found Tarn, still missing Quill; \
             retrieve_hop2 found Tarn, still missing Quill"
        );
    }

    #[test]
    fn rows_without_an_answer_and_unknown_metrics_are_refused() {
        let mut case = finished("x", "Mara", &[]).labelled;
        assert!(HotpotScorer::validate(&case, &json!({})).is_ok());
        assert!(HotpotScorer::validate(&case, &json!({"metric": "em"})).is_err());
        case.expected = json!({});
        assert!(HotpotScorer::validate(&case, &json!({})).is_err());
    }
}
