//! A scorer and a node in JavaScript and in Python, under the same contract and in the same sandbox as guests in Rust.

use crate::support::{Languages, compiled, say};
use fapo_core::case::Case;
use fapo_core::fault::FaultKind;
use fapo_core::limits::Limits;
use fapo_core::ports::{FinishedCase, Scorer};
use fapo_sandbox::{LoadError, Sandbox, SandboxSettings, inspect};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Instant;

const LANGUAGES: [&str; 2] = ["javascript", "python"];

/// Cases that the cost of a fresh sandbox is measured on; told, and not asserted.
const MEASURED: u32 = 50;

fn case(expected: Value) -> Case {
    let expected = expected.as_object().expect("an object").clone();
    Case { case_id: "c1".into(), task_type: "qa".into(), context: Vec::new(), expected, metadata: Map::new() }
}

#[test]
fn scorers_in_javascript_and_python_score_as_any_other() {
    let Some(languages) = Languages::wanted() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let compiler = Some(PathBuf::from(env!("CARGO_BIN_EXE_fapo")));
    let settings = SandboxSettings { instances_max: 4, nodes_max: 4, compiled_cache: compiled(), compiler };
    let sandbox = Sandbox::new(&settings).expect("a sandbox");
    for language in LANGUAGES {
        let bytes = std::fs::read(languages.component(language, "scorer")).expect("built");
        let size = bytes.len();
        let scorer = runtime.block_on(sandbox.scorer(bytes.into(), Limits::default())).expect(language);
        let paris = case(json!({"answer": "Paris"}));
        let score = |output_text: &str, profile: Value| {
            let finished = FinishedCase { case: &paris, steps: &[], searches: &[], output_text };
            runtime.block_on(scorer.score(finished, &profile, None))
        };
        let right = score(" paris ", json!({}));
        let said = right.result.expect("a score");
        assert_eq!(
            (said.composite(), said.breakdown()),
            (100.0, &[("exact_match".to_string(), 100.0)][..]),
            "{language}"
        );
        assert_eq!(right.used.log, ["info: scored c1"], "{language}");
        assert_eq!(score("Rome", json!({})).result.expect("a score").composite(), 0.0, "{language}");
        let thrown = score("Paris", json!({"behave": "throw"})).result.expect_err("a fault");
        assert!(matches!(thrown.kind, FaultKind::Trapped | FaultKind::Returned), "{language}: {thrown:?}");
        let random = || score("", json!({"behave": "random"})).result.map(|score| score.composite());
        assert_eq!(random().expect("a score"), random().expect("a score"), "{language}: chance is the same each time");
        let rows = [case(json!({"answer": "x"})), case(json!({"label": "x"}))];
        let refused = runtime.block_on(scorer.validate(&rows, &json!({}))).expect("asked");
        assert_eq!(refused, [(1, "expected.answer is missing".to_string())], "{language}");
        let began = Instant::now();
        (0..MEASURED).for_each(|_| drop(score("Paris", json!({})).result.expect("a score")));
        let micros = began.elapsed().as_micros() / u128::from(MEASURED);
        say(&format!("{language} scorer: {size} bytes, {micros} us a case, {} units of fuel", right.used.fuel));
    }
}

#[test]
fn nodes_in_javascript_and_python_run_in_a_chain() {
    let Some(languages) = Languages::wanted() else { return };
    for language in LANGUAGES {
        let bench = crate::nodes::bench("slug", "");
        std::fs::copy(languages.component(language, "node"), bench.path("components/tool.wasm")).expect("copied");
        let slug = |text: &str| {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
        };
        for row in crate::nodes::rows(&bench, 0) {
            let answer = row["step_outputs"]["answer"].as_str().expect("text");
            assert_eq!(row["output_text"], slug(answer), "{language}");
        }
    }
}

#[test]
fn default_builds_are_refused_with_the_switch_to_use() {
    let Some(languages) = Languages::wanted() else { return };
    for (language, switch) in [("javascript", "disableFeatures"), ("python", "--stub-wasi")] {
        let bytes = std::fs::read(languages.component(language, "default")).expect("built");
        let refused = inspect(&bytes, 32 << 20).expect_err("refused");
        let LoadError::Forbidden { imports, .. } = &refused else { panic!("{language}: {refused}") };
        assert!(imports.iter().any(|import| import.starts_with("wasi:filesystem/")), "{language}: {imports:?}");
        assert!(refused.hint().contains(switch), "{language}: {}", refused.hint());
    }
}
