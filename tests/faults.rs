//! A run against a service that fails often: the same results as against one that never does, every request accounted
//! for, and no key anywhere.

use crate::support::{Answer, Bench, FakeServer, Mishap, Ran, mishap};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const KEY: &str = "sk-canary-91d7e0b34c";
const CASES: usize = 300;

/// Always the same, which is right for every other case.
fn five(_: &str) -> String {
    "five".into()
}

/// 300 cases of `demo_qa` over a server, half of which it gets right.
fn bench(server: &FakeServer) -> Bench {
    let bench = Bench::with_index();
    let rows: Vec<Value> = bench
        .read("tenants/demo_qa/datasets/validation.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let row = |n: usize| {
        let mut row = rows[n % rows.len()].clone();
        let question = row["context"]["question"].as_str().expect("a question").to_string();
        row["case_id"] = format!("case-{n}").into();
        row["context"]["question"] = format!("{question} ({n})").into();
        row["expected"]["answer"] = if n.is_multiple_of(2) { "five" } else { "six" }.into();
        format!("{row}\n")
    };
    bench.write("tenants/demo_qa/datasets/validation.jsonl", &(0..CASES).map(row).collect::<String>());
    bench.append(
        "fapo.toml",
        &format!(
            "\n[models.far]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"m\"\nkey_env = \"FAPO_CANARY\"\n\
             timeout_ms = 1500\nretry_backoff_ms = 1\n",
            server.origin()
        ),
    );
    bench.edit("fapo.toml", "[\"demo_script\", \"embedded\"]", "[\"far\"]");
    bench.edit(CONFIG, "\"provider\": \"scripted\"", "\"provider\": \"openai\"");
    bench.edit(CONFIG, "\"model\": \"scripted\"", "\"model\": \"m\"");
    bench.edit(CONFIG, "\"max_workers\": 8", "\"max_workers\": 64");
    bench
}

fn eval(bench: &Bench, further: &[&str]) -> Ran {
    let arguments = [&["eval", "--config", CONFIG, "--output-dir", "run", "--json"], further].concat();
    bench.fapo_with(&arguments, &[("FAPO_CANARY", KEY)])
}

/// The rows of a run without what tells how often and how long it was asked.
fn rows(bench: &Bench) -> Vec<String> {
    let text = bench.read("fapo-work/run/results.jsonl");
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row["step_timings"] = json!(null);
        row["fapo"] = json!(null);
        row.to_string()
    };
    text.lines().map(row).collect()
}

/// Every file below a folder whose bytes hold a text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path).expect("read").windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn faults_of_a_service_change_no_result_and_every_request_is_accounted_for() {
    let calm = FakeServer::start(Answer::Reply(five));
    let faultless = bench(&calm);
    let expected = eval(&faultless, &[]);
    assert_eq!(expected.code, 0, "{}", expected.stderr);
    assert_eq!((calm.requests(), expected.line("usage")["requests"].as_u64()), (CASES, Some(CASES as u64)));
    let mean = expected.line("run")["composite"]["mean"].as_f64().expect("a mean");
    assert!((mean - 50.0).abs() < 1e-9, "{mean}");

    let server = FakeServer::start(Answer::Faulty(five));
    let faulty = bench(&server);
    let ran = eval(&faulty, &[]);
    assert_eq!(ran.code, 0, "{}{}", ran.stderr, ran.stdout);
    let (ours, theirs) = (rows(&faulty), rows(&faultless));
    assert_eq!(ours.len(), CASES);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "case by case, byte by byte");
    }
    let usage = ran.line("usage");
    assert_eq!(usage["requests"].as_u64(), Some(server.requests() as u64), "{usage}");
    assert_eq!((usage["paid"].as_u64(), usage["calls"].as_u64()), (Some(CASES as u64), Some(CASES as u64)));
    let met: BTreeSet<Mishap> = server
        .asked()
        .iter()
        .flat_map(|(message, times)| (1..=*times).filter_map(|nth| mishap(message, nth)))
        .collect();
    assert_eq!(met.len(), 6, "each kind of mishap was met: {met:?}");

    // Nothing that was written, kept or said holds the key, though the service repeated it.
    assert_eq!(holding(&faulty.path("."), KEY), Vec::<String>::new());
    assert!(server.seen().iter().all(|(head, _)| head.to_lowercase().contains(&KEY.to_lowercase())), "it was sent");
    let shown = faulty.fapo(&["show", "fapo-work/run", "--json"]);
    let exported = faulty.fapo(&["export", "fapo-work/run", "--format", "markdown"]);
    for (what, text) in [("eval", &ran), ("show", &shown), ("export", &exported)] {
        assert!(!text.stdout.contains(KEY) && !text.stderr.contains(KEY), "{what}");
    }
}

#[test]
fn a_service_that_only_fails_leaves_no_key_either() {
    let server = FakeServer::start(Answer::Status(401, "{\"error\": \"bad key sk-canary-91d7e0b34c\"}"));
    let bench = bench(&server);
    let ran = eval(&bench, &["--limit", "3"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(!ran.stdout.contains(KEY) && !ran.stderr.contains(KEY), "{}", ran.stdout);
    assert_eq!(holding(&bench.path("."), KEY), Vec::<String>::new());
}

#[test]
fn a_cassette_answers_as_the_service_did_without_key_and_network() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server);
    bench.edit("fapo.toml", "key_env = \"FAPO_CANARY\"", "key_env = \"FAPO_CANARY\"\nrecord = \"calls.jsonl\"");
    let recorded = eval(&bench, &["--limit", "20"]);
    assert_eq!((recorded.code, server.requests()), (0, 20), "{}", recorded.stderr);
    assert_eq!(bench.read("calls.jsonl").lines().count(), 20);
    let expected = rows(&bench);
    drop(server);

    bench.append("fapo.toml", "\n[models.taped]\nprovider = \"replay\"\ncassette = \"calls.jsonl\"\n");
    bench.edit("fapo.toml", "[\"far\"]", "[\"taped\"]");
    bench.edit(CONFIG, "\"provider\": \"openai\"", "\"provider\": \"replay\"");
    bench.edit(CONFIG, "\"model\": \"m\",", "");
    let replayed = bench.fapo(&["eval", "--config", CONFIG, "--output-dir", "taped", "--limit", "20"]);
    assert_eq!(replayed.code, 0, "{}", replayed.stderr);
    std::fs::rename(bench.path("fapo-work/taped"), bench.path("fapo-work/run2")).expect("moved");
    std::fs::remove_dir_all(bench.path("fapo-work/run")).expect("removed");
    std::fs::rename(bench.path("fapo-work/run2"), bench.path("fapo-work/run")).expect("moved");
    assert_eq!(rows(&bench), expected);
    let more = bench.fapo(&["eval", "--config", CONFIG, "--output-dir", "more", "--limit", "21"]);
    assert_eq!(more.code, 5, "{}", more.stdout);
    assert!(
        more.stdout.contains("has no reply to this prompt") && more.stdout.contains("record it"),
        "{}",
        more.stdout
    );
}
