//! Whole trials, over a scripted model and over a server that is counted.

use crate::support::{Answer, Bench, FakeServer, Ran};
use serde_json::{Value, json};

/// A tenant of sums whose model says the number in a sentence, unless `when` stands in the prompt.
fn sums(when: &str) -> Bench {
    let bench = Bench::new();
    assert_eq!(bench.fapo(&["tenant", "new", "sums"]).code, 0);
    std::fs::copy(bench.path("tenants/demo_qa/stock.wasm"), bench.path("tenants/sums/stock.wasm")).expect("copied");
    bench.edit("tenants/sums/tenant.toml", "\"stock\"", "\"tenants/sums/stock.wasm\"");
    let mut script = String::new();
    for line in bench.read("tenants/sums/scripted.jsonl").lines() {
        let rule: Value = serde_json::from_str(line).expect("JSON");
        let reply = rule["reply"].as_str().unwrap_or_default();
        if reply.parse::<u32>().is_ok() {
            let terse = json!({"contains": rule["contains"], "when": [when], "reply": reply});
            let verbose = json!({"contains": rule["contains"], "reply": format!("The sum is {reply}, I think.")});
            script.push_str(&format!("{terse}\n{verbose}\n"));
        } else {
            script.push_str(&format!("{line}\n"));
        }
    }
    bench.write("tenants/sums/scripted.jsonl", &script);
    for split in ["train", "validation", "test"] {
        bench.edit(&format!("tenants/sums/configs/{split}.json"), "\"number\"", "\"exact_match\"");
    }
    bench
}

fn trial(bench: &Bench, further: &[&str]) -> Ran {
    bench.fapo(&[&["optimize", "sums", "--trial", "t", "--json"], further].concat())
}

#[test]
fn the_best_operator_is_kept_by_the_printed_rule_and_the_rest_is_remembered() {
    let bench = sums("shortest phrase that answers");
    let ran = trial(&bench, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let end = ran.line("trial");
    let kept: Vec<&Value> =
        end["attempts"].as_array().expect("attempts").iter().filter(|a| a["outcome"] == "kept").collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["operator"], "brevity_rule");
    assert_eq!(end["selected"]["variant"], kept[0]["variant"]);
    assert_eq!((&end["baseline"]["test"]["mean"], &end["selected"]["test"]["mean"]), (&json!(0.0), &json!(80.0)));
    assert!(end["difference"]["ci"][0].as_f64().is_some_and(|low| low > 0.0));
    // Each outcome follows from the numbers beside it.
    for attempt in end["attempts"].as_array().expect("attempts") {
        let validated = attempt["validation"].is_object();
        assert_eq!(
            attempt["outcome"] == "kept",
            validated && attempt["validation"]["mean"].as_f64() > Some(0.0),
            "{attempt}"
        );
    }
    let memory = bench.read("fapo-work/trials/t/iteration-memory.jsonl");
    assert_eq!(
        memory.lines().filter(|line| line.contains("\"kind\":\"attempt\"")).count(),
        end["attempts"].as_array().map_or(0, Vec::len)
    );
    assert!(memory.contains("\"exhaustion_reason\":\"plateau\""), "{memory}");
    let ledger = bench.read("fapo-work/test-ledger.jsonl");
    assert_eq!(ledger.lines().count(), 2, "test was read for the baseline and for the selected variant");
    // The tenant's own folder was not touched, and the same command says the same without a call.
    let again = trial(&bench, &[]);
    assert_eq!(again.line("trial"), end);
}

#[test]
fn no_scope_block_no_change() {
    let bench = sums("shortest phrase that answers");
    bench.edit("tenants/sums/docs/iteration-playbook.md", "```toml scope", "```toml");
    let end = trial(&bench, &[]).line("trial");
    assert_eq!((&end["stop_reason"], &end["selected"]["variant"]), (&"nothing_open".into(), &"v000".into()));
    assert_eq!(end["difference"]["mean"], 0.0);
}

#[test]
fn a_cap_on_variants_and_on_calls_ends_a_trial() {
    for (cap, reason, attempts) in [(["--variants", "1"], "variants", 1), (["--calls", "50"], "calls", 0)] {
        let bench = sums("shortest phrase that answers");
        let end = trial(&bench, &cap).line("trial");
        assert_eq!(end["stop_reason"], reason);
        assert_eq!(end["attempts"].as_array().map(Vec::len), Some(attempts));
    }
}

