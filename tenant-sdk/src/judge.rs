//! A question to a model from a scorer, through a template that the host renders and fences.
//!
//! Needs an explicit grant with a budget. A scorer that never calls [`ask`] does not import it. Natively, [`ask`] is
//! answered by `mock::with_judge`.

use std::fmt;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRequest {
    /// A file of the tenant's judge prompts.
    pub prompt: String,
    /// Model alias.
    pub model: String,
    /// Values for the template; each is fenced by the host.
    pub values: Vec<(String, String)>,
    /// Allowed answers; empty for free text.
    pub choices: Vec<String>,
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
pub fn ask(requests: Vec<VerdictRequest>) -> Vec<Result<String, JudgeError>> {
    #[cfg(target_family = "wasm")]
    return crate::wasm::ask_judge(requests);
    #[cfg(not(target_family = "wasm"))]
    return crate::mock::ask_judge(requests);
}
