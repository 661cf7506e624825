//! Each kind of edge, run by the stock component in the sandbox.

use crate::support::Bench;
use serde_json::{Value, json};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

/// Runs one case of a graph whose prompts and scripted replies are given; its journal record.
fn record(graph: &Value, prompts: &[(&str, &str)], script: &[Value]) -> Value {
    let bench = Bench::with_index();
    bench.write("tenants/demo_qa/chains/baseline.json", &graph.to_string());
    let mut config: Value = serde_json::from_str(&bench.read(CONFIG)).expect("JSON");
    let mut paths = serde_json::Map::new();
    for (name, text) in prompts {
        let path = format!("tenants/demo_qa/prompts/modules/{name}/variant-001.md");
        bench.write(&path, text);
        paths.insert((*name).to_string(), path.into());
    }
    config["chain"]["config"]["prompt_paths"] = paths.into();
    bench.write(CONFIG, &config.to_string());
    bench.write("tenants/demo_qa/scripted.jsonl", &script.iter().map(|rule| format!("{rule}\n")).collect::<String>());
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--limit", "1", "--json"]);
    assert_eq!(ran.code, 0, "{} {}", ran.stderr, ran.stdout);
    let journal = bench.read(&format!("{RUN}/journal.jsonl"));
    let line: Value = serde_json::from_str(journal.lines().nth(1).expect("a case")).expect("JSON");
    line["record"].clone()
}

/// Steps as `node#visit origin`, in order.
fn steps(record: &Value) -> Vec<String> {
    let steps = record["steps"].as_array().expect("steps").iter().map(|timed| &timed["step"]);
    steps.map(|s| format!("{}#{} {}", s["id"]["node"], s["id"]["visit"], s["origin"]).replace('"', "")).collect()
}

fn llm(name: &str) -> Value {
    json!({"name": name, "kind": "llm", "prompt": name, "handles": [{"model": "task"}]})
}

fn say(contains: &str, reply: &str) -> Value {
    json!({"contains": [contains], "reply": reply})
}

#[test]
fn a_condition_takes_one_way_and_a_join_of_any_goes_on() {
    let graph = |answer: &str| {
        let when = |negate: bool| json!({"subject": {"step": "judge"}, "test": {"contains": "yes"}, "negate": negate});
        let mut end = llm("end");
        end["join"] = "any".into();
        let graph = json!({
            "nodes": [llm("judge"), llm("short"), llm("long"), end],
            "edges": [
                {"source": "judge", "target": "short", "when": when(false)},
                {"source": "judge", "target": "long", "when": when(true)},
                {"source": "short", "target": "end"}, {"source": "long", "target": "end"}
            ],
            "output": "end",
        });
        let prompts = [
            ("judge", "User: judge ${question}\n"),
            ("short", "User: be short\n"),
            ("long", "User: be long\n"),
            ("end", "User: end with ${steps.short.output}${steps.long.output}\n"),
        ];
        let script = [
            say("judge", answer),
            say("be short", "S"),
            say("be long", "L"),
            say("end with S", "ended short"),
            say("end with L", "ended long"),
        ];
        record(&graph, &prompts, &script)
    };
    let yes = graph("yes, it is");
    assert_eq!(steps(&yes), ["judge#0 executed", "long#0 skipped", "short#0 executed", "end#0 executed"]);
    assert_eq!(yes["output_text"], "ended short");
    let no = graph("it is not");
    assert_eq!(steps(&no), ["judge#0 executed", "short#0 skipped", "long#0 executed", "end#0 executed"]);
    assert_eq!(no["output_text"], "ended long");
}

#[test]
fn a_loop_goes_round_while_its_condition_holds_and_its_bound_allows() {
    let run = |visits_max: u32| {
        let again = json!({"subject": {"step": "check"}, "test": {"contains": "again"}});
        let mut check = llm("check");
        check["settings"] = json!({"sets_output": false});
        let graph = json!({
            "nodes": [llm("draft"), check],
            "edges": [
                {"source": "draft", "target": "check"},
                {"source": "check", "target": "draft", "when": again, "visits_max": visits_max}
            ],
            "output": "draft",
        });
        let prompts = [
            ("draft", "User: draft after <${steps.check.output}>\n"),
            ("check", "User: check ${steps.draft.output}\n"),
        ];
        let script = [
            say("draft after <>", "one"),
            say("check one", "again, more"),
            say("draft after <again, more>", "two"),
            say("check two", "again, even more"),
            say("draft after <again, even more>", "three"),
            say("check three", "good"),
        ];
        record(&graph, &prompts, &script)
    };
    let free = run(5);
    let nodes: Vec<String> = steps(&free).iter().map(|s| s.replace(" executed", "")).collect();
    assert_eq!(nodes, ["draft#0", "check#0", "draft#1", "check#1", "draft#2", "check#2"]);
    assert_eq!(free["output_text"], "three");
    let bound = run(1);
    assert_eq!(steps(&bound).len(), 4, "one further visit: {:?}", steps(&bound));
    assert_eq!(bound["output_text"], "two");
}

#[test]
fn a_fan_out_of_three_is_one_superstep_with_one_batch_of_three() {
    let graph = json!({
        "nodes": [llm("start"), llm("a"), llm("b"), llm("c"), llm("end")],
        "edges": [
            {"source": "start", "target": "a"}, {"source": "start", "target": "b"}, {"source": "start", "target": "c"},
            {"source": "a", "target": "end"}, {"source": "b", "target": "end"}, {"source": "c", "target": "end"}
        ],
        "output": "end",
    });
    let prompts = [
        ("start", "User: start ${question}\n"),
        ("a", "User: ask a ${steps.start.output}\n"),
        ("b", "User: ask b ${steps.start.output}\n"),
        ("c", "User: ask c ${steps.start.output}\n"),
        ("end", "User: join ${steps.a.output}${steps.b.output}${steps.c.output}\n"),
    ];
    let script = [
        say("start", "go"),
        say("ask a go", "1"),
        say("ask b go", "2"),
        say("ask c go", "3"),
        say("join 123", "joined"),
    ];
    let record = record(&graph, &prompts, &script);
    let nodes: Vec<String> = steps(&record).iter().map(|s| s.replace("#0 executed", "")).collect();
    assert_eq!(nodes, ["start", "a", "b", "c", "end"]);
    assert_eq!(record["output_text"], "joined");
    assert_eq!(record["calls"].as_array().map(Vec::len), Some(5));
    // The steps of one superstep share the host's one measurement of it.
    let seconds: Vec<&Value> = (1..4).map(|at| &record["steps"][at]["seconds"]).collect();
    assert!(seconds[0] == seconds[1] && seconds[1] == seconds[2], "{seconds:?}");
}
