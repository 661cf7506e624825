//! The rule that keeps a candidate or does not. Printed with its numbers, so that every outcome can be checked.

use crate::held_out::HeldOut;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a trial keeps and stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Kept where the paired difference on validation is above zero with confidence. A change is tried on failed cases of
    /// train first, and on validation only where train gains; a level is left after three attempts in vain.
    #[default]
    Paired,
    /// The protocol of the paper (4.1): kept where validation improves, every change on all of train and validation, 50
    /// variants or 10 rounds, whichever comes first, and no stop before. A level is left after three attempts in vain by
    /// three techniques on every step that fails there, and what is left of it is tried after the others.
    Paper,
}

impl Policy {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Policy::Paired => "paired",
            Policy::Paper => "paper",
        }
    }
}

/// Variants of a trial of the paper.
pub const PAPER_VARIANTS: u32 = 50;
/// Rounds of a trial of the paper: each ends with a kept variant, or after five that are not.
pub const PAPER_ROUNDS: u32 = 10;
/// Variants of a round of the paper that keeps none.
pub const PAPER_VARIANTS_OF_ROUND: u32 = PAPER_VARIANTS / PAPER_ROUNDS;
/// What stays as it is over a trial of the paper, whatever the playbook says.
pub const PAPER_CONSTANTS: [&str; 4] = ["model", "temperature", "top_p", "max_tokens"];

/// What the rule came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The candidate is the new incumbent.
    pub kept: bool,
    /// The numbers it follows from.
    pub why: String,
}

/// Whether a candidate is kept by a policy.
pub fn decide_by(policy: Policy, candidate: &HeldOut, incumbent: &HeldOut) -> Decision {
    match policy {
        Policy::Paired => decide(candidate, incumbent),
        Policy::Paper => {
            let (now, before) = (candidate.total().mean, incumbent.total().mean);
            let why = format!("validation {now:.2} for {before:.2}: {:+.2}; needed: above 0", now - before);
            Decision { kept: now > before, why }
        }
    }
}

/// Keeps a candidate whose validation gains at least one case's worth over the incumbent's, and whose paired difference
/// is above zero at one-sided 90%: a gain that a single case or the luck of a sample could undo is none.
pub fn decide(candidate: &HeldOut, incumbent: &HeldOut) -> Decision {
    let (now, before) = (candidate.total(), incumbent.total());
    let gain = now.mean - before.mean;
    let lower = candidate.difference_lower(incumbent);
    let one_case = 100.0 / now.n.max(1) as f64;
    let kept = gain >= one_case - 1e-9 && lower > 0.0;
    let why = format!(
        "validation {:.2} for {:.2}: {gain:+.2}, at least {lower:+.2} (one-sided 90%); needed: {one_case:.2} and above 0",
        now.mean, before.mean
    );
    Decision { kept, why }
}
