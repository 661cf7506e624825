//! Why failed cases failed: the original's attribution, ours beside it, and clusters to mend.
//!
//! Deterministic: words are looked for, meaning is not judged, and no model is asked. Prompts as they were sent and
//! searches as the host served them tell what each step was shown; where a record lacks them, confidence is lower.
//! [`Interventions`] are what replays found, where somebody paid for them. Left out: the original's heuristic for failed
//! tools, which no record of ours has.

mod cluster;
mod failing;
mod failure;
mod finding;
mod fix;
mod heuristics;
mod intervention;
mod labels;
mod original;
mod texts;

pub use cluster::{Cluster, clusters};
pub use failing::{Explained, Explainer, FailingStep, FailureCounts};
pub use failure::gold_titles;
pub use finding::{Cause, Confidence, Finding};
pub use fix::Fix;
pub use heuristics::{HEURISTICS, Heuristic};
pub use intervention::{Blamed, Ceiling, INTERVENTION, Interventions, Located, SeenBy, Unattributed};
pub use labels::Labels;

use crate::case::Case;
use crate::run::CaseRecord;
use failure::Failure;
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
    /// Cases with a composite below 100 or without a score.
    pub failed: usize,
}

/// Explains the failed cases of a run. Records are joined with cases by id; one without a case is left out.
pub fn attribute(cases: &[Case], records: &[CaseRecord]) -> Attribution {
    let failed = failed(cases, records);
    let findings = findings(cases, &failed);
    let original = original::attribute_failures(&failed);
    Attribution {
        summary: original::summarize(&original),
        original,
        clusters: cluster::grouped(&findings, cases.len()),
        planned: cases.len(),
        failed: failed.len(),
        findings,
    }
}

/// Failed cases with their records, in the order of the records.
fn failed<'a>(cases: &'a [Case], records: &'a [CaseRecord]) -> Vec<(&'a Case, &'a CaseRecord)> {
    let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
    let failed = records.iter().filter(|record| record.composite() < 100.0);
    failed.filter_map(|record| Some((*by_id.get(record.case_id.as_str())?, record))).collect()
}

/// One finding a failed case.
fn findings(cases: &[Case], failed: &[(&Case, &CaseRecord)]) -> Vec<Finding> {
    let labelled = Labels::of(cases).tasks();
    let explain = |(case, record): &(&Case, &CaseRecord)| {
        heuristics::explain(&Failure::new(case, record, labelled.contains(&case.task_type)))
    };
    failed.iter().map(explain).collect()
}

impl Attribution {
    /// All cases of one of the clusters, in the order of the records.
    pub fn cases_of<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = &'a str> {
        let found = self.findings.iter().filter(|finding| cluster::holds(cluster, finding));
        found.map(|finding| finding.case_id.as_str())
    }
}

/// Whether seeing the case's expected answer in a text says something: it has one, of more than a common word, and the
/// context does not name it.
pub(crate) fn tells(case: &Case) -> bool {
    let answer = case.expected_answer().map(texts::words).unwrap_or_default();
    let named = || case.context.iter().any(|(_, value)| texts::text_holds(value, &answer));
    !answer.is_empty() && !texts::is_common(&answer) && !named()
}

/// Whether a text states the case's expected answer.
pub(crate) fn states_answer(case: &Case, text: &str) -> bool {
    let answer = case.expected_answer().map(texts::words).unwrap_or_default();
    texts::states(&texts::Words::of(text), &answer)
}
