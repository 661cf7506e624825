//! `fapo tenant test`: scores held against those that are expected, and what a tenant really uses.

use crate::support::Bench;

const EXPECTED: &str = "tenants/demo_qa/tests/expected.jsonl";

#[test]
fn the_tenants_here_score_as_they_are_expected_to_and_leave_nothing_behind() {
    let bench = Bench::with_index();
    let before = bench.listing("tenants");
    let ran = bench.fapo(&["tenant", "test", "demo_qa", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("all 138 cases score as expected"), "{}", ran.stdout);
    let model = ran.lines().into_iter().find(|line| line["kind"] == "capability").expect("a capability");
    assert_eq!((&model["capability"], &model["calls"]), (&"model".into(), &138.into()));
    let limits: Vec<String> = ran
        .lines()
        .iter()
        .filter(|l| l["kind"] == "limit_use")
        .map(|l| format!("{} {}", l["role"], l["name"]))
        .collect();
    assert!(limits.contains(&"\"chain\" \"steps\"".to_string()), "{limits:?}");
    assert_eq!(bench.listing("tenants"), before);
    assert!(!bench.listing("fapo-work").contains("journal.jsonl"), "{}", bench.listing("fapo-work"));

    let bench = Bench::with_hotpotqa();
    assert_eq!(bench.fapo(&["index", "build", "hotpot"]).code, 0);
    let ran = bench.fapo(&["tenant", "test", "hotpotqa"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("configs/train.json: not run: it asks the provider openai"), "{}", ran.stdout);
    assert!(ran.stdout.contains("cases score as expected"), "{}", ran.stdout);
}

#[test]
fn a_score_that_is_another_one_is_named_and_taken_over_only_where_somebody_says_so() {
    let bench = Bench::with_index();
    let rule = bench.read("tenants/demo_qa/scripted.jsonl");
    let (first, rest) = rule.split_once('\n').expect("rules");
    let mut changed: serde_json::Value = serde_json::from_str(first).expect("JSON");
    changed["reply"] = "something else".into();
    bench.write("tenants/demo_qa/scripted.jsonl", &format!("{changed}\n{rest}"));
    let ran = bench.fapo(&["tenant", "test", "demo_qa"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("expected.jsonl, config") && ran.stdout.contains("case \"dq-"), "{}", ran.stdout);
    assert!(ran.stdout.contains("--update"), "{}", ran.stdout);
    let before = bench.read(EXPECTED);
    assert_eq!(bench.fapo(&["tenant", "test", "demo_qa", "--update"]).code, 0);
    assert_ne!(bench.read(EXPECTED), before);
    assert_eq!(bench.fapo(&["tenant", "test", "demo_qa"]).code, 0);
    // A case that is no longer there, one that nobody expected, and a row that is none.
    let rows = bench.read(EXPECTED);
    bench.write(EXPECTED, &rows.replacen("\"dq-s001\"", "\"dq-gone\"", 1));
    let ran = bench.fapo(&["tenant", "test", "demo_qa"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("case \"dq-gone\": was not run"), "{}", ran.stdout);
    assert!(ran.stdout.contains("case \"dq-s001\"") && ran.stdout.contains("expected nothing"), "{}", ran.stdout);
    bench.write(EXPECTED, "{\"config\": \"test\"}\n");
    let ran = bench.fapo(&["tenant", "test", "demo_qa"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("expected.jsonl:1") && ran.stderr.contains("case_id"), "{}", ran.stderr);
}

#[test]
fn what_is_requested_and_never_used_and_what_comes_near_a_limit_is_told() {
    let bench = Bench::with_index();
    bench.edit("tenants/demo_qa/tenant.toml", "indexes = [\"corpus\"]", "indexes = [\"corpus\", \"spare\"]");
    bench.edit("fapo.toml", "corpus = \"demo\"\n", "corpus = \"demo\"\nspare = \"demo\"\n");
    bench.append("tenants/demo_qa/tenant.toml", "\n[requests.limits]\nhost_calls = 2\n");
    let ran = bench.fapo(&["tenant", "test", "demo_qa"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("index spare is requested and was never used"), "{}", ran.stdout);
    assert!(ran.stdout.contains("used 100.00% of 2 for host_calls"), "{}", ran.stdout);
    for split in ["train", "validation", "test"] {
        bench.edit(&format!("tenants/demo_qa/configs/{split}.json"), "\"scripted\"", "\"embedded\"");
    }
    let ran = bench.fapo(&["tenant", "test", "demo_qa"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no config is scripted"), "{}", ran.stderr);
}

#[test]
fn tenants_of_one_node_score_as_expected_and_their_scope_lets_nothing_change_but_the_prompt() {
    for (tenant, exact, format) in [("ctibench_rcm", 70.0, 77.5), ("aime", 75.0, 95.0), ("livebench_math", 75.0, 100.0)]
    {
        let bench = Bench::with_tenant(tenant);
        let ran = bench.fapo(&["tenant", "test", tenant]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("all 20 cases score as expected"), "{}", ran.stdout);
        let config = format!("tenants/{tenant}/configs/scripted.json");
        let ran = bench.fapo(&["eval", "--config", &config, "--output-dir", "run", "--json"]);
        assert_eq!((ran.code, ran.line("run")["composite"]["mean"].as_f64()), (0, Some(exact)), "{}", ran.stderr);
        let shown = bench.fapo(&["show", "fapo-work/run"]);
        assert!(shown.stdout.contains(&format!("{format:.2}")), "{}", shown.stdout);
        let trial = bench.fapo(&["optimize", tenant, "--provider", "scripted", "--variants", "6", "--json"]);
        assert_eq!(trial.code, 0, "{}", trial.stderr);
        let attempts = trial.line("trial")["attempts"].clone();
        let attempts = attempts.as_array().expect("attempts");
        assert!(!attempts.is_empty() && attempts.iter().all(|attempt| attempt["level"] == "prompt"), "{attempts:?}");
    }
}

#[test]
fn a_check_looks_at_every_file_of_the_layout_and_runs_the_scripted_cases() {
    let bench = Bench::with_tenant("aime");
    let check = || bench.fapo(&["tenant", "check", "aime"]);
    let fine = check();
    assert_eq!(fine.code, 0, "{}", fine.stdout);
    assert!(fine.stdout.contains("expected.jsonl: all 20 cases score as expected"), "{}", fine.stdout);
    // A provider that nobody granted keeps a config from running here, and the rest of it is checked all the same.
    assert!(
        fine.stdout.contains("warning  tenants/aime/configs/test.json: tenant aime, field `provider`"),
        "{}",
        fine.stdout
    );
    assert!(fine.stdout.contains("ok       tenants/aime/configs/test.json: cases, graph"), "{}", fine.stdout);
    for (file, from, to, says) in [
        ("docs/docs-index.yaml", "tenant_id: aime", "tenant_id: other", "docs-index.yaml:2: tenant_id \"other\""),
        ("docs/docs-index.yaml", "docs/change-log.md", "docs/changes.md", "docs/changes.md is no file of the tenant"),
        ("storage/config.json", "tenants/aime/datasets", "tenants/other/datasets", "paths.derived_local"),
        ("storage/config.json", "tenants/aime/datasets", "tenants/aime/../other", "paths.derived_local"),
        ("docs/iteration-playbook.md", "levels = [", "levels = [7, ", "iteration-playbook.md:"),
        ("tests/expected.jsonl", "\"composite_score\":0.0", "\"composite_score\":1.0", "expected 1 "),
        ("configs/test.json", "\"answer\": \"tenants/aime/prompts", "\"answer\": \"tenants/aime/none", "configs"),
    ] {
        let path = format!("tenants/aime/{file}");
        let before = bench.read(&path);
        bench.edit(&path, from, to);
        let ran = check();
        assert_eq!(ran.code, 1, "{file}: {}", ran.stdout);
        assert!(ran.stdout.contains(says), "{file}, {to}: {}", ran.stdout);
        bench.write(&path, &before);
    }
    let playbook = bench.read("tenants/aime/docs/iteration-playbook.md").replace("```toml scope", "```toml");
    bench.write("tenants/aime/docs/iteration-playbook.md", &playbook);
    let ran = check();
    assert!(ran.code == 0 && ran.stdout.contains("opens no level"), "{}", ran.stdout);
}
