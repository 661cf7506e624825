//! The table of heuristics: the first that sees its sign in a failed case explains it.

mod evidence;
mod faults;
mod form;

use super::failure::Failure;
use super::texts::cut;
use super::{Cause, Confidence, Finding, Fix};
use crate::scope::VariantLevel;

/// Longest evidence and note of a finding, characters: a line on a screen or two.
const TEXT_CHARS_MAX: usize = 200;

/// One heuristic.
pub struct Heuristic {
    /// Its name, unique in the table.
    pub name: &'static str,
    /// What it tests, for people.
    pub tests: &'static str,
    /// What it explains a failure by.
    pub cause: Cause,
    /// How deep the mend goes; None where no variant could mend it.
    pub level: Option<VariantLevel>,
    /// What could mend it.
    pub fix: Fix,
    sees: fn(&Failure<'_>) -> Option<Sign>,
}

/// What a heuristic saw.
struct Sign {
    step: String,
    confidence: Confidence,
    evidence: String,
}

use VariantLevel::{Parameter, Prompt, Structure};

/// Shortens the table: a row a heuristic.
const fn row(
    name: &'static str,
    cause: Cause,
    (level, fix): (Option<VariantLevel>, Fix),
    sees: fn(&Failure<'_>) -> Option<Sign>,
    tests: &'static str,
) -> Heuristic {
    Heuristic { name, tests, cause, level, fix, sees }
}

/// Every heuristic, in the order in which they are asked: what no variant did, what was never there, where it was
/// lost on the way, how the last step spoilt it. The last row always sees its sign.
#[rustfmt::skip]
pub const HEURISTICS: &[Heuristic] = &[
    row("provider_fault", Cause::Infrastructure, (None, Fix::None), faults::infrastructure,
        "a service, the host, a time limit or a budget ended the case"),
    row("prompt_too_long", Cause::CallRefused, (Some(Parameter), Fix::RetrievalDepth), faults::prompt_too_long,
        "the service says that a prompt is longer than the model's context"),
    row("call_refused", Cause::CallRefused, (None, Fix::None), faults::call_refused,
        "the service refused a call, and its step gave nothing"),
    row("component_fault", Cause::ComponentFault, (None, Fix::None), faults::component,
        "the tenant's chain or scorer ended the case"),
    row("empty_search", Cause::EmptyCascade, (Some(Structure), Fix::MultiQuery), faults::empty_search,
        "a search gave nothing, and neither did a later step"),
    row("empty_cascade", Cause::EmptyCascade, (Some(Prompt), Fix::OutputField), faults::empty_cascade,
        "a step before the last gave nothing, and neither did a later one"),
    row("evidence_missing_first_hop", Cause::EvidenceMissing, (Some(Parameter), Fix::RetrievalDepth), evidence::first_hop,
        "a needed title is in no search, and the first search found none of them"),
    row("evidence_missing_later_hop", Cause::EvidenceMissing, (Some(Structure), Fix::MultiQuery), evidence::later_hop,
        "a needed title is in no search, and a later search found no further one"),
    row("evidence_missing_no_hop_left", Cause::EvidenceMissing, (Some(Structure), Fix::ExtraHop), evidence::no_hop_left,
        "a needed title is in no search, though each search found a further one"),
    row("answer_never_found", Cause::EvidenceMissing, (Some(Parameter), Fix::RetrievalDepth), evidence::never_found,
        "the label names no title, there were searches, and no text before the answer has its words"),
    row("truncated_on_the_way", Cause::Truncated, (Some(Parameter), Fix::OutputCap), evidence::truncated_on_the_way,
        "the step that did not give the answer on ended at its cap"),
    row("abstention_on_the_way", Cause::Abstention, (Some(Prompt), Fix::MustAnswer), evidence::abstention_on_the_way,
        "the step that did not give the answer on says that it does not know"),
    row("answer_dropped", Cause::AnswerDropped, (Some(Prompt), Fix::CopyVerbatim), evidence::dropped,
        "a step was shown the answer's words and does not give them on, and no later step was shown them"),
    row("truncated", Cause::Truncated, (Some(Parameter), Fix::OutputCap), form::truncated,
        "the reply of the answering step ended at its cap"),
    row("malformed", Cause::Malformed, (Some(Prompt), Fix::OutputField), form::malformed,
        "the output is empty, or the reply lacks the field that the prompt asks for"),
    row("abstention", Cause::Abstention, (Some(Prompt), Fix::MustAnswer), form::abstention,
        "the output says that it does not know, or declines"),
    row("verbose_near_miss", Cause::VerboseNearMiss, (Some(Prompt), Fix::Brevity), form::verbose,
        "the answer's words stand in a longer output"),
    row("other_wording", Cause::OtherWording, (Some(Prompt), Fix::CopyVerbatim), form::other_wording,
        "the output shares more than half of its words with the answer"),
    row("draft_changed", Cause::AnswerDropped, (Some(Prompt), Fix::CopyVerbatim), form::draft_changed,
        "an earlier step had given the answer and little else"),
    row("wrong_label", Cause::WrongLabel, (Some(Prompt), Fix::LabelList), form::wrong_label,
        "the task's answers are labels, and the output is another one or none"),
    row("ungrounded", Cause::Ungrounded, (Some(Prompt), Fix::CopyVerbatim), form::ungrounded,
        "at most a third of the output's words stand in a text before it"),
    row("wrong_answer_near_evidence", Cause::WrongAnswerNearEvidence, (Some(Prompt), Fix::FewShot), form::wrong_answer,
        "every needed title was found, or the answer's words stand in a text before it"),
    row("unexplained", Cause::Unexplained, (Some(Prompt), Fix::FewShot), form::unexplained,
        "nothing of the above"),
];

/// The finding of the first heuristic that sees its sign.
pub(super) fn explain(failure: &Failure<'_>) -> Finding {
    let (row, sign) = HEURISTICS
        .iter()
        .find_map(|row| Some((row, (row.sees)(failure)?)))
        .expect("the last heuristic always sees its sign");
    let feedback = failure.record.score.as_ref().map_or("", |score| score.feedback.trim());
    Finding {
        case_id: failure.record.case_id.clone(),
        step: sign.step,
        heuristic: row.name.into(),
        cause: row.cause,
        fix: row.fix,
        level: row.level,
        confidence: sign.confidence,
        evidence: cut(&sign.evidence, TEXT_CHARS_MAX),
        note: (!feedback.is_empty()).then(|| cut(feedback, TEXT_CHARS_MAX)),
        lost: 100.0 - failure.record.composite(),
    }
}
