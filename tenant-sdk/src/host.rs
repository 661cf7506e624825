//! What the host offers a chain or a node: models, indexes, node components, a log.
//!
//! Faults of a service itself never arrive here. The host retries them and ends the case where it gives up, so a
//! chain cannot turn an outage into an answer.

use fapo_graph::{Entry, StepId};
use fapo_template::{Message, Prompt};
use serde_json::Value;
use std::fmt;

/// Everything a chain or node can ask for. Batches are answered in the order of their requests.
pub trait Host {
    /// Model calls, side by side.
    fn generate(&mut self, requests: Vec<GenerateRequest>) -> Vec<Result<Generation, ProviderError>>;
    /// Searches, side by side.
    fn search(&mut self, requests: Vec<SearchRequest>) -> Vec<Result<Vec<Hit>, RetrievalError>>;
    /// Calls of granted node components, side by side. Always denied to a node.
    fn call_nodes(&mut self, requests: Vec<NodeRequest>) -> Vec<Result<NodeOutput, NodeError>>;
    /// A note for the tenant's author, kept in a small ring per case.
    fn log(&mut self, level: LogLevel, message: &str);
}

/// One model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The step that asks; the host refuses ids that are not running.
    pub id: StepId,
    /// Logical alias, granted by the operator.
    pub model: String,
    /// Chat.
    pub messages: Vec<Message>,
    /// Lower than the alias's own cap, or none.
    pub output_tokens_max: Option<u32>,
    /// Texts that end the reply.
    pub stop: Vec<String>,
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// By itself or at a stop text.
    Stop,
    /// At the token cap.
    Length,
    /// The service withheld the rest.
    Filtered,
    /// Anything else.
    Other,
}

/// A model's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// May be empty.
    pub text: String,
    /// Why it ended.
    pub finish: FinishReason,
}

/// Why a model call has no reply: always a matter of its content or of grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// The alias is not granted; the text names it.
    Denied(String),
    /// The request cannot be served as it stands.
    InvalidRequest(String),
    /// Longer than the model takes.
    ContextTooLong,
    /// The service declined to answer this content.
    Refused(String),
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProviderError::Denied(what) => write!(f, "{what:?} is not granted"),
            ProviderError::InvalidRequest(why) => write!(f, "invalid request: {why}"),
            ProviderError::ContextTooLong => f.write_str("the prompt is longer than the model's context"),
            ProviderError::Refused(why) => write!(f, "the service declined: {why}"),
        }
    }
}

/// One search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// The step that asks.
    pub id: StepId,
    /// Index by name, granted by the operator.
    pub index: String,
    /// Plain words; there is no query language.
    pub query: String,
    /// Hits wanted, 1..=100.
    pub k: u32,
}

/// One passage found.
#[derive(Clone, Debug, PartialEq)]
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

/// Why a search has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetrievalError {
    /// The index is not granted; the text names it.
    Denied(String),
    /// The request cannot be served as it stands.
    InvalidRequest(String),
}

impl fmt::Display for RetrievalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetrievalError::Denied(what) => write!(f, "{what:?} is not granted"),
            RetrievalError::InvalidRequest(why) => write!(f, "invalid request: {why}"),
        }
    }
}

/// One call of a node component.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRequest {
    /// Name in the tenant's grants, not a path.
    pub component: String,
    /// What it is given.
    pub input: NodeInput,
}

/// What a node component is given.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInput {
    /// To be repeated in the component's own host calls.
    pub id: StepId,
    /// Kind within the node component.
    pub kind: String,
    /// Settings with parameters already put in.
    pub settings: Value,
    /// The node's prompt, if its kind takes one.
    pub prompt: Option<Prompt>,
    /// One entry per bound port.
    pub ports: Vec<Entry>,
}

/// What a node component answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOutput {
    /// The main one first.
    pub outputs: Vec<Entry>,
    /// For people.
    pub diagnostics: Vec<String>,
}

/// Why a node component has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// The name is not granted; the text names it.
    Denied(String),
    /// The node's own fault.
    Fault(String),
    /// Trapped or passed a limit; the text names it.
    Stopped(String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Denied(what) => write!(f, "{what:?} is not granted"),
            NodeError::Fault(why) => f.write_str(why),
            NodeError::Stopped(limit) => write!(f, "stopped: {limit}"),
        }
    }
}

/// How loud a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// For its author only.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
}
