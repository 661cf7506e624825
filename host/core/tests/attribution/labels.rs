//! Agreement with labels given by hand: see `../attribution_labels.md` for their rule.

use crate::rows;
use fapo_core::attribution::{Cause, attribute};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const LABELS: &str = include_str!("../attribution_labels.jsonl");

/// Share of equal pairs, and Cohen's kappa: the agreement beyond that of chance.
fn agreement(pairs: &[(String, String)]) -> (f64, f64) {
    let n = pairs.len() as f64;
    let equal = pairs.iter().filter(|(ours, label)| ours == label).count() as f64 / n;
    let mut counts: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (ours, label) in pairs {
        counts.entry(ours).or_default().0 += 1.0;
        counts.entry(label).or_default().1 += 1.0;
    }
    let by_chance = counts.values().map(|(ours, label)| ours * label).sum::<f64>() / (n * n);
    (equal, (equal - by_chance) / (1.0 - by_chance))
}

#[test]
#[allow(clippy::print_stdout, reason = "the numbers and the misses are what the test is read for")]
fn steps_and_causes_agree_with_labels_given_by_hand() {
    let labelled: Vec<Value> = LABELS.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(labelled.len(), 60);
    let (cases, records): (Vec<_>, Vec<_>) = labelled.iter().map(rows::read).unzip();
    let found = attribute(&cases, &records).findings;
    let mut pairs = Vec::new();
    for (row, finding) in labelled.iter().zip(&found) {
        let ours = json!({"step": finding.step, "cause": finding.cause}).to_string();
        let label = row["label"].to_string();
        if ours != label {
            println!("{}: {} says {ours}, the label {label}", finding.case_id, finding.heuristic);
        }
        pairs.push((ours, label));
    }
    let (share, kappa) = agreement(&pairs);
    let unexplained = found.iter().filter(|finding| finding.cause == Cause::Unexplained).count();
    println!("agreement {share:.3}, kappa {kappa:.3}, unexplained {unexplained} of {}", found.len());
    assert!(share >= 0.8, "agreement {share:.3}");
    assert!(3 * unexplained < found.len(), "{unexplained} unexplained");
    let causes: BTreeSet<String> = labelled.iter().map(|row| row["label"]["cause"].to_string()).collect();
    assert_eq!(causes.len(), 15, "every cause has a label: {causes:?}");
}

#[test]
fn kappa_is_one_for_equal_lists_and_zero_for_chance() {
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_string(), (*b).to_string())).collect()
    };
    assert_eq!(agreement(&pairs(&[("a", "a"), ("b", "b")])), (1.0, 1.0));
    assert_eq!(agreement(&pairs(&[("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")])), (0.5, 0.0));
}
