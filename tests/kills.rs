//! Real kills: the binary is stopped by the k-th progress line, and the same command goes on.

use crate::support::{Answer, Bench, FakeServer, without_times};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";
const CASES: usize = 8;

fn bench(server: &FakeServer) -> Bench {
    let bench = Bench::with_index();
    bench.append(
        "fapo.toml",
        &format!("\n[models.far]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"m\"\n", server.origin()),
    );
    bench.edit("fapo.toml", "[\"demo_script\", \"embedded\"]", "[\"far\"]");
    bench.edit(CONFIG, "\"provider\": \"scripted\"", "\"provider\": \"openai\"");
    bench.edit(CONFIG, "\"model\": \"scripted\"", "\"model\": \"m\"");
    bench.edit(CONFIG, "\"max_workers\": 8", "\"max_workers\": 3");
    bench
}

fn server() -> FakeServer {
    FakeServer::start(Answer::Reply(|asked| format!("{} letters", asked.len())))
}

/// Rows of the run without what may differ between two runs: times and what the cache answered.
fn rows(bench: &Bench) -> Vec<Value> {
    let text = bench.read(&format!("{RUN}/results.jsonl"));
    let row = |line: &str| {
        let mut row = without_times(serde_json::from_str(line).expect("JSON"));
        row["fapo"]["calls"] = Value::Null;
        row["fapo"]["cost"] = Value::Null;
        row
    };
    text.lines().map(row).collect()
}

#[test]
fn twenty_kills_lose_no_finished_case_and_pay_none_twice() {
    let limit = CASES.to_string();
    let arguments = ["eval", "--config", CONFIG, "--limit", &limit, "--json"];
    let calm = server();
    let whole = bench(&calm);
    assert_eq!(whole.fapo(&arguments).code, 0);
    let expected = rows(&whole);
    assert_eq!(calm.requests(), CASES);

    let questions = questions(&whole);
    let mut kills = 0;
    let plans =
        [(1, 3), (1, 1), (1, 2), (1, 4), (2, 1), (2, 3), (2, 2), (3, 1), (3, 3), (4, 2), (5, 3), (6, 3), (7, 8)];
    for (lines, workers) in plans {
        let server = server();
        let bench = bench(&server);
        bench.edit(CONFIG, "\"max_workers\": 3", &format!("\"max_workers\": {workers}"));
        // What had been asked for a case when its line was printed: nothing may be added to it afterwards.
        let mut asked_when_finished = BTreeMap::new();
        let of_case = |case_id: &str| -> usize {
            let asked = server.asked();
            asked.iter().filter(|(message, _)| message.contains(&questions[case_id])).map(|(_, n)| n).sum()
        };
        while let Some(case_ids) = killed_after(&bench, &arguments, lines) {
            asked_when_finished.extend(case_ids.into_iter().map(|id| (id.clone(), of_case(&id))));
            kills += 1;
        }
        assert_eq!(rows(&bench), expected, "killed after every {lines} lines");
        for (case_id, before) in asked_when_finished {
            assert_eq!(of_case(&case_id), before, "{case_id} was finished and paid again");
        }
    }
    assert!(kills >= 20, "{kills} kills");
}

/// Runs until so many case lines were printed and kills then; the cases printed, or None where the run ended first.
fn killed_after(bench: &Bench, arguments: &[&str], lines: usize) -> Option<Vec<String>> {
    let mut child = bench.start(arguments);
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut case_ids = Vec::new();
    for line in out.lines() {
        let line: Value = serde_json::from_str(&line.expect("UTF-8")).expect("JSON");
        match line["kind"].as_str() {
            Some("case") => case_ids.push(line["case_id"].as_str().expect("an id").to_string()),
            Some("run") => {
                assert!(child.wait().expect("waited").success());
                return None;
            }
            _ => {}
        }
        if case_ids.len() == lines {
            // SIGKILL on Unix.
            child.kill().expect("killed");
            child.wait().expect("waited");
            return Some(case_ids);
        }
    }
    panic!("the run ended without its last line");
}

/// Question of each case.
fn questions(bench: &Bench) -> BTreeMap<String, String> {
    let text = bench.read("tenants/demo_qa/datasets/validation.jsonl");
    let pair = |row: &str| {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        (text(&row["case_id"]), text(&row["context"]["question"]))
    };
    text.lines().map(pair).collect()
}
