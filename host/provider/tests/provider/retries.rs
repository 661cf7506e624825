//! What is asked again, after which pause, and when we stop.

use crate::fake::{FakeServer, Reaction, ask, call, kind, openai, replies, says, says_with, service_fault, settings};
use fapo_core::fault::FaultKind;
use fapo_core::ports::Provider;
use fapo_provider::OpenAiSettings;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn what_passes_is_asked_again() {
    for reaction in [
        says(429, json!({"error": {"message": "slow down", "code": null}})),
        says(500, json!({"error": {"message": "oops", "code": 500}})),
        says(503, json!({"error": "overloaded"})),
        says_with(502, "", "<html>bad gateway</html>"),
        says(408, json!({})),
        says(200, json!({"error": {"message": "upstream is busy", "code": 429}})),
        says(
            200,
            json!({"choices": [{"error": {"message": "upstream broke", "code": 502}, "message": {"content": ""}}]}),
        ),
        Reaction::Cut,
    ] {
        let (outcome, requests, slept) = ask(vec![reaction.clone(), reaction, replies("ok")]).await;
        let reply = outcome.expect("the third time");
        assert_eq!((reply.text.as_str(), reply.attempts, requests), ("ok", 3, 3));
        assert_eq!(slept.len(), 2);
        assert!(slept[0] <= Duration::from_secs(1) && slept[1] <= Duration::from_secs(2), "{slept:?}");
    }
}

#[tokio::test]
async fn retries_end_with_the_kind_of_the_last_answer() {
    for (status, expected) in [
        (429, FaultKind::RateLimited),
        (500, FaultKind::ServerError),
        (529, FaultKind::ServerError),
        (408, FaultKind::TimedOut),
    ] {
        let (outcome, requests, slept) = ask(vec![says(status, json!({"error": "no\u{1b}[2J"})); 9]).await;
        let fault = service_fault(outcome);
        assert_eq!((fault.kind, requests, slept.len()), (expected, 4, 3), "{status}");
        let expected = format!("(4 requests): status {status}: no\\u{{1b}}[2J");
        assert!(fault.message.ends_with(&expected), "{}", fault.message);
        assert!(fault.message.starts_with("model small at http://127.0.0.1:"), "{}", fault.message);
        assert!(fault.hint.is_some());
    }
}

#[tokio::test]
async fn a_pause_the_service_asks_for_is_taken() {
    for (headers, asked_s) in [
        ("retry-after: 7\r\n", 7),
        ("retry-after: Fri, 27 Nov 2026 10:00:30 GMT\r\n", 30),
        ("retry-after: 86400\r\n", 120),
        ("retry-after: Sat, 28 Nov 2026 10:00:00 GMT\r\n", 120),
        ("retry-after-ms: 4000\r\n", 4),
    ] {
        let (outcome, _, slept) = ask(vec![says_with(429, headers, "{}"), replies("ok")]).await;
        assert_eq!(outcome.expect("a reply").attempts, 2);
        let asked = Duration::from_secs(asked_s);
        assert!(slept.len() == 1 && slept[0] >= asked && slept[0] <= asked.mul_f64(1.1), "{headers}: {slept:?}");
    }
}

fn loading() -> Reaction {
    says(503, json!({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}))
}

#[tokio::test]
async fn a_server_that_loads_its_model_is_waited_for() {
    let server = FakeServer::with(vec![loading(), loading(), loading(), replies("ok")]).await;
    let (provider, time) = openai(OpenAiSettings { retries_max: 0, ..settings(&server.origin) });
    assert_eq!(provider.generate(&call("hi")).await.expect("a reply").attempts, 4, "looks are no retries");
    assert_eq!(time.slept(), [Duration::from_secs(1); 3]);
}

#[tokio::test]
async fn a_server_that_loads_for_ever_is_given_up() {
    let (outcome, requests, slept) = ask(vec![loading(); 700]).await;
    assert_eq!((kind(outcome), requests), (FaultKind::ServerError, 601));
    assert_eq!(slept.iter().sum::<Duration>(), Duration::from_secs(600));
}

#[tokio::test]
async fn nonsense_is_asked_again_twice_only() {
    let table: [(Reaction, &str); 5] = [
        (says_with(200, "", "<html>hello</html>"), "no JSON: <html>hello</html>"),
        (says(200, json!({"choices": []})), "`choices` are empty"),
        (says(200, json!({"object": "list"})), "no `choices`"),
        (says(200, json!({"choices": [{"index": 0}]})), "no `message`"),
        (says_with(204, "", ""), "status 204"),
    ];
    for (reaction, want) in table {
        let server = FakeServer::with(vec![reaction; 9]).await;
        let (provider, _) = openai(OpenAiSettings { retries_max: 8, ..settings(&server.origin) });
        let fault = service_fault(provider.generate(&call("hi")).await);
        assert_eq!((fault.kind, server.requests().len()), (FaultKind::Malformed, 3), "{want}");
        assert!(fault.message.contains(want), "{}", fault.message);
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let server = FakeServer::with(vec![Reaction::Silence; 9]).await;
    let timeout = Duration::from_millis(20);
    let (provider, time) = openai(OpenAiSettings { timeout, retries_max: 1, ..settings(&server.origin) });
    let fault = service_fault(provider.generate(&call("hi")).await);
    assert_eq!((fault.kind, time.slept().len()), (FaultKind::TimedOut, 1));
    assert!(fault.message.ends_with("no whole answer within 20 ms"), "{}", fault.message);
    assert!(fault.hint.is_some_and(|hint| hint.contains("timeout_ms")));
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = format!("http://{}/v1", listener.local_addr().expect("bound"));
    drop(listener);
    let (provider, time) = openai(settings(&origin));
    let fault = service_fault(provider.generate(&call("hi")).await);
    assert_eq!((fault.kind, time.slept().len()), (FaultKind::Unreachable, 3));
    assert!(fault.message.contains(&origin) && fault.message.to_lowercase().contains("refused"), "{}", fault.message);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (outcome, requests, _) = ask(vec![Reaction::Endless]).await;
    let fault = service_fault(outcome);
    assert_eq!((fault.kind, requests), (FaultKind::Malformed, 1));
    assert!(fault.message.contains("larger than 8388608 bytes"), "{}", fault.message);
}

#[tokio::test]
async fn an_answer_of_the_largest_size_is_read() {
    let mut body = json!({"choices": [{"message": {"content": "ok"}}]}).to_string();
    body.push_str(&" ".repeat((8 << 20) - body.len()));
    assert_eq!(ask(vec![says_with(200, "", &body)]).await.0.expect("a reply").text, "ok");
    body.push(' ');
    assert_eq!(kind(ask(vec![says_with(200, "", &body)]).await.0), FaultKind::Malformed);
}

#[tokio::test]
async fn pauses_repeat_with_their_seed() {
    let pauses = async |jitter_seed| {
        let server = FakeServer::with(vec![says(500, Value::Null); 9]).await;
        let (provider, time) = openai(OpenAiSettings { jitter_seed, ..settings(&server.origin) });
        assert_eq!(kind(provider.generate(&call("hi")).await), FaultKind::ServerError);
        time.slept()
    };
    assert_eq!(pauses(1).await, pauses(1).await);
    assert_ne!(pauses(1).await, pauses(2).await);
}
