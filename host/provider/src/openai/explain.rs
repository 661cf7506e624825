//! A fault of a service in words: which model where, what it said, and how to mend it.

use super::quote::redact;
use super::settings::OpenAiSettings;
use fapo_core::fault::FaultKind;
use fapo_core::ports::ServiceFault;

/// The fault after so many requests; `text` is what the last one came to.
pub(super) fn fault(settings: &OpenAiSettings, kind: FaultKind, text: &str, attempts: u32) -> ServiceFault {
    let OpenAiSettings { model, origin, key, .. } = settings;
    let requests = if attempts == 1 { String::new() } else { format!(" ({attempts} requests)") };
    let message = format!("model {model} at {origin}{requests}: {text}");
    // Most of it is quoted and so redacted before; what the network said of the origin is not.
    ServiceFault { kind, message: redact(&message, key.as_ref()), hint: hint(settings, kind, text) }
}

fn hint(settings: &OpenAiSettings, kind: FaultKind, text: &str) -> Option<String> {
    let OpenAiSettings { model, origin, key_env, .. } = settings;
    Some(match (kind, key_env) {
        (FaultKind::Unauthorized, Some(variable)) => {
            format!("set {variable} to a key that {origin} accepts for model {model}")
        }
        (FaultKind::Unauthorized, None) => {
            format!("{origin} wants a key: name the environment variable that holds it as the route's `key_env`")
        }
        (FaultKind::NotFound, _) => {
            format!("check that {origin} is the service's base URL (often it ends in /v1) and that it serves {model}")
        }
        (FaultKind::Malformed, _) => {
            format!(
                "check that {origin} is the base URL of a service that speaks {} (often it ends in /v1)",
                settings.api.speaks()
            )
        }
        (FaultKind::QuotaExhausted, _) => format!("the account at {origin} has no credit left: top it up"),
        (FaultKind::RateLimited, _) => "lower `max_workers`, or raise the route's `retries_max`".to_owned(),
        (FaultKind::Unreachable, _) if text.contains("certificate") => {
            format!("if {origin} is what it says, add its authority to the system's, or name its file in SSL_CERT_FILE")
        }
        (FaultKind::Unreachable, _) => format!("check that a server listens at {origin}"),
        (FaultKind::TimedOut, _) => "raise the route's `timeout_ms`, or lower its `output_tokens_max`".to_owned(),
        (FaultKind::ServerError, _) => format!("look into the log of the server at {origin}, or try again later"),
        _ => return None,
    })
}
