//! Failures grouped by the step that lost the answer and by what could mend it.

use super::fix::fix_for;
use super::{Fix, locate};
use crate::held_out::TrainEvidence;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// Case ids that a cluster shows.
const CASES_SHOWN_MAX: usize = 5;

/// Failures of one step with one remedy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cluster {
    /// The step that lost the answer.
    pub step: String,
    /// What could mend it.
    pub fix: Fix,
    /// Failed cases in it.
    pub count: usize,
    /// Share of all failures, 0..=1.
    pub share: f64,
    /// What mending all of it could gain at most, in points of the mean composite.
    pub gain: f64,
    /// Up to five of its cases, in dataset order.
    pub case_ids: Vec<String>,
}

/// Clusters of the failures of train, the largest gain first; equal gains by step and fix.
pub fn clusters(evidence: TrainEvidence<'_>) -> Vec<Cluster> {
    let mut groups: BTreeMap<(String, Fix), (f64, Vec<String>)> = BTreeMap::new();
    let mut failures = 0;
    for (case, record) in evidence.cases.iter().zip(evidence.records) {
        if let Some((step, loss)) = locate(case, record) {
            failures += 1;
            let group = groups.entry((step, fix_for(loss, record))).or_default();
            group.0 += 100.0 - record.composite();
            group.1.push(record.case_id.clone());
        }
    }
    let planned = evidence.cases.len().max(1) as f64;
    let mut clusters: Vec<Cluster> = groups
        .into_iter()
        .map(|((step, fix), (lost, mut case_ids))| {
            let count = case_ids.len();
            case_ids.truncate(CASES_SHOWN_MAX);
            Cluster {
                step,
                fix,
                count,
                share: count as f64 / f64::from(failures.max(1)),
                gain: lost / planned,
                case_ids,
            }
        })
        .collect();
    clusters.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    clusters
}
