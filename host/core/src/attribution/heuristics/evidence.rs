//! What was never there, and what was lost before the last step.

use super::Sign;
use crate::attribution::Confidence::{High, Low, Medium};
use crate::attribution::failure::{Failure, Ran};
use crate::attribution::texts::gives_up;

pub(super) fn first_hop(f: &Failure<'_>) -> Option<Sign> {
    missing(f, f.fruitless_hop().filter(|hop| *hop == 0)?)
}

pub(super) fn later_hop(f: &Failure<'_>) -> Option<Sign> {
    missing(f, f.fruitless_hop()?)
}

pub(super) fn no_hop_left(f: &Failure<'_>) -> Option<Sign> {
    missing(f, f.hops.len().checked_sub(1)?)
}

pub(super) fn never_found(f: &Failure<'_>) -> Option<Sign> {
    let (answer, last) = (f.telling_answer()?, f.hops.last()?);
    if !f.gold.is_empty() || f.output_right() || f.stands_before(answer) {
        return None;
    }
    let evidence =
        format!("no text before the answer has the words {:?}", f.case.expected_answer().unwrap_or_default());
    Some(Sign { step: last.step.clone(), confidence: Medium, evidence })
}

pub(super) fn truncated_on_the_way(f: &Failure<'_>) -> Option<Sign> {
    let ran = &f.steps[f.dropped_at()?];
    f.truncated(ran).then(|| lost(f, ran))
}

pub(super) fn abstention_on_the_way(f: &Failure<'_>) -> Option<Sign> {
    let ran = &f.steps[f.dropped_at()?];
    gives_up(ran.words()).then(|| lost(f, ran))
}

pub(super) fn dropped(f: &Failure<'_>) -> Option<Sign> {
    f.dropped_at().map(|at| lost(f, &f.steps[at]))
}

/// A needed title that no search found, laid at a hop. Not where a step that is no search, or the output, gives the
/// answer all the same.
fn missing(f: &Failure<'_>, hop: usize) -> Option<Sign> {
    let titles = f.missing_titles();
    let telling = f.telling_answer().filter(|_| !f.answer_in_question());
    let known = |ran: &Ran<'_>| !f.searched(ran) && telling.is_some_and(|answer| ran.holds(answer));
    if titles.is_empty() || f.output_right() || f.steps.iter().any(known) {
        return None;
    }
    // The words may stand in another passage: then the missing one may not be what was needed.
    let elsewhere = telling.is_some_and(|answer| f.stands_before(answer));
    let evidence = format!("search {} of {} did not find {}", hop + 1, f.hops.len(), titles.join(", "));
    Some(Sign { step: f.hops[hop].step.clone(), confidence: if elsewhere { Medium } else { High }, evidence })
}

/// Without a recorded prompt, what a step was shown is a guess.
fn lost(f: &Failure<'_>, ran: &Ran<'_>) -> Sign {
    let confidence = if f.call(ran.id).is_some() { High } else { Low };
    Sign { step: ran.name.clone(), confidence, evidence: format!("shown the answer, it says: {}", ran.text) }
}
