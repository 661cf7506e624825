//! Whether every article that a claim rests on was found, in one of two ways (scoring profile `metric`):
//!
//! - `gepa`, the default: among the passages of all searches, as the host observed them;
//! - `fapo`: among the passages that the output text lists, which is a text of the chain's own making.

use crate::titles;
use fapo_tenant_sdk::scoring::{evidence_feedback, gold_titles};
use fapo_tenant_sdk::{FinishedCase, LabelledCase, Score, Scorer, Value};
use std::collections::BTreeSet;

/// Scores what was found; the composite is `recall`, 100 where nothing is missing.
pub struct HoverScorer;

#[derive(Clone, Copy)]
enum Metric {
    Gepa,
    Fapo,
}

impl Scorer for HoverScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        metric(profile)?;
        // The references pass a claim that rests on nothing.
        let gold = gold_titles(&case.expected);
        if gold.is_empty() { Err("`expected.supporting_facts` names no article".into()) } else { Ok(()) }
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        let titles = gold_titles(&finished.labelled.expected);
        let (gold, found): (BTreeSet<String>, BTreeSet<String>) = match metric(profile)? {
            Metric::Gepa => {
                let hits = finished.searches.iter().flat_map(|search| &search.hits);
                // A passage is cut at its first bar, which stands behind the title.
                let title = |(_, title): &(String, String)| titles::gepa(title.split(" | ").next().unwrap_or_default());
                (titles.iter().map(|title| titles::gepa(title)).collect(), hits.map(title).collect())
            }
            Metric::Fapo => {
                let listed = titles::in_text(&finished.output_text);
                (
                    titles.iter().map(|title| titles::fapo(title)).collect(),
                    listed.into_iter().map(titles::fapo).collect(),
                )
            }
        };
        let hits = gold.intersection(&found).count();
        let all = if hits == gold.len() { 100.0 } else { 0.0 };
        let verdict = if hits == gold.len() { "every article was found" } else { "an article is missing" };
        Ok(Score::new(all)
            .metric("recall", all)
            .metric("partial_recall", hits as f64 / gold.len().max(1) as f64 * 100.0)
            .metric("num_gold", gold.len() as f64)
            .metric("num_found", hits as f64)
            .metric("num_missing", (gold.len() - hits) as f64)
            .feedback(format!("{verdict}{}", evidence_feedback(&titles, &finished.searches))))
    }
}

fn metric(profile: &Value) -> Result<Metric, String> {
    match profile.get("metric").and_then(Value::as_str).unwrap_or("gepa") {
        "gepa" => Ok(Metric::Gepa),
        "fapo" => Ok(Metric::Fapo),
        other => Err(format!("metric {other:?} is none of gepa, fapo")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::{CaseInput, ObservedSearch, StepId, json};

    fn finished(gold: &[&str], searches: &[&[&str]], output: &str) -> FinishedCase {
        let search = |titles: &&[&str]| ObservedSearch {
            id: StepId { node: "retrieve_hop1".into(), visit: 0 },
            index: "wiki".into(),
            query: "q".into(),
            hits: titles.iter().map(|title| ("id".into(), (*title).into())).collect(),
        };
        let facts: Vec<Value> = gold.iter().map(|title| json!([title, 0])).collect();
        FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "claim_retrieval".into(), context: vec![] },
                expected: json!({"supporting_facts": facts}),
                metadata: json!({}),
            },
            steps: vec![],
            searches: searches.iter().map(search).collect(),
            output_text: output.into(),
        }
    }

    fn scores(case: &FinishedCase, metric: &str) -> (f64, f64) {
        let score = HoverScorer::score(case, &json!({"metric": metric})).expect("a score");
        assert_eq!(score.composite, score.breakdown[0].1);
        (score.composite, score.breakdown[1].1)
    }

    #[test]
    fn what_the_host_observed_counts_and_what_the_chain_lists_counts_for_fapo_alone() {
        let gold = ["Tarn", "The Quill", "Mara Venn", "Tarn"];
        let claimed = "[1] «Tarn | x»\n[2] «Quill | y»\n[3] «Mara Venn | z»";
        let case = finished(&gold, &[&["Tarn", "Other"], &["quill"]], claimed);
        assert_eq!(scores(&case, "gepa"), (0.0, 2.0 / 3.0 * 100.0));
        assert_eq!(scores(&case, "fapo"), (100.0, 100.0));
        let case = finished(&gold, &[&["Tarn"], &["Mara Venn", "Quill"]], "");
        assert_eq!(scores(&case, "gepa"), (100.0, 100.0));
        assert_eq!(scores(&case, "fapo"), (0.0, 0.0));
        let score = HoverScorer::score(&case, &json!({})).expect("a score");
        assert_eq!(
            score.breakdown[2..],
            [("num_gold".into(), 3.0), ("num_found".into(), 3.0), ("num_missing".into(), 0.0)]
        );
    }

    #[test]
    fn a_claim_that_rests_on_nothing_is_refused() {
        assert!(HoverScorer::validate(&finished(&[], &[], "").labelled, &json!({})).is_err());
        assert!(HoverScorer::validate(&finished(&["T"], &[], "").labelled, &json!({})).is_ok());
        assert!(HoverScorer::validate(&finished(&["T"], &[], "").labelled, &json!({"metric": "f1"})).is_err());
    }
}
