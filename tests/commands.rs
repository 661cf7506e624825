//! The commands as a person and as a program sees them.

use crate::support::{Bench, Ran, root};
use serde_json::Value;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// Digits of times and digests become `#`, so that a snapshot holds what is the same on every machine.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim();
        let timed = bare.trim_matches([',', '(', ')']).split_once('.').is_some_and(|(_, n)| n.len() == 3);
        let varies = bare.starts_with("hephaestus-") || bare.starts_with("sha256:") || bare.starts_with("(0.") || timed;
        out.push_str(&if varies { word.replace(bare, "#") } else { word.to_string() });
    }
    out
}

fn published() -> jsonschema::Validator {
    let text = std::fs::read_to_string(root().join("schemas/cli-lines.schema.json")).expect("the published schema");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("JSON")).expect("a schema")
}

#[test]
fn the_published_schema_is_the_programs_own() {
    let bench = Bench::new();
    let printed: Value = serde_json::from_str(&bench.fapo(&["schema"]).stdout).expect("JSON");
    let text = std::fs::read_to_string(root().join("schemas/cli-lines.schema.json")).expect("the published schema");
    let published: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(printed, published, "write it again: fapo schema > schemas/cli-lines.schema.json");
}

#[test]
fn every_json_line_of_every_command_fits_the_published_schema() {
    let bench = Bench::new();
    let schema = published();
    let mut kinds = std::collections::BTreeSet::new();
    let mut run = |arguments: &[&str]| -> Ran {
        let ran = bench.fapo(&[arguments, &["--json"]].concat());
        for line in ran.lines() {
            let errors: Vec<String> = schema.iter_errors(&line).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{line}: {errors:?}");
            kinds.insert(line["kind"].as_str().expect("a kind").to_string());
        }
        ran
    };
    run(&["index", "build", "demo"]);
    let found = run(&["index", "search", "demo", "Who built Harrow Lighthouse?", "--k", "2"]);
    assert_eq!(found.line("search")["hits"][0]["title"], "Harrow Lighthouse", "{}", found.stderr);
    run(&["eval", "--config", CONFIG, "--limit", "4", "--dry-run"]);
    let done = run(&["eval", "--config", CONFIG, "--limit", "4"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let last = done.lines().pop().expect("lines");
    let keys: Vec<&String> = last.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["kind", "run_id", "planned", "completed", "errors", "composite", "dir"]);
    assert_eq!((&last["planned"], &last["completed"], &last["errors"]), (&4.into(), &4.into(), &0.into()));
    run(&["show", RUN]);
    run(&["show", RUN, "--case", "dq-v001"]);
    run(&["show", RUN, "--cases"]);
    run(&["replay", RUN, "--case", "dq-v001"]);
    run(&["attribute", RUN]);
    run(&["attribute", RUN, "--intervene"]);
    run(&["report", RUN]);
    run(&["progress", RUN]);
    run(&["compare", RUN, RUN]);
    run(&["noise", "--config", CONFIG, "--limit", "2"]);
    run(&["gate", RUN, "--composite-min", "1"]);
    run(&["export", RUN, "--format", "junit", "--out", "junit.xml"]);
    run(&["tenant", "new", "sums"]);
    run(&["tenant", "check", "demo_qa"]);
    run(&["tenant", "test", "demo_qa"]);
    run(&["tenant", "inspect", "demo_qa"]);
    run(&["tenant", "inspect", "tenants/demo_qa/stock.wasm"]);
    run(&["limits", "demo_qa"]);
    run(&["providers"]);
    run(&["doctor"]);
    bench.write(
        "hotpot.json",
        "[{\"_id\": \"a\", \"question\": \"q\", \"answer\": \"b\", \"context\": [[\"T\", [\"One. \", \"Two.\"]]]}]",
    );
    bench.add_tenant("hotpotqa");
    run(&["data", "import", "hotpotqa", "hotpot.json", "--out", "cases", "--corpus-out", "corpus.jsonl"]);
    run(&["eval", "--config", "none.json"]);
    bench.edit(CONFIG, "validation-baseline", "validation-other");
    bench.edit("tenants/demo_qa/prompts/modules/generate_answer/variant-001.md", "${question}", "${question} ${topic}");
    run(&["eval", "--config", CONFIG, "--limit", "2"]);
    let trial = run(&["optimize", "demo_qa", "--variants", "1", "--trial", "short"]);
    assert_eq!(trial.code, 0, "{}", trial.stderr);
    run(&["diff", "fapo-work/trials/short", "v000", "v001"]);
    run(&["show", "fapo-work/trials/short"]);
    bench.write("study.toml", "name = \"s\"\ntrials = 1\nvariants_max = 1\n[[tenants]]\nid = \"demo_qa\"\n");
    assert_eq!(run(&["study", "study.toml"]).code, 0);
    run(&["reset-tenant", "demo_qa", "--yes"]);
    let all: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(
        all,
        [
            "attempt",
            "attribution",
            "capability",
            "case",
            "case_detail",
            "check",
            "comparison",
            "component",
            "created",
            "diff",
            "epochs",
            "error",
            "failing_step",
            "import",
            "index",
            "limit",
            "limit_use",
            "plan",
            "progress",
            "provider",
            "removed",
            "replay",
            "report",
            "run",
            "search",
            "searches",
            "study",
            "trial",
            "usage",
            "warning"
        ],
        "every kind was seen"
    );
}

#[test]
fn what_a_person_sees_of_a_run() {
    let bench = Bench::with_index();
    let mut text = String::new();
    for arguments in [
        &["eval", "--config", CONFIG, "--limit", "6", "--dry-run"][..],
        &["eval", "--config", CONFIG, "--limit", "6"],
        &["eval", "--config", CONFIG, "--limit", "6"],
        &["progress", RUN],
        &["show", RUN],
        &["compare", RUN, RUN],
        &["reset-tenant", "demo_qa"],
    ] {
        let ran = bench.fapo(arguments);
        text.push_str(&format!("$ fapo {}\nexit {}\n{}{}\n", arguments.join(" "), ran.code, ran.stdout, ran.talk()));
    }
    snapshot!(steady(&text));
}

#[test]
fn the_cases_of_a_run_are_listed_page_by_page() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG]).code, 0);
    let page = |arguments: &[&str]| {
        let ran = bench.fapo(&[&["show", RUN, "--cases"], arguments].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran
    };
    let last = page(&["--page", "5", "--page-size", "10"]);
    assert!(
        last.stdout.contains("41 to 46 of 46 cases, page 5 of 5") && last.stdout.contains("dq-v046"),
        "{}",
        last.stdout
    );
    assert!(page(&["--page", "6", "--page-size", "10"]).stdout.contains("none of 46 cases, page 6 of 5"));
    let failed = page(&["--failed", "--json"]).lines();
    assert!(!failed.is_empty() && failed.iter().all(|line| line["kind"] == "case" && line["composite"] != 100.0));
    assert_eq!(bench.fapo(&["show", RUN, "--failed"]).code, 2, "--failed is of a list");
}

