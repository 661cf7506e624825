//! What no wording did: faults, refused calls, steps that gave nothing.

use super::Sign;
use crate::attribution::Confidence::High;
use crate::attribution::failure::Failure;
use crate::fault::step_name;
use crate::run::CallRecord;

pub(super) fn infrastructure(f: &Failure<'_>) -> Option<Sign> {
    f.record.fault.as_ref().filter(|fault| fault.is_infrastructure())?;
    fault_sign(f)
}

pub(super) fn component(f: &Failure<'_>) -> Option<Sign> {
    fault_sign(f)
}

pub(super) fn prompt_too_long(f: &Failure<'_>) -> Option<Sign> {
    refusal(f, |fault| fault == crate::ports::ContentFault::ContextTooLong.to_string())
}

pub(super) fn call_refused(f: &Failure<'_>) -> Option<Sign> {
    refusal(f, |_| true)
}

pub(super) fn empty_search(f: &Failure<'_>) -> Option<Sign> {
    let at = first_empty(f)?;
    f.searched(&f.steps[at]).then(|| empty_sign(f, at))
}

pub(super) fn empty_cascade(f: &Failure<'_>) -> Option<Sign> {
    first_empty(f).map(|at| empty_sign(f, at))
}

fn fault_sign(f: &Failure<'_>) -> Option<Sign> {
    let fault = f.record.fault.as_ref()?;
    let step = fault.step.clone().unwrap_or_else(|| format!("({:?})", fault.phase).to_lowercase());
    Some(Sign { step, confidence: High, evidence: fault.message.clone() })
}

/// A refused call of a step that gave nothing; one that the chain made good is no sign.
fn refusal(f: &Failure<'_>, is: fn(&str) -> bool) -> Option<Sign> {
    let gave = |call: &CallRecord| f.steps.iter().any(|ran| *ran.id == call.id && !ran.text.trim().is_empty());
    let refused = |call: &&CallRecord| call.fault.as_deref().is_some_and(is) && !gave(call);
    let call = f.record.calls.iter().find(refused)?;
    Some(Sign { step: step_name(&call.id), confidence: High, evidence: call.fault.clone().unwrap_or_default() })
}

/// The first step that gave nothing, where a later one gave nothing either.
fn first_empty(f: &Failure<'_>) -> Option<usize> {
    let mut empty = f.steps.iter().enumerate().filter(|(_, ran)| ran.text.trim().is_empty());
    let first = empty.next()?.0;
    empty.next().map(|_| first)
}

fn empty_sign(f: &Failure<'_>, at: usize) -> Sign {
    let count = f.steps[at..].iter().filter(|ran| ran.text.trim().is_empty()).count();
    Sign {
        step: f.steps[at].name.clone(),
        confidence: High,
        evidence: format!("{count} steps from here on gave nothing"),
    }
}
