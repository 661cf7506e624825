//! What could mend a failure: the word that attribution and operators share.

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
