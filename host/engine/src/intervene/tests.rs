//! What a declared gold does not reach: outputs of a variant that passed, and chance.

use super::{Diagnosis, intervene};
use crate::evaluate::{Earlier, Evaluation, Granted};
use crate::files::{DiskFiles, SystemClock};
use crate::stop::StopSignal;
use fapo_core::attribution::{Interventions, Unattributed};
use fapo_core::case::Case;
use fapo_core::fault::Fault;
use fapo_core::gold::GoldSpec;
use fapo_core::grants::Budget;
use fapo_core::ports::{
    BoxFuture, CaseServices, Cases, Chain, ChainOutcome, Definition, FinishedCase, JudgeServices, ModelCall,
    ModelReply, Problem, Provider, ProviderError, ResourceUse, ScoreOutcome, Scorer, TimedStep,
};
use fapo_core::run::CaseRecord;
use fapo_core::score::{RawScore, Score};
use fapo_graph::{CaseInput, Catalogue, Entry, GraphSpec, Step, StepId, StepOrigin};
use serde_json::{Value, json};
use std::sync::Arc;

const RIGHT: &str = "Mara Quill";

/// Drafts badly, answers rightly from a good draft unless it is deaf to it; run without anything given it may be lucky.
#[derive(Default)]
struct TwoSteps {
    lucky: bool,
    deaf: bool,
}

fn step(node: &str, text: &str, origin: StepOrigin) -> TimedStep {
    let step = Step {
        id: StepId { node: node.into(), visit: 0 },
        origin,
        outputs: vec![Entry::new("text", text)],
        output_text: (node == "answer").then(|| text.to_string()),
        diagnostics: Vec::new(),
    };
    TimedStep { step, seconds: 0.0 }
}

impl Chain for TwoSteps {
    fn digest(&self) -> &str {
        "sha256:fake"
    }
    fn describe(&self) -> BoxFuture<'_, Result<Catalogue, Fault>> {
        Box::pin(async { unreachable!("a replay asks for no catalogue") })
    }
    fn check<'a>(&'a self, _: &'a Definition) -> BoxFuture<'a, Result<Vec<Problem>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn run<'a>(&'a self, _: &'a Definition, _: &'a CaseInput, _: Arc<dyn CaseServices>) -> BoxFuture<'a, ChainOutcome> {
        Box::pin(async { unreachable!("a replay is no scored run") })
    }
    fn run_on<'a>(
        &'a self,
        _: &'a Definition,
        _: &'a CaseInput,
        given: &'a [Step],
        _: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        let of = |node: &str| given.iter().find(|step| step.id.node == node).map(|step| step.main_output().to_string());
        let lucky = self.lucky && given.is_empty();
        let draft = of("draft").unwrap_or_else(|| if lucky { "good" } else { "bad" }.into());
        let answer = of("answer")
            .unwrap_or_else(|| if draft == "good" && !self.deaf { RIGHT } else { "fourteen herons" }.into());
        let steps = vec![step("draft", &draft, StepOrigin::Executed), step("answer", &answer, StepOrigin::Executed)];
        Box::pin(async { ChainOutcome { steps, ..ChainOutcome::default() } })
    }
}

/// 100 where the answer is right.
struct Exact;

impl Scorer for Exact {
    fn digest(&self) -> &str {
        "sha256:fake"
    }
    fn validate<'a>(&'a self, _: &'a [Case], _: &'a Value) -> BoxFuture<'a, Result<Vec<(usize, String)>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn score<'a>(
        &'a self,
        finished: FinishedCase<'a>,
        _: &'a Value,
        _: Option<Arc<dyn JudgeServices>>,
    ) -> BoxFuture<'a, ScoreOutcome> {
        let composite = if finished.output_text == RIGHT { 100.0 } else { 0.0 };
        Box::pin(async move { ScoreOutcome { result: Ok(score(composite)), used: ResourceUse::default() } })
    }
}

fn score(composite: f64) -> Score {
    let raw = RawScore { composite, breakdown: Vec::new(), feedback: String::new(), diagnostics: Vec::new() };
    Score::checked(raw).expect("a score")
}

/// A model that may say something else the next time.
struct Sampling;

impl Provider for Sampling {
    fn identity(&self) -> Value {
        json!({})
    }
    fn generate<'a>(&'a self, _: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async { unreachable!("the chain here asks nobody") })
    }
}

fn record(draft: &str, answer: &str, composite: f64) -> CaseRecord {
    CaseRecord {
        index: 0,
        case_id: "c".into(),
        task_type: "qa".into(),
        score: Some(score(composite)),
        fault: None,
        diagnostics: Vec::new(),
        output_text: answer.into(),
        steps: vec![step("draft", draft, StepOrigin::Executed), step("answer", answer, StepOrigin::Executed)],
        calls: Vec::new(),
        judge_calls: Vec::new(),
        searches: Vec::new(),
        chain_use: ResourceUse::default(),
        scorer_use: ResourceUse::default(),
    }
}

