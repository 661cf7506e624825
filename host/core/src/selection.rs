//! The rule that keeps a candidate or does not. Printed with its numbers, so that every outcome can be checked.

use crate::held_out::HeldOut;

/// What the rule came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The candidate is the new incumbent.
    pub kept: bool,
    /// The numbers it follows from.
    pub why: String,
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
