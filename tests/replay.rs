//! A case from its record: the same run without its models, to the last unit of fuel.

use crate::judges::{bench as judged, question};
use crate::nodes;
use crate::support::{Answer, Bench, FakeServer};
use serde_json::{Value, json};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// Lines of a replay by case.
fn replay(bench: &Bench, run: &str, code: i32) -> Vec<Value> {
    let ran = bench.fapo(&["replay", run, "--json"]);
    assert_eq!(ran.code, code, "{}{}", ran.stderr, ran.stdout);
    ran.lines().into_iter().filter(|line| line["kind"] == "replay").collect()
}

fn all_same(lines: &[Value]) {
    assert!(!lines.is_empty());
    for line in lines {
        assert_eq!(line["status"], "same", "{line:#}");
    }
}

/// Writes another text into the journal, as somebody who doctors a record would.
fn doctor(bench: &Bench, from: &str, to: &str) {
    let path = format!("{RUN}/journal.jsonl");
    let text = bench.read(&path);
    assert!(text.contains(from), "{from} in {text}");
    bench.write(&path, &text.replace(from, to));
}

#[test]
fn a_run_comes_out_of_its_record_again_with_no_model_and_no_key() {
    let server = FakeServer::start(Answer::Reply(|_| "First".into()));
    let bench = judged(&server, 100, &question(true));
    crate::judges::rows(&bench, "4", 0);
    let paid = server.requests();
    all_same(&replay(&bench, RUN, 0));
    assert_eq!(server.requests(), paid);
    drop(server);
    assert_eq!(replay(&bench, RUN, 0).len(), 4);
    let one = bench.fapo(&["replay", RUN, "--case", "dq-v002"]);
    assert_eq!(one.code, 0, "{}", one.stderr);
    snapshot!(one.stdout);
}

#[test]
fn nodes_of_third_parties_and_guests_that_trap_come_out_as_they_did() {
    let bench = nodes::bench("upper", "");
    nodes::rows(&bench, 0);
    all_same(&replay(&bench, RUN, 0));
    let bench = nodes::bench("panic", "");
    nodes::rows(&bench, 5);
    let lines = replay(&bench, RUN, 0);
    assert_eq!(lines.len(), 3);
    all_same(&lines);
}

#[test]
fn a_record_that_was_doctored_is_found_out_by_name() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]).code, 0);
    let path = format!("{RUN}/journal.jsonl");
    let journal = bench.read(&path);
    let line: Value = serde_json::from_str(journal.lines().nth(1).expect("a case")).expect("JSON");
    let record = &line["record"];
    let what = |lines: &[Value]| -> Vec<String> {
        let found = lines.iter().flat_map(|line| line["differences"].as_array().expect("a list"));
        found.map(|d| d["what"].as_str().expect("text").to_string()).collect()
    };
    // A reply: the steps after it say something else, and so does the score.
    let reply = json!(record["calls"][0]["reply"]).to_string();
    doctor(&bench, &format!("\"reply\":{reply}"), "\"reply\":\"nobody said this\"");
    let found = what(&replay(&bench, RUN, 1));
    assert!(found.iter().any(|what| what.starts_with("step ")), "{found:?}");
    // A prompt: nothing answers what is really asked.
    bench.write(&path, &journal.replacen("\"role\":\"user\"", "\"role\":\"system\"", 1));
    let found = what(&replay(&bench, RUN, 1));
    assert!(found[0].starts_with("call 1"), "{found:?}");
    assert!(found.contains(&"fault".to_string()), "{found:?}");
    // A passage that the search did not bring.
    let passage = json!(record["searches"][0]["hits"][0][0]).to_string();
    bench.write(&path, &journal.replacen(&format!("[{passage},"), "[\"elsewhere\",", 1));
    let found = what(&replay(&bench, RUN, 1));
    assert!(found[0].starts_with("search 1"), "{found:?}");
    // A score.
    bench.write(&path, &journal.replacen("\"composite\":", "\"composite\":1", 1));
    let found = what(&replay(&bench, RUN, 1));
    assert_eq!(found, ["score"]);
}

#[test]
fn what_is_not_as_it_was_is_refused_and_what_never_ran_is_left_out() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "2"]).code, 0);
    let unknown = bench.fapo(&["replay", RUN, "--case", "nobody"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("the run has no such case"), "{}", unknown.stderr);
    let prompts = "tenants/demo_qa/prompts/modules/generate_answer/variant-001.md";
    bench.write(prompts, &format!("{}Be brief.\n", bench.read(prompts)));
    let changed = bench.fapo(&["replay", RUN]);
    assert_eq!(changed.code, 2);
    assert!(changed.stderr.contains("other than what is there now: prompts"), "{}", changed.stderr);

    let server = FakeServer::start(Answer::Reply(|_| "First".into()));
    let bench = judged(&server, 2, &question(false));
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]).code, 4);
    let lines = replay(&bench, RUN, 0);
    let status: Vec<&str> = lines.iter().filter_map(|line| line["status"].as_str()).collect();
    assert_eq!(status.iter().filter(|status| **status == "left_out").count(), 1, "{lines:?}");
    assert_eq!(status.iter().filter(|status| **status == "same").count(), 2, "{lines:?}");
}

#[test]
fn runs_of_a_trials_variants_come_out_of_their_records() {
    let bench = crate::optimize::sums("shortest phrase that answers");
    assert_eq!(crate::optimize::trial(&bench, &["--variants", "2"]).code, 0);
    for run in ["variants/000/train", "variants/001/train", "variants/000/test"] {
        let run = format!("fapo-work/trials/t/{run}");
        all_same(&replay(&bench, &run, 0));
    }
}
