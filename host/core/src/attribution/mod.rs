//! Why failed cases failed: the original's attribution, ours beside it, and clusters to mend.
//!
//! Deterministic: words are looked for, meaning is not judged, and no model is asked.

mod cluster;
mod finding;
mod fix;
mod locate;

pub use cluster::{Cluster, clusters};
pub use finding::{Cause, Confidence, Finding};
pub use fix::Fix;
pub use locate::{FailingStep, Loss, failing_steps, locate};

use crate::case::Case;
use crate::run::CaseRecord;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A run's failures, explained.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Attribution {
    /// The original's result: an object a step, with its keys.
    pub original: Map<String, Value>,
    /// The original's summary of it, with its keys.
    pub summary: Value,
    /// Ours: one finding a failed case, in the order of the records.
    pub findings: Vec<Finding>,
    /// Findings by node and fix, the largest gain first.
    pub clusters: Vec<Cluster>,
    /// Cases of the dataset: the denominator of every gain.
    pub planned: usize,
    /// Cases with a composite below 100.
    pub failed: usize,
}

/// Explains the failed cases of a run. Records are joined with cases by id; one without a case is left out.
pub fn attribute(cases: &[Case], records: &[CaseRecord]) -> Attribution {
    let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
    let findings: Vec<Finding> = records
        .iter()
        .filter_map(|record| Some((*by_id.get(record.case_id.as_str())?, record)))
        .filter_map(|(case, record)| {
            let (step, loss) = locate(case, record)?;
            let (cause, level) = loss.as_cause();
            Some(Finding {
                case_id: record.case_id.clone(),
                step,
                cause,
                fix: fix::fix_for(loss, record),
                level,
                confidence: Confidence::Medium,
                evidence: loss.why().into(),
                note: None,
                lost: 100.0 - record.composite(),
            })
        })
        .collect();
    Attribution {
        original: Map::new(),
        summary: Value::Null,
        clusters: cluster::grouped(&findings, cases.len()),
        planned: cases.len(),
        failed: findings.len(),
        findings,
    }
}