#[test]
fn a_case_is_shown_in_full() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]).code, 0);
    let shown = bench.fapo(&["show", RUN, "--case", "dq-v002"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for part in
        ["step retrieve", "search in corpus", "step answer", "System:", "reply (task):", "output:", "fuel_units"]
    {
        assert!(shown.stdout.contains(part), "{part} in {}", shown.stdout);
    }
}

#[test]
fn each_command_has_a_help_with_an_example() {
    let bench = Bench::new();
    let mut text = String::new();
    for command in [
        &["demo"][..],
        &["eval"],
        &["optimize"],
        &["adopt"],
        &["diff"],
        &["score"],
        &["show"],
        &["replay"],
        &["attribute"],
        &["progress"],
        &["compare"],
        &["noise"],
        &["gate"],
        &["export"],
        &["tenant", "new"],
        &["tenant", "build"],
        &["tenant", "check"],
        &["tenant", "inspect"],
        &["tenant", "test"],
        &["index", "build"],
        &["index", "search"],
        &["data", "import"],
        &["model", "pull"],
        &["model", "list"],
        &["model", "rm"],
        &["doctor"],
        &["reset-tenant"],
        &["limits"],
        &["providers"],
        &["schema"],
    ] {
        let ran = bench.fapo(&[command, &["--help"]].concat());
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("Example: fapo "), "{command:?}: {}", ran.stdout);
        text.push_str(&format!("$ fapo {} --help\n{}\n", command.join(" "), ran.stdout));
    }
    snapshot!(text);
}

#[test]
fn a_component_that_asks_for_more_than_its_earlier_version_is_told_apart() {
    let bench = Bench::new();
    std::fs::copy(crate::support::guest(), bench.path("new.wasm")).expect("copied");
    std::fs::copy(bench.path("tenants/demo_qa/stock.wasm"), bench.path("old.wasm")).expect("copied");
    let more = bench.fapo(&["tenant", "inspect", "new.wasm", "--against", "old.wasm"]);
    assert_eq!(more.code, 1, "{}", more.stderr);
    assert!(more.stdout.contains("asks for more than old.wasm: role node"), "{}", more.stdout);
    assert!(more.stdout.contains("fapo:tenant/provider@0.1.0") && more.stdout.contains("calls models"));
    let same = bench.fapo(&["tenant", "inspect", "old.wasm", "--against", "old.wasm"]);
    assert_eq!(same.code, 0);
    assert!(same.stdout.contains("asks for nothing that old.wasm did not ask for"), "{}", same.stdout);
    assert_eq!(bench.fapo(&["tenant", "inspect", "demo_qa", "--against", "old.wasm"]).code, 2);
}

