//! A study over tenants, policies and trials, killed on the way: the same table as undisturbed.

use crate::support::{Bench, Ran, real_model, say};
use serde_json::Value;
use std::io::{BufRead, BufReader};

/// Trials of a study that a start is let finish before it is killed.
const KILLED_AFTER: [usize; 2] = [1, 2];

/// `demo_qa` and a second tenant that is its copy with the splits turned round.
fn two_tenants() -> Bench {
    let bench = Bench::new();
    for file in [
        "tenant.toml",
        "stock.wasm",
        "scripted.jsonl",
        "chains/baseline.json",
        "docs/iteration-playbook.md",
        "examples/shots.jsonl",
        "prompts/modules/generate_answer/variant-001.md",
        "datasets/corpus.jsonl",
    ] {
        let from = bench.path(&format!("tenants/demo_qa/{file}"));
        let to = bench.path(&format!("tenants/other_qa/{file}"));
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        std::fs::copy(from, to).unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    bench.edit("tenants/other_qa/tenant.toml", "demo_qa", "other_qa");
    for (split, from) in [("train", "validation"), ("validation", "test"), ("test", "train")] {
        let rows = bench.read(&format!("tenants/demo_qa/datasets/{from}.jsonl"));
        let rows: Vec<String> =
            rows.lines().map(|row| row.replace(&format!("\"split\": \"{from}\""), "\"split\": \"\"")).collect();
        bench.write(&format!("tenants/other_qa/datasets/{split}.jsonl"), &format!("{}\n", rows.join("\n")));
        let config = bench.read(&format!("tenants/demo_qa/configs/{split}.json"));
        bench.write(&format!("tenants/other_qa/configs/{split}.json"), &config.replace("demo_qa", "other_qa"));
    }
    bench.append(
        "fapo.toml",
        "\n[tenants.other_qa.models]\ntask = [\"demo_script\", \"embedded\"]\n\n[tenants.other_qa.indexes]\ncorpus = \"demo\"\n",
    );
    bench
}

/// Only the first cases of each split.
fn shortened(bench: &Bench, cases: usize) {
    for tenant in ["demo_qa", "other_qa"] {
        for split in ["train", "validation", "test"] {
            let path = format!("tenants/{tenant}/datasets/{split}.jsonl");
            let rows: Vec<String> = bench.read(&path).lines().take(cases).map(|row| format!("{row}\n")).collect();
            bench.write(&path, &rows.concat());
        }
    }
}

fn study(provider: &str, variants: u32) -> String {
    format!(
        "name = \"two\"\ntrials = 2\npolicies = [\"paired\", \"paper\"]\nvariants_max = {variants}\n\n\
         [[models]]\nname = \"{provider}\"\nprovider = \"{provider}\"\n\n[[tenants]]\nid = \"demo_qa\"\n\n[[tenants]]\nid = \"other_qa\"\n"
    )
}

fn whole(bench: &Bench) -> (Ran, Value) {
    let ran = bench.fapo(&["study", "study.toml", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let table = ran.line("study");
    (ran, table)
}

/// Starts a study and kills it once so many of its trials have ended in this start.
fn killed_after(bench: &Bench, trials: usize) {
    let mut child = bench.start(&["study", "study.toml"]);
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let ended = out.lines().map_while(Result::ok).filter(|line| line.starts_with("trial ")).take(trials).count();
    assert_eq!(ended, trials, "it was still running");
    child.kill().expect("killed");
    child.wait().expect("gone");
}

fn killed_twice_as_undisturbed(provider: &str, variants: u32, cases: usize) -> Value {
    let (disturbed, calm) = (two_tenants(), two_tenants());
    for bench in [&disturbed, &calm] {
        shortened(bench, cases);
        // Replays of a small model cost minutes; their own tests have them.
        let replays = if provider == "embedded" { "diagnosis_calls = 0\n" } else { "" };
        bench.write("study.toml", &format!("{replays}{}", study(provider, variants)));
    }
    KILLED_AFTER.iter().for_each(|trials| killed_after(&disturbed, *trials));
    let ((_, after), (_, whole)) = (whole(&disturbed), whole(&calm));
    assert_eq!(after, whole);
    for file in ["study.md", "study.csv", "study.json"] {
        let path = format!("fapo-work/studies/two/{file}");
        assert_eq!(disturbed.read(&path), calm.read(&path), "{file}");
    }
    let rows = whole["rows"].as_array().expect("rows");
    assert!(rows.len() == 4 && rows.iter().all(|row| row["trials"] == 2), "{whole}");
    say(&calm.read("fapo-work/studies/two/study.md"));
    whole
}

#[test]
fn a_study_killed_twice_makes_the_table_of_an_undisturbed_one() {
    let table = killed_twice_as_undisturbed("scripted", 12, 46);
    let wins = table["wins"].as_array().expect("wins");
    assert_eq!(wins.len(), 3, "each policy against the baseline, and one against the other");
    assert!(table["rows"][0]["gain"]["mean"].as_f64() > Some(0.0), "{table}");
}

#[test]
fn a_study_on_the_real_model_killed_twice_makes_the_same_table() {
    if !real_model() {
        return;
    }
    killed_twice_as_undisturbed("embedded", 1, 20);
}

#[test]
fn a_study_stops_at_its_budget_and_goes_on_with_more() {
    let bench = two_tenants();
    bench.write("study.toml", &format!("{}\n[budget]\ncalls_max = 300\n", study("scripted", 2)));
    let stopped = bench.fapo(&["study", "study.toml"]);
    assert_eq!(stopped.code, 4, "{}", stopped.stderr);
    assert!(
        stopped.stderr.contains("study two") && stopped.stderr.contains("[budget] of the study"),
        "{}",
        stopped.stderr
    );
    bench.write("study.toml", &study("scripted", 2));
    let (_, table) = whole(&bench);
    assert!(table["rows"].as_array().expect("rows").iter().all(|row| row["trials"] == 2), "{table}");
}

#[test]
fn a_wrong_study_is_named_with_its_field() {
    let bench = Bench::new();
    let good = study("scripted", 2);
    for (from, to, says) in [
        ("name = \"two\"", "name = \"Two!\"", "study.toml, name: \"Two!\" is no name"),
        ("trials = 2", "trials = 0", "study.toml, trials: "),
        ("[\"paired\", \"paper\"]", "[\"paired\", \"paired\"]", "study.toml, policies: \"paired\" stands twice"),
        ("[\"paired\", \"paper\"]", "[\"greedy\"]", "study.toml:3: "),
        ("id = \"other_qa\"", "id = \"demo_qa\"", "study.toml, tenants: \"demo_qa\" stands twice"),
        ("variants_max", "variant_max", "study.toml:4: unknown field"),
        ("id = \"other_qa\"", "id = \"nobody\"", "nobody"),
    ] {
        assert!(good.contains(from));
        bench.write("study.toml", &good.replace(from, to));
        let ran = bench.fapo(&["study", "study.toml"]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{from} -> {to}: {} {}", ran.code, ran.stderr);
    }
}