fn graph() -> GraphSpec {
    let llm = |name: &str| json!({"name": name, "kind": "llm", "prompt": name, "handles": [{"model": "task"}]});
    let edges = json!([{"source": "draft", "target": "answer"}]);
    serde_json::from_value(json!({"nodes": [llm("draft"), llm("answer")], "edges": edges, "output": "answer"}))
        .expect("a graph")
}

/// What replays find in one failed case.
async fn found(chain: TwoSteps, donors: Vec<CaseRecord>, sampled: bool) -> Interventions {
    with_gold(("answer", "${answer}"), chain, donors, sampled).await
}

async fn with_gold(gold: (&str, &str), chain: TwoSteps, donors: Vec<CaseRecord>, sampled: bool) -> Interventions {
    let folder = tempfile::tempdir().expect("a folder");
    let row = format!(
        r#"{{"case_id": "c", "task_type": "qa", "context": {{"question": "Who?"}}, "expected": {{"answer": "{RIGHT}"}}, "metadata": {{}}}}"#
    );
    let mut granted = Granted::default();
    if sampled {
        granted.models.insert("task".into(), Arc::new(Sampling));
    }
    let cases = Arc::new(fapo_core::case::read_dataset("d.jsonl", &row).expect("a case").cases);
    let run = Evaluation {
        tenant_id: "t".into(),
        cases: Arc::clone(&cases) as Arc<dyn Cases>,
        definition: Definition { graph: graph(), prompts: Vec::new(), params: Vec::new() },
        chain: Arc::new(chain),
        scorer: Arc::new(Exact),
        profile: Value::Null,
        granted,
        budget: Budget::default(),
        accounts: Vec::new(),
        workers: 1,
        folder: folder.path().into(),
        run_config: Value::Null,
        earlier: Earlier::Stand,
        epoch: 0,
        part: None,
        stop: StopSignal::never(),
        files: Arc::new(DiskFiles),
        clock: Arc::new(SystemClock),
    };
    let diagnosis = Diagnosis {
        run: Arc::new(run),
        records: vec![record("bad", "fourteen herons", 0.0)],
        cases,
        gold: GoldSpec { index: None, steps: [(gold.0.to_string(), gold.1.to_string())].into() },
        donors,
        calls_max: 100,
        log: folder.path().join("replays.jsonl"),
    };
    intervene(&diagnosis, &|_, _| {}).await.expect("replays")
}

fn blamed(found: &Interventions) -> Vec<&str> {
    found.located[0].blamed.iter().map(|blamed| blamed.step.as_str()).collect()
}

#[tokio::test]
async fn outputs_of_a_variant_that_passed_stand_for_gold_that_nobody_declared() {
    let without = found(TwoSteps::default(), Vec::new(), false).await;
    assert_eq!(blamed(&without), ["answer"], "no gold tells the two apart");
    let failing = vec![record("good", "fourteen herons", 0.0)];
    assert_eq!(blamed(&found(TwoSteps::default(), failing, false).await), ["answer"], "it did not pass");
    let passing = vec![record("good", RIGHT, 100.0)];
    assert_eq!(blamed(&found(TwoSteps::default(), passing, false).await), ["draft"]);
}

#[tokio::test]
async fn what_passes_when_it_is_run_again_is_chance_where_models_sample() {
    let chance = found(TwoSteps { lucky: true, deaf: false }, Vec::new(), true).await;
    assert_eq!((blamed(&chance).len(), chance.located[0].unattributed), (0, Some(Unattributed::PassesAgain)));
    assert_eq!(chance.unattributed, 1);
    let steady = found(TwoSteps { lucky: true, deaf: false }, Vec::new(), false).await;
    assert_eq!(blamed(&steady), ["answer"], "a model that says the same again is not asked again");
}

#[tokio::test]
async fn gold_that_ends_before_the_chain_blames_what_comes_after_and_no_scorer() {
    let heard = with_gold(("draft", "good"), TwoSteps::default(), Vec::new(), false).await;
    assert_eq!(blamed(&heard), ["draft"]);
    let deaf = with_gold(("draft", "good"), TwoSteps { deaf: true, lucky: false }, Vec::new(), false).await;
    assert_eq!((blamed(&deaf), deaf.located[0].restored), (vec!["answer"], 100.0));
    // Gold to the end that brings nothing is at odds with the scorer.
    let odd = with_gold(("answer", "somebody else"), TwoSteps::default(), Vec::new(), false).await;
    assert_eq!((blamed(&odd).len(), odd.located[0].unattributed), (0, Some(Unattributed::GoldFails)));
}
