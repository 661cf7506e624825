//! `fapo score`: outputs made elsewhere, scored in the sandbox.

use crate::support::{Answer, Bench, FakeServer, root};
use serde_json::{Value, json};
use std::path::PathBuf;

fn rows(bench: &Bench, folder: &str) -> Vec<Value> {
    let text = bench.read(&format!("{folder}/results.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn recorded_outputs_are_scored_and_a_missing_one_counts_as_zero() {
    let bench = Bench::new();
    let cases: String = ["24", "a shepherd", "violets"]
        .iter()
        .enumerate()
        .map(|(at, answer)| {
            let row = json!({"case_id": format!("c{at}"), "task_type": "qa", "context": {"question": "q"}, "expected": {"answer": answer}, "metadata": {}});
            format!("{row}\n")
        })
        .collect();
    bench.write("cases.jsonl", &cases);
    bench.write(
        "outputs.jsonl",
        "{\"case_id\": \"c1\", \"output_text\": \"The shepherd\", \"step_outputs\": {\"find\": \"text\", \"answer\": \"The shepherd\"}}\n\
         {\"case_id\": \"c0\", \"output_text\": \"24 stones\"}\n",
    );
    let arguments = [
        "score",
        "--tenant",
        "tenants/demo_qa",
        "--cases",
        "cases.jsonl",
        "--outputs",
        "outputs.jsonl",
        "--output-dir",
        "scored",
        "--profile",
        "{\"metric\": \"token_f1\"}",
        "--json",
    ];
    let ran = bench.fapo(&arguments);
    assert_eq!(ran.code, 5, "one case has no output: {}", ran.stderr);
    let rows = rows(&bench, "scored");
    let scores: Vec<f64> = rows.iter().map(|r| r["composite_score"].as_f64().expect("a number")).collect();
    assert!((scores[0] - 66.67).abs() < 0.01 && scores[1] == 100.0 && scores[2] == 0.0, "{scores:?}");
    assert_eq!(rows[1]["step_outputs"], json!({"find": "text", "answer": "The shepherd"}));
    assert!(rows[2]["fapo"]["fault"]["message"].as_str().is_some_and(|m| m.contains("no output is recorded")));
    let last = ran.line("run");
    assert_eq!((&last["planned"], &last["completed"], &last["errors"]), (&3.into(), &3.into(), &1.into()));
    assert_eq!(ran.lines().pop().expect("lines")["kind"], "run", "the run's line is the last");
    for file in ["results.jsonl", "run_config.json", "summary.md", "progress.json", "journal.jsonl"] {
        assert!(bench.path("scored").join(file).is_file(), "{file}");
    }
}

/// Every recorded EM and F1 of the reference scorer, through the command. The data is not part of the project.
#[test]
fn recorded_verdicts_of_the_reference_are_met() {
    let folder = std::env::var_os("FAPO_DATA_DIR").map_or(root().join("../shared/data"), PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("hotpotqa/predictions_em_f1.jsonl")) else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: no hotpotqa/predictions_em_f1.jsonl under FAPO_DATA_DIR");
        }
        return;
    };
    let bench = Bench::with_hotpotqa();
    let recorded: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (mut official, mut outputs) = (Vec::new(), String::new());
    for (at, row) in recorded.iter().enumerate() {
        // Ids of our own: the file may hold a question several times.
        let id = format!("r{at}");
        official.push(json!({"_id": id, "question": row["question"], "answer": row["gold"]}));
        outputs.push_str(&format!("{}\n", json!({"case_id": id, "output_text": row["prediction"]})));
    }
    bench.write("official.json", &Value::from(official).to_string());
    bench.write("outputs.jsonl", &outputs);
    let ran = bench.fapo(&[
        "score",
        "--tenant",
        "tenants/hotpotqa",
        "--cases",
        "official.json",
        "--outputs",
        "outputs.jsonl",
        "--output-dir",
        "scored",
        "--profile",
        "{\"metric\": \"official\"}",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let scored = rows(&bench, "scored");
    assert_eq!(scored.len(), recorded.len());
    for (row, reference) in scored.iter().zip(&recorded) {
        let number = |value: &Value| value.as_f64().expect("a number");
        assert_eq!(number(&row["score_breakdown"]["exact_match"]), 100.0 * number(&reference["em"]), "{reference}");
        let f1 = number(&row["score_breakdown"]["f1"]) / 100.0;
        assert!((f1 - number(&reference["f1"])).abs() < 1e-9, "{f1}: {reference}");
    }
}

/// The six-node chain over its own cases, with scripted replies.
#[test]
fn the_six_node_chain_runs_with_its_scripted_replies() {
    let bench = Bench::with_hotpotqa();
    assert_eq!(bench.fapo(&["index", "build", "hotpot"]).code, 0);
    let ran = bench.fapo(&["eval", "--config", "tenants/hotpotqa/configs/scripted.json", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let run = "fapo-work/tenants/hotpotqa/evals/tmp/scripted-baseline";
    for row in rows(&bench, run) {
        let steps: Vec<&String> = row["step_outputs"].as_object().expect("an object").keys().collect();
        assert_eq!(
            steps,
            ["retrieve_hop1", "summarize_hop1", "query_hop2", "retrieve_hop2", "summarize_hop2", "answer"]
        );
        assert_eq!(row["fapo"]["calls"]["total"], 4);
        assert_eq!(row["fapo"]["searches"].as_array().map(Vec::len), Some(2));
    }
    assert!(ran.line("run")["composite"]["mean"].as_f64().is_some_and(|mean| mean > 30.0), "{}", ran.stdout);
}

/// Replies that change with every word of the prompt, and with the change below so much that another search finds
/// other passages: a change then goes on to every node after it.
fn reply(asked: &str) -> String {
    let sum = asked.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let about = if asked.contains("just the query") { "mountain peak range" } else { "painter colours" };
    format!("reply {sum} about {about}")
}

#[test]
fn a_changed_prompt_pays_for_its_node_and_those_after_it_and_a_repeat_for_nothing() {
    const CASES: usize = 5;
    let server = FakeServer::start(Answer::Reply(reply));
    let bench = Bench::with_hotpotqa();
    bench.append(
        "fapo.toml",
        &format!("\n[models.far]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"m\"\n", server.origin()),
    );
    bench.edit("fapo.toml", "[\"hotpot_script\", \"embedded\"]", "[\"far\"]");
    let config = "tenants/hotpotqa/configs/scripted.json";
    bench.edit(config, "\"scripted\"", "\"m\"");
    bench.edit(config, "\"provider\": \"m\"", "\"provider\": \"openai\"");
    assert_eq!(bench.fapo(&["index", "build", "hotpot"]).code, 0);
    let run = || {
        let before = server.requests();
        let ran = bench.fapo(&["eval", "--config", config, "--limit", &CASES.to_string(), "--json"]);
        assert_eq!(ran.code, 0, "{} {}", ran.stderr, ran.stdout);
        let paid = ran.line("usage")["paid"].as_u64().expect("a number");
        assert_eq!(server.requests() - before, usize::try_from(paid).expect("few"), "what is said is what was asked");
        std::fs::remove_dir_all(bench.path("fapo-work/tenants")).expect("removed");
        paid
    };
    assert_eq!(run(), 4 * CASES as u64);
    assert_eq!(run(), 0, "the run is gone, the replies are not");
    // The third of four model calls' prompt: itself, the summary after it and the answer.
    bench.edit(
        "tenants/hotpotqa/prompts/modules/generate_query_with_context/variant-001.md",
        "and only the query",
        "and just the query",
    );
    assert_eq!(run(), 3 * CASES as u64);
}
