//! The loop: evaluate, attribute, propose, review, evaluate, keep or reject, again.
//!
//! The host runs it and holds its rules: rows of train only, totals of validation, test once after the selection; one
//! reviewed change at a time; prompts before parameters before structure, a level left only with its reason recorded.

mod report;

pub use report::{Attempt, Exhaustion, StopReason, TrialReport};
use report::{issues, memory_line};

use crate::propose::{Example, Ground, proposals};
use crate::trial::TrialFolder;
use fapo_core::InputError;
use fapo_core::attribution::{Fix, clusters};
use fapo_core::case::Case;
use fapo_core::digest;
use fapo_core::held_out::{HeldOut, Total, TrainEvidence};
use fapo_core::ports::{BoxFuture, Clock, Definition, RunFiles};
use fapo_core::review::{Leaks, Reviewed, review};
use fapo_core::run::CaseRecord;
use fapo_core::scope::{ScopeContract, VariantLevel};
use fapo_core::selection::decide;
use fapo_core::variant::{Outcome, Proposal, ReviewedVariant};
use fapo_graph::Catalogue;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Attempts in a row without a gain after which a level is left.
const IN_VAIN_MAX: u32 = 3;

/// Evaluates variants on the three splits. Rows leave it for train only.
pub trait Splits: Send + Sync {
    /// Records of train, in dataset order, all of them.
    fn train<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
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
    /// Calls that services were paid for so far.
    fn paid_calls(&self) -> u64;
}

/// Hard caps of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrialBudget {
    /// Attempts, blocked ones included.
    pub variants_max: u32,
    /// Paid calls; a variant is begun only if one call a case for each calling node would fit.
    pub calls_max: u64,
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
    /// Hard caps.
    pub budget: TrialBudget,
    /// The only way it writes.
    pub files: Arc<dyn RunFiles>,
    /// Where times come from.
    pub clock: Arc<dyn Clock>,
}

/// What happens in a trial, for those who watch.
pub enum TrialEvent<'a> {
    /// The scope contract, before anything else.
    Scope(&'a ScopeContract),
    /// The baseline was evaluated: mean of train, totals of validation.
    Baseline(f64, Total),
    /// An attempt is decided.
    Attempt(&'a Attempt),
    /// A level is left.
    Exhausted(&'a Exhaustion),
}

/// The variant to beat.
struct Incumbent {
    name: String,
    level: Option<VariantLevel>,
    variant: ReviewedVariant,
    folder: PathBuf,
    train: Vec<CaseRecord>,
    validation: HeldOut,
}

impl Incumbent {
    fn evidence<'a>(&'a self, cases: &'a [Case]) -> TrainEvidence<'a> {
        TrainEvidence { cases, records: &self.train }
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
    let first = Incumbent {
        train: splits.train(&baseline, &at).await?,
        validation: splits.validation(&baseline, &at).await?,
        name: "v000".into(),
        level: None,
        variant: baseline,
        folder: at,
    };
    observe(TrialEvent::Baseline(first.evidence(&trial.train).mean(), first.validation.total()));
    let mut search = Search {
        trial,
        splits,
        observe,
        folder: &mut folder,
        tried: BTreeSet::new(),
        attempts: Vec::new(),
        exhausted: Vec::new(),
    };
    let (selected, stop_reason) = search.run(&first).await?;
    let Search { attempts, exhausted, .. } = search;
    let selected = selected.unwrap_or_else(|| first.again());
    let test = splits.test(&selected.variant, &selected.folder).await?;
    let of_baseline = splits.test(&first.variant, &first.folder).await?;
    let report = TrialReport {
        baseline: (first.validation.total(), of_baseline.total()),
        difference: test.difference(&of_baseline),
        outstanding: clusters(selected.evidence(&trial.train)),
        selected: (selected.name, selected.level, selected.validation.total(), test.total()),
        attempts,
        exhausted,
        stop_reason,
    };
    folder.finish(&report.json())?;
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
        }
    }
}

/// The search for a better variant.
struct Search<'a> {
    trial: &'a Trial,
    splits: &'a dyn Splits,
    observe: &'a (dyn Fn(TrialEvent<'_>) + Sync),
    folder: &'a mut TrialFolder,
    /// Digests of definitions that were tried.
    tried: BTreeSet<String>,
    attempts: Vec<Attempt>,
    exhausted: Vec<Exhaustion>,
}

