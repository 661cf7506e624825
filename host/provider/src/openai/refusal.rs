//! What a service means by an answer that is no reply.

use super::http::Answer;
use super::quote::quote;
use super::said::Said;
use super::traffic::End;
use fapo_core::fault::FaultKind;
use fapo_core::ports::ContentFault;
use secrecy::SecretString;
use std::time::Duration;

/// Whose fault it is, and whether asking again may help.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// The request's.
    Content(ContentFault),
    /// The request's, for the name of the token cap; the service's words.
    CapName(String),
    /// The service's, and it will stay so.
    Final(FaultKind, String),
    /// The service's, in passing; with the pause it asks for.
    Passing(FaultKind, String, Option<Duration>),
    /// An answer that is none. It may have been paid for, so it is asked for again less often.
    Nonsense(String),
    /// The service is up, its model not yet.
    Loading(String),
}

impl Refusal {
    /// Whether the service has too much to do.
    pub(super) fn end(&self) -> End {
        match self {
            Refusal::Passing(FaultKind::RateLimited | FaultKind::TimedOut, ..) => End::Busy,
            _ => End::Answered,
        }
    }
}

/// Reads an answer whose status is not 200.
pub(super) fn of(answer: &Answer, key: Option<&SecretString>) -> Refusal {
    let said = Said::in_body(&answer.body);
    let words = quote(&said.message, key);
    let status = answer.status;
    let text = if words.is_empty() { format!("status {status}") } else { format!("status {status}: {words}") };
    // First what the code says, since servers differ in the status they put it under.
    if said.is_context_too_long() {
        return Refusal::Content(ContentFault::ContextTooLong);
    }
    if said.has_code(&["insufficient_quota", "billing_hard_limit_reached", "billing_error"])
        || said.mentions(&["credit balance is too low"])
    {
        return Refusal::Final(FaultKind::QuotaExhausted, text);
    }
    match status {
        300..400 => Refusal::Final(FaultKind::NotFound, redirect(answer, key)),
        400 | 422 if said.has_code(&["content_filter", "content_policy_violation"]) => {
            Refusal::Content(ContentFault::Refused(words))
        }
        400 if said.has_code(&["model_not_found"]) => Refusal::Final(FaultKind::NotFound, text),
        400 | 422 if said.is_about_cap_name() => Refusal::CapName(text),
        401 | 403 => Refusal::Final(FaultKind::Unauthorized, text),
        402 => Refusal::Final(FaultKind::QuotaExhausted, text),
        404 => Refusal::Final(FaultKind::NotFound, text),
        408 => Refusal::Passing(FaultKind::TimedOut, text, answer.retry_after),
        409 | 425 | 500..600 => match status {
            503 if said.mentions(&["loading model"]) => Refusal::Loading(text),
            _ => Refusal::Passing(FaultKind::ServerError, text, answer.retry_after),
        },
        429 => Refusal::Passing(FaultKind::RateLimited, text, answer.retry_after),
        400..500 => Refusal::Content(ContentFault::InvalidRequest(text)),
        _ => Refusal::Nonsense(text),
    }
}

fn redirect(answer: &Answer, key: Option<&SecretString>) -> String {
    let to = quote(answer.location.as_deref().unwrap_or_default(), key);
    format!("status {}: it redirects to \"{to}\", which is not followed", answer.status)
}
