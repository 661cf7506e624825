//! Integration tests: real components in the real sandbox.

use fapo::wiring::{EvalOptions, Evaluated, eval};
use fapo_core::InputError;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The stock component, built once per test run, with the target it needs.
fn stock() -> &'static Path {
    static STOCK: OnceLock<PathBuf> = OnceLock::new();
    STOCK.get_or_init(|| {
        fapo::guests::install_target().expect("the wasm target");
        fapo::guests::build(&root(), "stock").expect("the stock component builds")
    })
}

/// A copy of demo_qa under a root of its own, with the stock component as a file of the tenant.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().expect("a folder") };
        copy(&root().join("tenants/demo_qa"), &bench.path("tenants/demo_qa"));
        std::fs::copy(root().join("fapo.toml"), bench.path("fapo.toml")).expect("copied");
        std::fs::copy(stock(), bench.path("tenants/demo_qa/stock.wasm")).expect("copied");
        bench.edit("tenants/demo_qa/tenant.toml", "\"stock\"", "\"tenants/demo_qa/stock.wasm\"");
        bench
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).expect("reads");
        assert!(text.contains(from), "{file} holds {from}");
        std::fs::write(path, text.replace(from, to)).expect("writes");
    }

    fn eval(&self, limit: usize) -> Result<Evaluated, InputError> {
        self.eval_with(limit, None)
    }

    fn eval_with(&self, limit: usize, scorer: Option<PathBuf>) -> Result<Evaluated, InputError> {
        let options = EvalOptions {
            root: self.dir.path().to_path_buf(),
            config: self.path("tenants/demo_qa/configs/validation.json"),
            operator: self.path("fapo.toml"),
            work: self.path("work"),
            limit: Some(limit),
            scorer,
        };
        tokio::runtime::Runtime::new().expect("a runtime").block_on(eval(&options, &|_| {}))
    }

    fn refused(&self, want: &str) {
        let e = self.eval(5).err().unwrap_or_else(|| panic!("should be refused: {want}"));
        assert!(e.to_string().contains(want), "{e} should hold {want}");
        assert!(e.hint.is_some(), "{e} has no way out");
        assert!(!self.path("work/tenants/demo_qa/evals").exists(), "nothing is half-written");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn five_cases_go_through_chain_and_scorer_and_the_rows_have_the_originals_keys() {
    let bench = Bench::new();
    let done = bench.eval(5).expect("evaluates");
    assert!(done.report.records.iter().all(|r| r.fault.is_none()), "{:?}", done.report.records);
    let text = std::fs::read_to_string(done.folder.join("results.jsonl")).expect("results");
    let rows: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 5);
    let keys: Vec<&String> = rows[0].as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
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
    assert!(rows[0]["step_outputs"]["retrieve"].as_str().is_some_and(|s| s.starts_with("[1] «")), "{}", rows[0]);
    for row in &rows {
        let exact = row["score_breakdown"]["exact_match"].as_f64().expect("a number");
        assert_eq!(row["composite_score"].as_f64(), Some(exact));
    }
}

#[test]
fn the_same_command_continues_after_a_torn_journal_and_runs_no_finished_case_again() {
    let bench = Bench::new();
    let first = bench.eval(5).expect("evaluates");
    let outputs = |done: &Evaluated| -> Vec<(String, String)> {
        done.report.records.iter().map(|r| (r.case_id.clone(), r.output_text.clone())).collect()
    };
    let journal = first.folder.join("journal.jsonl");
    let bytes = std::fs::read(&journal).expect("a journal");
    let third_line = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).expect("three lines").0;
    std::fs::write(&journal, &bytes[..third_line + 40]).expect("torn");
    bench.edit(
        "tenants/demo_qa/configs/validation.json",
        "\"tenant_id\"",
        "\"run_id\": \"hephaestus-other-1\", \"tenant_id\"",
    );
    let again = bench.eval(5).expect("continues");
    assert_eq!(again.report.run_id, first.report.run_id, "a continued run keeps its id");
    assert_eq!(again.report.resumed, 2, "two whole case lines were left");
    assert_eq!(outputs(&first), outputs(&again));
    assert_eq!(bench.eval(5).expect("prints").report.resumed, 5);
}

#[test]
fn a_run_of_another_identity_in_the_same_folder_is_refused() {
    let bench = Bench::new();
    bench.eval(5).expect("evaluates");
    bench.edit("tenants/demo_qa/prompts/modules/generate_answer/variant-001.md", "Question:", "The question:");
    let e = bench.eval(5).err().expect("another identity");
    assert!(e.to_string().contains("another identity"), "{e}");
}

