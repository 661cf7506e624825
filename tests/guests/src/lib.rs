//! A chain and a scorer that misbehave as they are told; see the README.

use fapo_tenant_sdk::converter::{Converter, Description, Rows, Shape, Target};
use fapo_tenant_sdk::judge::{JudgeError, VerdictRequest, ask};
use fapo_tenant_sdk::{
    Chain, ChainBuilder, Entry, FinishedCase, GenerateRequest, GraphBuilder, GraphSpec, HandleKind, Host, Kind,
    LabelledCase, Message, NodeCall, NodeComponent, NodeInput, NodeKind, NodeOutput, NodeRequest, OfferedKind, Output,
    Replies, Role, Score, Scorer, SearchRequest, StepId, Turn, Value, export_chain, export_converter, export_node,
    export_scorer, json, node,
};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a text that is far too long.
const LONG_BYTES: usize = 10 << 20;

/// Batches of the behaviour `many`; the SDK itself ends a step after 16.
const BATCHES: usize = 15;

/// Every built-in kind, and `hostile`.
pub struct HostileChain;

impl Chain for HostileChain {
    fn define() -> ChainBuilder {
        ChainBuilder::new(baseline).kind(Hostile)
    }
}

fn baseline() -> GraphSpec {
    let echo = node("hostile", "hostile").setting("behave", "echo").model("task");
    GraphBuilder::new().node(echo).output("hostile")
}

/// The kind `hostile`.
struct Hostile;

impl Kind for Hostile {
    fn name(&self) -> &'static str {
        "hostile"
    }

    fn describe(&self) -> NodeKind {
        NodeKind {
            name: self.name().into(),
            summary: "Misbehaves as its setting says.".into(),
            settings_schema: json!({"type": "object", "properties": {"behave": {"type": "string"}}}),
            inputs: Vec::new(),
            outputs: vec!["text".into()],
            takes_prompt: false,
            handles: vec![HandleKind::Model],
            deterministic: false,
        }
    }

    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String> {
        let behave = node.text("behave").unwrap_or_default();
        if behave == "many" && replies.len() < BATCHES {
            let ask =
                |n: usize| node.ask(vec![Message { role: Role::User, content: format!("{} {n}", replies.len()) }]);
            return Ok(Turn::Generate((0..3).map(ask).collect::<Result<_, _>>()?));
        }
        let text = if behave == "echo" { everything_seen(node) } else { misbehave(behave) };
        Ok(Turn::Done(Output::new("text", text).sets_output(true)))
    }
}

/// All that a node can reach from inside.
fn everything_seen(node: &NodeCall<'_>) -> String {
    let question = node.context("question").unwrap_or_default();
    let others: Vec<&str> = ["expected", "answer", "metadata", "label", "split", "canary"]
        .into_iter()
        .filter_map(|name| node.context(name))
        .collect();
    let outside: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).chain(std::env::args()).collect();
    format!("{:?} {question} {others:?} {outside:?}", node.id())
}

