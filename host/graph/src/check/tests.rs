use super::*;
use serde_json::json;

fn catalogue() -> Catalogue {
    serde_json::from_value(json!({
        "kinds": [
            {"name": "llm", "summary": "asks", "settings_schema": {"type": "object",
                "properties": {"cap": {"type": "integer", "minimum": 1, "maximum": 9}}, "additionalProperties": false},
             "inputs": [], "outputs": ["text", "raw"], "takes_prompt": true, "handles": ["model"], "deterministic": false},
            {"name": "retrieve", "summary": "searches", "settings_schema": {"type": "object"},
             "inputs": [{"name": "query", "need": "required", "summary": "Words to search for."},
                        {"name": "more", "need": "optional", "summary": "More."}],
             "outputs": ["passages"], "takes_prompt": false, "handles": ["index"], "deterministic": true},
        ],
        "parameters": [{"name": "cap", "summary": "cap", "schema": {"type": "integer", "minimum": 1}, "default": 5}],
        "baseline": sound(),
    }))
    .expect("catalogue")
}

/// A sound graph with a loop, to be spoilt by each test.
fn sound() -> Value {
    json!({
        "nodes": [
            {"name": "find", "kind": "retrieve", "handles": [{"index": "wiki"}],
             "inputs": [{"port": "query", "source": {"context": "question"}}]},
            {"name": "answer", "kind": "llm", "prompt": "p", "handles": [{"model": "task"}],
             "settings": {"cap": {"param": "cap"}}},
            {"name": "judge", "kind": "llm", "prompt": "p", "handles": [{"model": "task"}]},
        ],
        "edges": [
            {"source": "find", "target": "answer"},
            {"source": "answer", "target": "judge", "when": {"subject": {"step_output": ["answer", "raw"]}, "test": "present"}},
            {"source": "judge", "target": "answer", "visits_max": 16},
        ],
        "output": "answer",
    })
}

fn prompts() -> Vec<PromptNames> {
    let placeholders = ["question", "steps.find.output", "steps.answer.output"].map(String::from).to_vec();
    vec![PromptNames { name: "p".into(), placeholders }]
}

fn problems(graph: Value, params: Value, prompts: &[PromptNames]) -> Vec<GraphProblem> {
    let graph = serde_json::from_value(graph).expect("graph");
    let params: Vec<(String, Value)> =
        params.as_object().expect("params").iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    check(&graph, &catalogue(), &params, prompts)
}

/// Sets one place of the sound graph and expects exactly these `subject: message` lines.
fn spoil(pointer: &str, value: Value, expect: &[&str]) {
    let mut graph = sound();
    match graph.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/').expect("pointer");
            match graph.pointer_mut(parent).expect("parent") {
                Value::Object(entries) => drop(entries.insert(key.into(), value)),
                Value::Array(items) => items.push(value),
                _ => panic!("{pointer}"),
            }
        }
    }
    expects(problems(graph, json!({"cap": 5}), &prompts()), expect, pointer);
}

fn expects(found: Vec<GraphProblem>, expect: &[&str], what: &str) {
    let lines: Vec<String> = found.iter().map(|problem| format!("{}: {}", problem.subject, problem.message)).collect();
    assert_eq!(lines, expect, "{what}");
}

#[test]
fn a_sound_graph_has_no_problem() {
    spoil("/output", json!("answer"), &[]);
    expects(check_catalogue(&catalogue()), &[], "catalogue");
}

#[test]
fn names_are_valid_and_unique() {
    spoil("/nodes/3", sound()["nodes"][0].clone(), &["find: the name \"find\" is given twice"]);
    for (name, valid) in [
        ("a", true),
        ("a_b-9", true),
        (&"x".repeat(64), true),
        (&"x".repeat(65), false),
        ("", false),
        ("A", false),
        ("a.b", false),
        ("é", false),
    ] {
        assert_eq!(is_name(name), valid, "{name:?}");
    }
}

