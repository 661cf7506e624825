//! Runs over real components in the real sandbox.

use crate::support::{Bench, without_times};
use serde_json::Value;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

fn rows(bench: &Bench) -> Vec<Value> {
    let text = bench.read(&format!("{RUN}/results.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn eval(bench: &Bench, limit: &str) -> crate::support::Ran {
    bench.fapo(&["eval", "--config", CONFIG, "--limit", limit, "--json"])
}

#[test]
fn every_artefact_has_the_originals_keys_types_and_numbers() {
    let bench = Bench::with_index();
    assert_eq!(eval(&bench, "5").code, 0);
    let rows = rows(&bench);
    assert_eq!(rows.len(), 5);
    for row in &rows {
        assert_eq!(
            keys(row),
            [
                "case_id",
                "task_type",
                "diagnostics",
                "score_breakdown",
                "composite_score",
                "output_text",
                "step_outputs",
                "step_timings",
                "execution_status",
                "execution_error",
                "evaluation_provenance",
                "fapo"
            ]
        );
        assert!(row["composite_score"].is_f64() && row["score_breakdown"]["exact_match"].is_f64(), "{row}");
        assert_eq!(row["score_breakdown"]["exact_match"], row["composite_score"]);
        assert_eq!(keys(&row["step_outputs"]), ["retrieve", "answer"], "in the order of execution");
        assert!(row["step_outputs"]["retrieve"].as_str().is_some_and(|s| s.starts_with("[1] «")), "{row}");
        assert!(row["step_timings"][0][0] == "retrieve" && row["step_timings"][0][1].is_f64(), "{row}");
        assert_eq!((&row["execution_status"], &row["execution_error"]), (&"succeeded".into(), &Value::Null));
    }
    let progress: Value = serde_json::from_str(&bench.read(&format!("{RUN}/progress.json"))).expect("JSON");
    assert_eq!(
        keys(&progress),
        [
            "run_id",
            "status",
            "total_cases",
            "completed_cases",
            "successful_cases",
            "started_at",
            "updated_at",
            "avg_composite_score",
            "weighted_avg_score",
            "score_breakdown_averages",
            "failed_case_ids",
            "attempted_case_ids",
            "successful_case_ids",
            "in_flight_case_ids",
            "trust_tier_summaries",
            "fapo"
        ]
    );
    assert_eq!(progress["status"], "completed");
    let config: Value = serde_json::from_str(&bench.read(&format!("{RUN}/run_config.json"))).expect("JSON");
    assert_eq!(
        keys(&config),
        [
            "run_id",
            "tenant_id",
            "provider",
            "provider_settings",
            "dataset_path",
            "scoring_profile",
            "max_workers",
            "chain",
            "fapo"
        ]
    );
    let summary = bench.read(&format!("{RUN}/summary.md"));
    for part in [
        "# Evaluation Summary",
        "Total cases: 5",
        "## Composite Score\n- average: ",
        "| Step | Avg (s) | P50 (s) | P95 (s) |",
        "| **Total** |",
    ] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
}

#[test]
fn the_same_command_continues_a_torn_journal_and_runs_no_finished_case_again() {
    let bench = Bench::with_index();
    let first = eval(&bench, "5");
    let before = rows(&bench);
    let journal = format!("{RUN}/journal.jsonl");
    let text = bench.read(&journal);
    let third = text.match_indices('\n').nth(2).expect("three lines").0;
    bench.write(&journal, &text[..third + 40]);
    bench.edit(CONFIG, "\"tenant_id\"", "\"run_id\": \"hephaestus-other-1\", \"tenant_id\"");
    let again = eval(&bench, "5");
    assert_eq!(again.line("run")["run_id"], first.line("run")["run_id"], "a continued run keeps its id");
    assert_eq!(again.lines().iter().filter(|line| line["kind"] == "case").count(), 3, "two whole lines were left");
    let outputs =
        |rows: &[Value]| rows.iter().map(|r| (r["case_id"].clone(), r["output_text"].clone())).collect::<Vec<_>>();
    assert_eq!(outputs(&before), outputs(&rows(&bench)));
    let third = eval(&bench, "5");
    assert_eq!(third.lines().iter().filter(|line| line["kind"] == "case").count(), 0, "a finished run is printed");
}

#[test]
fn workers_do_not_change_results() {
    let results = |workers: &str| {
        let bench = Bench::with_index();
        bench.edit(CONFIG, "\"max_workers\": 8", &format!("\"max_workers\": {workers}"));
        assert_eq!(eval(&bench, "20").code, 0);
        rows(&bench).into_iter().map(without_times).collect::<Vec<_>>()
    };
    assert_eq!(results("1"), results("16"));
}

#[test]
fn one_case_can_be_chosen() {
    let bench = Bench::with_index();
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--case", "dq-v007", "--case", "dq-v003", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.line("run")["planned"], 2);
}

#[test]
fn a_limit_passed_ends_the_case_and_not_the_run() {
    for limit in ["steps", "host_calls"] {
        let bench = Bench::with_index();
        bench.append("fapo.toml", &format!("\n[limits]\n{limit} = 1\n"));
        let ran = eval(&bench, "3");
        assert_eq!(ran.code, 5, "partial: {}", ran.stderr);
        let rows = rows(&bench);
        assert_eq!(rows.len(), 3);
        for row in rows {
            let message = row["fapo"]["fault"]["message"].as_str().expect("a fault");
            assert!(message.contains(&format!("limit {limit} passed")), "{message}");
            assert_eq!(row["composite_score"], 0.0, "a fault counts as zero");
            assert_eq!(row["execution_status"], "failed");
        }
    }
}