/// Does what a name says; the name itself where it is none of these.
fn misbehave(behave: &str) -> String {
    match behave {
        "panic" => panic!("hostile on purpose"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "grow" => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "recurse" => return recurse(0).to_string(),
        "exit" => std::process::exit(3),
        "flood" => (0..100_000).for_each(|n| log(&format!("line {n}"))),
        "long" => return "x".repeat(LONG_BYTES),
        _ => {}
    }
    behave.to_string()
}

#[expect(unconditional_recursion, reason = "it is what this guest is for")]
fn recurse(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + room[0]
}

/// The scorer.
pub struct HostileScorer;

impl Scorer for HostileScorer {
    fn validate(_: &LabelledCase, _: &Value) -> Result<(), String> {
        Ok(())
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        let text = |name: &str| profile.get(name).and_then(Value::as_str).unwrap_or_default();
        let only = text("case");
        if !only.is_empty() && only != finished.labelled.input.case_id {
            return Ok(Score::new(100.0));
        }
        Ok(match text("behave") {
            "nan" => Score::new(f64::NAN),
            "over" => Score::new(101.0),
            "under" => Score::new(-1.0),
            "provider" => Score::new(100.0).note(call_provider()),
            "judge" => judge(finished, profile)?,
            "rejects" => noisy(finished, profile),
            other => Score::new(100.0).feedback(misbehave(other)),
        })
    }
}

/// Exact match, but for the cases that the profile lists: they score 0 whatever their answer.
fn noisy(finished: &FinishedCase, profile: &Value) -> Score {
    let listed =
        profile["rejects"].as_array().is_some_and(|ids| ids.iter().any(|id| *id == *finished.labelled.input.case_id));
    let expected = finished.labelled.expected.get("answer").and_then(Value::as_str).unwrap_or_default();
    Score::new(if finished.output_text == expected && !listed { 100.0 } else { 0.0 })
}

/// Asks the judge what the profile says, `times` over; `$output` stands for the chain's answer. The score is 100 where
/// every verdict holds for the first choice.
fn judge(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
    let told = &profile["judge"];
    let text = |name: &str| told[name].as_str().unwrap_or_default();
    let mut request = VerdictRequest::new(text("prompt"), text("model"));
    for (name, value) in told["values"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        request = request.value(name, if value == "$output" { &finished.output_text } else { value });
    }
    request.choices =
        told["choices"].as_array().into_iter().flatten().filter_map(Value::as_str).map(String::from).collect();
    if let [one, other] = told["swap"].as_array().map(Vec::as_slice).unwrap_or_default() {
        request = request.swap(one.as_str().unwrap_or_default(), other.as_str().unwrap_or_default());
    }
    let times = told["times"].as_u64().unwrap_or(1) as usize;
    let (mut held, mut notes) = (true, Vec::new());
    for said in ask(vec![request.clone(); times]) {
        match said {
            Ok(verdict) => {
                let places = [0, 1].map(|at| request.choices.get(at).map_or("", String::as_str));
                held &= verdict.holds_for(places[0], places[1]);
                notes.push(format!("{verdict:?}"));
            }
            Err(e @ JudgeError::OffChoice(_)) => return Err(e.to_string()),
            Err(e) => {
                held = false;
                notes.push(e.to_string());
            }
        }
    }
    let mut score = Score::pass(held);
    score.diagnostics = notes;
    Ok(score)
}

#[cfg(target_family = "wasm")]
fn log(line: &str) {
    use fapo_tenant_sdk::bindings::chain::fapo::tenant::log;
    log::write(log::Level::Info, line);
}

#[cfg(not(target_family = "wasm"))]
fn log(_: &str) {}

/// A model call past the SDK, by the import that the chain half of this component brings along.
#[cfg(target_family = "wasm")]
fn call_provider() -> String {
    use fapo_tenant_sdk::bindings::chain::fapo::tenant::{provider, types};
    let request = provider::GenerateRequest {
        id: types::StepId { node: "hostile".into(), visit: 0 },
        model: "task".into(),
        messages: Vec::new(),
        output_tokens_max: None,
        stop: Vec::new(),
    };
    format!("{:?}", provider::generate(&request))
}

#[cfg(not(target_family = "wasm"))]
fn call_provider() -> String {
    "there is no host".into()
}

/// The node: what it does is its kind.
pub struct HostileNode;

impl NodeComponent for HostileNode {
    fn kinds() -> Vec<OfferedKind> {
        let kind = |name: &str| OfferedKind {
            name: name.into(),
            summary: "Does as its name says.".into(),
            settings_schema: json!({"type": "object"}),
            ports: vec!["text".into()],
            outputs: vec!["text".into()],
        };
        ["upper", "count", "ask", "search", "nodes", "fault", "panic", "spin", "grow"].map(kind).into()
    }

    fn run(input: &NodeInput, host: &mut dyn Host) -> Result<NodeOutput, String> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let text = input.ports.first().map_or("", |port| port.value.as_str());
        let as_step = |node: Option<&str>| StepId {
            node: node.map_or_else(|| input.id.node.clone(), str::to_string),
            visit: input.id.visit,
        };
        let said = match input.kind.as_str() {
            "upper" => text.to_uppercase(),
            "count" => CALLS.fetch_add(1, Ordering::Relaxed).to_string(),
            "ask" | "ask-as" => {
                let request = GenerateRequest {
                    id: as_step((input.kind == "ask-as").then_some("retrieve")),
                    model: "task".into(),
                    messages: vec![Message { role: Role::User, content: text.into() }],
                    output_tokens_max: None,
                    stop: Vec::new(),
                };
                format!("{:?}", host.generate(vec![request]))
            }
            "search" => {
                let request = SearchRequest { id: as_step(None), index: "corpus".into(), query: text.into(), k: 1 };
                format!("{:?}", host.search(vec![request]))
            }
            "nodes" => {
                let request = NodeRequest { component: "tool".into(), input: input.clone() };
                format!("{:?}", host.call_nodes(vec![request]))
            }
            "fault" => return Err("a fault of its own".into()),
            other => misbehave(other),
        };
        Ok(NodeOutput { outputs: vec![Entry::new("text", said)], diagnostics: Vec::new() })
    }
}

/// The converter: each record is what it does, `ok` being a case.
#[derive(Default)]
pub struct HostileConverter {
    cases: usize,
    refuses: bool,
}

impl Converter for HostileConverter {
    const SHAPE: Shape = Shape::Lines;

    fn describe() -> Description {
        Description::new("lines that say what to do").known("known.txt", &"0".repeat(64))
    }

    fn record(&mut self, _file: &str, record: &str, rows: &mut Rows) -> Result<(), String> {
        let (told, rest) = record.split_once(' ').unwrap_or((record, ""));
        match told {
            "ok" => {
                let id = self.cases.to_string();
                self.cases += 1;
                let case =
                    json!({"case_id": id, "task_type": "qa", "context": {"q": rest}, "expected": {}, "metadata": {}});
                rows.add(if rest == "train" { Target::Train } else { Target::Test }, &case);
            }
            "no-case" => rows.add(Target::All, &json!({"id": 1})),
            "same" => rows.add(
                Target::Validation,
                &json!({"case_id": "0", "task_type": "qa", "context": {"q": ""}, "expected": {}, "metadata": {}}),
            ),
            "passage" => rows.add(Target::Corpus, &json!({"title": rest, "text": "t"})),
            "no-passage" => rows.add(Target::Corpus, &json!({"title": rest})),
            "rows" => (0..20)
                .for_each(|n| rows.add(Target::Corpus, &json!({"title": n.to_string(), "text": "x".repeat(1 << 20)}))),
            "refuse" => self.refuses = true,
            "wrong" => return Err("is wrong on purpose".into()),
            "wordy" => return Err("x".repeat(1 << 20)),
            "model" => return Err(call_provider()),
            other => drop(misbehave(other)),
        }
        Ok(())
    }

    fn finish(&mut self, splits: bool, _rows: &mut Rows) -> Result<(), String> {
        if self.refuses && splits { Err("these are no splits".into()) } else { Ok(()) }
    }
}

export_converter!(HostileConverter);
export_node!(HostileNode);
export_chain!(HostileChain);
export_scorer!(HostileScorer);
