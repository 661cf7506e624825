//! Where the crates meet: what the engine needs from sandbox, provider and retrieval.
//!
//! Async methods return a [`BoxFuture`], so that the traits stay usable as `dyn`.

use crate::case::Case;
use crate::fault::{Fault, FaultKind, Phase};
use crate::held::Held;
use crate::input_error::InputError;
use crate::judge::{JudgeFault, Question, Verdict};
use crate::price::Price;
use crate::score::Score;
use fapo_graph::{CaseInput, Catalogue, GraphSpec, Step, StepId};
use fapo_template::{Message, Prompt};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

/// A boxed future that may cross threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One variant, complete, as a chain component takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Structure.
    pub graph: GraphSpec,
    /// Prompts by name.
    pub prompts: Vec<Prompt>,
    /// Every parameter of the catalogue.
    pub params: Vec<(String, Value)>,
}

/// Something wrong with a definition, before any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Node, edge, prompt or parameter it concerns.
    pub subject: String,
    /// Why.
    pub message: String,
}

/// What a component used of its limits while it served one case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceUse {
    /// Units of wasmtime fuel.
    pub fuel: u64,
    /// Most bytes of linear memory at one time.
    pub memory_bytes_peak: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// Bytes that crossed from guest to host in them.
    #[serde(default)]
    pub traffic_bytes: u64,
    /// Calls answered `denied`, by interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denials: Vec<String>,
    /// Lines of the guest's log, oldest dropped first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Log lines that did not fit.
    #[serde(default)]
    pub log_lines_lost: u64,
    /// Bytes of stdout and stderr that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stream_bytes_lost: u64,
    /// Where the wall time went.
    #[serde(default)]
    pub wall: WallTime,
    /// What the node components that a chain called used, beside the chain's own.
    #[serde(default, skip_serializing_if = "NodesUsed::is_none")]
    pub nodes: NodesUsed,
}

/// What all calls of node components used for one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesUsed {
    /// Calls of node components.
    pub calls: u64,
    /// Fuel of all of them; together they have the fuel of one case.
    pub fuel: u64,
    /// Most memory of one, bytes.
    pub memory_bytes_peak: u64,
}

impl NodesUsed {
    /// Whether no node component was called.
    pub fn is_none(&self) -> bool {
        self.calls == 0
    }

    /// Adds one call.
    pub fn add(&mut self, used: &ResourceUse) {
        self.calls += 1;
        self.fuel += used.fuel;
        self.memory_bytes_peak = self.memory_bytes_peak.max(used.memory_bytes_peak);
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Wall time of one case in one role, split by what it was spent on, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WallTime {
    /// In the component, its yields to others included.
    pub guest: f64,
    /// Waiting for a place in the sandbox.
    pub queue: f64,
    /// In model calls, but for what they were held for.
    pub provider: f64,
    /// Held by the limits of a service: waiting for a place or for tokens, and between retries.
    #[serde(default)]
    pub limiter: f64,
    /// In searches.
    pub retrieval: f64,
    /// In node components, with what they wait for.
    #[serde(default)]
    pub nodes: f64,
}

/// A step with the time the host measured for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedStep {
    /// What the chain returned.
    pub step: Step,
    /// Wall time of the superstep it belonged to.
    pub seconds: f64,
}

/// How a chain fared with one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChainOutcome {
    /// Steps returned before the end or the fault.
    pub steps: Vec<TimedStep>,
    /// Present where the chain did not come to its end.
    pub fault: Option<Fault>,
    /// What it used.
    pub used: ResourceUse,
}

/// A chain component, ready to run.
pub trait Chain: Send + Sync {
    /// Digest of the component's bytes.
    fn digest(&self) -> &str;
    /// What identifies each node component it can call, by the tenant's name: its digest and what it may call.
    fn nodes(&self) -> BTreeMap<String, Value> {
        BTreeMap::new()
    }
    /// Kinds, parameters and baseline.
    fn describe(&self) -> BoxFuture<'_, Result<Catalogue, Fault>>;
    /// What only the component can know to be wrong with a definition.
    fn check<'a>(&'a self, definition: &'a Definition) -> BoxFuture<'a, Result<Vec<Problem>, Fault>>;
    /// Runs one case in a fresh sandbox.
    fn run<'a>(
        &'a self,
        definition: &'a Definition,
        input: &'a CaseInput,
        services: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome>;
    /// As [`Chain::run`], with the outputs of some steps handed in instead of made: a diagnostic replay, whose result is
    /// no result of a run. The steps that were given come back with origin `given`.
    fn run_on<'a>(
        &'a self,
        definition: &'a Definition,
        input: &'a CaseInput,
        given: &'a [Step],
        services: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        let _ = (definition, input, given, services);
        let fault = Fault::new(Phase::Host, FaultKind::Internal, "this chain cannot run on from given steps");
        Box::pin(std::future::ready(ChainOutcome { fault: Some(fault), ..ChainOutcome::default() }))
    }
}

