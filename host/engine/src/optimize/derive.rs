//! A trial's decisions made again from the scores that its runs stored: whoever doubts a report can check it.

use super::{OnHeldOut, TrialReport};
use crate::stored::read_run;
use fapo_core::InputError;
use fapo_core::held_out::HeldOut;
use fapo_core::review::Verdict;
use fapo_core::run::CaseRecord;
use fapo_core::selection::{Policy, decide_by};
use fapo_core::variant::Outcome;
use std::path::{Path, PathBuf};

/// What the stored scores come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The variant that they select.
    pub selected: String,
    /// Where the report says something else; empty where it holds.
    pub differences: Vec<String>,
}

/// The runs of one variant.
struct Runs {
    name: String,
    folder: PathBuf,
    train: Vec<CaseRecord>,
    planned: usize,
}

impl Runs {
    fn open(trial: &Path, name: &str) -> Result<Self, InputError> {
        let folder = trial.join("variants").join(name.trim_start_matches('v'));
        let train = read_run(&folder.join("train"))?;
        Ok(Runs { name: name.into(), train: train.records()?, planned: train.planned, folder })
    }

    fn held_out(&self, split: &str) -> Result<HeldOut, InputError> {
        let run = read_run(&self.folder.join(split))?;
        HeldOut::new(split, run.planned, &run.records()?)
    }

    /// Points of the cases that another run has records of, and that run's points on them.
    fn points_beside(&self, other: &Runs) -> (f64, f64) {
        let of = |records: &[CaseRecord], wanted: &[CaseRecord]| -> f64 {
            let has = |record: &&CaseRecord| wanted.iter().any(|w| w.case_id == record.case_id);
            records.iter().filter(has).map(CaseRecord::composite).sum()
        };
        (of(&self.train, &other.train), of(&other.train, &self.train))
    }
}

/// Makes every decision of a finished trial again.
///
/// # Errors
/// A run that the report speaks of is not there or damaged.
pub fn derive(trial: &Path, report: &TrialReport) -> Result<Derived, InputError> {
    let mut incumbent = Runs::open(trial, "v000")?;
    let mut validation = incumbent.held_out("validation")?;
    let baseline_test = incumbent.held_out("test")?;
    let mut differences = Vec::new();
    let mut differs = |what: &str, stored: String, reported: String| {
        if stored != reported {
            differences.push(format!("{what}: the stored scores say {stored}, the report says {reported}"));
        }
    };
    let baseline = OnHeldOut { validation: validation.total(), test: baseline_test.total() };
    differs("v000", format!("{baseline:?}"), format!("{:?}", report.baseline));
    for attempt in &report.attempts {
        let name = &attempt.variant;
        differs(&format!("{name}, parent"), incumbent.name.clone(), attempt.parent.clone());
        let (mut outcome, mut found) = (Outcome::Blocked, None);
        if attempt.verdict != Verdict::Block {
            let runs = Runs::open(trial, name)?;
            outcome = Outcome::Rejected;
            let (now, before) = runs.points_beside(&incumbent);
            let whole = runs.train.len() == runs.planned;
            let gains = now > before || report.policy == Policy::Paper;
            if !whole && gains {
                outcome = Outcome::Stopped;
            }
            if whole && gains {
                let held_out = runs.held_out("validation")?;
                found = Some(held_out.total());
                if decide_by(report.policy, &held_out, &validation).kept {
                    outcome = Outcome::Kept;
                    (incumbent, validation) = (runs, held_out);
                }
            }
        }
        differs(&format!("{name}, outcome"), format!("{outcome:?}"), format!("{:?}", attempt.outcome));
        differs(&format!("{name}, validation"), format!("{found:?}"), format!("{:?}", attempt.validation));
    }
    let test = incumbent.held_out("test")?;
    differs("selected", incumbent.name.clone(), report.selected.variant.clone());
    differs("selected, test", format!("{:?}", test.total()), format!("{:?}", report.selected.test));
    differs("difference", format!("{:?}", test.difference(&baseline_test)), format!("{:?}", report.difference));
    Ok(Derived { selected: incumbent.name, differences })
}
