//! What the optimizer may know of a split: rows of train, totals of validation and test.

use crate::case::Case;
use crate::input_error::InputError;
use crate::run::CaseRecord;
use crate::stats::{Estimate, composite_estimate, estimate, lower_bound};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fewest cases of a held-out split: below, a total tells too much about its rows.
pub const CASES_MIN: usize = 20;

/// Rows of train: everything attribution and operators work with.
#[derive(Clone, Copy, Debug)]
pub struct TrainEvidence<'a> {
    /// Cases with their labels.
    pub cases: &'a [Case],
    /// Their records, in the same order.
    pub records: &'a [CaseRecord],
}

impl TrainEvidence<'_> {
    /// Mean composite over planned cases.
    pub fn mean(&self) -> f64 {
        self.records.iter().map(CaseRecord::composite).sum::<f64>() / self.cases.len().max(1) as f64
    }
}

/// Totals of a held-out split. Its scores are kept for paired comparison and cannot be read out.
#[derive(Clone, Debug)]
pub struct HeldOut {
    composites: Vec<f64>,
    calls: u64,
}

/// What a held-out split shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Total {
    /// Mean composite over planned cases.
    pub mean: f64,
    /// 95% interval.
    pub ci: Option<[f64; 2]>,
    /// Planned cases.
    pub n: usize,
}

impl HeldOut {
    /// Totals of a finished run; records in dataset order.
    ///
    /// # Errors
    /// The split is too small to be held out, or cases are missing.
    pub fn new(split: &str, planned: usize, records: &[CaseRecord]) -> Result<Self, InputError> {
        if planned < CASES_MIN {
            return Err(InputError::new(format!("split {split}"), format!("has {planned} cases")).hint(format!(
                "a held-out split needs at least {CASES_MIN}: below, its mean tells too much of its rows"
            )));
        }
        if records.len() < planned {
            let message = format!("{} of {planned} cases came to their end", records.len());
            return Err(InputError::new(format!("split {split}"), message).hint("the same command goes on"));
        }
        let composites = records.iter().map(CaseRecord::composite).collect();
        Ok(HeldOut { composites, calls: records.iter().map(|r| r.model_calls().count() as u64).sum() })
    }

    /// Mean, interval and number of cases.
    pub fn total(&self) -> Total {
        let found = composite_estimate(&self.composites);
        Total { mean: found.map_or(0.0, |e| e.mean), ci: found.and_then(|e| e.ci), n: self.composites.len() }
    }

    /// Model calls it took.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Paired difference to another variant on the same split, this minus that, with its 95% interval.
    pub fn difference(&self, other: &HeldOut) -> Option<Estimate> {
        estimate(&self.differences(other))
    }

    /// What the difference is at least, at one-sided 90%.
    pub fn difference_lower(&self, other: &HeldOut) -> f64 {
        lower_bound(&self.differences(other), 0.90)
    }

    fn differences(&self, other: &HeldOut) -> Vec<f64> {
        self.composites.iter().zip(&other.composites).map(|(this, that)| this - that).collect()
    }
}
