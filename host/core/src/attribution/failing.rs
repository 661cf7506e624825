//! Failed cases counted by step and cause: the table that a person sees after a run, and the original's.

use super::failure::Failure;
use super::{Cause, Labels, heuristics, original};
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

/// The failures of a run, counted record by record: it grows with steps and causes, and not with cases.
#[derive(Clone, Debug, Default)]
pub struct FailureCounts {
    labelled: BTreeSet<String>,
    groups: BTreeMap<(String, Cause), (usize, Vec<String>)>,
    /// As the original attributes them, steps in the order in which they were first blamed.
    original: Vec<(String, usize)>,
    any_steps: bool,
}

impl FailureCounts {
    /// For a run on cases with these labels.
    pub fn new(labels: &Labels) -> Self {
        FailureCounts { labelled: labels.tasks(), ..FailureCounts::default() }
    }

    /// Of these records; they are joined with cases by id, and one without a case is left out.
    pub fn of(cases: &[Case], records: &[CaseRecord]) -> Self {
        let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
        let mut counts = FailureCounts::new(&Labels::of(cases));
        records.iter().for_each(|record| counts.add(by_id.get(record.case_id.as_str()).copied(), record));
        counts
    }

    /// One record more, with its case where that is known: a failure is explained by its label.
    pub fn add(&mut self, case: Option<&Case>, record: &CaseRecord) {
        self.any_steps |= !record.steps.is_empty();
        let Some(case) = case.filter(|_| record.composite() < PASSED) else { return };
        let labelled = self.labelled.contains(&case.task_type);
        let finding = heuristics::explain(&Failure::new(case, record, labelled));
        let (cases, named) = self.groups.entry((finding.step, finding.cause)).or_default();
        *cases += 1;
        if named.len() < CASES_NAMED_MAX {
            named.push(finding.case_id);
        }
        for step in original::blamed(case, record) {
            match self.original.iter_mut().find(|(blamed, _)| *blamed == step) {
                Some((_, count)) => *count += 1,
                None => self.original.push((step, 1)),
            }
        }
    }

    /// Failed cases grouped by step and cause, the largest group first.
    pub fn steps(&self) -> Vec<FailingStep> {
        let group = |((step, cause), (cases, case_ids)): (&(String, Cause), &(usize, Vec<String>))| FailingStep {
            step: step.clone(),
            cause: *cause,
            cases: *cases,
            case_ids: case_ids.clone(),
        };
        let mut steps: Vec<FailingStep> = self.groups.iter().map(group).collect();
        steps.sort_by_key(|group| std::cmp::Reverse(group.cases));
        steps
    }

    /// The original's section `## Step Attribution` of `summary.md`, the step with most failures first; None where
    /// nothing failed or no record has a step.
    pub fn step_table(&self) -> Option<String> {
        (self.any_steps && !self.original.is_empty()).then(|| original::step_table(&self.original))
    }
}
