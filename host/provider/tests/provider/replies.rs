//! What is sent, and what is made of a good answer.

use crate::fake::{FakeServer, Reaction, Request, ask, call, openai, replies, says, settings};
use fapo_core::ports::{ContentFault, FinishReason, ModelCall, Provider, ProviderError, Usage};
use fapo_provider::{OpenAiSettings, SecretString};
use fapo_template::{Message, Role};
use serde_json::{Value, json};

#[tokio::test]
async fn a_request_spells_out_its_sampling() {
    let server = FakeServer::with(vec![replies("ok"), replies("ok")]).await;
    let key = Some(SecretString::from("sk-1"));
    let (provider, _) = openai(OpenAiSettings { top_p: Some(0.5), key, ..settings(&server.origin) });
    let system = Message { role: Role::System, content: "be brief".to_owned() };
    let user = Message { role: Role::User, content: "hi".to_owned() };
    let mut full = ModelCall { output_tokens_max: Some(9), stop: vec!["END".to_owned()], sample: 2, ..call("hi") };
    full.messages = vec![system, user].into();
    provider.generate(&full).await.expect("a reply");
    provider.generate(&ModelCall { output_tokens_max: Some(101), ..call("hi") }).await.expect("a reply");
    let requests = server.requests();
    assert_eq!(
        requests[0].body,
        json!({
            "model": "small",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
            "max_tokens": 9, "temperature": 0.0, "top_p": 0.5, "seed": 9, "stop": ["END"],
        })
    );
    assert!(requests[0].headers.contains("authorization: bearer sk-1\r\n"));
    assert_eq!(requests[1].body["max_tokens"], 100, "the route's own cap holds");
    assert!(requests[1].body.get("stop").is_none());
}

#[tokio::test]
async fn a_reasoning_model_is_asked_in_its_own_way() {
    let server = FakeServer::with(vec![replies("ok")]).await;
    let (provider, _) = openai(OpenAiSettings { model: "o3-mini".to_owned(), ..settings(&server.origin) });
    let system = Message { role: Role::System, content: "be brief".to_owned() };
    provider.generate(&ModelCall { messages: vec![system].into(), ..call("") }).await.expect("a reply");
    let request = &server.requests()[0];
    let body = json!({
        "model": "o3-mini", "messages": [{"role": "developer", "content": "be brief"}],
        "max_completion_tokens": 100, "seed": 7,
    });
    assert_eq!(request.body, body);
    assert!(!request.headers.contains("authorization"), "no key, no header");
}

#[tokio::test]
async fn a_full_answer_is_recorded() {
    let answer = json!({
        "id": "x", "model": "small-2", "system_fingerprint": "fp",
        "choices": [{"message": {"role": "assistant", "content": "Osk"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    });
    let (outcome, ..) = ask(vec![says(200, answer)]).await;
    let reply = outcome.expect("a reply");
    assert_eq!((reply.text.as_str(), reply.finish), ("Osk", FinishReason::Length));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 2 }));
    assert_eq!((reply.model_served.as_deref(), reply.fingerprint.as_deref()), (Some("small-2"), Some("fp")));
    assert_eq!((reply.cached, reply.attempts), (false, 1));
}

#[tokio::test]
async fn what_an_answer_leaves_out_is_unknown() {
    let message = json!({"content": null, "reasoning_content": "hm", "reasoning": "hm"});
    let (outcome, ..) = ask(vec![says(200, json!({"choices": [{"message": message}]}))]).await;
    let reply = outcome.expect("a reply");
    assert_eq!((reply.text.as_str(), reply.finish, reply.usage), ("", FinishReason::Other, None));
    assert_eq!((reply.model_served, reply.fingerprint), (None, None));
}

/// A server that knows one name of the cap only.
fn knows(name: &'static str, other: &'static str) -> impl FnMut(usize, &Request) -> Reaction {
    move |_, request| {
        if request.body.get(name).is_some() && request.body.get(other).is_none() {
            return replies("ok");
        }
        let message = format!("Unsupported parameter: '{other}' is not supported. Use '{name}' instead.");
        says(400, json!({"error": {"message": message, "param": other, "code": "unsupported_parameter"}}))
    }
}

#[tokio::test]
async fn the_name_of_the_cap_is_learnt_once() {
    for (model, name, other) in
        [("small", "max_completion_tokens", "max_tokens"), ("o3", "max_tokens", "max_completion_tokens")]
    {
        let server = FakeServer::by(knows(name, other)).await;
        let (provider, time) = openai(OpenAiSettings { model: model.to_owned(), ..settings(&server.origin) });
        let calls: Vec<ModelCall> = (0..8).map(|n| call(&format!("call {n}"))).collect();
        for outcome in futures::future::join_all(calls.iter().map(|call| provider.generate(call))).await {
            assert!(outcome.expect("a reply").attempts <= 2, "{model}");
        }
        for _ in 0..2 {
            assert_eq!(provider.generate(&call("later")).await.expect("a reply").attempts, 1, "{model}");
        }
        assert!(time.slept().is_empty(), "asking by the other name needs no pause");
    }
}

#[tokio::test]
async fn a_cap_refused_by_both_names_is_the_requests_fault() {
    let server = FakeServer::by(|_, request| {
        let name = if request.body.get("max_tokens").is_some() { "max_tokens" } else { "max_completion_tokens" };
        says(400, json!({"error": format!("unknown field {name}")}))
    })
    .await;
    let (provider, _) = openai(settings(&server.origin));
    let error = provider.generate(&call("hi")).await.expect_err("refused");
    let first = ContentFault::InvalidRequest("status 400: unknown field max_tokens".to_owned());
    assert_eq!((error, server.requests().len()), (ProviderError::Content(first), 2));
}

#[tokio::test]
async fn a_cap_of_the_wrong_size_is_not_renamed() {
    let too_large = json!({"error": {"message": "max_tokens must be at most 64", "param": "max_tokens", "code": null}});
    let (outcome, requests, _) = ask(vec![says(400, too_large)]).await;
    assert!(matches!(outcome, Err(ProviderError::Content(ContentFault::InvalidRequest(_)))), "{outcome:?}");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn an_identity_is_the_same_for_the_same_route() {
    let identity = |change: fn(&mut OpenAiSettings)| -> Value {
        let mut settings = settings("http://127.0.0.1:1/v1");
        change(&mut settings);
        openai(settings).0.identity()
    };
    let plain = identity(|_| ());
    assert_eq!(plain, identity(|s| s.origin.push('/')));
    assert_eq!(plain, identity(|s| s.retries_max = 9), "how often we ask changes no reply");
    for change in [
        (|s| s.model = "large".to_owned()) as fn(&mut OpenAiSettings),
        |s| s.temperature = 0.5,
        |s| s.top_p = Some(0.5),
        |s| s.seed = Some(8),
        |s| s.output_tokens_max = 99,
        |s| s.origin = "http://127.0.0.1:2/v1".to_owned(),
    ] {
        assert_ne!(plain, identity(change));
    }
}
