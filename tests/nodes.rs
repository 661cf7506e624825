//! Node components: a third party's node in a sandbox of its own, with what the operator granted and no more.

use crate::support::{Bench, guest, script};
use serde_json::{Value, json};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// demo_qa with a node after the answer that hands it to the hostile component's kind.
pub(crate) fn bench(kind: &str, may: &str) -> Bench {
    let bench = Bench::with_index();
    std::fs::create_dir_all(bench.path("components")).expect("made");
    std::fs::copy(guest(), bench.path("components/tool.wasm")).expect("copied");
    bench.append("tenants/demo_qa/tenant.toml", "components = [\"tool\"]\n");
    bench.append(
        "fapo.toml",
        &format!(
            "\n[components.third_party]\nfile = \"components/tool.wasm\"\n{may}\n\
             [tenants.demo_qa.components]\ntool = \"third_party\"\n\n[limits]\nfuel_units = 200000000\n"
        ),
    );
    let path = "tenants/demo_qa/chains/baseline.json";
    let mut graph: Value = serde_json::from_str(&bench.read(path)).expect("JSON");
    graph["nodes"].as_array_mut().expect("nodes").push(json!({
        "name": "tool", "kind": "component", "settings": {"kind": kind},
        "handles": [{"component": "tool"}], "inputs": [{"port": "text", "source": {"step": "answer"}}],
    }));
    graph["edges"].as_array_mut().expect("edges").push(json!({"source": "answer", "target": "tool"}));
    graph["output"] = "tool".into();
    bench.write(path, &graph.to_string());
    bench
}

/// demo_qa with a node after the answer that runs a script over it.
fn scripted(source: &str) -> Bench {
    let bench = bench("script", "");
    std::fs::copy(script(), bench.path("components/tool.wasm")).expect("copied");
    let path = "tenants/demo_qa/chains/baseline.json";
    let mut graph: Value = serde_json::from_str(&bench.read(path)).expect("JSON");
    let nodes = graph["nodes"].as_array_mut().expect("nodes");
    nodes.last_mut().expect("the tool")["settings"]["settings"] = json!({"script": "tidy"});
    bench.write(path, &graph.to_string());
    let file = "tenants/demo_qa/scripts/modules/tidy/variant-001.rhai";
    bench.write(file, source);
    let mut config: Value = serde_json::from_str(&bench.read(CONFIG)).expect("JSON");
    config["chain"]["config"]["script_paths"] = json!({"tidy": file});
    bench.write(CONFIG, &config.to_string());
    bench
}

