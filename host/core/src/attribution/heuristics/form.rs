//! How the last step spoilt what it was given.

use super::Sign;
use crate::attribution::Confidence::{self, High, Low, Medium};
use crate::attribution::failure::{Failure, is_identifier};
use crate::attribution::texts::{content, gives_up, is_common, nearly, states};
use crate::run::CallRecord;

/// An output so many times as long as the answer is no draft of it: the original's bound for a format failure.
const DRAFT_LENGTH_RATIO: f64 = 1.5;

pub(super) fn truncated(f: &Failure<'_>) -> Option<Sign> {
    f.truncated(&f.steps[f.answering()?]).then(|| output(f, High))
}

pub(super) fn malformed(f: &Failure<'_>) -> Option<Sign> {
    if f.record.output_text.trim().is_empty() {
        return Some(Sign { evidence: "the output is empty".into(), ..output(f, High) });
    }
    let call = f.call(f.steps[f.answering()?].id)?;
    let field = asked_field(call)?;
    let marked = |reply: &str| fields(reply).any(|name| name == field);
    (!marked(call.reply.as_deref()?))
        .then(|| Sign { evidence: format!("the reply has no field {field:?}"), ..output(f, High) })
}

pub(super) fn abstention(f: &Failure<'_>) -> Option<Sign> {
    if !gives_up(f.output.as_slice()) || states(f.output.as_slice(), &f.answer) {
        return None;
    }
    let sign = output(f, High);
    Some(match f.answering() {
        Some(at) => Sign { step: f.steps[f.gave_up_first(at)].name.clone(), ..sign },
        None => sign,
    })
}

pub(super) fn verbose(f: &Failure<'_>) -> Option<Sign> {
    (states(f.output.as_slice(), &f.answer) && f.output.len() > f.answer.len()).then(|| output(f, High))
}

pub(super) fn other_wording(f: &Failure<'_>) -> Option<Sign> {
    let same_text = f.case.expected_answer() == Some(f.record.output_text.as_str());
    (!f.labelled && !same_text && nearly(&f.output, &f.answer)).then(|| output(f, Medium))
}

pub(super) fn draft_changed(f: &Failure<'_>) -> Option<Sign> {
    let answer = f.telling_answer()?;
    let length_max = f.case.expected_answer()?.chars().count() as f64 * DRAFT_LENGTH_RATIO;
    let draft = f.earlier().iter().rev().find(|ran| {
        !f.searched(ran) && ran.text.trim().chars().count() as f64 <= length_max && states(ran.words(), answer)
    })?;
    if states(f.output.as_slice(), answer) {
        return None;
    }
    Some(Sign { evidence: format!("{} had given {:?}", draft.name, draft.text.trim()), ..output(f, High) })
}

pub(super) fn wrong_label(f: &Failure<'_>) -> Option<Sign> {
    let names_one = f.record.output_text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(is_identifier);
    let none_named = f.case.expected_answer().is_some_and(is_identifier) && !names_one;
    (f.labelled && !f.output_right()).then(|| output(f, if none_named { High } else { Medium }))
}

pub(super) fn ungrounded(f: &Failure<'_>) -> Option<Sign> {
    // Where answers are not taken from texts, words of one's own are no sign.
    let from_texts = !f.hops.is_empty() || f.telling_answer().is_some_and(|answer| f.stands_before(answer));
    let said: Vec<String> = content(&f.output);
    if !from_texts || said.is_empty() || f.output_right() || is_common(&f.output[..1]) || is_common(&f.answer) {
        return None;
    }
    let known = f.known(&said);
    (3 * known <= said.len()).then(|| output(f, if known == 0 { High } else { Medium }))
}

pub(super) fn wrong_answer(f: &Failure<'_>) -> Option<Sign> {
    let all_found = !f.gold.is_empty() && !f.hops.is_empty() && f.missing_titles().is_empty();
    let answer_there = f.telling_answer().is_some_and(|answer| f.stands_before(answer));
    let shown = || f.answering().zip(f.telling_answer()).is_some_and(|(at, answer)| f.was_shown(at, answer));
    (!f.answer.is_empty() && (all_found || answer_there) && !states(f.output.as_slice(), &f.answer))
        .then(|| output(f, if shown() { High } else { Medium }))
}

pub(super) fn unexplained(f: &Failure<'_>) -> Option<Sign> {
    Some(output(f, Low))
}

fn output(f: &Failure<'_>, confidence: Confidence) -> Sign {
    Sign { step: f.answering_name(), confidence, evidence: format!("the output is: {}", f.record.output_text) }
}

/// The field whose text a prompt in DSPy's marker format asks for: the last one but `completed`.
fn asked_field(call: &CallRecord) -> Option<String> {
    let prompt = &call.messages.last()?.content;
    let names: Vec<&str> = fields(prompt).collect();
    // Without the closing field, markers head inputs only.
    names.last().filter(|name| **name == "completed")?;
    names.iter().rev().find(|name| **name != "completed").map(ToString::to_string)
}

/// Names of the markers `[[ ## name ## ]]` of a text.
fn fields(text: &str) -> impl Iterator<Item = &str> {
    text.split("[[").skip(1).filter_map(|rest| {
        let inside = rest.split_once("]]")?.0.trim();
        Some(inside.strip_prefix("##")?.strip_suffix("##")?.trim())
    })
}
