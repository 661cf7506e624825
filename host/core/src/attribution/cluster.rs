//! Failures grouped by the step that lost the answer and by what could mend it.

use super::{Cause, Confidence, Finding, Fix, attribute};
use crate::held_out::TrainEvidence;
use crate::scope::VariantLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Case ids that a cluster shows.
const CASES_SHOWN_MAX: usize = 5;

/// Failures of one node with one remedy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// The commonest cause and the node, for people.
    pub label: String,
    /// The node that lost the answer, whatever the visit; the phase in brackets for a fault outside any node.
    pub step: String,
    /// What could mend it.
    pub fix: Fix,
    /// How deep the mend would go; null where no variant could mend it.
    pub level: Option<VariantLevel>,
    /// Confidence that most of its findings have; the lower one where two are equally common.
    pub confidence: Confidence,
    /// Failed cases in it.
    pub count: usize,
    /// Share of all failures, 0..=1.
    pub share: f64,
    /// What mending all of it could gain at most, in points of the mean composite over all planned cases.
    pub gain: f64,
    /// Up to five of its cases, in the order of the findings.
    pub case_ids: Vec<String>,
}

/// Clusters of the failures of train, the largest gain first; equal gains by label.
pub fn clusters(evidence: TrainEvidence<'_>) -> Vec<Cluster> {
    attribute(evidence.cases, evidence.records).clusters
}

/// Findings grouped by node and fix, over so many planned cases.
pub(super) fn grouped(findings: &[Finding], planned: usize) -> Vec<Cluster> {
    let mut groups: BTreeMap<(&str, Fix), Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        groups.entry((node(&finding.step), finding.fix)).or_default().push(finding);
    }
    let mut clusters: Vec<Cluster> = groups
        .into_iter()
        .map(|((step, fix), group)| Cluster {
            label: format!("{step}: {}", majority(group.iter().map(|f| f.cause)).unwrap_or(Cause::Unexplained).why()),
            step: step.into(),
            fix,
            level: majority(group.iter().map(|f| f.level)).flatten(),
            confidence: majority(group.iter().map(|f| f.confidence)).unwrap_or(Confidence::Low),
            count: group.len(),
            share: group.len() as f64 / findings.len() as f64,
            gain: group.iter().map(|f| f.lost).sum::<f64>() / planned.max(1) as f64,
            case_ids: group.iter().take(CASES_SHOWN_MAX).map(|f| f.case_id.clone()).collect(),
        })
        .collect();
    clusters.sort_by(|a, b| b.gain.total_cmp(&a.gain).then_with(|| a.label.cmp(&b.label)));
    clusters
}

/// Whether a finding is one of a cluster.
pub(super) fn holds(cluster: &Cluster, finding: &Finding) -> bool {
    finding.fix == cluster.fix && node(&finding.step) == cluster.step
}

/// A step's node: node names hold no `#`.
fn node(step: &str) -> &str {
    step.split('#').next().unwrap_or(step)
}

/// The commonest value, the least of several that are equally common.
fn majority<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(value, _)| value)
}
