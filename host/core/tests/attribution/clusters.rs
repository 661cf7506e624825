//! Findings grouped into clusters.

use crate::rows;
use fapo_core::attribution::{Cause, Confidence, FailureCounts, Fix, attribute};
use fapo_core::case::Case;
use fapo_core::run::CaseRecord;
use fapo_core::scope::VariantLevel;
use serde_json::json;

/// Failed cases by id, output and score, all with the answer `Mara Quill`; `passed` ones beside them.
fn run(failed: &[(&str, &str, f64)], passed: usize) -> (Vec<Case>, Vec<CaseRecord>) {
    let row = |id: &str, output: &str, score: f64| {
        rows::read(&json!({"case_id": id, "expected": {"answer": "Mara Quill"}, "score": score,
                           "context": {"passages": "Mara Quill built it."}, "steps": [["answer", output]]}))
    };
    let fail = failed.iter().map(|(id, output, score)| row(id, output, *score));
    fail.chain((0..passed).map(|n| row(&format!("p{n}"), "Mara Quill", 100.0))).unzip()
}

const LONG: &str = "It was Mara Quill.";

#[test]
fn a_cluster_is_a_node_and_a_fix_and_its_gain_counts_planned_cases() {
    let failed =
        [("a", LONG, 40.0), ("b", LONG, 0.0), ("c", "I don't know.", 0.0), ("d", LONG, 0.0), ("e", "Quill", 90.0)];
    let (cases, records) = run(&failed, 5);
    let found = attribute(&cases, &records);
    assert_eq!((found.planned, found.failed), (10, 5));
    let first = &found.clusters[0];
    assert_eq!((first.step.as_str(), first.fix, first.level), ("answer", Fix::Brevity, Some(VariantLevel::Prompt)));
    assert_eq!((first.count, first.share, first.gain), (3, 0.6, 26.0));
    assert_eq!((first.confidence, first.case_ids.join(" ")), (Confidence::High, "a b d".into()));
    assert_eq!(first.label, format!("answer: {}", Cause::VerboseNearMiss.why()));
    let gains: Vec<f64> = found.clusters.iter().map(|cluster| cluster.gain).collect();
    assert_eq!(gains, [26.0, 10.0, 1.0]);
    assert_eq!(gains.iter().sum::<f64>(), 37.0, "all that is missing of the mean");
    // A case that has not run yet is planned all the same.
    assert_eq!(attribute(&cases, &records[..5]).clusters, found.clusters);
}

#[test]
fn equal_gains_stand_by_name_and_five_cases_are_shown() {
    let ids = ["a", "b", "c", "d", "e", "f"];
    let (cases, records) = run(&ids.map(|id| (id, LONG, 0.0)), 0);
    let found = attribute(&cases, &records);
    assert_eq!((found.clusters[0].count, found.clusters[0].case_ids.len()), (6, 5));
    let (cases, records) = run(&[("a", "I don't know.", 0.0), ("b", LONG, 0.0)], 0);
    let labels: Vec<String> = attribute(&cases, &records).clusters.into_iter().map(|cluster| cluster.label).collect();
    let mut sorted = labels.clone();
    sorted.sort();
    assert_eq!(labels, sorted);
}

#[test]
fn a_passed_case_and_one_without_its_row_give_no_finding() {
    let (cases, records) = run(&[("a", LONG, 0.0)], 2);
    let found = attribute(&cases[1..], &records);
    assert_eq!((found.failed, found.findings.len(), found.clusters.len()), (0, 0, 0));
    assert!(FailureCounts::of(&cases[1..], &records).step_table().is_none());
}

#[test]
fn visits_of_a_node_are_one_cluster_and_the_scorer_is_heard() {
    let row = |id: &str, step: &str| {
        rows::read(&json!({"case_id": id, "expected": {"answer": "Mara Quill"}, "feedback": "  too  long ",
                           "steps": [[step, LONG]]}))
    };
    let (cases, records): (Vec<_>, Vec<_>) = [row("a", "answer"), row("b", "answer#1")].into_iter().unzip();
    let found = attribute(&cases, &records);
    assert_eq!((found.clusters.len(), found.clusters[0].count), (1, 2));
    assert_eq!(found.findings[1].step, "answer#1");
    assert_eq!(found.findings[0].note.as_deref(), Some("too long"));
    let steps = FailureCounts::of(&cases, &records).steps();
    assert_eq!((steps.len(), steps[0].cause), (2, Cause::VerboseNearMiss));
}
