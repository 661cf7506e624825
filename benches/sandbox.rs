//! What a fresh sandbox costs, and what a hostile neighbour costs others. Prints figures, asserts nothing.

#![allow(clippy::print_stdout, reason = "it prints its figures")]

use fapo::guests::{Lock, build};
use fapo_core::case::Case;
use fapo_core::limits::Limits;
use fapo_core::ports::{
    BoxFuture, CaseServices, Chain, ChainOutcome, Definition, FinishReason, FinishedCase, GenerateRequest, Replies,
    Scorer, SearchRequest, SearchResults, ServiceFault,
};
use fapo_graph::{CaseInput, Entry};
use fapo_sandbox::{ChainComponent, Sandbox, SandboxSettings, ScorerComponent};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[allow(unreachable_pub, reason = "shared with the tests")]
#[path = "../tests/support/languages.rs"]
mod languages;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn say(text: &str) {
    println!("{text}");
}

struct Answers;

impl CaseServices for Answers {
    fn generate(&self, requests: Vec<GenerateRequest>) -> BoxFuture<'_, Result<Replies, ServiceFault>> {
        Box::pin(async move { Ok(requests.iter().map(|_| Ok(("a".into(), FinishReason::Stop))).collect()) })
    }

    fn search(&self, requests: Vec<SearchRequest>) -> BoxFuture<'_, Result<SearchResults, ServiceFault>> {
        Box::pin(async move { Ok(requests.iter().map(|_| Ok(Vec::new())).collect()) })
    }
}

fn input(behave: &str, value: &str) -> CaseInput {
    let context = vec![Entry::new("behave", behave), Entry::new("value", value)];
    CaseInput { case_id: "c".into(), task_type: "qa".into(), context }
}

fn definition() -> Definition {
    let graph = json!({"nodes": [{"name": "raw", "kind": "raw"}], "edges": [], "output": "raw"});
    Definition { graph: serde_json::from_value(graph).expect("a graph"), prompts: Vec::new(), params: Vec::new() }
}

async fn one(chain: &ChainComponent, definition: &Definition, behave: &str, value: &str) -> (Duration, ChainOutcome) {
    let began = Instant::now();
    let outcome = chain.run(definition, &input(behave, value), Arc::new(Answers)).await;
    (began.elapsed(), outcome)
}

/// Median and 95th percentile, microseconds.
fn figures(mut times: Vec<Duration>) -> (u128, u128) {
    times.sort();
    (times[times.len() / 2].as_micros(), times[times.len() * 95 / 100].as_micros())
}

async fn many(chain: &ChainComponent, n: usize, behave: &str, value: &str) -> (u128, u128) {
    let definition = definition();
    let mut times = Vec::with_capacity(n);
    for _ in 0..n {
        times.push(one(chain, &definition, behave, value).await.0);
    }
    figures(times)
}

#[tokio::main]
async fn main() {
    let guest = build(&root().join("tests/guests/raw"), "raw_guests", &root().join("target/guests"), Lock::Kept);
    let bytes: Arc<[u8]> = std::fs::read(guest.expect("the guest builds")).expect("read").into();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = SandboxSettings {
        instances_max: 8,
        nodes_max: 8,
        compiled_cache: folder.path().join("compiled"),
        compiler: None,
    };
    let sandbox = Sandbox::new(&settings).expect("a sandbox");
    let limits = Limits { fuel_units: 500_000_000, ..Limits::default() };
    let chain = sandbox.chain(Arc::clone(&bytes), limits).await.expect("a chain");
    let scorer = sandbox.scorer(bytes, limits).await.expect("a scorer");

    many(&chain, 500, "count", "").await;
    let (median, p95) = many(&chain, 3_000, "count", "").await;
    println!("chain: a fresh sandbox, one step: median {median} us, p95 {p95} us");
    let (median, p95) = scored(&scorer, 3_000, &json!({"score": "50"})).await;
    println!("scorer: a fresh sandbox: median {median} us, p95 {p95} us");
    other_languages(&sandbox).await;

    let (before, _) = many(&chain, 1_000, "count", "").await;
    let (trapped, _) = many(&chain, 1_000, "no such behaviour", "").await;
    let (after, _) = many(&chain, 1_000, "count", "").await;
    println!("1,000 cases {before} us each, then 1,000 that trap {trapped} us each, then 1,000 more {after} us each");

    // Work of about 2 ms a case, alone, then beside one evaluation that spins, grows and floods without end.
    let (alone, alone_p95) = many(&chain, 400, "work", "1000000").await;
    let greedy = sandbox_beside(&chain);
    let (beside, beside_p95) = many(&chain, 400, "work", "1000000").await;
    greedy.store(true, Ordering::Relaxed);
    println!(
        "a case of pure work: alone median {alone} us p95 {alone_p95} us; \
         beside a hostile evaluation of one worker median {beside} us p95 {beside_p95} us"
    );
}

/// Median and 95th percentile of a scorer's cases, microseconds.
async fn scored(scorer: &ScorerComponent, n: usize, profile: &Value) -> (u128, u128) {
    let case = Case {
        case_id: "c".into(),
        task_type: "qa".into(),
        context: Vec::new(),
        expected: json!({"answer": "x"}).as_object().expect("an object").clone(),
        metadata: Map::new(),
    };
    let finished = FinishedCase { case: &case, steps: &[], searches: &[], output_text: "x" };
    let mut times = Vec::with_capacity(n);
    for _ in 0..n {
        let began = Instant::now();
        let outcome = scorer.score(finished, profile, None).await;
        assert!(outcome.result.is_ok(), "{outcome:?}");
        times.push(began.elapsed());
    }
    figures(times)
}

/// Scorers in JavaScript and Python, where `FAPO_LANGUAGES=1` asks for them.
async fn other_languages(sandbox: &Sandbox) {
    let Some(built) = languages::Languages::wanted() else { return };
    for language in ["javascript", "python"] {
        let bytes = std::fs::read(built.component(language, "scorer")).expect("built");
        let scorer = sandbox.scorer(bytes.into(), Limits::default()).await.expect("a scorer");
        scored(&scorer, 20, &json!({})).await;
        let (median, p95) = scored(&scorer, 500, &json!({})).await;
        println!("{language} scorer: a fresh sandbox: median {median} us, p95 {p95} us");
    }
}

/// One worker that runs hostile cases until it is told to stop.
fn sandbox_beside(chain: &ChainComponent) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let (chain, stopped) = (chain.clone(), Arc::clone(&stop));
    tokio::spawn(async move {
        let definition = definition();
        while !stopped.load(Ordering::Relaxed) {
            for (behave, value) in [("spin", ""), ("memory", "200000000"), ("log", "100000x100"), ("stderr", "")] {
                one(&chain, &definition, behave, value).await;
            }
        }
    });
    stop
}
