//! Whether a finished run holds what its tenant asks of it.

use crate::compare::compare;
use crate::stored::StoredRun;
use fapo_core::InputError;
use fapo_core::tenant::Gate;

/// One rule of a gate and whether a run holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct GateRule {
    /// The rule's name in `[gate]`.
    pub rule: &'static str,
    /// How it ended.
    pub outcome: GateOutcome,
    /// The numbers.
    pub message: String,
}

/// How a rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateOutcome {
    /// It holds.
    Holds,
    /// It does not, as far as one can say: the fall is within the noise.
    Doubtful,
    /// It does not.
    Fails,
}

/// Holds a run against a gate, rule by rule; no rule, no line. Cases that did not end count as 0 and as a fault.
///
/// # Errors
/// The run and the baseline cannot be compared, or the journal of one is damaged.
pub fn judge(gate: &Gate, run: &StoredRun, baseline: Option<&StoredRun>) -> Result<Vec<GateRule>, InputError> {
    let mut rules = Vec::new();
    let mut add = |rule, holds: bool, message| {
        let outcome = if holds { GateOutcome::Holds } else { GateOutcome::Fails };
        rules.push(GateRule { rule, outcome, message });
    };
    let figures = run.figures(None)?;
    if let Some(least) = gate.composite_min {
        let mean = figures.composite(run.planned).map_or(0.0, |estimate| estimate.mean);
        add("composite_min", mean >= least, format!("the mean composite is {mean:.2}, at least {least} is asked"));
    }
    if let Some(most) = gate.errors_max {
        let errors = (figures.errors + run.planned.saturating_sub(figures.completed())) as u64;
        add("errors_max", errors <= most, format!("{errors} cases have a fault or did not end, {most} may"));
    }
    if let Some(baseline) = baseline {
        rules.push(against(gate, &compare(baseline, run)?));
    }
    Ok(rules)
}

/// The fall against the baseline: it counts where the 95% interval of the paired difference is below 0, or always with
/// `strict`.
fn against(gate: &Gate, found: &crate::compare::Comparison) -> GateRule {
    let fall = found.mean_a - found.mean_b;
    let sure = gate.strict || found.difference.and_then(|d| d.ci).is_some_and(|[_, hi]| hi < 0.0);
    let outcome = match (fall > gate.drop_max, sure) {
        (false, _) => GateOutcome::Holds,
        (true, false) => GateOutcome::Doubtful,
        (true, true) => GateOutcome::Fails,
    };
    let interval = found.difference.and_then(|d| d.ci);
    let interval = interval.map_or(String::new(), |[lo, hi]| format!(", 95% {lo:+.2} to {hi:+.2}"));
    let doubt = if outcome == GateOutcome::Doubtful { ": within the noise" } else { "" };
    let message = format!(
        "over {} pairs the mean went from {:.2} to {:.2} ({:+.2}{interval}); it may fall by {}{doubt}",
        found.pairs, found.mean_a, found.mean_b, -fall, gate.drop_max
    );
    GateRule { rule: "baseline", outcome, message }
}
