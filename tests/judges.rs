//! Judges: a scorer asks a granted model through the tenant's prompts, and nothing it judges can speak for it.

use crate::support::{Answer, Bench, FakeServer, guest};
use serde_json::{Value, json};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// What the judge of these tests is asked.
const PROMPT: &str = "System: You compare answers.\nUser: ${question}\nFirst\n${first}\nSecond\n${second}\n";

/// demo_qa scored by a judge that is asked as `judge` says.
pub(crate) fn bench(server: &FakeServer, calls_max: u32, judge: &Value) -> Bench {
    let bench = Bench::with_index();
    std::fs::copy(guest(), bench.path("tenants/demo_qa/judge.wasm")).expect("copied");
    bench.edit(
        "tenants/demo_qa/tenant.toml",
        "[scorer]\ncomponent = \"tenants/demo_qa/stock.wasm\"",
        "[scorer]\ncomponent = \"tenants/demo_qa/judge.wasm\"",
    );
    bench.append("tenants/demo_qa/tenant.toml", "judges = [\"grader\"]\n");
    bench.write("tenants/demo_qa/prompts/judges/pair.md", PROMPT);
    bench.append(
        "fapo.toml",
        &format!(
            "\n[models.judging]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"fake\"\nretries_max = 0\n\n\
             [tenants.demo_qa.judges]\ngrader = {{ model = \"judging\", calls_max = {calls_max} }}\n",
            server.origin()
        ),
    );
    let mut config: Value = serde_json::from_str(&bench.read(CONFIG)).expect("JSON");
    config["scoring_profile"] = json!({"behave": "judge", "judge": judge});
    bench.write(CONFIG, &config.to_string());
    bench
}

pub(crate) fn rows(bench: &Bench, limit: &str, code: i32) -> Vec<Value> {
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", limit]);
    assert_eq!(ran.code, code, "{}{}", ran.stderr, ran.stdout);
    let text = bench.read(&format!("{RUN}/results.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub(crate) fn question(swap: bool) -> Value {
    let values = json!({"question": "Which?", "first": "$output", "second": "something else"});
    let mut asked = json!({"prompt": "pair", "model": "grader", "choices": ["First", "Second"], "values": values});
    if swap {
        asked["swap"] = json!(["first", "second"]);
    }
    asked
}

fn first(_: &str) -> String {
    "First".into()
}

/// Chooses by the text and not by its place.
fn fair(message: &str) -> String {
    let at = message.find("something else").expect("it is there");
    if message[..at].contains("\nSecond\n") { "**first**".into() } else { "Second.".into() }
}

#[test]
fn a_judge_is_asked_in_both_orders_and_every_call_is_counted() {
    let server = FakeServer::start(Answer::Reply(fair));
    for row in rows(&bench(&server, 100, &question(true)), "3", 0) {
        assert_eq!(row["composite_score"], 100.0, "{row}");
        let judge = &row["fapo"]["judge"];
        assert_eq!(
            (&judge["calls"], &judge["paid"], &judge["off_choice"]),
            (&json!(2), &json!(2), &json!(0)),
            "{judge}"
        );
        assert_eq!(judge["answers"][1], json!({"prompt": "pair", "swapped": true, "answer": "Second"}));
        assert!(row["fapo"]["used"]["scorer"]["wall"]["provider"].as_f64().is_some_and(|s| s > 0.0));
    }
    assert_eq!(server.requests(), 6);
    // A judge that prefers a place is found out by the second order alone.
    let server = FakeServer::start(Answer::Reply(first));
    assert_eq!(rows(&bench(&server, 100, &question(false)), "1", 0)[0]["composite_score"], 100.0);
    assert_eq!(rows(&bench(&server, 100, &question(true)), "1", 0)[0]["composite_score"], 0.0);
}

#[test]
fn a_reply_off_the_choices_is_no_verdict_and_counted_apart() {
    let server = FakeServer::start(Answer::Reply(|_| "First, I would say".into()));
    let row = rows(&bench(&server, 100, &question(false)), "1", 5).remove(0);
    assert_eq!(row["fapo"]["judge"]["off_choice"], 1);
    assert_eq!(row["fapo"]["fault"]["phase"], "scorer");
    let message = row["fapo"]["fault"]["message"].as_str().expect("a message");
    assert!(message.contains("none of the choices: First, I would say"), "{message}");
}

#[test]
fn calls_of_judges_never_pass_the_grant_and_a_stopped_run_goes_on_with_more() {
    let server = FakeServer::start(Answer::Reply(fair));
    let bench = bench(&server, 5, &question(true));
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "4"]);
    assert_eq!(ran.code, 4, "{}{}", ran.stderr, ran.stdout);
    assert_eq!(server.requests(), 5, "not one more than granted");
    assert!(ran.stdout.contains("the 5 calls of this run are used up"), "{}", ran.stdout);
    bench.edit("fapo.toml", "calls_max = 5", "calls_max = 50");
    let rows = rows(&bench, "4", 0);
    assert!(rows.iter().all(|row| row["composite_score"] == 100.0), "{rows:?}");
    assert!(server.requests() <= 8, "{} requests: what was paid is not paid again", server.requests());
}

#[test]
fn what_is_not_granted_is_refused_by_name() {
    let server = FakeServer::start(Answer::Reply(fair));
    let denied = bench(&server, 5, &json!({"prompt": "pair", "model": "task", "values": question(false)["values"]}));
    let row = rows(&denied, "1", 0).remove(0);
    assert!(row["fapo"]["used"]["scorer"]["denials"].to_string().contains("judge-model task"), "{row}");
    let unknown = bench(&server, 5, &json!({"prompt": "../chain", "model": "grader"}));
    let row = rows(&unknown, "1", 0).remove(0);
    assert!(row["diagnostics"].to_string().contains("there is: pair"), "{row}");
    let greedy = bench(
        &server,
        50,
        &json!({"prompt": "pair", "model": "grader", "times": 17, "values": question(false)["values"]}),
    );
    let row = rows(&greedy, "1", 5).remove(0);
    assert!(row["fapo"]["fault"]["message"].to_string().contains("limit judge_calls passed"), "{row}");
    assert_eq!(server.requests(), 0);
    let bench = bench(&server, 5, &question(false));
    bench.edit("fapo.toml", "[tenants.demo_qa.judges]\ngrader = { model = \"judging\", calls_max = 5 }", "");
    let ran = bench.fapo(&["eval", "--config", CONFIG]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("[tenants.demo_qa.judges] grader = { model ="), "{}", ran.stderr);
}