#[test]
fn kinds_and_settings_are_those_of_the_catalogue() {
    spoil("/nodes/0/kind", json!("search"), &["find: unknown kind \"search\""]);
    spoil("/nodes/1/settings", json!({"cap": 10}), &["answer: settings $.cap: 10 is above the maximum 9"]);
    spoil("/nodes/1/settings", json!({"cup": 1}), &["answer: settings $.cup: unknown; known are cap"]);
    spoil(
        "/nodes/1/settings",
        json!({"cap": {"param": "x"}}),
        &["answer: settings refer to the unknown parameter \"x\""],
    );
}

#[test]
fn the_known_names_stand_in_the_hint() {
    let mut graph = sound();
    graph["nodes"][0]["kind"] = json!("search");
    let found = problems(graph, json!({"cap": 5}), &prompts());
    assert_eq!(found[0].hint.as_deref(), Some("kinds: llm, retrieve"));
}

#[test]
fn parameters_are_known_given_once_and_within_their_schema() {
    let with = |params| problems(sound(), params, &prompts());
    expects(
        with(json!({"cap": 0})),
        &["cap: parameter value $: 0 is below the minimum 1", "answer: settings $.cap: 0 is below the minimum 1"],
        "low",
    );
    expects(with(json!({})), &["cap: this parameter has no value"], "missing");
    expects(with(json!({"cap": 1, "k": 1})), &["k: no parameter is called \"k\""], "unknown");
}

#[test]
fn ports_are_bound_once_and_known() {
    spoil("/nodes/0/inputs", json!([]), &["find: port query is not bound"]);
    spoil(
        "/nodes/0/inputs/1",
        json!({"port": "query", "source": {"literal": "x"}}),
        &["find: port query is bound twice"],
    );
    spoil(
        "/nodes/0/inputs/1",
        json!({"port": "k", "source": {"literal": "x"}}),
        &["find: kind retrieve has no port \"k\""],
    );
    spoil("/nodes/0/inputs/1", json!({"port": "more", "source": {"literal": "x"}}), &[]);
}

#[test]
fn each_handle_is_there_once() {
    spoil("/nodes/0/handles", json!([]), &["find: kind retrieve needs a handle to an index"]);
    spoil("/nodes/0/handles/1", json!({"index": "b"}), &["find: 2 handles to an index; there must be one"]);
    spoil(
        "/nodes/0/handles/1",
        json!({"model": "m"}),
        &["find: kind retrieve takes no handle to a model, found \"m\""],
    );
    spoil("/nodes/0/handles/0", json!({"index": "../x"}), &["find: \"../x\" is no valid name of an index"]);
}

#[test]
fn a_prompt_is_there_where_it_is_needed() {
    spoil("/nodes/1/prompt", Value::Null, &["answer: kind llm needs a prompt"]);
    spoil("/nodes/1/prompt", json!("q"), &["answer: no prompt is called \"q\""]);
    spoil("/nodes/0/prompt", json!("p"), &["find: kind retrieve takes no prompt, found \"p\""]);
}

#[test]
fn values_are_read_from_upstream_only() {
    spoil("/nodes/0/inputs/0/source", json!({"step": "x"}), &["find: port query: no node is called \"x\""]);
    spoil(
        "/nodes/0/inputs/0/source",
        json!({"step": "answer"}),
        &["find: port query: node answer does not come before find"],
    );
    spoil("/edges/1/when/subject", json!({"step": "judge"}), &[]);
    spoil(
        "/edges/0/when",
        json!({"subject": {"step": "answer"}, "test": "empty"}),
        &["find -> answer: condition: node answer does not come before find"],
    );
    spoil("/edges/0/when", json!({"subject": {"step": "find"}, "test": "empty"}), &[]);
    spoil(
        "/edges/1/when/subject",
        json!({"step_output": ["answer", "row"]}),
        &["answer -> judge: condition: node answer has no output \"row\""],
    );
    spoil("/edges/0", json!({"source": "find", "target": "judge"}), &[]);
}

