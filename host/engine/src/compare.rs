//! Two runs, paired by case.

use crate::stored::StoredRun;
use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use fapo_core::stats::{Estimate, estimate};
use std::collections::BTreeMap;

/// Dimensions of an identity that must be equal for two scores to mean the same.
const EQUAL: [(&str, &str); 4] =
    [("dataset", "dataset"), ("scorer", "scorer component"), ("profile", "scoring_profile"), ("limits", "limits")];

/// How two runs differ over the cases of both.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    /// Cases of both runs.
    pub pairs: usize,
    /// Mean composite of the first run over the pairs.
    pub mean_a: f64,
    /// Mean composite of the second run over the pairs.
    pub mean_b: f64,
    /// Paired difference, second minus first; None without pairs.
    pub difference: Option<Estimate>,
    /// Cases that the second run scores higher.
    pub fixed: Vec<String>,
    /// Cases that the second run scores lower.
    pub broken: Vec<String>,
    /// Cases with equal scores.
    pub same: usize,
    /// Cases of one run only.
    pub unpaired: Vec<String>,
}

/// Compares two runs; faults count as 0, as everywhere.
///
/// # Errors
/// The runs differ in a dimension that decides what a score means.
pub fn compare(a: &StoredRun, b: &StoredRun) -> Result<Comparison, InputError> {
    let differ: Vec<&str> =
        EQUAL.iter().filter(|(name, _)| a.identity(name) != b.identity(name)).map(|(_, shown)| *shown).collect();
    if !differ.is_empty() {
        let message = format!("differ in {}, so their scores do not mean the same", differ.join(", "));
        return Err(
            InputError::new("the two runs", message).hint("evaluate both variants with one of the two settings")
        );
    }
    Ok(paired(&a.records, &b.records))
}

fn paired(a: &[CaseRecord], b: &[CaseRecord]) -> Comparison {
    let mut of_b: BTreeMap<&str, f64> = b.iter().map(|r| (r.case_id.as_str(), r.composite())).collect();
    let (mut sums, mut differences) = ([0.0, 0.0], Vec::new());
    let (mut fixed, mut broken, mut unpaired) = (Vec::new(), Vec::new(), Vec::new());
    for record in a {
        let Some(second) = of_b.remove(record.case_id.as_str()) else {
            unpaired.push(record.case_id.clone());
            continue;
        };
        let first = record.composite();
        sums = [sums[0] + first, sums[1] + second];
        differences.push(second - first);
        if second > first {
            fixed.push(record.case_id.clone());
        } else if second < first {
            broken.push(record.case_id.clone());
        }
    }
    unpaired.extend(b.iter().filter(|r| of_b.contains_key(r.case_id.as_str())).map(|r| r.case_id.clone()));
    let (pairs, n) = (differences.len(), differences.len().max(1) as f64);
    Comparison {
        pairs,
        mean_a: sums[0] / n,
        mean_b: sums[1] / n,
        difference: estimate(&differences),
        same: pairs - fixed.len() - broken.len(),
        fixed,
        broken,
        unpaired,
    }
}
