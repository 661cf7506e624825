//! What a trial says of itself: attempts, levels that were left, the end.

use crate::counsel::CounselReport;
use fapo_core::attribution::{Ceiling, Cluster};
use fapo_core::held_out::Total;
use fapo_core::review::{Review, Verdict};
use fapo_core::scope::VariantLevel;
use fapo_core::selection::Policy;
use fapo_core::stats::Estimate;
use fapo_core::variant::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// `v001` and on; `v000` is the baseline.
    pub variant: String,
    /// The incumbent it changes.
    pub parent: String,
    /// How deep it goes.
    pub level: VariantLevel,
    /// Who proposed it.
    pub operator: String,
    /// The step it is meant to mend.
    pub step: String,
    /// Why it should help.
    pub hypothesis: String,
    /// What the review came to.
    pub verdict: Verdict,
    /// What became of it.
    pub outcome: Outcome,
    /// The numbers or the issues that the outcome follows from.
    pub why: String,
    /// Mean of train; null where it was not run.
    pub train: Option<f64>,
    /// Totals of validation; null where it was not run.
    pub validation: Option<Total>,
}

/// Why a level was left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exhaustion {
    /// The level.
    pub level: VariantLevel,
    /// `resolved`, `plateau` or `ceiling`, as the original has it.
    pub exhaustion_reason: String,
    /// Mean of validation at that time.
    pub final_score: f64,
    /// Attempts on the level.
    pub variants_tried: u32,
    /// Attempts on the level that were kept.
    #[serde(default)]
    pub variants_kept: u32,
    /// Who proposed them, each once.
    #[serde(default)]
    pub techniques: Vec<String>,
    /// Share of the failures that are left which attribution lays at this level or a shallower one, 0..=1.
    #[serde(default)]
    pub addressable_share: f64,
    /// What replays say that changes up to this level could still gain, points of train's mean; null where there were none.
    #[serde(default)]
    pub ceiling: Option<Estimate>,
}

/// Why a deeper level is opened: the three conditions of the method (paper, 3.3), with their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// The level that is left.
    pub from: VariantLevel,
    /// The level that is opened.
    pub to: VariantLevel,
    /// The level before did not suffice: how it was left.
    pub exhaustion_reason: String,
    /// The scope contract opens the level; it is never escalated to otherwise.
    pub permitted: bool,
    /// Share of the failures that are left which attribution lays at the new level or a shallower one, 0..=1.
    pub addressable_share: f64,
    /// What replays say that changes up to the new level could gain; null where there were none.
    pub ceiling: Option<Estimate>,
}

/// Why a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// No failure of train is left.
    Resolved,
    /// Every open level is exhausted.
    Exhausted,
    /// The cap on variants is reached.
    Variants,
    /// The cap of the paper on rounds is reached.
    Rounds,
    /// The cap on calls is reached.
    Calls,
    /// The time of this start is over.
    WallTime,
    /// The scope contract opens no level.
    NothingOpen,
}

/// A variant on the two held-out splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnHeldOut {
    /// Totals of validation.
    pub validation: Total,
    /// Totals of test.
    pub test: Total,
}

/// The variant that validation chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// `v000` is the baseline.
    pub variant: String,
    /// Deepest level of its changes; null for the baseline.
    pub level: Option<VariantLevel>,
    /// Totals of validation.
    pub validation: Total,
    /// Totals of test.
    pub test: Total,
}

/// A finished trial, as `report.json` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// How it kept and stopped.
    #[serde(default)]
    pub policy: Policy,
    /// Variant `v000`.
    pub baseline: OnHeldOut,
    /// The selected variant.
    pub selected: Selected,
    /// Paired difference on test, selected minus baseline.
    pub difference: Option<Estimate>,
    /// In their order.
    pub attempts: Vec<Attempt>,
    /// Levels that were left.
    pub exhausted: Vec<Exhaustion>,
    /// Failures that are left, of the selected variant on train.
    pub outstanding: Vec<Cluster>,
    /// What changes up to a level could still gain on train, as replays of the selected variant say; empty without any.
    #[serde(default)]
    pub ceilings: Vec<Ceiling<VariantLevel>>,
    /// What it had of its advisers; null where it had none.
    #[serde(default)]
    pub counsel: Option<CounselReport>,
    /// Why it ended.
    pub stop_reason: StopReason,
}

pub(super) fn issues(review: &Review) -> String {
    review.issues.iter().map(|issue| format!("{}: {}", issue.check, issue.description)).collect::<Vec<_>>().join("; ")
}

/// A line of the iteration memory, in the shape of the original's published files.
pub(super) fn memory_line(attempt: &Attempt, before: f64) -> Value {
    json!({
        "kind": "attempt", "variant": attempt.variant, "parent": attempt.parent, "level": attempt.level,
        "technique": attempt.operator, "step": attempt.step, "hypothesis": attempt.hypothesis,
        "train_score": attempt.train, "val_score": attempt.validation.map(|v| v.mean),
        "delta_val": attempt.validation.map(|v| v.mean - before), "verdict": attempt.verdict,
        "accepted": attempt.outcome == Outcome::Kept, "outcome": attempt.outcome, "note": attempt.why,
    })
}
