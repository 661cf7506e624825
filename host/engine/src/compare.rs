//! Two runs, paired by case.

use crate::stored::StoredRun;
use fapo_core::InputError;
use fapo_core::ports::Usage;
use fapo_core::price::Money;
use fapo_core::run::{CaseRecord, PASSED, cost};
use fapo_core::stats::{Estimate, bootstrap_interval, estimate, sign_test};
use std::collections::BTreeMap;

/// Dimensions of an identity that must be equal for two scores to mean the same.
const EQUAL: [(&str, &str); 5] = [
    ("dataset", "dataset"),
    ("scorer", "scorer component"),
    ("profile", "scoring_profile"),
    ("judges", "judges"),
    ("limits", "limits"),
];

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
    /// Its 95% bootstrap interval; None below two pairs.
    pub bootstrap: Option<[f64; 2]>,
    /// Two-sided exact p of a sign test over the cases that changed.
    pub sign_p: f64,
    /// Cases that failed in the first run and pass in the second.
    pub to_passed: usize,
    /// Cases that passed in the first run and fail in the second.
    pub to_failed: usize,
    /// McNemar's exact p over those two.
    pub mcnemar_p: f64,
    /// What the second run costs more or less, per case.
    pub effects: Vec<Effect>,
    /// Cases that the second run scores higher.
    pub fixed: Vec<String>,
    /// Cases that the second run scores lower.
    pub broken: Vec<String>,
    /// Cases with equal scores.
    pub same: usize,
    /// Cases of one run only.
    pub unpaired: Vec<String>,
}

/// A cost of a case, paired.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// `calls`, `prompt_tokens`, `completion_tokens`, `dollars`, `seconds`.
    pub what: &'static str,
    /// Mean of the first run over the pairs for which both runs know it.
    pub mean_a: f64,
    /// Mean of the second run over them.
    pub mean_b: f64,
    /// Paired difference, second minus first.
    pub difference: Estimate,
}

/// What a comparison needs of one case of a run.
struct CaseOutcome {
    case_id: String,
    composite: f64,
    /// In the order of [`COSTS`]; None where one is unknown.
    costs: [Option<f64>; COSTS.len()],
}

impl From<&CaseRecord> for CaseOutcome {
    fn from(record: &CaseRecord) -> Self {
        let (case_id, composite) = (record.case_id.clone(), record.composite());
        CaseOutcome { case_id, composite, costs: COSTS.map(|(_, cost)| cost(record)) }
    }
}

/// Reads one cost of a case; None where it is unknown.
type Cost = fn(&CaseRecord) -> Option<f64>;

const COSTS: [(&str, Cost); 5] = [
    ("calls", |record| Some(record.calls.len() as f64)),
    ("prompt_tokens", |record| tokens(record, |usage| usage.prompt_tokens)),
    ("completion_tokens", |record| tokens(record, |usage| usage.completion_tokens)),
    ("dollars", |record| cost(&record.calls).map(Money::in_dollars)),
    ("seconds", |record| Some(record.steps.iter().map(|timed| timed.seconds).sum())),
];

/// Tokens of the chain's calls; None where a service did not count one's.
fn tokens(record: &CaseRecord, of: fn(Usage) -> u64) -> Option<f64> {
    record.calls.iter().map(|call| call.usage.map(of)).sum::<Option<u64>>().map(|sum| sum as f64)
}

fn effects(pairs: &[(&CaseOutcome, &CaseOutcome)]) -> Vec<Effect> {
    let one = |at: usize| {
        let known: Vec<(f64, f64)> = pairs.iter().filter_map(|(a, b)| Some((a.costs[at]?, b.costs[at]?))).collect();
        let n = known.len().max(1) as f64;
        let differences: Vec<f64> = known.iter().map(|(a, b)| b - a).collect();
        Some(Effect {
            what: COSTS[at].0,
            mean_a: known.iter().map(|(a, _)| a).sum::<f64>() / n,
            mean_b: known.iter().map(|(_, b)| b).sum::<f64>() / n,
            difference: estimate(&differences)?,
        })
    };
    let is_free = |effect: &Effect| effect.what == "dollars" && effect.mean_a == 0.0 && effect.mean_b == 0.0;
    (0..COSTS.len()).filter_map(one).filter(|effect| !is_free(effect)).collect()
}

/// Compares two runs; faults count as 0, as everywhere.
///
/// # Errors
/// The runs differ in a dimension that decides what a score means, or the journal of one is damaged.
pub fn compare(a: &StoredRun, b: &StoredRun) -> Result<Comparison, InputError> {
    let differ: Vec<&str> =
        EQUAL.iter().filter(|(name, _)| a.identity(name) != b.identity(name)).map(|(_, shown)| *shown).collect();
    if !differ.is_empty() {
        let message = format!("differ in {}, so their scores do not mean the same", differ.join(", "));
        return Err(
            InputError::new("the two runs", message).hint("evaluate both variants with one of the two settings")
        );
    }
    let outcomes = |run: &StoredRun| -> Result<Vec<CaseOutcome>, InputError> {
        run.each()?.map(|record| Ok(CaseOutcome::from(&record?))).collect()
    };
    Ok(paired(&outcomes(a)?, &outcomes(b)?))
}

/// Pairs the cases of two runs that are known to mean the same.
fn paired(a: &[CaseOutcome], b: &[CaseOutcome]) -> Comparison {
    let mut of_b: BTreeMap<&str, &CaseOutcome> = b.iter().map(|r| (r.case_id.as_str(), r)).collect();
    let (mut pairs, mut unpaired) = (Vec::new(), Vec::new());
    for record in a {
        match of_b.remove(record.case_id.as_str()) {
            Some(second) => pairs.push((record, second)),
            None => unpaired.push(record.case_id.clone()),
        }
    }
    unpaired.extend(b.iter().filter(|r| of_b.contains_key(r.case_id.as_str())).map(|r| r.case_id.clone()));
    let ids = |wanted: fn(f64, f64) -> bool| -> Vec<String> {
        let found = pairs.iter().filter(|(a, b)| wanted(a.composite, b.composite));
        found.map(|(a, _)| a.case_id.clone()).collect()
    };
    let (fixed, broken) = (ids(|a, b| b > a), ids(|a, b| b < a));
    let to_passed = ids(|a, b| a < PASSED && b >= PASSED).len();
    let to_failed = ids(|a, b| a >= PASSED && b < PASSED).len();
    let n = pairs.len().max(1) as f64;
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b.composite - a.composite).collect();
    Comparison {
        pairs: pairs.len(),
        mean_a: pairs.iter().map(|(a, _)| a.composite).sum::<f64>() / n,
        mean_b: pairs.iter().map(|(_, b)| b.composite).sum::<f64>() / n,
        difference: estimate(&differences),
        bootstrap: bootstrap_interval(&differences),
        sign_p: sign_test(fixed.len(), broken.len()),
        to_passed,
        to_failed,
        mcnemar_p: sign_test(to_passed, to_failed),
        effects: effects(&pairs),
        same: pairs.len() - fixed.len() - broken.len(),
        fixed,
        broken,
        unpaired,
    }
}
