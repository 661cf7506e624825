//! A chain and a scorer that speak the contract without the SDK's manners; see the README one folder up.
//!
//! What to do stands in the case's context, under `behave`: the chain is told by its case, the scorer by the same one.

#![cfg(target_family = "wasm")]

use fapo_tenant_sdk::bindings::chain::exports::fapo::tenant::chain as wit;
use fapo_tenant_sdk::bindings::chain::fapo::tenant::{graph, log, node_types, nodes, provider, retrieval, types};
use fapo_tenant_sdk::bindings::scorer::exports::fapo::tenant::scorer;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// A request for memory of this size never returns.
const SPIN_ON_ALLOC: usize = 1_234_567;
/// Memory of this size is never given back.
const SPIN_ON_FREE: usize = 765_432;
/// Armed only where a case asks for it, so that nothing else of these sizes is hit.
static ARMED: AtomicBool = AtomicBool::new(false);
/// What a component could remember from case to case, and hand from its chain to its scorer.
static REMEMBERED: AtomicU64 = AtomicU64::new(0);

struct Spinning;

// SAFETY: hands everything to the system's allocator, or does not return at all.
unsafe impl GlobalAlloc for Spinning {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == SPIN_ON_ALLOC {
            spin();
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if layout.size() == SPIN_ON_FREE && ARMED.load(Ordering::Relaxed) {
            spin();
        }
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Spinning = Spinning;

fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

struct Raw;

struct Run {
    behave: String,
    value: String,
    turn: Cell<u32>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.behave == "drop" {
            spin();
        }
    }
}

fn id(node: &str, visit: u32) -> types::StepId {
    types::StepId { node: node.into(), visit }
}

fn step(node: &str, visit: u32, text: String) -> types::Step {
    types::Step {
        id: id(node, visit),
        origin: types::StepOrigin::Executed,
        outputs: vec![types::Entry { name: "text".into(), value: text.clone() }],
        output_text: Some(text),
        diagnostics: Vec::new(),
    }
}

fn value_of(context: &[types::Entry], name: &str) -> String {
    context.iter().find(|e| e.name == name).map(|e| e.value.clone()).unwrap_or_default()
}

fn ask(node: &str, model: &str, stop: Vec<String>) -> String {
    let request = provider::GenerateRequest {
        id: id(node, 0),
        model: model.into(),
        messages: vec![types::Message { role: types::Role::User, content: "hello\r\nX-Evil: 1\r\n\r\n".into() }],
        output_tokens_max: Some(u32::MAX),
        stop,
    };
    format!("{:?}", provider::generate(&request))
}

fn search(query: &str, index: &str, k: u32) -> String {
    let request = retrieval::SearchRequest { id: id("raw", 0), index: index.into(), query: query.into(), k };
    match retrieval::search(&request) {
        Ok(hits) => hits.iter().map(|hit| hit.title.clone()).collect::<Vec<_>>().join("\n"),
        Err(e) => format!("{e:?}"),
    }
}

/// Calls the node component `tool` for a kind that never ends, `n` times side by side; how often it was stopped.
fn spinning_nodes(n: usize) -> usize {
    let input = node_types::NodeInput {
        id: id("raw", 0),
        kind: "spin".into(),
        settings: "{}".into(),
        prompt: None,
        ports: Vec::new(),
    };
    let requests = vec![nodes::NodeRequest { component: "tool".into(), input }; n];
    nodes::call_batch(&requests).iter().filter(|ended| matches!(ended, Err(nodes::NodeError::Stopped(_)))).count()
}

impl wit::Guest for Raw {
    type Run = Run;

    fn describe() -> wit::Catalogue {
        let node = graph::NodeSpec {
            name: "raw".into(),
            kind: "raw".into(),
            settings: "{}".into(),
            prompt: None,
            handles: Vec::new(),
            inputs: Vec::new(),
            join: graph::Join::All,
        };
        wit::Catalogue {
            kinds: vec![wit::NodeKind {
                name: "raw".into(),
                summary: "Does as its case says.".into(),
                settings_schema: "{\"type\": \"object\"}".into(),
                inputs: Vec::new(),
                outputs: vec!["text".into()],
                takes_prompt: false,
                handles: vec![graph::HandleKind::Model, graph::HandleKind::Index],
                deterministic: false,
            }],
            parameters: Vec::new(),
            baseline: graph::GraphSpec { nodes: vec![node], edges: Vec::new(), output: "raw".into() },
        }
    }

    fn check(_: wit::Definition) -> Vec<wit::Problem> {
        Vec::new()
    }

