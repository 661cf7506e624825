//! Failed cases counted by step and cause: the table that a person sees after a run, and the original's.

use super::failure::Failure;
use super::{Cause, Finding, Labels, heuristics, original};
use crate::case::Case;
use crate::run::{CaseRecord, PASSED};
use std::collections::{BTreeMap, BTreeSet};

/// Cases that are named for each step and cause.
const CASES_NAMED_MAX: usize = 5;

/// A step with the cases that failed there for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingStep {
    /// Node and visit, or the phase of a fault outside any step.
    pub step: String,
    /// Why.
    pub cause: Cause,
    /// How many cases failed so.
    pub cases: usize,
    /// The first five of them, in the order of the records.
    pub case_ids: Vec<String>,
}

/// Explains failures one by one, as they come.
#[derive(Clone, Debug, Default)]
pub struct Explainer {
    labelled: BTreeSet<String>,
}

/// Why one case failed.
#[derive(Clone, Debug)]
pub struct Explained {
    index: usize,
    case_id: String,
    step: String,
    cause: Cause,
    /// Steps that the original lays it at.
    blamed: Vec<String>,
}

impl Explainer {
    /// For a run on cases with these labels.
    pub fn new(labels: &Labels) -> Self {
        Explainer { labelled: labels.tasks() }
    }

    /// Why the record's case failed; None where it passed.
    pub fn explain(&self, case: &Case, record: &CaseRecord) -> Option<Explained> {
        if record.composite() >= PASSED {
            return None;
        }
        let labelled = self.labelled.contains(&case.task_type);
        let Finding { step, cause, case_id, .. } = heuristics::explain(&Failure::new(case, record, labelled));
        let blamed = original::blamed(case, record).collect();
        Some(Explained { index: record.index, case_id, step, cause, blamed })
    }
}

/// The failures of a run, counted one by one in any order: it grows with steps and causes, and not with cases.
#[derive(Clone, Debug, Default)]
pub struct FailureCounts {
    groups: BTreeMap<(String, Cause), Group>,
    /// As the original attributes them: how many, and where first, as position in the run and in the case.
    original: BTreeMap<String, (usize, (usize, usize))>,
}

#[derive(Clone, Debug, Default)]
struct Group {
    cases: usize,
    /// The first of them by position.
    named: BTreeMap<usize, String>,
}

impl FailureCounts {
    /// Of these records; they are joined with cases by id, and one without a case is left out.
    pub fn of(cases: &[Case], records: &[CaseRecord]) -> Self {
        let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
        let explainer = Explainer::new(&Labels::of(cases));
        let mut counts = FailureCounts::default();
        for record in records {
            let case = by_id.get(record.case_id.as_str());
            case.and_then(|case| explainer.explain(case, record)).into_iter().for_each(|why| counts.add(why));
        }
        counts
    }

    /// One failure more.
    pub fn add(&mut self, why: Explained) {
        let group = self.groups.entry((why.step, why.cause)).or_default();
        group.cases += 1;
        group.named.insert(why.index, why.case_id);
        if group.named.len() > CASES_NAMED_MAX {
            group.named.pop_last();
        }
        for (at, step) in why.blamed.into_iter().enumerate() {
            let here = (why.index, at);
            let (count, first) = self.original.entry(step).or_insert((0, here));
            *count += 1;
            *first = here.min(*first);
        }
    }

    /// Failed cases grouped by step and cause, the largest group first.
    pub fn steps(&self) -> Vec<FailingStep> {
        let group = |((step, cause), group): (&(String, Cause), &Group)| FailingStep {
            step: step.clone(),
            cause: *cause,
            cases: group.cases,
            case_ids: group.named.values().cloned().collect(),
        };
        let mut steps: Vec<FailingStep> = self.groups.iter().map(group).collect();
        steps.sort_by_key(|group| std::cmp::Reverse(group.cases));
        steps
    }

    /// The original's section `## Step Attribution` of `summary.md`, the step with most failures first, of equal ones the
    /// one that was blamed first; None where nothing failed.
    pub fn step_table(&self) -> Option<String> {
        let mut rows: Vec<_> = self.original.iter().collect();
        rows.sort_by_key(|(_, (count, first))| (std::cmp::Reverse(*count), *first));
        let rows: Vec<(&str, usize)> = rows.into_iter().map(|(step, (count, _))| (step.as_str(), *count)).collect();
        (!rows.is_empty()).then(|| original::step_table(&rows))
    }
}