#[test]
fn placeholders_name_upstream_steps() {
    let ask = |names: &[&str]| {
        let placeholders = names.iter().map(|name| (*name).to_string()).collect();
        problems(sound(), json!({"cap": 5}), &[PromptNames { name: "p".into(), placeholders }])
    };
    expects(ask(&["steps.judge.output", "steps.answer.output"]), &[], "over the back edge");
    expects(
        ask(&["steps.x.output", "steps.x.output"]),
        &[
            "answer: placeholder ${steps.x.output} of prompt p: no node is called \"x\"",
            "judge: placeholder ${steps.x.output} of prompt p: no node is called \"x\"",
        ],
        "dangling",
    );
    expects(
        ask(&["steps.find"]),
        &[
            "answer: placeholder ${steps.find} of prompt p reads nothing",
            "judge: placeholder ${steps.find} of prompt p reads nothing",
        ],
        "shape",
    );
}

#[test]
fn loops_are_bounded() {
    for (visits, message) in [(0, Some(0)), (1, None), (16, None), (17, Some(17))] {
        let line = message.map(|n| format!("judge -> answer: visits_max is {n}, outside 1..=16"));
        let expect: Vec<&str> = line.iter().map(String::as_str).collect();
        spoil("/edges/2/visits_max", json!(visits), &expect);
    }
    spoil("/edges/2/visits_max", Value::Null, &["graph: a cycle without a bound runs through answer, judge"]);
    spoil("/edges/0/visits_max", json!(1), &["find -> answer: visits_max on an edge that closes no loop"]);
    spoil(
        "/edges/3",
        json!({"source": "find", "target": "answer"}),
        &["find -> answer: this edge is given twice", "find -> answer: this edge is given twice"],
    );
}

#[test]
fn the_output_exists_and_everything_leads_to_it() {
    spoil("/output", json!("x"), &["output: no node is called \"x\""]);
    spoil("/output", json!("find"), &[]);
    let lost = json!({"name": "lost", "kind": "retrieve", "handles": [{"index": "wiki"}], "inputs": [{"port": "query", "source": {"literal": "x"}}]});
    spoil("/nodes/3", lost, &["lost: unreachable: no path joins it with the output node answer"]);
    spoil(
        "/edges/0/target",
        json!("x"),
        &[
            "answer: placeholder ${steps.find.output} of prompt p: node find does not come before answer",
            "judge: placeholder ${steps.find.output} of prompt p: node find does not come before judge",
            "find -> x: no node is called \"x\"",
            "find: unreachable: no path joins it with the output node answer",
        ],
    );
}

#[test]
fn sizes_have_bounds() {
    let node = |name: String| json!({"name": name, "kind": "llm", "prompt": "p", "handles": [{"model": "task"}]});
    let graph = |nodes: usize| {
        let edges: Vec<Value> =
            (1..nodes).map(|n| json!({"source": format!("n{}", n - 1), "target": format!("n{n}")})).collect();
        json!({"nodes": (0..nodes).map(|n| node(format!("n{n}"))).collect::<Vec<_>>(), "edges": edges, "output": "n0"})
    };
    let ask = |graph| problems(graph, json!({"cap": 5}), &[PromptNames { name: "p".into(), placeholders: vec![] }]);
    expects(ask(graph(64)), &[], "64");
    expects(ask(graph(65)), &["graph: 65 nodes; at most 64 are allowed"], "65");
    let mut wide = graph(2);
    wide["edges"] = (0..257).map(|n| json!({"source": "n0", "target": "n1", "when": {"subject": {"literal": n.to_string()}, "test": "present"}})).collect();
    expects(ask(wide), &["graph: 257 edges; at most 256 are allowed"], "257");
    let empty = ask(json!({"nodes": [], "output": "a"}));
    expects(empty, &["graph: there is no node", "output: no node is called \"a\""], "empty");
}

#[test]
fn a_catalogue_is_checked_too() {
    let mut catalogue = catalogue();
    catalogue.kinds[1].name = "llm".into();
    catalogue.kinds[0].settings_schema = json!({"pattern": "x"});
    catalogue.kinds[0].outputs.clear();
    catalogue.parameters[0].default = json!("five");
    let found = check_catalogue(&catalogue);
    for (subject, words) in
        [("llm", "keyword not supported"), ("llm", "given twice"), ("llm", "no output"), ("cap", "expected integer")]
    {
        assert!(found.iter().any(|p| p.subject == subject && p.message.contains(words)), "{words}: {found:?}");
    }
}
