//! Spans on their way to a collector.

use crate::support::{Answer, Bench, FakeServer};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const CONTENT: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// What a collector got of a run of three cases, as far as it is text.
fn collected(variables: &[(&str, &str)]) -> String {
    let bench = Bench::with_index();
    let collector = FakeServer::start(Answer::Status(200, ""));
    let endpoint = collector.origin().trim_end_matches("/v1").to_string();
    let variables = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())], variables].concat();
    let ran = bench.fapo_with(&["eval", "--config", CONFIG, "--limit", "3"], &variables);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let heads: Vec<String> = collector.seen().into_iter().map(|(head, _)| head).collect();
    assert!(heads.iter().all(|head| head.starts_with("POST /v1/traces ")), "{heads:?}");
    collector.bodies().iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

#[test]
fn a_collector_gets_runs_cases_and_calls_and_no_word_of_a_prompt() {
    let spans = collected(&[]);
    for name in
        ["run", "case", "dq-v001", "chat", "gen_ai.operation.name", "gen_ai.usage.input_tokens", "fapo.composite"]
    {
        assert!(spans.contains(name), "no {name}");
    }
    assert!(!spans.contains("Redfern") && !spans.contains("gen_ai.input.messages"), "{spans}");
}

#[test]
fn prompts_are_sent_where_the_person_asks_for_it() {
    let spans = collected(&[(CONTENT, "true")]);
    assert!(spans.contains("gen_ai.input.messages") && spans.contains("Redfern"), "{spans}");
    assert!(spans.contains("gen_ai.output.messages"));
}

#[test]
fn a_collector_that_is_not_there_costs_no_case_and_a_wrong_name_is_bad_input() {
    let bench = Bench::with_index();
    let eval = |endpoint: &str| {
        let arguments = ["eval", "--config", CONFIG, "--limit", "2", "--fresh", "--json"];
        bench.fapo_with(&arguments, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)])
    };
    let gone = eval("http://127.0.0.1:1");
    assert_eq!((gone.code, gone.line("run")["errors"].as_u64()), (0, Some(0)), "{}", gone.stderr);
    let wrong = eval("not a url");
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{}", wrong.stderr);
}
