//! A key is sent and never shown.

use crate::fake::{FakeServer, Reaction, call, openai, says, says_with, settings};
use fapo_core::ports::{Provider, ProviderError};
use fapo_provider::{OpenAi, OpenAiSettings, SecretString};
use serde_json::json;

const KEY: &str = "sk-very-secret-0123456789";

fn with_key(origin: &str, key: &str) -> OpenAiSettings {
    let key_env = Some("MODEL_KEY".to_owned());
    OpenAiSettings { key: Some(SecretString::from(key)), key_env, retries_max: 0, ..settings(origin) }
}

#[tokio::test]
async fn a_server_that_repeats_the_key_does_not_get_it_into_faults() {
    let echo = format!("your key {KEY} is {KEY}");
    let split = format!("{}{KEY}", "x".repeat(290));
    let location: &'static str = Box::leak(format!("location: http://127.0.0.1/?k={KEY}\r\n").into_boxed_str());
    let reactions: Vec<Reaction> = vec![
        says(401, json!({"error": {"message": echo}})),
        says(400, json!({"error": {"message": echo}})),
        says(400, json!({"error": {"message": echo, "code": "content_filter"}})),
        says(404, json!({"error": echo})),
        says(429, json!({"detail": echo})),
        says(500, json!({"other": echo})),
        says(500, json!({"error": split})),
        says(503, json!({"error": format!("Loading model {KEY}")})),
        says(200, json!({"error": {"message": echo}})),
        says_with(200, "", &echo),
        says_with(307, location, ""),
        Reaction::Cut,
    ];
    for reaction in reactions {
        let server = FakeServer::by(move |_, _| reaction.clone()).await;
        let (provider, _) = openai(with_key(&server.origin, KEY));
        let error = provider.generate(&call("hi")).await.expect_err("a fault");
        let hint = if let ProviderError::Service(fault) = &error { fault.hint.clone() } else { None };
        for shown in [format!("{error:?}"), error.to_string(), hint.unwrap_or_default()] {
            assert!(!shown.contains("sk-very"), "{shown}");
        }
        assert!(server.requests()[0].headers.contains(&format!("authorization: bearer {KEY}")));
    }
}

#[test]
fn neither_settings_nor_providers_nor_identities_show_it() {
    let settings = with_key("http://127.0.0.1:1/v1", KEY);
    let provider = OpenAi::new(settings.clone()).expect("good settings");
    for shown in [format!("{settings:?}"), format!("{provider:#?}"), provider.identity().to_string()] {
        assert!(!shown.contains("sk-very"), "{shown}");
    }
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_without_showing_it() {
    let error = OpenAi::new(with_key("http://127.0.0.1:1/v1", &format!("{KEY}\n"))).expect_err("a line break");
    assert!(!format!("{error:?}").contains("sk-very"), "{error:?}");
    assert!(error.hint.is_some());
}

#[test]
fn a_password_in_an_origin_is_refused_without_showing_it() {
    for origin in ["http://user:sk-very@127.0.0.1/v1", "http://127.0.0.1/v1?key=sk-very"] {
        let error = OpenAi::new(settings(origin)).expect_err("no place for a secret");
        assert!(!format!("{error:?}").contains("sk-very"), "{error:?}");
    }
}
