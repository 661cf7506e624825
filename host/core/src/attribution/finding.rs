//! What attribution says of one failed case.

use super::Fix;
use crate::scope::VariantLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a case lost its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A service, the host or a budget failed: nothing that a variant did.
    Infrastructure,
    /// The model service did not take a prompt: too long, refused, invalid.
    CallRefused,
    /// The tenant's chain or scorer ended with a fault.
    ComponentFault,
    /// A step gave nothing, and so did a later one.
    EmptyCascade,
    /// A reply ended at its cap.
    Truncated,
    /// The output is empty, or without the part in which the answer was to stand.
    Malformed,
    /// The answer stands in a longer output.
    VerboseNearMiss,
    /// The output says what the answer says in other words.
    OtherWording,
    /// A passage that the answer needs was not found.
    EvidenceMissing,
    /// A step says that it does not know.
    Abstention,
    /// The answer stood before a step and not after it.
    AnswerDropped,
    /// The output says what no text before it says.
    Ungrounded,
    /// The task's answers are labels, and the output is another one.
    WrongLabel,
    /// What the answer needs was there, and the answer is another one.
    WrongAnswerNearEvidence,
    /// Replays found it: with gold before the step the case fails, with gold in its place it does not.
    RestoredByGold,
    /// Nothing tells.
    Unexplained,
}

impl Cause {
    /// For people.
    pub fn why(self) -> &'static str {
        match self {
            Cause::Infrastructure => "a service or a limit of time or budget failed",
            Cause::CallRefused => "the model service did not take the prompt",
            Cause::ComponentFault => "the tenant's code ended with a fault",
            Cause::EmptyCascade => "this step gave nothing, and a later one neither",
            Cause::Truncated => "the reply ended at its cap",
            Cause::Malformed => "the reply is empty or not in the form that was asked for",
            Cause::VerboseNearMiss => "the answer is in the output, with more around it",
            Cause::OtherWording => "the output says nearly the answer, in other words",
            Cause::EvidenceMissing => "a passage that the answer needs was not found",
            Cause::Abstention => "the step says that it does not know",
            Cause::AnswerDropped => "the answer was there before this step and not after it",
            Cause::Ungrounded => "the output says what no text before it says",
            Cause::WrongLabel => "the output is another label, or none",
            Cause::WrongAnswerNearEvidence => "the evidence was there, the answer is another one",
            Cause::RestoredByGold => "with gold in its place the case comes right",
            Cause::Unexplained => "nothing in the texts tells why",
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A guess.
    Low,
    /// The texts point to it.
    Medium,
    /// The record shows it.
    High,
}

/// Why one failed case failed, as far as its record tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The case.
    pub case_id: String,
    /// The step it is laid at: `node`, `node#visit`, or the phase of a fault in brackets.
    pub step: String,
    /// The heuristic that saw it: a name of the table.
    pub heuristic: String,
    /// What went wrong there.
    pub cause: Cause,
    /// What could mend it.
    pub fix: Fix,
    /// How deep the mend would go; null where no variant could mend it.
    pub level: Option<VariantLevel>,
    /// How sure this is.
    pub confidence: Confidence,
    /// What in the record shows it; at most 200 characters. May hold texts of the case.
    pub evidence: String,
    /// What the scorer said of the case, at most 200 characters; null where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Points of the case's composite that are missing, above 0, at most 100.
    pub lost: f64,
}