#[test]
fn bad_input_names_the_culprit_and_the_mend() {
    for (file, from, to, want) in [
        ("tenants/demo_qa/configs/validation.json", "datasets/validation.jsonl", "datasets/none.jsonl", "none.jsonl"),
        (
            "tenants/demo_qa/configs/validation.json",
            "datasets/validation.jsonl",
            "../hotpotqa/x.jsonl",
            "leaves the tenant's folder",
        ),
        (
            "tenants/demo_qa/configs/validation.json",
            "modules/generate_answer/",
            "modules/gone/",
            "prompt_paths.generate_answer",
        ),
        ("tenants/demo_qa/chains/baseline.json", "\"llm\"", "\"llmm\"", "llmm"),
        ("tenants/demo_qa/chains/baseline.json", "\"output\":\"answer\"", "\"output\":\"anser\"", "anser"),
        ("fapo.toml", "task = [\"demo_script\"]", "other = [\"demo_script\"]", "not granted"),
        ("tenants/demo_qa/configs/validation.json", "exact_match", "exact_mach", "exact_mach"),
    ] {
        let bench = Bench::new();
        let text = std::fs::read_to_string(bench.path(file)).expect("reads");
        let from = if text.contains(from) { from.to_string() } else { from.replace("\":\"", "\": \"") };
        bench.edit(file, &from, to);
        bench.refused(want);
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_tenant_is_refused() {
    let bench = Bench::new();
    let dataset = bench.path("tenants/demo_qa/datasets/validation.jsonl");
    std::fs::rename(&dataset, bench.path("outside.jsonl")).expect("moved");
    std::os::unix::fs::symlink(bench.path("outside.jsonl"), &dataset).expect("linked");
    bench.refused("leaves the tenant's folder");
}

#[test]
fn components_that_are_none_or_want_too_much_are_refused_before_compiling() {
    let bench = Bench::new();
    for (wat, want) in [
        ("(module)", "core module"),
        ("(component)", "exports none of chain, node, scorer"),
        ("(component (import \"fapo:tenant/log@0.9.0\" (instance)))", "speaks fapo:tenant/log@0.9.0"),
        (
            "(component (import \"wasi:sockets/tcp@0.2.0\" (instance $s)) (export \"fapo:tenant/scorer@0.1.0\" (instance $s)))",
            "imports wasi:sockets/tcp@0.2.0",
        ),
        (
            "(component (import \"fapo:tenant/provider@0.1.0\" (instance $p)) (export \"fapo:tenant/scorer@0.1.0\" (instance $p)))",
            "imports fapo:tenant/provider@0.1.0",
        ),
    ] {
        let path = bench.path("hostile.wasm");
        std::fs::write(&path, wat::parse_str(wat).expect("assembles")).expect("written");
        let e = bench.eval_with(5, Some(path)).err().unwrap_or_else(|| panic!("{want}"));
        assert!(e.to_string().contains(want), "{e} should hold {want}");
        assert!(e.hint.is_some());
    }
}

#[test]
fn a_limit_passed_ends_the_case_and_not_the_run() {
    for limit in ["steps", "host_calls"] {
        let bench = Bench::new();
        let operator = bench.path("fapo.toml");
        let text = std::fs::read_to_string(&operator).expect("reads");
        std::fs::write(&operator, format!("{text}\n[limits]\n{limit} = 1\n")).expect("written");
        let done = bench.eval(3).expect("the run goes on");
        assert_eq!(done.report.records.len(), 3);
        for record in &done.report.records {
            let fault = record.fault.as_ref().expect("a fault");
            assert!(fault.message.contains(&format!("limit {limit} passed")), "{fault:?}");
            assert_eq!(record.composite(), 0.0, "a fault counts as zero");
        }
    }
}

/// Crates by heavy dependency: each may be named in one manifest only.
#[test]
fn heavy_dependencies_stand_in_one_crate_each() {
    for (dependency, home) in [("wasmtime", "sandbox"), ("wasmparser", "sandbox"), ("tantivy", "retrieval")] {
        for folder in ["template", "graph", "core", "sandbox", "provider", "retrieval", "engine"] {
            let text =
                std::fs::read_to_string(root().join("host").join(folder).join("Cargo.toml")).expect("a manifest");
            let names = text.lines().any(|line| line.starts_with(dependency));
            assert_eq!(names, folder == home, "{dependency} in host/{folder}");
        }
    }
}

/// The crates in braces of the architecture never import each other.
#[test]
fn the_four_meet_only_at_the_ports() {
    let four = ["sandbox", "provider", "retrieval", "engine"];
    for folder in four {
        let text = std::fs::read_to_string(root().join("host").join(folder).join("Cargo.toml")).expect("a manifest");
        for other in four {
            assert!(!text.contains(&format!("fapo-{other}.workspace")), "host/{folder} imports {other}");
        }
    }
}
