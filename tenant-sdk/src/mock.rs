//! Chains and scorers natively, with closures in the place of models and indexes.
//!
//! The engine is the one that runs in the sandbox; only the host is scripted.

use crate::chain::{Chain, ChainFault, Definition, GivenStep, Problem};
use crate::host::FinishReason;
use crate::host::{
    GenerateRequest, Generation, Hit, Host, LogLevel, NodeError, NodeOutput, NodeRequest, ProviderError,
    RetrievalError, SearchRequest,
};
use crate::judge::{JudgeError, Verdict, VerdictRequest};
use crate::run::ChainRun;
use fapo_graph::{CaseInput, Entry, GraphSpec, Step, answer};
use fapo_template::{Cut, parse};
use std::cell::RefCell;

type Answer<Q, A, E> = Box<dyn FnMut(&Q) -> Result<A, E>>;
type Judge = Box<dyn FnMut(&VerdictRequest) -> Result<Verdict, JudgeError>>;

/// A host whose answers are closures. What is not scripted is denied.
pub struct ScriptedHost {
    generate: Answer<GenerateRequest, Generation, ProviderError>,
    search: Answer<SearchRequest, Vec<Hit>, RetrievalError>,
    nodes: Answer<NodeRequest, NodeOutput, NodeError>,
    /// Model calls, one list per batch.
    pub generated: Vec<Vec<GenerateRequest>>,
    /// Searches, one list per batch.
    pub searched: Vec<Vec<SearchRequest>>,
    /// Log lines.
    pub log: Vec<String>,
}

impl Default for ScriptedHost {
    fn default() -> Self {
        ScriptedHost {
            generate: Box::new(|request| Err(ProviderError::Denied(request.model.clone()))),
            search: Box::new(|request| Err(RetrievalError::Denied(request.index.clone()))),
            nodes: Box::new(|request| Err(NodeError::Denied(request.component.clone()))),
            generated: Vec::new(),
            searched: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl ScriptedHost {
    /// A host that denies everything.
    pub fn new() -> Self {
        ScriptedHost::default()
    }

    /// Replies of the model.
    pub fn replies(self, mut reply: impl FnMut(&GenerateRequest) -> String + 'static) -> Self {
        self.generates(move |request| Ok(Generation { text: reply(request), finish: FinishReason::Stop }))
    }

    /// Replies or faults of the model.
    pub fn generates(
        mut self,
        generate: impl FnMut(&GenerateRequest) -> Result<Generation, ProviderError> + 'static,
    ) -> Self {
        self.generate = Box::new(generate);
        self
    }

    /// Passages found, as `(title, text)`.
    pub fn finds(mut self, mut find: impl FnMut(&SearchRequest) -> Vec<(String, String)> + 'static) -> Self {
        self.search = Box::new(move |request| {
            let hit = |(rank, (title, text)): (usize, (String, String))| Hit {
                passage_id: title.clone(),
                title,
                text,
                score: 1.0 / (rank + 1) as f64,
            };
            Ok(find(request).into_iter().take(request.k as usize).enumerate().map(hit).collect())
        });
        self
    }

    /// Answers of node components.
    pub fn nodes(mut self, call: impl FnMut(&NodeRequest) -> Result<NodeOutput, NodeError> + 'static) -> Self {
        self.nodes = Box::new(call);
        self
    }
}

impl Host for ScriptedHost {
    fn generate(&mut self, requests: Vec<GenerateRequest>) -> Vec<Result<Generation, ProviderError>> {
        let answers = requests.iter().map(&mut self.generate).collect();
        self.generated.push(requests);
        answers
    }

    fn search(&mut self, requests: Vec<SearchRequest>) -> Vec<Result<Vec<Hit>, RetrievalError>> {
        let answers = requests.iter().map(&mut self.search).collect();
        self.searched.push(requests);
        answers
    }

    fn call_nodes(&mut self, requests: Vec<NodeRequest>) -> Vec<Result<NodeOutput, NodeError>> {
        requests.iter().map(&mut self.nodes).collect()
    }

    fn log(&mut self, _: LogLevel, message: &str) {
        self.log.push(message.to_string());
    }
}

/// How a case went.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseRun {
    /// One list per superstep.
    pub supersteps: Vec<Vec<Step>>,
    /// Present where the chain did not come to its end.
    pub fault: Option<ChainFault>,
    /// The chain's answer.
    pub output_text: String,
}

impl CaseRun {
    /// Every step in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.supersteps.iter().flatten()
    }

    /// Main output of the latest visit of a node, "" where it did not run.
    pub fn output(&self, node: &str) -> &str {
        let ran = self.steps().filter(|step| step.id.node == node && !step.outputs.is_empty());
        ran.last().map_or("", Step::main_output)
    }
}

/// The baseline of a chain with these prompt files, `(name, text)`, and every parameter at its default.
///
/// # Panics
/// The baseline is no graph, or a prompt does not parse: a test should say so at once.
pub fn baseline<C: Chain>(prompts: &[(&str, &str)]) -> Definition {
    let catalogue = C::define().catalogue().expect("a chain's baseline is a graph");
    definition(catalogue.baseline, prompts, catalogue.parameters.into_iter().map(|p| (p.name, p.default)).collect())
}

/// A definition from a graph, prompt files and parameters.
///
/// # Panics
/// A prompt does not parse.
pub fn definition(graph: GraphSpec, prompts: &[(&str, &str)], params: Vec<(String, crate::Value)>) -> Definition {
    let prompts = prompts.iter().map(|(name, text)| parse(name, text, Cut::Trailing).expect("a prompt file parses"));
    Definition { graph, prompts: prompts.collect(), params }
}

/// A case with this context.
pub fn case(context: &[(&str, &str)]) -> CaseInput {
    let context = context.iter().map(|(name, value)| Entry::new(*name, *value)).collect();
    CaseInput { case_id: "case".into(), task_type: "test".into(), context }
}

/// Runs one case to its end.
///
/// # Errors
/// The problems for which it could not start.
pub fn run<C: Chain>(
    definition: Definition,
    input: CaseInput,
    given: Vec<GivenStep>,
    host: &mut ScriptedHost,
) -> Result<CaseRun, Vec<Problem>> {
    let graph = definition.graph.clone();
    let mut chain = ChainRun::start(C::define(), definition, input, given)?;
    let mut supersteps = Vec::new();
    let fault = loop {
        match chain.next(host) {
            Ok(Some(steps)) => supersteps.push(steps),
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        }
    };
    let steps: Vec<Step> = supersteps.iter().flatten().cloned().collect();
    Ok(CaseRun { output_text: answer(&graph, &steps).to_string(), supersteps, fault })
}

thread_local! {
    static JUDGE: RefCell<Option<Judge>> = const { RefCell::new(None) };
}

/// Runs a piece of a test with this judge in place.
pub fn with_judge<T>(
    judge: impl FnMut(&VerdictRequest) -> Result<Verdict, JudgeError> + 'static,
    test: impl FnOnce() -> T,
) -> T {
    JUDGE.set(Some(Box::new(judge)));
    let result = test();
    JUDGE.set(None);
    result
}

pub(crate) fn ask_judge(requests: Vec<VerdictRequest>) -> Vec<Result<Verdict, JudgeError>> {
    JUDGE.with_borrow_mut(|judge| {
        let denied = |request: &VerdictRequest| Err(JudgeError::Denied(request.model.clone()));
        match judge {
            Some(judge) => requests.iter().map(judge).collect(),
            None => requests.iter().map(denied).collect(),
        }
    })
}
