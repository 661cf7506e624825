//! From an operator's route to a provider.

use crate::fake::{FakeServer, call, replies};
use fapo_core::InputError;
use fapo_core::grants::{ModelRoute, read_operator_file};
use fapo_core::ports::Provider;
use fapo_provider::{PROVIDERS, ProviderKind, RouteSources, SecretString, connect};
use std::sync::Arc;

fn route(fields: &str) -> ModelRoute {
    let file = read_operator_file("fapo.toml", &format!("[models.main]\n{fields}\n")).expect("an operator file");
    file.models["main"].clone()
}

/// With the files and variables of this table.
fn connect_with(fields: &str, known: &[(&str, &str)]) -> Result<Arc<dyn Provider>, InputError> {
    let value = |name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let sources = RouteSources {
        text: &|file| value(file).ok_or_else(|| InputError::new(file, "is missing")),
        key: &|variable| value(variable).map(SecretString::from),
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
        ("provider = \"sagemaker\"", "model alias task, `provider`: there is no", "providers: openai, scripted"),
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
        "provider = \"\"\norigin = \"http://x\"\nkey_env = \"\"\nmodel = \"\"\nrules = \"\"\ntop_p = 1.0",
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