/// A case that came to its end, as a scorer sees it.
#[derive(Clone, Copy, Debug)]
pub struct FinishedCase<'a> {
    /// The case with its label.
    pub case: &'a Case,
    /// Steps in order of execution.
    pub steps: &'a [TimedStep],
    /// Searches as the host served them.
    pub searches: &'a [ObservedSearch],
    /// Empty where the chain faulted or never set it.
    pub output_text: &'a str,
}

/// The planned cases of a run, each at hand by its position: in memory, or where they stand.
pub trait Cases: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// The case at a position.
    ///
    /// # Errors
    /// There is none, or it is no longer where it stood.
    fn at(&self, index: usize) -> Result<Cow<'_, Case>, InputError>;
    /// All of them, for those that must look at them together.
    ///
    /// # Errors
    /// As for one.
    fn all(&self) -> Result<Vec<Case>, InputError> {
        (0..self.count()).map(|index| self.at(index).map(Cow::into_owned)).collect()
    }
}

impl Cases for Vec<Case> {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, index: usize) -> Result<Cow<'_, Case>, InputError> {
        let found = self.get(index).map(Cow::Borrowed);
        found.ok_or_else(|| InputError::new(format!("case {index}"), format!("there are {} cases", self.len())))
    }
}

/// How a scorer fared with one case.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreOutcome {
    /// A checked score, or whose fault it is that there is none.
    pub result: Result<Score, Fault>,
    /// What it used.
    pub used: ResourceUse,
}

/// A scorer component, ready to run.
pub trait Scorer: Send + Sync {
    /// Digest of the component's bytes.
    fn digest(&self) -> &str;
    /// Rows the scorer does not accept, as (position in `cases`, reason).
    fn validate<'a>(
        &'a self,
        cases: &'a [Case],
        profile: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<(usize, String)>, Fault>>;
    /// Scores one case in a fresh sandbox. A scorer without `judge` is answered `denied` where it asks one.
    fn score<'a>(
        &'a self,
        finished: FinishedCase<'a>,
        profile: &'a Value,
        judge: Option<Arc<dyn JudgeServices>>,
    ) -> BoxFuture<'a, ScoreOutcome>;
}

/// The messages of one model call, shared by all who keep them: the request, the call, its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat(Arc<[Message]>);

impl Deref for Chat {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.0
    }
}

impl FromIterator<Message> for Chat {
    fn from_iter<I: IntoIterator<Item = Message>>(messages: I) -> Self {
        Chat(messages.into_iter().collect())
    }
}

impl From<Vec<Message>> for Chat {
    fn from(messages: Vec<Message>) -> Self {
        Chat(messages.into())
    }
}

impl Serialize for Chat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Chat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Chat::from)
    }
}

/// What a chain asks of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The step that asks.
    pub id: StepId,
    /// Logical alias.
    pub model: String,
    /// What is said.
    pub messages: Chat,
    /// Lower than the alias's own cap, or none.
    pub output_tokens_max: Option<u32>,
    /// Texts that end the reply.
    pub stop: Vec<String>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// By itself or at a stop text.
    Stop,
    /// At the cap.
    Length,
    /// The service withheld the rest.
    Filtered,
    /// Anything else.
    Other,
}

/// A fault of the content, which a chain may see and handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ContentFault {
    /// Not granted; the text names the alias or index.
    #[error("{0:?} is not granted to this tenant")]
    Denied(String),
    /// The request cannot be served as it stands.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// Longer than the model takes.
    #[error("the prompt is longer than the model's context")]
    ContextTooLong,
    /// The service declined to answer this content.
    #[error("the service declined: {0}")]
    Refused(String),
}

/// A fault of the service, which no chain ever sees: the host ends the case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ServiceFault {
    /// What happened; always one of the infrastructure kinds.
    pub kind: FaultKind,
    /// Which service said what, without secrets.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// A content or a service fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The chain may see it.
    #[error(transparent)]
    Content(#[from] ContentFault),
    /// The chain never sees it.
    #[error(transparent)]
    Service(#[from] ServiceFault),
}

/// One search a chain asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// The step that asks.
    pub id: StepId,
    /// Tenant's name of the index.
    pub index: String,
    /// Plain words.
    pub query: String,
    /// Hits wanted, 1..=100.
    pub k: u32,
}

/// One passage found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Id in the corpus.
    pub passage_id: String,
    /// Title, may be empty.
    pub title: String,
    /// Text.
    pub text: String,
    /// Higher is better; comparable within one result only.
    pub score: f64,
}

/// A search as the host served it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedSearch {
    /// The step that asked.
    pub id: StepId,
    /// Tenant's name of the index.
    pub index: String,
    /// What was asked.
    pub query: String,
    /// `(passage id, title)` in rank order.
    pub hits: Vec<(String, String)>,
}