#[test]
fn no_text_of_validation_or_test_stands_in_memory_report_variants_or_output() {
    let bench = sums("shortest phrase that answers");
    for split in ["validation", "test"] {
        let path = format!("tenants/sums/datasets/{split}.jsonl");
        let marked: String = bench
            .read(&path)
            .lines()
            .map(|line| {
                let mut row: Value = serde_json::from_str(line).expect("JSON");
                row["metadata"]["canary"] = "canary-held-out".into();
                row["case_id"] = format!("canary-{}", row["case_id"].as_str().expect("an id")).into();
                format!("{row}\n")
            })
            .collect();
        bench.write(&path, &marked);
    }
    let ran = trial(&bench, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut seen = format!("{}{}", ran.stdout, ran.stderr);
    for file in ["trial.json", "report.json", "iteration-memory.jsonl"] {
        seen.push_str(&bench.read(&format!("fapo-work/trials/t/{file}")));
    }
    for variant in std::fs::read_dir(bench.path("fapo-work/trials/t/variants")).expect("variants").flatten() {
        seen.push_str(&std::fs::read_to_string(variant.path().join("variant.json")).expect("a variant"));
    }
    assert!(!seen.contains("canary"), "a row of a held-out split got out");
    let question = |row: &str| serde_json::from_str::<Value>(row).expect("JSON")["context"]["question"].to_string();
    for split in ["validation", "test"] {
        for row in bench.read(&format!("tenants/sums/datasets/{split}.jsonl")).lines() {
            assert!(!seen.contains(question(row).trim_matches('"')), "{row}");
        }
    }
}

/// Answers sums: the number alone where the question ends with a cue, else in a sentence.
fn sum(asked: &str) -> String {
    let numbers: Vec<u32> = asked.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let sum: u32 = numbers.iter().sum();
    if asked.trim_end().ends_with("Answer:") { sum.to_string() } else { format!("It should be {sum}.") }
}

fn over_a_server(server: &FakeServer) -> Bench {
    let bench = sums("never");
    bench.append(
        "fapo.toml",
        &format!("\n[models.far]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"m\"\n", server.origin()),
    );
    bench.edit("fapo.toml", "[\"sums_script\"]", "[\"far\"]");
    for split in ["train", "validation", "test"] {
        let config = format!("tenants/sums/configs/{split}.json");
        bench.edit(&config, "\"provider\": \"scripted\"", "\"provider\": \"openai\"");
        bench.edit(&config, "\"model\": \"scripted\"", "\"model\": \"m\"");
        bench.edit(&config, "\"max_workers\": 8", "\"max_workers\": 3");
    }
    bench
}

#[test]
fn a_trial_killed_ten_times_selects_the_same_and_pays_no_finished_case_twice() {
    let calm = FakeServer::start(Answer::Reply(sum));
    let expected = trial(&over_a_server(&calm), &[]).line("trial");
    assert_eq!(expected["selected"]["test"]["mean"], 100.0, "{expected}");
    let all = calm.requests();
    assert_eq!(all, 120, "two variants on three splits of 20");

    let server = FakeServer::start(Answer::Reply(sum));
    let bench = over_a_server(&server);
    let mut kills = 0;
    for at in (1..=10).map(|n| n * 11) {
        let mut child = bench.start(&["optimize", "sums", "--trial", "t", "--json"]);
        // By what was asked, never by time.
        while server.requests() < at && child.try_wait().expect("waited").is_none() {
            std::thread::yield_now();
        }
        kills += usize::from(child.try_wait().expect("waited").is_none());
        let _ = child.kill();
        child.wait().expect("waited");
    }
    let end = trial(&bench, &[]).line("trial");
    for key in ["selected", "baseline", "difference", "attempts", "stop_reason"] {
        assert_eq!(end[key], expected[key], "{key}");
    }
    assert!(kills >= 8, "{kills} kills");
    assert!(server.requests() <= all + kills * 3, "{} requests with {kills} kills of three workers", server.requests());
    assert_eq!(server.asked().len(), 120);
}

#[test]
fn a_selected_variant_is_adopted_as_new_files_and_scores_as_it_did() {
    let bench = sums("shortest phrase that answers");
    let end = trial(&bench, &[]).line("trial");
    let before = bench.read("tenants/sums/prompts/modules/answer/variant-001.md");
    let adopted = bench.fapo(&["adopt", "fapo-work/trials/t", "--json"]);
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    assert_eq!(bench.read("tenants/sums/prompts/modules/answer/variant-001.md"), before, "nothing is rewritten");
    assert!(bench.read("tenants/sums/prompts/modules/answer/variant-002.md").contains("shortest phrase"));
    let ran = bench.fapo(&["eval", "--config", "tenants/sums/configs/test-adopted-002.json", "--json"]);
    assert_eq!(ran.line("run")["composite"]["mean"], end["selected"]["test"]["mean"], "{}", ran.stderr);
    let twice = bench.fapo(&["adopt", "fapo-work/trials/t"]);
    assert!(twice.stdout.contains("variant-003.md"), "{} {}", twice.stdout, twice.stderr);
}
