//! How fast a service is asked, by all calls of a route together.

use crate::fake::{FakeServer, call, openai, replies, says_with, settings};
use fapo_core::ports::{BoxFuture, Provider};
use fapo_provider::{OpenAi, OpenAiSettings, Pace, Sleeper};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Pauses never end.
struct Stuck;

impl Sleeper for Stuck {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_long_pause_of_one_call_stops_no_other() {
    let server = FakeServer::by(|_, request| match request.body["messages"][0]["content"].as_str() {
        Some("unlucky") => says_with(429, "retry-after: 3600\r\n", "{}"),
        _ => replies("served"),
    })
    .await;
    let pace = Pace { concurrency_max: Some(1), ..Pace::default() };
    let settings = OpenAiSettings { pace, ..settings(&server.origin) };
    let provider = Arc::new(OpenAi::with_sleeper(settings, Arc::new(Stuck)).expect("good settings"));
    let unlucky = call("unlucky");
    let held = unlucky.held.clone();
    let theirs = Arc::clone(&provider);
    let waiting = tokio::spawn(async move { theirs.generate(&unlucky).await });
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        assert_eq!(provider.generate(&call("other")).await.expect("a reply").text, "served");
    }
    assert!(!waiting.is_finished(), "it still waits");
    assert!(held.total() > Duration::ZERO, "and that is no work");
    waiting.abort();
}

#[tokio::test]
async fn what_a_service_says_is_left_is_waited_for_before_it_must_refuse() {
    let ok = r#"{"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}"#;
    let server = FakeServer::by(move |n, _| match n {
        0 => says_with(
            200,
            "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1m0s\r\n",
            ok,
        ),
        _ => says_with(200, "", ok),
    })
    .await;
    let (provider, time) = openai(settings(&server.origin));
    for _ in 0..3 {
        assert_eq!(provider.generate(&call("hi")).await.expect("a reply").attempts, 1);
    }
    assert_eq!(time.slept().first(), Some(&Duration::from_secs(1)), "one a second, from nothing");
}

#[tokio::test]
async fn an_operators_bound_on_tokens_is_kept() {
    let server = FakeServer::by(|_, _| replies("ok")).await;
    let pace = Pace { tokens_per_minute: Some(600), ..Pace::default() };
    // A call counts its cap of 100 and its body; ten tokens come a second, and a hundred are there at once.
    let (provider, time) = openai(OpenAiSettings { pace, ..settings(&server.origin) });
    for _ in 0..3 {
        provider.generate(&call("hi")).await.expect("a reply");
    }
    let slept: Duration = time.slept().iter().sum();
    assert!(slept >= Duration::from_secs(10), "{slept:?}");
}
