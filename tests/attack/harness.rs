//! One hostile component, run for one case in a sandbox of its own.

use crate::support::{compiled, raw_guest};
use fapo_core::case::Case;
use fapo_core::fault::FaultKind;
use fapo_core::limits::Limits;
use fapo_core::ports::{
    BoxFuture, CaseServices, Chain, ChainOutcome, Definition, FinishReason, FinishedCase, GenerateRequest, Hit,
    ObservedSearch, Replies, ScoreOutcome, Scorer, SearchRequest, SearchResults, ServiceFault,
};
use fapo_graph::{CaseInput, Entry, GraphSpec};
use fapo_sandbox::{ChainComponent, Defence, Sandbox, SandboxSettings, ScorerComponent};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// How the services behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serve {
    Answers,
    Never,
    Panics,
}

/// Services that note what was asked.
pub(super) struct Noting {
    serve: Serve,
    pub(super) asked: Mutex<Vec<GenerateRequest>>,
    pub(super) searched: Mutex<Vec<SearchRequest>>,
}

impl Noting {
    pub(super) fn new(serve: Serve) -> Arc<Self> {
        Arc::new(Noting { serve, asked: Mutex::default(), searched: Mutex::default() })
    }

    async fn behave(&self) {
        match self.serve {
            Serve::Answers => {}
            Serve::Never => std::future::pending().await,
            Serve::Panics => panic!("a fault of the host"),
        }
    }
}

impl CaseServices for Noting {
    fn generate(&self, requests: Vec<GenerateRequest>) -> BoxFuture<'_, Result<Replies, ServiceFault>> {
        Box::pin(async move {
            self.behave().await;
            let replies = requests.iter().map(|_| Ok(("a reply".to_string(), FinishReason::Stop))).collect();
            self.asked.lock().expect("not poisoned").extend(requests);
            Ok(replies)
        })
    }

    fn search(&self, requests: Vec<SearchRequest>) -> BoxFuture<'_, Result<SearchResults, ServiceFault>> {
        Box::pin(async move {
            self.behave().await;
            let hit = Hit { passage_id: "1".into(), title: "Served".into(), text: "text".into(), score: 1.0 };
            let results = requests.iter().map(|_| Ok(vec![hit.clone()])).collect();
            self.searched.lock().expect("not poisoned").extend(requests);
            Ok(results)
        })
    }
}

/// Limits small enough for quick tests.
pub(super) fn small() -> Limits {
    Limits { fuel_units: 200_000_000, memory_bytes: 16 << 20, call_wall_ms: 20_000, ..Limits::default() }
}

pub(super) fn settings(instances_max: u32) -> SandboxSettings {
    SandboxSettings {
        instances_max,
        nodes_max: instances_max,
        compiled_cache: compiled(),
        compiler: Some(PathBuf::from(env!("CARGO_BIN_EXE_fapo"))),
    }
}

/// A sandbox with the raw component as chain and scorer.
pub(super) struct Arena {
    pub(super) sandbox: Sandbox,
    pub(super) chain: ChainComponent,
    pub(super) scorer: ScorerComponent,
    runtime: tokio::runtime::Runtime,
}

impl Arena {
    pub(super) fn new(limits: Limits) -> Self {
        Self::of(Sandbox::new(&settings(4)).expect("a sandbox"), limits)
    }

    pub(super) fn without(defences: &[Defence], limits: Limits) -> Self {
        Self::of(Sandbox::without(&settings(4), defences).expect("a sandbox"), limits)
    }

    pub(super) fn of(sandbox: Sandbox, limits: Limits) -> Self {
        Self::with(std::fs::read(raw_guest()).expect("the component").into(), sandbox, limits)
    }

    pub(super) fn with(bytes: Arc<[u8]>, sandbox: Sandbox, limits: Limits) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let chain = runtime.block_on(sandbox.chain(Arc::clone(&bytes), limits)).expect("a chain");
        let scorer = runtime.block_on(sandbox.scorer(bytes, limits)).expect("a scorer");
        Arena { sandbox, chain, scorer, runtime }
    }

    /// Waits for a future on this arena's runtime.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The chain over one case that tells it what to do.
    pub(super) fn chain(&self, behave: &str, value: &str) -> ChainOutcome {
        self.chain_with(behave, value, Noting::new(Serve::Answers))
    }

    pub(super) fn chain_with(&self, behave: &str, value: &str, services: Arc<Noting>) -> ChainOutcome {
        self.wait(self.chain.run(&definition(), &input("c1", behave, value), services))
    }

    /// The scorer over one case.
    pub(super) fn score(&self, profile: &str, output_text: &str, searches: Vec<ObservedSearch>) -> ScoreOutcome {
        let mut expected = Map::new();
        expected.insert("title".into(), "Served".into());
        let case =
            Case { case_id: "c1".into(), task_type: "qa".into(), context: Vec::new(), expected, metadata: Map::new() };
        let finished = FinishedCase { case: &case, steps: &[], searches: &searches, output_text };
        self.wait(self.scorer.score(finished, &json!({"score": profile}), None))
    }
}

pub(super) fn input(case_id: &str, behave: &str, value: &str) -> CaseInput {
    CaseInput {
        case_id: case_id.into(),
        task_type: "qa".into(),
        context: vec![Entry::new("behave", behave), Entry::new("value", value)],
    }
}

/// One node of the kind `raw`.
pub(super) fn definition() -> Definition {
    let graph: GraphSpec = serde_json::from_value(json!({
        "nodes": [{"name": "raw", "kind": "raw"}], "edges": [], "output": "raw"
    }))
    .expect("a graph");
    Definition { graph, prompts: Vec::new(), params: Vec::<(String, Value)>::new() }
}

/// The text of the first step.
pub(super) fn said(outcome: &ChainOutcome) -> &str {
    assert_eq!(outcome.fault, None);
    outcome.steps[0].step.main_output()
}

/// Holds that a case ended by a fault of a kind whose message says something.
pub(super) fn ended(outcome: &ChainOutcome, kind: FaultKind, message: &str) {
    let fault = outcome.fault.as_ref().unwrap_or_else(|| panic!("no fault where {message:?} was to be said"));
    assert_eq!(fault.kind, kind, "{fault:?}");
    assert!(fault.message.contains(message), "{fault:?}");
}