    fn start(
        definition: wit::Definition,
        input: types::CaseInput,
        _: Vec<wit::GivenStep>,
    ) -> Result<wit::Run, Vec<wit::Problem>> {
        let behave = value_of(&input.context, "behave");
        ARMED.store(behave == "free", Ordering::Relaxed);
        let value = match behave.as_str() {
            "echo" => format!("{definition:?} {input:?}"),
            _ => value_of(&input.context, "value"),
        };
        Ok(wit::Run::new(Run { behave, value, turn: Cell::new(0) }))
    }
}

impl wit::GuestRun for Run {
    fn next(&self) -> Result<Option<Vec<types::Step>>, wit::ChainFault> {
        let turn = self.turn.replace(self.turn.get() + 1);
        let endless = matches!(self.behave.as_str(), "steps" | "repeat");
        if turn > 0 && !endless {
            return Ok(None);
        }
        let text = |text: String| Ok(Some(vec![step("raw", 0, text)]));
        match self.behave.as_str() {
            "spin" => spin(),
            "work" => {
                let rounds: u64 = self.value.parse().unwrap_or_default();
                text((0..rounds).fold(0u64, |sum, n| std::hint::black_box(sum ^ n)).to_string())
            }
            "alloc" => text(Vec::<u8>::with_capacity(SPIN_ON_ALLOC).capacity().to_string()),
            "free" => text("x".repeat(SPIN_ON_FREE)),
            "leak" => {
                let handles: u32 = self.value.parse().unwrap_or_default();
                for _ in 0..handles {
                    let run = Run { behave: String::new(), value: String::new(), turn: Cell::new(0) };
                    std::mem::forget(wit::Run::new(run));
                }
                text("leaked".into())
            }
            "count" => text(REMEMBERED.fetch_add(1, Ordering::Relaxed).to_string()),
            "clock" => text(format!("{:?} {:?}", SystemTime::now(), Instant::now())),
            "random" => text(RandomState::new().hash_one("x").to_string()),
            "echo" => text(format!("{} {:?}", self.value, std::env::vars().collect::<Vec<_>>())),
            "field" => text("x".repeat(self.value.parse().unwrap_or_default())),
            "memory" => {
                let bytes: usize = self.value.parse().unwrap_or_default();
                text(std::hint::black_box(vec![1u8; bytes]).len().to_string())
            }
            "notes" => {
                let mut step = step("raw", 0, String::new());
                step.diagnostics = vec![String::new(); self.value.parse().unwrap_or_default()];
                Ok(Some(vec![step]))
            }
            "steps" => Ok(Some(vec![step("raw", turn, String::new())])),
            "repeat" => Ok(Some(vec![step("raw", 0, String::new())])),
            "node" => Ok(Some(vec![step(&self.value, 0, String::new())])),
            "output" => {
                let mut step = step("raw", 0, String::new());
                step.outputs[0].name = self.value.clone();
                Ok(Some(vec![step]))
            }
            "given" => {
                let mut step = step("raw", 0, String::new());
                step.origin = types::StepOrigin::Given;
                Ok(Some(vec![step]))
            }
            "log" => {
                let (lines, bytes) = self.value.split_once('x').unwrap_or_default();
                let line = "l".repeat(bytes.parse().unwrap_or_default());
                (0..lines.parse().unwrap_or(0)).for_each(|_: u32| log::write(log::Level::Info, &line));
                text("logged".into())
            }
            "say" => {
                log::write(log::Level::Info, &self.value);
                text(self.value.clone())
            }
            "stderr" => {
                let line = vec![b'e'; 1 << 16];
                (0..320).for_each(|_| std::io::stderr().write_all(&line).unwrap_or_default());
                panic!("last words")
            }
            "ask" => text(ask("raw", &self.value, Vec::new())),
            "ask-as" => text(ask(&self.value, "task", Vec::new())),
            "stops" => {
                let stop = vec!["s".repeat(self.value.parse().unwrap_or_default())];
                (0..20).for_each(|_| drop(ask("raw", "task", stop.clone())));
                text("asked".into())
            }
            "ask-trap" => {
                ask("raw", "task", Vec::new());
                panic!("after a call")
            }
            "nodes" => {
                let (rounds, n) = self.value.split_once('x').unwrap_or_default();
                let rounds: usize = rounds.parse().unwrap_or_default();
                text((0..rounds).map(|_| spinning_nodes(n.parse().unwrap_or_default())).sum::<usize>().to_string())
            }
            "search" => text(search("what", &self.value, 10)),
            "bomb" => text(search(&"word* OR (".repeat(100_000), "docs", u32::MAX)),
            "forge" | "drop" => text(self.value.clone()),
            other => panic!("no behaviour {other:?}"),
        }
    }
}

impl scorer::Guest for Raw {
    fn validate_case(_: scorer::LabelledCase, _: String) -> Result<(), String> {
        Ok(())
    }

    /// By `profile`: a number is the score; `observed` and `claimed` give 100 where the label's text stands in the
    /// titles the host served, or in what the chain printed; `remembered` tells what is left of the chain.
    fn score_case(finished: scorer::FinishedCase, profile: String) -> Result<scorer::Score, scorer::ScorerFault> {
        let gold = finished.labelled.expected.split('"').nth(3).unwrap_or_default().to_string();
        let found = |yes: bool| if yes { 100.0 } else { 0.0 };
        let profile = profile.split('"').nth(3).unwrap_or_default();
        let composite = match profile {
            "observed" => found(finished.searches.iter().flat_map(|s| &s.hits).any(|(_, title)| *title == gold)),
            "claimed" => found(finished.output_text.contains(&gold)),
            "remembered" => REMEMBERED.load(Ordering::Relaxed) as f64,
            "zero" => -0.0,
            "random" => (RandomState::new().hash_one("x") % 101) as f64,
            number => number.parse().unwrap_or(f64::NAN),
        };
        let breakdown = match profile {
            "7" => vec![scorer::Metric { name: "m".into(), value: f64::NAN }],
            "8" => vec![scorer::Metric { name: String::new(), value: 1.0 }],
            "9" => vec![scorer::Metric { name: "m".into(), value: -1.0 }],
            _ => Vec::new(),
        };
        Ok(scorer::Score { composite, breakdown, feedback: String::new(), diagnostics: Vec::new() })
    }
}

fapo_tenant_sdk::bindings::chain::export_chain_component!(Raw with_types_in fapo_tenant_sdk::bindings::chain);
fapo_tenant_sdk::bindings::scorer::export_scorer_component!(Raw with_types_in fapo_tenant_sdk::bindings::scorer);

/// Nothing calls this. A test makes it the module's `start` function, and may give it another body.
#[unsafe(no_mangle)]
pub extern "C" fn at_start() {
    spin()
}
