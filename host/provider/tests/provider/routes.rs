//! From an operator's route to a provider.

use crate::fake::{FakeServer, Reaction, Request, call, openai, replies, says, says_with, settings};
use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::grants::{ModelRoute, read_operator_file};
use fapo_core::ports::{ContentFault, ModelReply, Provider, ProviderError, Usage};
use fapo_provider::{Api, OpenAiSettings, PROVIDERS, ProviderKind, RouteSources, SecretString, connect};
use fapo_template::{Message, Role};
use serde_json::json;
use std::sync::Arc;

fn route(fields: &str) -> ModelRoute {
    let file = read_operator_file("fapo.toml", &format!("[models.main]\n{fields}\n")).expect("an operator file");
    file.models["main"].clone()
}

/// With the files and variables of this table.
pub(crate) fn connect_with(fields: &str, known: &[(&str, &str)]) -> Result<Arc<dyn Provider>, InputError> {
    let value = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let sources = RouteSources {
        text: &|file| value(file).ok_or_else(|| InputError::new(file, "is missing")),
        key: &|variable| value(variable).map(SecretString::from),
        price: &|_, _| None,
        variables: &|begin| {
            let named = known.iter().filter(|(name, _)| name.starts_with(begin));
            named.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        },
        jitter_seed: 0,
        model_folder: std::path::Path::new("no-models"),
    };
    connect("task", &route(fields), &sources)
}

#[tokio::test]
async fn routes_become_providers() {
    let server = FakeServer::with(vec![replies("from afar")]).await;
    let fields = format!("provider = \"openai\"\norigin = {:?}\nmodel = \"m\"\nkey_env = \"K\"", server.origin);
    let remote = connect_with(&fields, &[("K", "sk-1")]).expect("a good route");
    assert_eq!(remote.generate(&call("hi")).await.expect("a reply").text, "from afar");
    let request = &server.requests()[0];
    assert!(request.headers.contains("authorization: bearer sk-1\r\n"));
    assert_eq!((&request.body["model"], &request.body["max_tokens"]), (&"m".into(), &16_000.into()));

    let rules = [("r.jsonl", "{\"default\":\"from here\"}")];
    let script = connect_with("provider = \"scripted\"\nrules = \"r.jsonl\"", &rules).expect("a good route");
    assert_eq!(script.generate(&call("hi")).await.expect("a reply").text, "from here");
}

#[test]
fn a_wrong_route_is_named_with_the_way_out() {
    let table: &[(&str, &str, &str)] = &[
        (
            "provider = \"bedrock\"",
            "model alias task, `provider`: there is no",
            "providers: openai, anthropic, baseten",
        ),
        ("provider = \"sagemaker\"", "model alias task, `origin`: ", "origin ="),
        ("provider = \"anthropic\"\nmodel = \"m\"", "variable ANTHROPIC_API_KEY", "export ANTHROPIC_API_KEY="),
        ("provider = \"openai\"", "model alias task, `model`: ", "model ="),
        (
            "provider = \"openai\"\nmodel = \"m\"\nkey_env = \"NO\"",
            "`key_env`: the environment variable NO",
            "export NO=",
        ),
        ("provider = \"openai\"\nmodel = \"m\"\nkey_env = \"BLANK\"", "`key_env`: the environment", "export BLANK="),
        ("provider = \"openai\"\nmodel = \"m\"\ntemperature = 3.0", "model alias task, `temperature`: ", ""),
        ("provider = \"openai\"\nmodel = \"m\"\ntop_p = 0.0", "model alias task, `top_p`: ", ""),
        ("provider = \"openai\"\nmodel = \"m\"\noutput_tokens_max = 0", "`output_tokens_max`: ", ""),
        ("provider = \"openai\"\nmodel = \"m\"\ntimeout_ms = 0", "model alias task, `timeout_ms`: ", ""),
        ("provider = \"openai\"\nmodel = \"m\"\nretries_max = 101", "model alias task, `retries_max`: ", ""),
        (
            "provider = \"openai\"\nmodel = \"m\"\nconcurrency_max = 0",
            "model alias task, `concurrency_max`: ",
            "no bound",
        ),
        ("provider = \"replay\"", "model alias task, `cassette`: ", "cassette ="),
        ("provider = \"scripted\"", "model alias task, `rules`: ", "rules ="),
        ("provider = \"scripted\"\nrules = \"no.jsonl\"", "no.jsonl: is missing", ""),
        ("provider = \"scripted\"\nrules = \"bad.jsonl\"", "bad.jsonl:1: ", "a rule is"),
    ];
    for (fields, start, hint) in table {
        let known = [("BLANK", " "), ("bad.jsonl", "{}")];
        let error = connect_with(fields, &known).err().unwrap_or_else(|| panic!("{fields} is wrong"));
        assert!(error.to_string().contains(start), "{error}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{error}: {:?}", error.hint);
    }
}