/// Replies in the order of their requests: text and why it ended, or a content fault.
pub type Replies = Vec<Result<(String, FinishReason), ContentFault>>;

/// Hits in the order of their requests, or a content fault.
pub type SearchResults = Vec<Result<Vec<Hit>, ContentFault>>;

/// What a chain's host calls reach while it serves one case.
///
/// Results stand in the order of the requests; an `Err` ends the case as a provider fault.
pub trait CaseServices: Send + Sync {
    /// Model calls, side by side.
    fn generate(&self, requests: Vec<GenerateRequest>) -> BoxFuture<'_, Result<Replies, ServiceFault>>;
    /// Searches, side by side.
    fn search(&self, requests: Vec<SearchRequest>) -> BoxFuture<'_, Result<SearchResults, ServiceFault>>;
    /// What the case was held for so far.
    fn held(&self) -> Held {
        Held::default()
    }
}

/// Verdicts in the order of their questions, or why there is none.
pub type Verdicts = Vec<Result<Verdict, JudgeFault>>;

/// What a judge's questions reach while it scores one case: no provider, but prompts that the host renders.
///
/// An `Err` ends the case as a provider fault.
pub trait JudgeServices: Send + Sync {
    /// Questions, side by side.
    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Verdicts, ServiceFault>>;
    /// What the case was held for so far.
    fn held(&self) -> Held {
        Held::default()
    }
}

/// One call of a model, alias already resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// Whose call it is: part of every cache key.
    pub tenant_id: String,
    /// What is said.
    pub messages: Chat,
    /// Cap of this call; the route's own cap still holds.
    pub output_tokens_max: Option<u32>,
    /// Texts that end the reply.
    pub stop: Vec<String>,
    /// The n-th equal request within the case, from 0: equal requests are different samples.
    pub sample: u32,
    /// Where waiting is counted that is no work.
    pub held: Held,
}

/// Tokens as the service counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: u64,
    /// Of the reply.
    pub completion_tokens: u64,
}

/// A model's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReply {
    /// Text, "" where the service sent none.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
    /// None where the service did not say: unknown, not 0.
    pub usage: Option<Usage>,
    /// Model the service says it used.
    pub model_served: Option<String>,
    /// `system_fingerprint` of the service.
    pub fingerprint: Option<String>,
    /// From the response cache: nothing was paid.
    #[serde(skip)]
    pub cached: bool,
    /// Requests sent, retries included; 0 where cached.
    #[serde(skip)]
    pub attempts: u32,
}

/// A route to a model: service, key, model and sampling, fixed when it is made.
pub trait Provider: Send + Sync {
    /// Everything that a reply depends on but the call, as JSON; no secret.
    fn identity(&self) -> Value;
    /// Whether equal calls with different sample numbers may be answered differently.
    fn samples(&self) -> bool {
        true
    }
    /// What its tokens cost; None where that is unknown.
    fn price(&self) -> Option<Price> {
        None
    }
    /// The route's cap on a reply, tokens; None where it has none.
    fn output_tokens_max(&self) -> Option<u64> {
        self.identity()["output_tokens_max"].as_u64()
    }
    /// One call; retries inside.
    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>>;
}

/// A read-only index.
pub trait Index: Send + Sync {
    /// Digest of corpus and settings.
    fn digest(&self) -> &str;
    /// Passages in it.
    fn passages(&self) -> u64;
    /// By score, then passage id. `Err` names a fault of the files.
    fn search(&self, query: &str, k: u32) -> Result<Vec<Hit>, ServiceFault>;
}

/// Puts out a file, piece by piece.
pub type WriteOut<'a> = dyn FnMut(&mut dyn Write) -> std::io::Result<()> + 'a;

/// The one way a run's files are written, so that a test can stop it after any byte. Paths are absolute or count from
/// the working directory; reading needs no port.
pub trait RunFiles: Send + Sync {
    /// Appends bytes to a file, made where missing. They survive the process but not yet a power cut.
    fn append(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()>;
    /// Makes what was appended survive a power cut.
    fn sync(&self, path: &Path) -> std::io::Result<()>;
    /// Replaces a file as a whole by what `write` puts out: a reader sees the old or the new one.
    fn replace_with(&self, path: &Path, write: &mut WriteOut<'_>) -> std::io::Result<()>;
    /// As [`replace_with`](Self::replace_with), by these bytes.
    fn replace(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        self.replace_with(path, &mut |out| out.write_all(bytes))
    }
    /// Cuts a file to its first `length` bytes.
    fn truncate(&self, path: &Path, length: u64) -> std::io::Result<()>;
    /// Removes a file; one that is not there is removed already.
    fn remove(&self, path: &Path) -> std::io::Result<()>;
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> jiff::Timestamp;
}