pub(crate) fn rows(bench: &Bench, code: i32) -> Vec<Value> {
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]);
    assert_eq!(ran.code, code, "{}{}", ran.stderr, ran.stdout);
    let text = bench.read(&format!("{RUN}/results.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn output(row: &Value) -> &str {
    row["output_text"].as_str().expect("text")
}

#[test]
fn a_granted_node_runs_in_a_store_of_its_own_and_what_it_used_is_told() {
    for row in rows(&bench("upper", ""), 0) {
        let answer = row["step_outputs"]["answer"].as_str().expect("text");
        assert_eq!(output(&row), answer.to_uppercase());
        let used = &row["fapo"]["used"]["chain"]["nodes"];
        assert_eq!(used["calls"], 1);
        assert!(used["fuel"].as_u64().is_some_and(|fuel| fuel > 1_000), "{used}");
    }
    for row in rows(&bench("count", ""), 0) {
        assert_eq!(output(&row), "0", "nothing is remembered between calls");
    }
}

#[test]
fn a_node_may_call_what_the_operator_said_and_its_calls_stand_under_the_step() {
    for row in rows(&bench("nodes", ""), 0) {
        assert!(output(&row).contains("Denied"), "a node calls no node: {}", output(&row));
    }
    for (kind, denied) in [("ask", "provider task"), ("search", "retrieval corpus")] {
        for row in rows(&bench(kind, ""), 0) {
            assert!(output(&row).contains("Denied"), "{kind}: {}", output(&row));
            assert!(row["fapo"]["used"]["chain"]["denials"].to_string().contains(denied), "{row}");
        }
    }
    for row in rows(&bench("ask", "models = [\"task\"]"), 0) {
        assert!(output(&row).contains("Ok(Generation"), "{}", output(&row));
        assert_eq!(row["fapo"]["calls"]["total"], 2, "the answer's and the node's");
    }
    for row in rows(&bench("search", "indexes = [\"corpus\"]"), 0) {
        assert!(output(&row).starts_with("[Ok("), "{}", output(&row));
        assert_eq!(row["fapo"]["searches"][1]["id"]["node"], "tool", "observed by the host, under its step");
    }
}

#[test]
fn a_node_that_misbehaves_ends_its_case_by_name_and_not_the_run() {
    for (kind, message) in [
        ("fault", "a fault of its own"),
        ("panic", "hostile on purpose"),
        ("spin", "fuel_units passed"),
        ("grow", "memory_bytes passed"),
        ("ask-as", "was called by tool"),
    ] {
        for row in rows(&bench(kind, "models = [\"task\"]"), 5) {
            let fault = &row["fapo"]["fault"];
            assert_eq!((&fault["phase"], &fault["step"]), (&"chain".into(), &"tool".into()), "{kind}: {fault}");
            assert!(fault["message"].as_str().is_some_and(|m| m.contains(message)), "{kind}: {fault}");
        }
    }
}

#[test]
fn a_node_that_is_not_granted_is_refused_with_the_line_to_add() {
    let said = |bench: &Bench| {
        let ran = bench.fapo(&["eval", "--config", CONFIG]);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        ran.stderr
    };
    let ungranted = bench("upper", "");
    ungranted.edit("fapo.toml", "tool = \"third_party\"", "");
    assert!(said(&ungranted).contains("[tenants.demo_qa.components] tool = "));
    let unasked = bench("upper", "");
    unasked.edit("tenants/demo_qa/tenant.toml", "components = [\"tool\"]\n", "");
    assert!(said(&unasked).contains("is not granted to this tenant"));
    let unknown = bench("upper", "");
    unknown.edit("fapo.toml", "\"third_party\"", "\"fourth_party\"");
    assert!(said(&unknown).contains("[components.fourth_party]"));
    let no_node = bench("upper", "");
    std::fs::copy(no_node.path("tenants/demo_qa/stock.wasm"), no_node.path("components/tool.wasm")).expect("copied");
    assert!(said(&no_node).contains("exports chain and scorer, not node"));
}

#[test]
fn another_node_makes_another_run() {
    let bench = bench("upper", "");
    rows(&bench, 0);
    bench.edit("fapo.toml", "file = \"components/tool.wasm\"", "file = \"components/tool.wasm\"\nmodels = [\"task\"]");
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]);
    assert_eq!(ran.code, 2, "what a node may call is part of a run's identity: {}", ran.stdout);
}

#[test]
fn a_script_is_a_file_of_the_variant_and_part_of_the_run() {
    let bench = scripted("let t = text; t.trim(); print(`was ${t}`); t.to_upper() + \"!\"");
    for row in rows(&bench, 0) {
        let answer = row["step_outputs"]["answer"].as_str().expect("text");
        assert_eq!(output(&row), format!("{}!", answer.trim().to_uppercase()));
    }
    bench.write("tenants/demo_qa/scripts/modules/tidy/variant-001.rhai", "text");
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]);
    assert_eq!(ran.code, 2, "another script is another variant: {}", ran.stdout);
}

#[test]
fn a_script_that_does_too_much_is_a_fault_in_its_own_words() {
    for (source, says) in [
        ("loop { }", "script tidy: Too many operations"),
        ("let s = text + \"x\"; loop { s += s; }", "script tidy: Length of string too large"),
        ("fn f(n) { f(n + 1) } f(0)", "script tidy: Stack overflow"),
        ("import \"std\" as s; 1", "script tidy: "),
        ("nothing_there", "Variable not found: nothing_there (line 1"),
    ] {
        let row = rows(&scripted(source), 5).remove(0);
        let fault = &row["fapo"]["fault"];
        assert_eq!((&fault["step"], &fault["kind"]), (&json!("tool"), &json!("returned")), "{source}: {fault}");
        assert!(fault["message"].as_str().is_some_and(|m| m.contains(says)), "{source}: {fault}");
    }
}

#[test]
fn a_script_stands_in_a_file_and_nowhere_else() {
    let said = |bench: &Bench| {
        let ran = bench.fapo(&["eval", "--config", CONFIG]);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        ran.stderr
    };
    let missing = scripted("text");
    missing.edit(CONFIG, "\"script_paths\":{\"tidy\"", "\"script_paths\":{\"other\"");
    assert!(said(&missing).contains("chain.config.script_paths.tidy ="), "{}", said(&missing));
    let inline = scripted("text");
    inline.edit(
        "tenants/demo_qa/chains/baseline.json",
        "{\"script\":\"tidy\"}",
        "{\"script\":\"tidy\",\"source\":\"1\"}",
    );
    assert!(said(&inline).contains("holds the text of a script"), "{}", said(&inline));
    let outside = scripted("text");
    outside.edit(CONFIG, "scripts/modules/tidy", "../hotpotqa/scripts");
    assert!(said(&outside).contains("leaves the tenant's folder"), "{}", said(&outside));
}