#[cfg(feature = "embedded")]
#[test]
fn an_embedded_route_never_falls_back_to_another_model() {
    let error = |fields| connect_with(fields, &[]).err().expect("a wrong route");
    let other = error("provider = \"embedded\"\nmodel = \"gpt\"");
    assert!(other.to_string().contains("model alias task, `model`: \"gpt\" is no .gguf file"), "{other}");
    let missing = error("provider = \"embedded\"\nmodel = \"no.gguf\"");
    assert!(missing.to_string().contains("no.gguf"), "{missing}");
    let kept = error("provider = \"embedded\"");
    assert!(kept.hint.as_deref().is_some_and(|hint| hint.contains("fapo model pull")), "{kept}");
}

#[cfg(not(feature = "embedded"))]
#[test]
fn an_embedded_route_says_how_to_build_the_model_in() {
    let error = connect_with("provider = \"embedded\"", &[]).err().expect("it is not built in");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("feature `embedded`")), "{error}");
}

#[test]
fn a_route_over_tls_can_be_made_where_the_system_has_certificates() {
    if let Err(error) = connect_with("provider = \"openai\"\nmodel = \"m\"", &[]) {
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("ca-certificates")), "{error}");
    }
}

#[test]
fn the_table_documents_settings_that_routes_have() {
    let known = serde_json::to_value(route(
        "provider = \"\"\norigin = \"http://x\"\norigins = [\"http://y\"]\nmodels = [\"\"]\nkey_env = \"\"\n\
         model = \"\"\nrules = \"\"\ntop_p = 1.0\nregion = \"\"\nconcurrency_max = 1\nrequests_per_minute_max = 1\ntokens_per_minute_max = 1\ncassette = \"\"\nrecord = \"\"",
    ));
    let known = known.expect("a route is JSON");
    for kind in PROVIDERS {
        assert_eq!(ProviderKind::named(kind.name).expect("itself").name, kind.name);
        assert!(!kind.summary.is_empty() && !kind.settings.is_empty());
        for setting in kind.settings {
            assert!(known.get(setting.name).is_some(), "{}: {}", kind.name, setting.name);
        }
    }
}

/// A route of a provider to the fake server, and what it made of a call with a system message.
async fn asked(provider: &str, path: &str, reaction: Reaction) -> (ModelReply, Request) {
    let server = FakeServer::with(vec![reaction]).await;
    let origin = format!("{}{path}", server.origin);
    let fields = format!(
        "provider = {provider:?}\norigin = {origin:?}\nmodel = \"m\"\nkey_env = \"K\"\ntop_p = 0.95\ntemperature = 1.0"
    );
    let route = connect_with(&fields, &[("K", "sk-1")]).expect("a good route");
    let mut call = call("hi");
    let said = |role, text: &str| Message { role, content: text.into() };
    call.messages = vec![said(Role::System, "Be brief."), said(Role::User, "hi"), said(Role::Assistant, "so")].into();
    call.output_tokens_max = Some(50);
    call.stop = vec!["END".into()];
    let reply = route.generate(&call).await.expect("a reply");
    let request = server.requests().remove(0);
    (reply, request)
}

