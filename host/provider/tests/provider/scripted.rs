//! The scripted provider: which rule answers, how it fails on purpose, which lines are wrong.

use crate::fake::{call, service_fault};
use fapo_core::fault::FaultKind;
use fapo_core::ports::{ContentFault, FinishReason, ModelCall, ModelReply, Provider, ProviderError, Usage};
use fapo_provider::Scripted;
use fapo_template::{Message, Role};

fn script(rules: &str) -> Scripted {
    Scripted::from_rules("r.jsonl", rules).expect("good rules")
}

fn chat(messages: &[(Role, &str)]) -> ModelCall {
    let message = |(role, text): &(Role, &str)| Message { role: *role, content: (*text).to_owned() };
    ModelCall { messages: messages.iter().map(message).collect(), ..call("") }
}

async fn answer(script: &Scripted, messages: &[(Role, &str)]) -> Result<ModelReply, ProviderError> {
    script.generate(&chat(messages)).await
}

async fn text(script: &Scripted, user: &str) -> String {
    script.generate(&call(user)).await.expect("a reply").text
}

#[tokio::test]
async fn the_first_fitting_rule_answers_and_the_default_comes_last() {
    let script = script(
        "{\"default\":\"none\"}\n\n{\"contains\":[\"river\",\"deep\"],\"reply\":\"4\"}\n{\"contains\":\"river\",\"reply\":\"Osk\"}",
    );
    assert_eq!(text(&script, "how deep is the river").await, "4");
    assert_eq!(text(&script, "which river").await, "Osk");
    assert_eq!(text(&script, "who").await, "none");
}

#[tokio::test]
async fn contains_looks_at_the_last_user_message_and_when_at_all() {
    let script = script("{\"contains\":\"a\",\"when\":[\"b\",\"c\"],\"reply\":\"yes\"}\n{\"default\":\"no\"}");
    let table: &[(&[(Role, &str)], &str)] = &[
        (&[(Role::System, "b"), (Role::User, "a"), (Role::Assistant, "c")], "yes"),
        (&[(Role::User, "a b"), (Role::Assistant, "c"), (Role::User, "x")], "no"),
        (&[(Role::User, "a b")], "no"),
        (&[(Role::System, "a b c")], "yes"),
        (&[], "no"),
    ];
    for (messages, expected) in table {
        assert_eq!(answer(&script, messages).await.expect("a reply").text, *expected, "{messages:?}");
    }
}

#[tokio::test]
async fn an_echo_and_a_cut_reply() {
    let script = script("{\"contains\":\"say\",\"echo\":true,\"finish\":\"length\"}");
    let reply = answer(&script, &[(Role::System, "one"), (Role::User, "say this")]).await.expect("a reply");
    assert_eq!((reply.text.as_str(), reply.finish, reply.attempts), ("say this", FinishReason::Length, 1));
    assert_eq!(reply.usage, Some(Usage { prompt_tokens: 3, completion_tokens: 2 }));
    let error = script.generate(&call("else")).await.expect_err("no default");
    assert!(matches!(error, ProviderError::Content(ContentFault::InvalidRequest(_))), "{error}");
}

#[tokio::test]
async fn faults_come_for_ever_or_n_times_for_each_equal_call() {
    for (name, kind) in [
        ("rate_limited", FaultKind::RateLimited),
        ("unreachable", FaultKind::Unreachable),
        ("timed_out", FaultKind::TimedOut),
        ("malformed", FaultKind::Malformed),
        ("server_error", FaultKind::ServerError),
        ("unauthorized", FaultKind::Unauthorized),
        ("not_found", FaultKind::NotFound),
        ("quota_exhausted", FaultKind::QuotaExhausted),
    ] {
        let always = script(&format!("{{\"fault\":\"{name}\"}}"));
        for _ in 0..3 {
            assert_eq!(service_fault(always.generate(&call("x")).await).kind, kind);
        }
    }
    let too_long = script("{\"fault\":\"context_too_long\"}").generate(&call("x")).await;
    assert_eq!(too_long, Err(ContentFault::ContextTooLong.into()));
    let refused = script("{\"fault\":\"refused\"}").generate(&call("x")).await;
    assert!(matches!(refused, Err(ProviderError::Content(ContentFault::Refused(_)))));

    let twice = script("{\"fault\":\"unreachable\",\"fault_times\":2,\"reply\":\"ok\"}");
    for user in ["x", "y"] {
        for fails in [true, true, false, false] {
            assert_eq!(twice.generate(&call(user)).await.is_err(), fails, "{user}");
        }
    }
    assert!(twice.generate(&ModelCall { sample: 1, ..call("x") }).await.is_err(), "another sample, another call");
}

#[test]
fn the_identity_follows_the_rules() {
    assert_eq!(script("{\"default\":\"a\"}").identity(), script("{\"default\":\"a\"}").identity());
    assert_ne!(script("{\"default\":\"a\"}").identity(), script("{\"default\":\"b\"}").identity());
}

#[test]
fn a_wrong_line_is_named() {
    let table = [
        ("{\"replay\":\"x\"}", "unknown field `replay`"),
        ("{}", "either `reply` or `default`"),
        ("{\"reply\":\"a\",\"default\":\"b\"}", "either `reply` or `default`"),
        ("{\"reply\":\"a\",\"echo\":true}", "either `reply` or `echo`"),
        ("{\"contains\":7,\"reply\":\"a\"}", "a text or a list of texts"),
        ("{\"reply\":\"a\",\"fault_times\":1}", "without `fault`"),
        ("{\"fault\":\"unreachable\",\"fault_times\":1}", "add `reply`"),
        ("{\"fault\":\"unreachable\",\"reply\":\"a\"}", "needs `fault_times`"),
        ("{\"fault\":\"bored\"}", "unknown variant `bored`"),
        ("{\"reply\":\"a\",\"finish\":\"never\"}", "unknown variant `never`"),
        ("{\"default\":\"a\",\"when\":\"b\"}", "stands alone"),
        ("{\"default\":\"a\"}", "stands on line 1 already"),
        ("no json", "expected"),
    ];
    for (line, want) in table {
        let error = Scripted::from_rules("r.jsonl", &format!("{{\"default\":\"\"}}\n{line}")).expect_err(want);
        assert!(error.to_string().starts_with("r.jsonl:2: ") && error.to_string().contains(want), "{error}");
        assert!(error.hint.is_some());
    }
}

#[test]
fn the_scripts_of_the_shipped_tenants_load() {
    for tenant in ["demo_qa", "hotpotqa", "ctibench_rcm", "aime", "livebench_math", "hover"] {
        let file = format!("{}/../../tenants/{tenant}/scripted.jsonl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).expect("a script");
        Scripted::from_rules(&file, &text).expect("good rules");
    }
}
