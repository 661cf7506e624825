//! Failed cases grouped by step and cause: the table that a person sees after a run.

use super::{Cause, failed, findings};
use crate::case::Case;
use crate::run::CaseRecord;
use std::collections::BTreeMap;

/// A step with the cases that failed there for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingStep {
    /// Node and visit, or the phase of a fault outside any step.
    pub step: String,
    /// Why.
    pub cause: Cause,
    /// The cases, in the order of the records.
    pub case_ids: Vec<String>,
}

/// Failed cases grouped by step and cause, the largest group first.
pub fn failing_steps(cases: &[Case], records: &[CaseRecord]) -> Vec<FailingStep> {
    let mut groups: BTreeMap<(String, Cause), Vec<String>> = BTreeMap::new();
    for finding in findings(cases, &failed(cases, records)) {
        groups.entry((finding.step, finding.cause)).or_default().push(finding.case_id);
    }
    let mut steps: Vec<FailingStep> =
        groups.into_iter().map(|((step, cause), case_ids)| FailingStep { step, cause, case_ids }).collect();
    steps.sort_by_key(|group| std::cmp::Reverse(group.case_ids.len()));
    steps
}