#[tokio::test]
async fn each_service_is_asked_in_its_own_way() {
    let message = json!({
        "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "brief"}], "usage": {"input_tokens": 9, "output_tokens": 2},
    });
    let (reply, request) = asked("anthropic", "", says(200, message)).await;
    assert_eq!((reply.text.as_str(), reply.model_served.as_deref()), ("brief", Some("m-1")));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 9, completion_tokens: 2 }));
    assert_eq!(request.path, "/messages");
    assert!(request.headers.contains("x-api-key: sk-1\r\n") && request.headers.contains("anthropic-version: 2023-"));
    assert!(!request.headers.contains("authorization"));
    assert_eq!(
        request.body,
        json!({
            "model": "m", "max_tokens": 50, "system": "Be brief.", "temperature": 1.0, "top_p": 0.95,
            "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "so"}],
            "stop_sequences": ["END"],
        })
    );

    let (reply, request) = asked("baseten", "", replies("brief")).await;
    assert_eq!((reply.text.as_str(), request.path.as_str()), ("brief", "/chat/completions"));
    assert!(request.headers.contains("authorization: bearer sk-1\r\n"));

    let (reply, request) = asked("sagemaker", "/invoke", says_with(200, "", "brief and bare")).await;
    assert_eq!((reply.text.as_str(), reply.usage), ("brief and bare", None));
    assert_eq!(request.path, "/invoke", "the origin is the whole address");
    assert!(request.headers.contains("x-api-key: sk-1\r\n") && !request.headers.contains("authorization"));
    let fields: Vec<&String> = request.body.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["messages", "temperature", "top_p", "max_tokens", "stop"]);
    assert_eq!(request.body["messages"][0], json!({"role": "system", "content": "Be brief."}));
}

#[tokio::test]
async fn refusals_of_anthropic_are_of_the_kinds_of_all_others() {
    let refused = |status: u16, kind: &str, message: &str| {
        says(status, json!({"type": "error", "error": {"type": kind, "message": message}}))
    };
    let ask = async |reactions: Vec<Reaction>| {
        let server = FakeServer::with(reactions).await;
        let (provider, _) = openai(OpenAiSettings { api: Api::Messages, ..settings(&server.origin) });
        (provider.generate(&call("hello")).await, server.requests().len())
    };
    let good = says(200, json!({"content": [{"type": "text", "text": "at last"}], "stop_reason": "end_turn"}));
    for (status, kind) in [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error")] {
        let (outcome, requests) = ask(vec![refused(status, kind, "wait"), good.clone()]).await;
        assert_eq!((outcome.expect("a reply").text.as_str(), requests), ("at last", 2), "{kind}");
    }
    for (status, kind, message, expected) in [
        (401, "authentication_error", "invalid x-api-key", FaultKind::Unauthorized),
        (404, "not_found_error", "model: m", FaultKind::NotFound),
        (400, "invalid_request_error", "Your credit balance is too low to access the API", FaultKind::QuotaExhausted),
        (402, "billing_error", "no credit", FaultKind::QuotaExhausted),
    ] {
        let (outcome, requests) = ask(vec![refused(status, kind, message)]).await;
        assert_eq!((crate::fake::kind(outcome), requests), (expected, 1), "{kind}");
    }
    let (outcome, requests) = ask(vec![refused(400, "invalid_request_error", "max_tokens: unsupported")]).await;
    assert!(matches!(outcome, Err(ProviderError::Content(ContentFault::InvalidRequest(_)))), "{outcome:?}");
    assert_eq!(requests, 1, "its cap has one name");
    let long = refused(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum");
    let (outcome, _) = ask(vec![long]).await;
    assert!(matches!(outcome, Err(ProviderError::Content(ContentFault::ContextTooLong))), "{outcome:?}");
}