#[test]
fn the_page_of_limits_is_the_programs_own_and_a_tenant_gets_what_is_in_force() {
    let bench = Bench::new();
    let page = std::fs::read_to_string(root().join("docs/limits.md")).expect("the page");
    assert_eq!(bench.fapo(&["limits", "--markdown"]).stdout, page, "fapo limits --markdown > docs/limits.md");
    bench.append("fapo.toml", "\n[limits]\nsteps = 9\n");
    bench.append("tenants/demo_qa/tenant.toml", "\n[requests.limits]\nsteps = 50\nhost_calls = 7\n");
    let ran = bench.fapo(&["limits", "demo_qa", "--json"]);
    let in_force =
        |name: &str| ran.lines().into_iter().find(|line| line["name"] == name).expect("the limit")["in_force"].as_u64();
    assert_eq!((in_force("steps"), in_force("host_calls")), (Some(9), Some(7)));
}

#[test]
fn providers_are_listed_and_each_says_what_its_route_may_have() {
    let bench = Bench::new();
    let all = bench.fapo(&["providers", "--json"]).lines();
    let names: Vec<_> = all.iter().filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(names, ["openai", "anthropic", "baseten", "sagemaker", "scripted", "replay", "embedded"]);
    let one = bench.fapo(&["providers", "anthropic"]);
    assert!(one.stdout.contains("key_env") && one.stdout.contains("default ANTHROPIC_API_KEY"), "{}", one.stdout);
    assert_eq!(bench.fapo(&["providers", "base10", "--json"]).lines()[0]["name"], "baseten");
    let none = bench.fapo(&["providers", "bard"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("bard") && none.stderr.contains("openai, anthropic"), "{}", none.stderr);
}

#[test]
fn a_new_tenant_runs_at_once() {
    let bench = Bench::new();
    let made = bench.fapo(&["tenant", "new", "sums"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    // Its component would be built from the carried sources; here the one that stands is used.
    bench.edit("tenants/sums/tenant.toml", "\"stock\"", "\"tenants/sums/stock.wasm\"");
    std::fs::copy(bench.path("tenants/demo_qa/stock.wasm"), bench.path("tenants/sums/stock.wasm")).expect("copied");
    let checked = bench.fapo(&["tenant", "check", "sums"]);
    assert_eq!(checked.code, 0, "{}", checked.stdout);
    let ran = bench.fapo(&["eval", "--config", "tenants/sums/configs/validation.json", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.line("run")["composite"]["mean"], 80.0, "every fifth reply gives up");
    assert!(bench.fapo(&["tenant", "check", "demo_qa"]).code == 0, "the others' grants still stand");
}

/// Outside a checkout the stock component is built from the sources that the program carries.
#[test]
fn a_stranger_without_a_checkout_gets_a_first_run() {
    let bench = Bench::new();
    let home = bench.path("elsewhere");
    std::fs::create_dir_all(home.join("fapo-work/cache/sources-0.1.0")).expect("made");
    // Compiled crates are shared between test runs, or this test would build them each time.
    let target = root().join("target/guests-carried");
    std::fs::create_dir_all(&target).expect("made");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&target, home.join("fapo-work/cache/sources-0.1.0/target")).expect("linked");
    let place = ["--root", "elsewhere", "--work", "elsewhere/fapo-work"];
    let run = |arguments: &[&str]| bench.fapo(&[arguments, &place].concat());
    assert_eq!(run(&["tenant", "new", "first"]).code, 0);
    let ran = run(&["eval", "--config", "tenants/first/configs/validation.json", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.line("run")["composite"]["mean"], 80.0);
    // One word of the prompt later it is another run, and the two can be compared.
    bench.edit("elsewhere/tenants/first/prompts/modules/answer/variant-001.md", "alone", "only");
    let again = run(&["eval", "--config", "tenants/first/configs/validation.json", "--json"]);
    let dir = |ran: &Ran| ran.line("run")["dir"].as_str().expect("a folder").to_string();
    assert_ne!(dir(&ran), dir(&again));
    let compared = run(&["compare", &dir(&ran), &dir(&again), "--json"]);
    assert_eq!(compared.line("comparison")["same"], 20, "{}", compared.stderr);
}
