//! Hostile guests: each is a fault of its case, with the limit or the reason named, and the run goes on.

use crate::support::{Bench, Ran, guest};
use serde_json::Value;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// demo_qa with the hostile component as chain and scorer, and small limits so that the tests are quick.
fn bench(node_behaves: &str) -> Bench {
    let bench = Bench::with_index();
    std::fs::copy(guest(), bench.path("tenants/demo_qa/hostile.wasm")).expect("copied");
    bench.edit("tenants/demo_qa/tenant.toml", "stock.wasm", "hostile.wasm");
    bench.append("fapo.toml", "\n[limits]\nfuel_units = 200000000\n");
    bench.write(
        "tenants/demo_qa/chains/baseline.json",
        &format!(
            "{{\"nodes\": [{{\"name\": \"hostile\", \"kind\": \"hostile\", \"settings\": {{\"behave\": \"{node_behaves}\"}}, \
             \"handles\": [{{\"model\": \"task\"}}]}}], \"edges\": [], \"output\": \"hostile\"}}"
        ),
    );
    bench
}

fn profile(bench: &Bench, behave: &str, case: &str) {
    bench.edit(CONFIG, "\"metric\": \"exact_match\"", &format!("\"behave\": \"{behave}\", \"case\": \"{case}\""));
}

fn eval(bench: &Bench, limit: &str) -> Ran {
    bench.fapo(&["eval", "--config", CONFIG, "--limit", limit, "--json"])
}

fn rows(bench: &Bench) -> Vec<Value> {
    let text = bench.read(&format!("{RUN}/results.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_scorer_that_misbehaves_on_one_case_costs_that_case_only() {
    for (behave, kind, message) in [
        ("nan", "invalid_result", "composite is NaN, not a finite number within 0..=100"),
        ("over", "invalid_result", "composite is 101, not a finite number within 0..=100"),
        ("under", "invalid_result", "composite is -1, not a finite number within 0..=100"),
        ("panic", "trapped", "hostile on purpose"),
        ("exit", "trapped", "exit"),
        ("spin", "fuel_exhausted", "limit fuel_units passed"),
        ("grow", "memory_exceeded", "limit memory_bytes passed"),
        ("recurse", "trapped", "a stack that grew too deep"),
        ("long", "limit_exceeded", "limit call_bytes passed"),
        ("flood", "limit_exceeded", "limit host_calls passed"),
    ] {
        let bench = bench("echo");
        profile(&bench, behave, "dq-v002");
        let ran = eval(&bench, "3");
        assert_eq!(ran.code, 5, "{behave}: {}", ran.stderr);
        let rows = rows(&bench);
        let scores: Vec<f64> = rows.iter().map(|row| row["composite_score"].as_f64().expect("a number")).collect();
        assert_eq!(scores, [100.0, 0.0, 100.0], "{behave}");
        let fault = &rows[1]["fapo"]["fault"];
        assert_eq!((&fault["phase"], &fault["kind"]), (&"scorer".into(), &kind.into()), "{behave}: {fault}");
        assert!(fault["message"].as_str().is_some_and(|m| m.contains(message)), "{behave}: {fault}");
        assert_eq!(rows[1]["execution_error"]["phase"], "scorer");
        assert_eq!(ran.line("run")["composite"]["mean"].as_f64().map(f64::round), Some(67.0), "a fault counts as 0");
    }
}

#[test]
fn what_a_person_sees_of_a_scorer_that_misbehaves() {
    let mut text = String::new();
    for behave in ["nan", "over", "under", "panic"] {
        let bench = bench("echo");
        profile(&bench, behave, "dq-v002");
        let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]);
        let faults = ran.stdout.lines().filter(|line| line.starts_with(" fault") || line.starts_with(" hint"));
        // Frames of the guest's compiler are left out: they change with it.
        let faults: Vec<&str> = faults.map(|line| line.split("; in ").next().unwrap_or(line)).collect();
        text.push_str(&format!("# {behave}\nexit {}\n{}{}\n", ran.code, ran.talk(), faults.join("\n")));
        text.push_str(&format!("run folder: {}\n\n", bench.listing(RUN)));
    }
    snapshot!(text);
}

