//! What is never asked again, and whose fault it is.

use crate::fake::{ask, says, says_with, service_fault};
use fapo_core::fault::FaultKind;
use fapo_core::ports::{ContentFault, ProviderError};
use serde_json::{Value, json};

#[tokio::test]
async fn what_stays_is_not_asked_again_and_says_how_to_mend_it() {
    let error = |code: Value| json!({"error": {"message": "no", "code": code}});
    let table = [
        (401, error(json!("invalid_api_key")), FaultKind::Unauthorized, "`key_env`"),
        (403, error(json!(403)), FaultKind::Unauthorized, "`key_env`"),
        (404, error(json!("model_not_found")), FaultKind::NotFound, "serves small"),
        (404, json!({"detail": "Not Found"}), FaultKind::NotFound, "/v1"),
        (400, error(json!("model_not_found")), FaultKind::NotFound, "serves small"),
        (402, error(json!(null)), FaultKind::QuotaExhausted, "credit"),
        (429, error(json!("insufficient_quota")), FaultKind::QuotaExhausted, "credit"),
    ];
    for (status, body, expected, hint) in table {
        let (outcome, requests, slept) = ask(vec![says(status, body.clone())]).await;
        let fault = service_fault(outcome);
        assert_eq!((fault.kind, requests, slept.len()), (expected, 1, 0), "{body}");
        assert!(fault.message.contains(&format!("/v1: status {status}: ")), "{}", fault.message);
        assert!(fault.hint.as_deref().is_some_and(|h| h.contains(hint)), "{:?}", fault.hint);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (outcome, requests, _) = ask(vec![says_with(307, "location: http://127.0.0.1:1/elsewhere\r\n", "")]).await;
    let fault = service_fault(outcome);
    assert_eq!((fault.kind, requests), (FaultKind::NotFound, 1));
    assert!(fault.message.contains("redirects to \"http://127.0.0.1:1/elsewhere\""), "{}", fault.message);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_has_one_name() {
    let bodies = [
        json!({"error": {"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"}}),
        json!({"error": {"message": "too long", "code": 400, "type": "exceed_context_size_error"}}),
        json!({"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
    ];
    for (status, body) in [(400, &bodies[0]), (400, &bodies[1]), (500, &bodies[1]), (400, &bodies[2])] {
        let (outcome, requests, _) = ask(vec![says(status, body.clone())]).await;
        assert_eq!((outcome, requests), (Err(ProviderError::Content(ContentFault::ContextTooLong)), 1), "{body}");
    }
}

#[tokio::test]
async fn content_faults_name_no_origin() {
    let table = [
        (json!({"message": "not\nthis", "code": "content_filter"}), ContentFault::Refused("not\\nthis".to_owned())),
        (json!({"message": "bad stop", "code": null}), ContentFault::InvalidRequest("status 400: bad stop".to_owned())),
    ];
    for (error, expected) in table {
        let (outcome, requests, _) = ask(vec![says(400, json!({"error": error}))]).await;
        assert_eq!((outcome, requests), (Err(ProviderError::Content(expected)), 1));
    }
}

#[tokio::test]
async fn a_long_message_is_cut() {
    let (outcome, ..) = ask(vec![says(401, json!({"error": "x".repeat(100_000)}))]).await;
    let message = service_fault(outcome).message;
    assert!(message.len() < 500 && message.ends_with("x…"), "{message}");
}
