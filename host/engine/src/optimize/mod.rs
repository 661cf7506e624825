//! The loop: evaluate, attribute, propose, review, evaluate, keep or reject, again.
//!
//! The host runs it and holds its rules: rows of train only, totals of validation, test once after the selection; one
//! reviewed change at a time; prompts before parameters before structure, a level left only with its reason recorded.

mod derive;
mod report;
mod search;

pub use derive::{Derived, derive};
pub use report::{Attempt, Escalation, Exhaustion, OnHeldOut, Selected, StopReason, TrialReport};

use crate::counsel::{Advisers, Counsel, Ground, tell};
use crate::propose::Example;
use crate::trial::TrialFolder;
use fapo_core::InputError;
use fapo_core::attribution::{Attribution, Interventions, attribute};
use fapo_core::case::Case;
use fapo_core::held_out::{HeldOut, Total, TrainEvidence};
use fapo_core::ports::{BoxFuture, Clock, Definition, RunFiles};
use fapo_core::review::Leaks;
use fapo_core::run::CaseRecord;
use fapo_core::scope::{ScopeContract, VariantLevel};
use fapo_core::selection::Policy;
use fapo_core::variant::ReviewedVariant;
use fapo_graph::Catalogue;
use schemars::JsonSchema;
use search::Search;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Evaluates variants on the three splits. Rows leave it for train only.
pub trait Splits: Send + Sync {
    /// Records of train in dataset order: of all cases, or of a part of them, which a later run of all takes over.
    fn train<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
        part: Option<&'a BTreeSet<String>>,
    ) -> BoxFuture<'a, Result<Vec<CaseRecord>, InputError>>;
    /// Totals of validation.
    fn validation<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<HeldOut, InputError>>;
    /// Totals of test; asked for once per variant, after the selection.
    fn test<'a>(&'a self, variant: &'a ReviewedVariant, folder: &'a Path)
    -> BoxFuture<'a, Result<HeldOut, InputError>>;
    /// Looks by replays into the failed cases of a variant on train; None where the tenant declares no gold or no call
    /// is allowed for it.
    fn diagnose<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
        records: &'a [CaseRecord],
        donors: Vec<CaseRecord>,
    ) -> BoxFuture<'a, Result<Option<Interventions>, InputError>> {
        let _ = (variant, folder, records, donors);
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Model calls so far.
    fn calls(&self) -> TrialCalls;
}

/// Model calls of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialCalls {
    /// Calls that a service was asked for.
    pub paid: u64,
    /// Calls answered from the response cache.
    pub cached: u64,
}

impl TrialCalls {
    /// Calls of a run.
    pub fn of(records: &[CaseRecord]) -> Self {
        let cached = records.iter().flat_map(CaseRecord::model_calls).filter(|call| call.cached).count() as u64;
        TrialCalls { paid: records.iter().map(CaseRecord::paid_calls).sum(), cached }
    }
}

impl std::ops::AddAssign for TrialCalls {
    fn add_assign(&mut self, other: Self) {
        self.paid += other.paid;
        self.cached += other.cached;
    }
}

/// Hard caps of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrialBudget {
    /// Attempts, blocked ones included.
    pub variants_max: u32,
    /// Paid calls; a variant is begun only if one call a case for each calling node would fit. No part of what a trial
    /// is: with more it goes on.
    #[serde(skip)]
    pub calls_max: u64,
    /// Milliseconds of one start after which no further variant is begun. No part of what a trial is: a longer start
    /// goes on where a shorter one ended.
    #[serde(skip)]
    pub wall_ms_max: Option<u64>,
}

/// Everything a trial needs.
pub struct Trial {
    /// Whose chain it is.
    pub tenant_id: String,
    /// Where it goes.
    pub folder: PathBuf,
    /// What it depends on: tenant, splits, model, budget.
    pub identity: Value,
    /// How far it may go.
    pub scope: ScopeContract,
    /// What the chain component offers.
    pub catalogue: Catalogue,
    /// Variant 000.
    pub baseline: Definition,
    /// Cases of train.
    pub train: Vec<Case>,
    /// Cases of validation and of test together.
    pub held_out_cases: usize,
    /// Worked examples.
    pub examples: Vec<Example>,
    /// Texts and answers of every split.
    pub leaks: Leaks,
    /// Models that propose and review, where the person at the keyboard names them.
    pub advisers: Advisers,
    /// Hard caps.
    pub budget: TrialBudget,
    /// How it keeps and stops.
    pub policy: Policy,
    /// Ablation: clusters get steps and fixes dealt by this seed, so that what attribution is worth can be measured.
    pub clusters_dealt_by: Option<u64>,
    /// The only way it writes.
    pub files: Arc<dyn RunFiles>,
    /// Where times come from.
    pub clock: Arc<dyn Clock>,
}