#[test]
fn a_node_that_misbehaves_ends_its_case_and_not_the_run() {
    for (behave, kind, message) in [
        ("panic", "trapped", "hostile on purpose"),
        ("exit", "trapped", "exit"),
        ("spin", "fuel_exhausted", "limit fuel_units passed"),
        ("grow", "memory_exceeded", "limit memory_bytes passed"),
        ("recurse", "trapped", "a stack that grew too deep"),
        ("long", "limit_exceeded", "limit call_bytes passed"),
    ] {
        let bench = bench(behave);
        profile(&bench, "", "");
        assert_eq!(eval(&bench, "2").code, 5, "{behave}");
        for row in rows(&bench) {
            let fault = &row["fapo"]["fault"];
            assert_eq!((&fault["phase"], &fault["kind"]), (&"chain".into(), &kind.into()), "{behave}: {fault}");
            assert!(fault["message"].as_str().is_some_and(|m| m.contains(message)), "{behave}: {fault}");
            assert_eq!(row["composite_score"], 0.0);
        }
    }
}

#[test]
fn host_calls_have_a_limit_on_both_sides_of_it() {
    // Fifteen batches of three; the batch that would pass the limit is not begun.
    for (host_calls, code, calls) in [(45, 0, 45), (44, 5, 42)] {
        let bench = bench("many");
        bench.edit("fapo.toml", "[limits]\n", &format!("[limits]\nhost_calls = {host_calls}\n"));
        profile(&bench, "", "");
        let ended = eval(&bench, "1");
        assert_eq!(ended.code, code, "host_calls = {host_calls}: {}", ended.stdout);
        assert_eq!(rows(&bench)[0]["fapo"]["calls"]["total"], calls);
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_to_its_ring_and_counted() {
    let bench = bench("flood");
    bench.edit("fapo.toml", "[limits]\n", "[limits]\nlog_bytes = 1000\nhost_calls = 1000000\n");
    profile(&bench, "", "");
    assert_eq!(eval(&bench, "1").code, 0);
    let used = &rows(&bench)[0]["fapo"]["used"]["chain"];
    let kept: usize = used["log"].as_array().expect("lines").iter().map(|l| l.as_str().expect("text").len()).sum();
    assert!(kept <= 1000 && kept > 500, "{kept} bytes kept");
    assert!(used["log_lines_lost"].as_u64().expect("a number") > 99_000, "{used}");
}

#[test]
fn a_scorer_that_calls_the_provider_is_denied_and_counted_and_its_score_stands() {
    let bench = bench("echo");
    profile(&bench, "provider", "");
    let ran = eval(&bench, "2");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for row in rows(&bench) {
        assert_eq!(row["composite_score"], 100.0);
        assert_eq!(row["fapo"]["calls"]["total"], 0, "nothing was called");
        let denials = row["fapo"]["used"]["scorer"]["denials"].as_array().expect("denials");
        assert!(denials.len() == 1 && denials[0].as_str().is_some_and(|d| d.contains("provider")), "{denials:?}");
        assert!(row["diagnostics"].to_string().contains("Denied"), "{}", row["diagnostics"]);
    }
    let shown = bench.fapo(&["show", RUN, "--case", "dq-v001"]);
    assert!(shown.stdout.contains("denied to the scorer"), "{}", shown.stdout);
}

#[test]
fn attack_19_a_canary_in_label_and_metadata_reaches_no_byte_of_a_chain() {
    const CANARY: &str = "canary-7f3a91";
    let bench = bench("echo");
    let dataset = "tenants/demo_qa/datasets/validation.jsonl";
    let marked: String = bench
        .read(dataset)
        .lines()
        .map(|line| {
            let mut row: Value = serde_json::from_str(line).expect("JSON");
            row["expected"]["canary"] = CANARY.into();
            row["metadata"]["canary"] = CANARY.into();
            format!("{row}\n")
        })
        .collect();
    bench.write(dataset, &marked);
    profile(&bench, "", "");
    assert_eq!(eval(&bench, "3").code, 0);
    // Everything that a chain was handed or sent out is in its steps, calls and searches.
    let journal = bench.read(&format!("{RUN}/journal.jsonl"));
    assert!(!journal.contains(CANARY), "the canary is in the journal");
    for row in rows(&bench) {
        let seen = row["output_text"].as_str().expect("text");
        assert!(seen.contains("question") || seen.contains('?'), "the chain saw its question: {seen}");
        assert!(seen.ends_with("[]") || seen.contains("[] ["), "nothing else, no environment: {seen}");
    }
}