impl Search<'_> {
    /// The best variant beside the baseline, if there is one, and why the search ended.
    async fn run(&mut self, baseline: &Incumbent) -> Result<(Option<Incumbent>, StopReason), InputError> {
        let open: Vec<VariantLevel> = VariantLevel::ALL.into_iter().filter(|l| self.trial.scope.allows(*l)).collect();
        if open.is_empty() {
            return Ok((None, StopReason::NothingOpen));
        }
        self.tried.insert(digest::of_json(&json!(baseline.variant.definition())));
        let mut best: Option<Incumbent> = None;
        for level in open {
            let (mut in_vain, mut on_level) = (0, 0);
            loop {
                let incumbent = best.as_ref().unwrap_or(baseline);
                if let Some(reason) = self.spent(incumbent) {
                    return Ok((best, reason));
                }
                let next = if in_vain < IN_VAIN_MAX { self.next(incumbent, level) } else { None };
                let Some(proposal) = next else {
                    self.leave(level, in_vain, on_level, incumbent)?;
                    break;
                };
                on_level += 1;
                match self.attempt(incumbent, level, proposal).await? {
                    Some(better) => {
                        in_vain = 0;
                        best = Some(better);
                    }
                    None => in_vain += 1,
                }
            }
        }
        Ok((best, StopReason::Exhausted))
    }

    fn spent(&self, incumbent: &Incumbent) -> Option<StopReason> {
        if incumbent.train.iter().all(|record| record.composite() >= 100.0) {
            return Some(StopReason::Resolved);
        }
        let variants_max = self.trial.scope.variants_max.unwrap_or(u32::MAX).min(self.trial.budget.variants_max);
        if self.attempts.len() as u64 >= u64::from(variants_max) {
            return Some(StopReason::Variants);
        }
        let a_case = incumbent.train.iter().map(|r| r.calls.len() as u64).max().unwrap_or(0);
        let cases = (self.trial.train.len() + self.trial.held_out_cases) as u64;
        (self.splits.paid_calls() + a_case * cases > self.trial.budget.calls_max).then_some(StopReason::Calls)
    }

    /// The next change that was not tried, for the gravest cluster first.
    fn next(&self, incumbent: &Incumbent, level: VariantLevel) -> Option<Proposal> {
        let found = clusters(incumbent.evidence(&self.trial.train));
        let wanted: Vec<(String, Fix)> = found.into_iter().map(|cluster| (cluster.step, cluster.fix)).collect();
        let definition = incumbent.variant.definition();
        let labels = labels(&self.trial.train);
        let ground = Ground {
            definition,
            catalogue: &self.trial.catalogue,
            step: &definition.graph.output,
            examples: &self.trial.examples,
            scope: &self.trial.scope,
            labels: &labels,
        };
        let fresh = |p: &Proposal| !self.tried.contains(&digest::of_json(&json!(p.edit.apply(definition))));
        proposals(&ground, &wanted, level).into_iter().find(fresh)
    }

    /// Reviews and evaluates one change; the new incumbent where it is kept.
    async fn attempt(
        &mut self,
        incumbent: &Incumbent,
        level: VariantLevel,
        proposal: Proposal,
    ) -> Result<Option<Incumbent>, InputError> {
        let number = self.attempts.len() as u32 + 1;
        let parent = incumbent.variant.definition();
        let candidate = proposal.edit.apply(parent);
        self.tried.insert(digest::of_json(&json!(candidate)));
        let reviewed = review(&Reviewed {
            tenant_id: &self.trial.tenant_id,
            parent,
            candidate: &candidate,
            proposal: &proposal,
            scope: &self.trial.scope,
            catalogue: &self.trial.catalogue,
            leaks: &self.trial.leaks,
            stands: &|_| false,
        });
        let mut attempt = Attempt {
            variant: format!("v{number:03}"),
            parent: incumbent.name.clone(),
            level,
            operator: proposal.operator,
            step: proposal.step,
            hypothesis: proposal.hypothesis,
            verdict: reviewed.verdict,
            outcome: Outcome::Blocked,
            why: issues(&reviewed),
            train: None,
            validation: None,
        };
        let about = json!({"variant": attempt.variant, "parent": attempt.parent, "level": level, "operator": attempt.operator,
                           "hypothesis": attempt.hypothesis, "review": reviewed, "edit": proposal.edit});
        self.folder.write_variant(number, &about, &candidate)?;
        let better = match ReviewedVariant::new(candidate, &reviewed) {
            Some(variant) => self.evaluate(incumbent, variant, number, &mut attempt).await?,
            None => None,
        };
        self.folder.remember(memory_line(&attempt, incumbent.validation.total().mean))?;
        (self.observe)(TrialEvent::Attempt(&attempt));
        self.attempts.push(attempt);
        Ok(better)
    }

    async fn evaluate(
        &self,
        incumbent: &Incumbent,
        variant: ReviewedVariant,
        number: u32,
        attempt: &mut Attempt,
    ) -> Result<Option<Incumbent>, InputError> {
        let folder = self.folder.variant(number);
        let train = self.splits.train(&variant, &folder).await?;
        let (now, before) = (
            TrainEvidence { cases: &self.trial.train, records: &train }.mean(),
            incumbent.evidence(&self.trial.train).mean(),
        );
        attempt.train = Some(now);
        attempt.outcome = Outcome::Rejected;
        if now <= before {
            attempt.why = format!("train {now:.2} for {before:.2}: no gain, so validation was not asked");
            return Ok(None);
        }
        let validation = self.splits.validation(&variant, &folder).await?;
        let decision = decide(&validation, &incumbent.validation);
        attempt.validation = Some(validation.total());
        attempt.why = decision.why;
        if !decision.kept {
            return Ok(None);
        }
        attempt.outcome = Outcome::Kept;
        let deepest = incumbent.level.max(Some(attempt.level));
        Ok(Some(Incumbent { name: attempt.variant.clone(), level: deepest, variant, folder, train, validation }))
    }

    fn leave(
        &mut self,
        level: VariantLevel,
        in_vain: u32,
        on_level: u32,
        incumbent: &Incumbent,
    ) -> Result<(), InputError> {
        let left = Exhaustion {
            level,
            exhaustion_reason: if in_vain >= IN_VAIN_MAX { "plateau" } else { "ceiling" },
            final_score: incumbent.validation.total().mean,
            variants_tried: on_level,
        };
        let mut line = json!(left);
        line["kind"] = "exhaustion".into();
        self.folder.remember(line)?;
        (self.observe)(TrialEvent::Exhausted(&left));
        self.exhausted.push(left);
        Ok(())
    }
}

/// Answers that several cases of train share.
fn labels(cases: &[Case]) -> Vec<String> {
    let answers: Vec<&str> = cases.iter().filter_map(Case::expected_answer).collect();
    let distinct: BTreeSet<&str> = answers.iter().copied().collect();
    let shared =
        |label: &&str| answers.iter().filter(|answer| *answer == label).count() >= fapo_core::review::LABEL_TIMES;
    // A task of labels has no answer of its own for a case.
    if distinct.iter().all(shared) { distinct.into_iter().map(str::to_string).collect() } else { Vec::new() }
}