/// What happens in a trial, for those who watch.
pub enum TrialEvent<'a> {
    /// The scope contract, before anything else.
    Scope(&'a ScopeContract),
    /// The baseline was evaluated: records of train, their mean, totals of validation.
    Baseline(&'a [CaseRecord], f64, Total),
    /// Replays looked into the failures of the variant to beat.
    Diagnosed(&'a Interventions),
    /// An attempt is decided.
    Attempt(&'a Attempt),
    /// A level is left.
    Exhausted(&'a Exhaustion),
    /// A deeper one is opened.
    Escalation(&'a Escalation),
}

/// The variant to beat.
struct Incumbent {
    name: String,
    level: Option<VariantLevel>,
    variant: ReviewedVariant,
    folder: PathBuf,
    train: Vec<CaseRecord>,
    validation: HeldOut,
    /// What replays found in its failures.
    seen: Option<Interventions>,
    /// Where they lost their answer.
    found: Attribution,
}

impl Incumbent {
    fn evidence<'a>(&'a self, cases: &'a [Case]) -> TrainEvidence<'a> {
        TrainEvidence { cases, records: &self.train }
    }

    /// Where its failures lost their answer: as heuristics say, as replays found, and as a model tells where both leave it
    /// in doubt.
    async fn told(&self, trial: &Trial, counsel: &mut Counsel) -> Result<Attribution, InputError> {
        let found = attribute(&trial.train, &self.train);
        let found = match &self.seen {
            Some(seen) => found.corrected(seen),
            None => found,
        };
        tell(counsel, &self.ground(trial, &found, &[])).await
    }

    /// What advisers are shown of it.
    fn ground<'a>(&'a self, trial: &'a Trial, found: &'a Attribution, memory: &'a [String]) -> Ground<'a> {
        Ground {
            definition: self.variant.definition(),
            catalogue: &trial.catalogue,
            scope: &trial.scope,
            cases: &trial.train,
            records: &self.train,
            attribution: found,
            seen: self.seen.as_ref(),
            memory,
        }
    }
}

/// Runs a trial, or goes on with one that was stopped.
///
/// # Errors
/// A split cannot be evaluated or the folder cannot be written; the same command goes on.
pub async fn optimize(
    trial: &Trial,
    splits: &dyn Splits,
    observe: &(dyn Fn(TrialEvent<'_>) + Sync),
) -> Result<TrialReport, InputError> {
    let mut folder = TrialFolder::open(&trial.folder, &trial.files, &trial.clock, &trial.identity, &trial.scope)?;
    observe(TrialEvent::Scope(&trial.scope));
    let baseline = ReviewedVariant::baseline(trial.baseline.clone());
    folder.write_variant(0, &json!({"variant": "v000"}), baseline.definition())?;
    let at = folder.variant(0);
    let train = splits.train(&baseline, &at, None).await?;
    let mut first = Incumbent {
        found: attribute(&trial.train, &train),
        validation: splits.validation(&baseline, &at).await?,
        name: "v000".into(),
        level: None,
        seen: splits.diagnose(&baseline, &at, &train, Vec::new()).await?,
        train,
        variant: baseline,
        folder: at,
    };
    observe(TrialEvent::Baseline(&first.train, first.evidence(&trial.train).mean(), first.validation.total()));
    first.seen.iter().for_each(|seen| observe(TrialEvent::Diagnosed(seen)));
    let mut counsel = Counsel::open(&trial.tenant_id, &trial.advisers, &trial.folder, &trial.files)?;
    first.found = first.told(trial, &mut counsel).await?;
    let mut search = Search::new(trial, splits, observe, &mut folder, counsel);
    let (selected, stop_reason) = search.run(&first).await?;
    let (attempts, exhausted, counsel) = search.found();
    let selected = selected.unwrap_or_else(|| first.again());
    let test = splits.test(&selected.variant, &selected.folder).await?;
    let of_baseline = splits.test(&first.variant, &first.folder).await?;
    let report = TrialReport {
        policy: trial.policy,
        baseline: OnHeldOut { validation: first.validation.total(), test: of_baseline.total() },
        difference: test.difference(&of_baseline),
        outstanding: selected.found.clusters.clone(),
        counsel,
        ceilings: selected.seen.as_ref().map(|seen| seen.levels.clone()).unwrap_or_default(),
        selected: Selected {
            variant: selected.name,
            level: selected.level,
            validation: selected.validation.total(),
            test: test.total(),
        },
        attempts,
        exhausted,
        stop_reason,
    };
    folder.finish(&json!(report))?;
    Ok(report)
}

impl Incumbent {
    fn again(&self) -> Incumbent {
        Incumbent {
            name: self.name.clone(),
            level: self.level,
            variant: self.variant.clone(),
            folder: self.folder.clone(),
            train: self.train.clone(),
            validation: self.validation.clone(),
            seen: self.seen.clone(),
            found: self.found.clone(),
        }
    }
}
