//! What could mend a failure: the word that attribution and operators share.

use super::Loss;
use crate::run::CaseRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A means against a kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// Shorter replies.
    Brevity,
    /// No giving up.
    MustAnswer,
    /// A cue that the answer follows.
    AnswerCue,
    /// A place in the reply where the answer stands.
    OutputField,
    /// The words of the evidence.
    CopyVerbatim,
    /// The labels, spelled out.
    LabelList,
    /// Worked examples.
    FewShot,
    /// More or fewer passages.
    RetrievalDepth,
    /// A longer or shorter reply.
    OutputCap,
    /// The answer taken out of the reply by rule.
    Extract,
    /// A further search.
    ExtraHop,
    /// A search with several queries.
    MultiQuery,
    /// Several lists of passages as one.
    Merge,
    /// The answer that most samples agree on.
    Vote,
    /// Nothing that a variant could do.
    None,
}

/// Phrases by which a reply gives up, lower case.
const GIVES_UP: [&str; 10] = [
    "i do not know",
    "i don't know",
    "cannot tell",
    "can't tell",
    "cannot answer",
    "not mentioned",
    "no information",
    "not enough information",
    "unable to",
    "unknown",
];

/// What could mend a failed case, from how its answer was lost and how its reply reads.
pub(super) fn fix_for(loss: Loss, record: &CaseRecord) -> Fix {
    let reply = record.output_text.to_lowercase();
    let truncated = record.calls.iter().any(|call| call.finish == Some(crate::ports::FinishReason::Length));
    match loss {
        Loss::Fault => Fix::None,
        Loss::Form if truncated => Fix::OutputCap,
        Loss::Form => Fix::Brevity,
        Loss::NeverPresent => Fix::RetrievalDepth,
        Loss::Dropped | Loss::Unknown if record.output_text.trim().is_empty() => Fix::MustAnswer,
        Loss::Dropped | Loss::Unknown if GIVES_UP.iter().any(|phrase| reply.contains(phrase)) => Fix::MustAnswer,
        Loss::Dropped => Fix::FewShot,
        Loss::Unknown => Fix::LabelList,
    }
}
