//! A question to a model from a scorer, through a template that the host renders and fences.
//!
//! Needs an explicit grant with a budget. A scorer that never calls [`ask`] does not import it. Natively, [`ask`] is
//! answered by `mock::with_judge`.

use std::fmt;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRequest {
    /// Name of one of the tenant's judge prompts, `prompts/judges/<name>.md`.
    pub prompt: String,
    /// Alias among the tenant's judges.
    pub model: String,
    /// One for each placeholder of the prompt; each is fenced by the host.
    pub values: Vec<(String, String)>,
    /// Allowed answers, told apart without regard to case; empty for free text.
    pub choices: Vec<String>,
    /// Two values whose texts the host exchanges for a second call, so that a judge who prefers a place is found out.
    pub swap: Option<(String, String)>,
}

impl VerdictRequest {
    /// A question of a judge prompt to a judge of the grant.
    pub fn new(prompt: &str, model: &str) -> Self {
        VerdictRequest {
            prompt: prompt.into(),
            model: model.into(),
            values: Vec::new(),
            choices: Vec::new(),
            swap: None,
        }
    }

    /// A value of the prompt.
    pub fn value(mut self, name: &str, text: impl Into<String>) -> Self {
        self.values.push((name.into(), text.into()));
        self
    }

    /// The allowed answers.
    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|choice| choice.to_string()).collect();
        self
    }

    /// Asks in both orders of two values.
    pub fn swap(mut self, one: &str, other: &str) -> Self {
        self.swap = Some((one.into(), other.into()));
        self
    }
}

/// What the judge said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One of the choices, or the reply where there are none.
    pub answer: String,
    /// The answer with the two values of `swap` exchanged.
    pub swapped: Option<String>,
}

impl Verdict {
    /// Whether the judge chose the text behind `one` in both orders: `one` as the texts were handed in, and `other`, the
    /// place that text stood in, once they were exchanged. Without `swap` the one answer decides.
    pub fn holds_for(&self, one: &str, other: &str) -> bool {
        self.answer == one && self.swapped.as_ref().is_none_or(|swapped| swapped == other)
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JudgeError {
    /// No grant.
    Denied(String),
    /// The request cannot be served as it stands.
    InvalidRequest(String),
    /// The reply was none of the choices; the reply, cut.
    OffChoice(String),
    /// The service declined.
    Refused(String),
}

impl fmt::Display for JudgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JudgeError::Denied(what) => write!(f, "judge {what:?} is not granted"),
            JudgeError::InvalidRequest(why) => write!(f, "invalid request to the judge: {why}"),
            JudgeError::OffChoice(reply) => {
                write!(f, "the judge's reply is none of the choices: {reply}")
            }
            JudgeError::Refused(why) => write!(f, "the judge declined: {why}"),
        }
    }
}

/// Asks the judge, side by side; verdicts in the order of the requests.
pub fn ask(requests: Vec<VerdictRequest>) -> Vec<Result<Verdict, JudgeError>> {
    #[cfg(target_family = "wasm")]
    return crate::wasm::ask_judge(requests);
    #[cfg(not(target_family = "wasm"))]
    return crate::mock::ask_judge(requests);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_where_both_orders_choose_the_same_text() {
        let said = |answer: &str, swapped: Option<&str>| Verdict {
            answer: answer.into(),
            swapped: swapped.map(str::to_string),
        };
        assert!(said("A", Some("B")).holds_for("A", "B"), "the text moved, and the choice with it");
        assert!(!said("A", Some("A")).holds_for("A", "B"), "the first place, whatever stands there");
        assert!(!said("B", Some("A")).holds_for("A", "B"));
        assert!(said("A", None).holds_for("A", "B"));
    }
}
