//! Whole trials, over a scripted model and over a server that is counted.

use crate::support::{Answer, Bench, FakeServer, Ran};
use serde_json::{Value, json};

/// A tenant of sums whose model says the number in a sentence, unless `when` stands in the prompt.
pub(crate) fn sums(when: &str) -> Bench {
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

pub(crate) fn trial(bench: &Bench, further: &[&str]) -> Ran {
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
    for (cap, reason, attempts) in [(["--variants", "1"], "variants", 1), (["--calls", "70"], "calls", 0)] {
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

pub(crate) fn over_a_server(server: &FakeServer) -> Bench {
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

/// `demo_qa` with its index, improved on scripted replies.
fn demo(bench: &Bench, arguments: &[&str]) -> Ran {
    let ran = bench.fapo(&[&["demo", "--provider", "scripted", "--json"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

#[test]
fn the_demo_is_optimize_with_a_preset() {
    let bench = Bench::new();
    let demo = demo(&bench, &[]);
    std::fs::remove_dir_all(bench.path("fapo-work/trials")).expect("removed");
    let preset = ["optimize", "tenants/demo_qa", "--prepare", "--provider", "scripted", "--variants", "8", "--json"];
    let same = bench.fapo(&preset);
    assert_eq!(without_times(&demo), without_times(&same));
    let kinds: Vec<String> = demo.lines().iter().map(|line| line["kind"].to_string()).collect();
    assert!(kinds.contains(&"\"failing_step\"".to_string()) && kinds.contains(&"\"case_detail\"".to_string()));
    assert!(demo.line("trial")["difference"]["ci"][0].as_f64() > Some(0.0));
    assert!(demo.line("trial")["difference"]["mean"].as_f64() >= Some(25.0));
}

/// Lines of a trial without what its clock says.
fn without_times(ran: &Ran) -> Vec<Value> {
    let mut lines = ran.lines();
    for line in lines.iter_mut().filter(|line| line["kind"] == "case_detail") {
        line["result"] = crate::support::without_times(line["result"].take());
        line["steps"] = Value::Null;
        line["calls"] = Value::Null;
    }
    lines
}

#[test]
fn with_permuted_labels_of_test_the_gain_is_about_zero() {
    let bench = Bench::new();
    let honest = demo(&bench, &[]).line("trial");
    let path = "tenants/demo_qa/datasets/test.jsonl";
    let rows: Vec<Value> = bench.read(path).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let permuted = rows.iter().enumerate().map(|(at, row)| {
        let mut row = row.clone();
        row["expected"] = rows[(at + 7) % rows.len()]["expected"].clone();
        format!("{row}\n")
    });
    bench.write(path, &permuted.collect::<String>());
    let end = demo(&bench, &[]).line("trial");
    assert_eq!(end["selected"]["variant"], honest["selected"]["variant"], "test has no part in the selection");
    let gain = end["difference"]["mean"].as_f64().expect("a difference");
    assert!(gain.abs() <= 5.0, "{gain}");
}

#[test]
fn other_cases_and_passages_take_the_place_of_the_tenants_own() {
    let bench = Bench::new();
    let given =
        |name: &str| crate::support::root().join("tests/fixtures/second_corpus").join(name).display().to_string();
    let (dataset, index) = (given("cases.jsonl"), given("corpus.jsonl"));
    let end = demo(&bench, &["--dataset", &dataset, "--index", &index, "--variants", "1"]).line("trial");
    assert_eq!(end["baseline"]["test"]["n"], 22, "66 cases in three splits");
    let trial = std::path::PathBuf::from(end["dir"].as_str().expect("a folder"));
    let mut titles: Vec<Vec<String>> = Vec::new();
    for split in ["train", "validation", "test"] {
        let journal =
            bench.read(trial.join("variants/000").join(split).join("journal.jsonl").to_str().expect("a path"));
        let hits = journal.lines().skip(1).filter_map(|line| {
            let record: Value = serde_json::from_str(line).ok()?;
            Some(record["record"]["searches"][0]["hits"][0][1].as_str().expect("a hit").to_string())
        });
        titles.push(hits.collect());
    }
    let corpus = bench.read(&index);
    assert!(titles.iter().flatten().all(|title| corpus.contains(title)), "searches go to the given passages");
    let own = ["--dataset", dataset.as_str(), "--index", "nothing.jsonl"];
    assert!(bench.fapo(&[&["demo", "--provider", "scripted"][..], &own].concat()).stderr.contains("nothing.jsonl"));
    let few: String = bench.read(&dataset).lines().take(59).map(|line| format!("{line}\n")).collect();
    bench.write("few.jsonl", &few);
    let refused = bench.fapo(&["demo", "--provider", "scripted", "--dataset", "few.jsonl", "--index", &index]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("a held-out split needs at least 20"), "{}", refused.stderr);
}

#[test]
fn a_trial_shows_what_changed_and_whether_its_scores_still_say_so() {
    let bench = sums("shortest phrase that answers");
    let end = trial(&bench, &[]).line("trial");
    let folder = "fapo-work/trials/t";
    let diff = bench.fapo(&["diff", folder, "--json"]).line("diff");
    assert_eq!((&diff["a"], &diff["b"]), (&"v000".into(), &end["selected"]["variant"]));
    assert!(
        diff["prompts"][0]["diff"].as_str().is_some_and(|text| text.contains("+") && text.contains("shortest phrase"))
    );
    assert_eq!((diff["train"]["broken"].as_array().map(Vec::len), &diff["train"]["cases"]), (Some(0), &20.into()));
    let unknown = bench.fapo(&["diff", folder, "v000", "v099"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("has no variant \"v099\""), "{}", unknown.stderr);
    let shown = bench.fapo(&["show", folder, "--json"]);
    assert_eq!(shown.code, 0, "{}", shown.stdout);
    assert_eq!((shown.line("trial"), &shown.line("check")["status"]), (end, &"ok".into()));
    // A rejected attempt that the report calls kept.
    bench.edit(&format!("{folder}/report.json"), "\"outcome\": \"rejected\"", "\"outcome\": \"kept\"");
    let shown = bench.fapo(&["show", folder, "--json"]);
    assert_eq!((shown.code, &shown.line("check")["status"]), (1, &"error".into()));
    assert!(shown.line("check")["message"].as_str().is_some_and(|text| text.contains("outcome")));
}

#[test]
fn a_trial_whose_time_is_over_begins_no_variant_and_goes_on_with_more_time() {
    let bench = sums("shortest phrase that answers");
    let end = trial(&bench, &["--minutes", "0"]).line("trial");
    assert_eq!((&end["stop_reason"], end["attempts"].as_array().map(Vec::len)), (&"wall_time".into(), Some(0)));
    let end = trial(&bench, &[]).line("trial");
    assert_eq!(end["selected"]["test"]["mean"], 80.0);
}

#[test]
fn a_trial_again_without_its_folder_pays_no_call() {
    let server = FakeServer::start(Answer::Reply(sum));
    let bench = over_a_server(&server);
    let first = trial(&bench, &[]).line("trial");
    let asked = server.requests();
    assert_eq!(first["calls"]["paid"], asked);
    std::fs::remove_dir_all(bench.path("fapo-work/trials")).expect("removed");
    let second = trial(&bench, &[]).line("trial");
    assert_eq!(
        (server.requests(), &second["calls"]["paid"], &second["calls"]["cached"]),
        (asked, &0.into(), &first["calls"]["paid"])
    );
    assert_eq!(second["attempts"], first["attempts"]);
}

#[test]
fn dealt_clusters_are_a_trial_of_their_own_and_repeat() {
    let bench = sums("shortest phrase that answers");
    trial(&bench, &[]);
    let dealt = |seed: &str| bench.fapo(&["optimize", "sums", "--deal-clusters", seed, "--json"]).line("trial");
    let (one, again) = (dealt("1"), dealt("1"));
    assert_eq!(one, again);
    assert_ne!(one["dir"], dealt("2")["dir"]);
}

/// `demo_qa`, where the rule that asks for brevity mends one case of validation and nothing else.
fn one_case_better() -> Bench {
    let bench = Bench::with_index();
    let row = bench.read("tenants/demo_qa/datasets/validation.jsonl");
    let row: Value = serde_json::from_str(row.lines().next().expect("a row")).expect("JSON");
    let rule = json!({"contains": [row["context"]["question"]], "when": ["shortest phrase that answers"],
                      "reply": row["expected"]["answer"]});
    bench.write("tenants/demo_qa/scripted.jsonl", &format!("{rule}\n{{\"default\": \"fourteen herons\"}}\n"));
    bench
}

#[test]
fn the_policy_of_the_paper_runs_every_change_whole_and_keeps_whatever_improves() {
    let bench = one_case_better();
    let run = |policy: &str| {
        let ran = bench.fapo(&["optimize", "demo_qa", "--policy", policy, "--trial", policy, "--json"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(bench.fapo(&["show", &format!("fapo-work/trials/{policy}")]).code, 0, "it follows from the scores");
        ran.line("trial")
    };
    let (paired, paper) = (run("paired"), run("paper"));
    assert_eq!(paired["selected"]["variant"], "v000", "one case of 46 is within chance");
    let attempts = paper["attempts"].as_array().expect("attempts");
    let mut best = 0.0;
    for attempt in attempts.iter().filter(|attempt| attempt["outcome"] != "blocked") {
        assert!(attempt["train"].is_number(), "all of train was run: {attempt}");
        let validation = attempt["validation"]["mean"].as_f64().expect("all of validation was run");
        assert_eq!(attempt["outcome"] == "kept", validation > best, "{attempt}");
        best = f64::max(best, validation);
    }
    let kept: Vec<&Value> = attempts.iter().filter(|attempt| attempt["outcome"] == "kept").collect();
    assert_eq!((kept.len(), kept[0]["operator"].as_str()), (1, Some("brevity_rule")));
    assert!(attempts.len() > paired["attempts"].as_array().expect("attempts").len(), "it does not stop early");
    // Why each level was opened stands in the memory with its numbers.
    let memory = bench.read("fapo-work/trials/paper/iteration-memory.jsonl");
    let lines: Vec<Value> = memory.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let opened: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "escalation").collect();
    assert!(!opened.is_empty(), "{memory}");
    for line in opened {
        assert!(line["permitted"] == true && line["addressable_share"].is_number(), "{line}");
        assert!(line["ceiling"]["mean"].is_number() && line["ceiling"]["ci"].is_array(), "{line}");
    }
    let left = lines.iter().find(|line| line["kind"] == "exhaustion").expect("a level was left");
    assert!(left["techniques"].as_array().is_some_and(|all| all.len() >= 3), "{left}");
}
