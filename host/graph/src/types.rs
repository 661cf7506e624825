//! A chain's structure as data: the Rust and JSON shape of `wit/graph.wit`.
//!
//! The same types are read from `chains/*.json`, handed to a chain component and compared between variants.
//! Checks live in [`crate::check`], the execution rule in [`crate::execute`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A whole chain: what a structure variant changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// Vertices, in the order people wrote them.
    pub nodes: Vec<NodeSpec>,
    /// Who waits for whom, and when.
    #[serde(default)]
    pub edges: Vec<Edge>,
    /// Node whose main output is the chain's answer where no step sets `output-text`.
    pub output: String,
}

/// One vertex.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Unique in the graph, `[a-z0-9_-]{1,64}`.
    pub name: String,
    /// A kind of the component's catalogue.
    pub kind: String,
    /// Settings of the kind; a value `{"param":"<name>"}` stands for a parameter of the variant.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Prompt by name, for kinds that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What the node uses outside the component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handles: Vec<Handle>,
    /// Bound input ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Binding>,
    /// When a node with several edges into it runs.
    #[serde(default, skip_serializing_if = "Join::is_all")]
    pub join: Join,
}

/// Something outside the component that a node uses; checked against the grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handle {
    /// Logical model alias.
    Model(String),
    /// Index name.
    Index(String),
    /// Node component.
    Component(String),
}

/// Which handles a node kind may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandleKind {
    /// See [`Handle::Model`].
    Model,
    /// See [`Handle::Index`].
    Index,
    /// See [`Handle::Component`].
    Component,
}

/// When a node with several edges into it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// None of its edges was closed.
    #[default]
    All,
    /// At least one of its edges was taken.
    Any,
}

impl Join {
    fn is_all(&self) -> bool {
        *self == Join::All
    }
}

/// One input port and where its text comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Port of the node's kind.
    pub port: String,
    /// Where the text comes from.
    pub source: ValueSource,
}

/// Where a text comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueSource {
    /// A name of the case's context.
    Context(String),
    /// Main output of a node; of its latest visit.
    Step(String),
    /// A named output of a node: `[node, output]`.
    StepOutput(String, String),
    /// The text itself.
    Literal(String),
}

/// What a condition asks of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Nothing but white space.
    Empty,
    /// The opposite of empty.
    Present,
    /// The trimmed text equals this one.
    Equals(String),
    /// This text stands in it.
    Contains(String),
}

/// When an edge is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The text asked about.
    pub subject: ValueSource,
    /// The question.
    pub test: Test,
    /// Take the edge when the test fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negate: bool,
}

/// A dependency between two nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Node the edge leaves.
    pub source: String,
    /// Node the edge enters.
    pub target: String,
    /// Taken always where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// Present exactly on back edges; 1..=16 further visits of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visits_max: Option<u32>,
}

/// Whether a port must be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortNeed {
    /// The check fails without a binding.
    Required,
    /// May be left open.
    Optional,
}

/// An input port of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Unique in the kind.
    pub name: String,
    /// Whether it must be bound.
    pub need: PortNeed,
    /// One sentence for people and proposers.
    pub summary: String,
}

/// A node kind that graphs of a component may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeKind {
    /// Unique in the catalogue.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of [`NodeSpec::settings`]; see [`crate::schema`] for the part we read.
    pub settings_schema: Value,
    /// Ports.
    pub inputs: Vec<Port>,
    /// Output names, the main one first.
    pub outputs: Vec<String>,
    /// Whether a node of this kind needs a prompt.
    pub takes_prompt: bool,
    /// Handles a node of this kind must carry, one of each.
    pub handles: Vec<HandleKind>,
    /// True where the kind calls no model.
    pub deterministic: bool,
}

/// A value that a parameter variant may change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Unique in the catalogue.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema with type, minimum, maximum or enum.
    pub schema: Value,
    /// Value of the baseline.
    pub default: Value,
}

/// What a chain component offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// Kinds a graph may use.
    pub kinds: Vec<NodeKind>,
    /// Parameters a variant may set.
    pub parameters: Vec<Parameter>,
    /// The structure of variant 001.
    pub baseline: GraphSpec,
}

/// One execution of one node; `visit` counts from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    /// Node's name.
    pub node: String,
    /// Rises with each pass of a loop.
    pub visit: u32,
}

/// Where a step's outputs came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOrigin {
    /// The node ran.
    Executed,
    /// The host handed the outputs in.
    Given,
    /// Every edge into the node was closed; it has no outputs.
    Skipped,
}

/// One named text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name, unique in its list.
    pub name: String,
    /// Text.
    pub value: String,
}

impl Entry {
    /// A named text.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Entry { name: name.into(), value: value.into() }
    }
}

/// The state update of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which node, which visit.
    pub id: StepId,
    /// Where the outputs came from.
    pub origin: StepOrigin,
    /// Names are unique; the first is the node's main output.
    pub outputs: Vec<Entry>,
    /// Set where the node also replaces the chain's answer so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_text: Option<String>,
    /// Sorted, unique, for people: missing placeholders (bare names), parser notes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<String>,
}

impl Step {
    /// The node's main output, empty where it has none.
    pub fn main_output(&self) -> &str {
        self.outputs.first().map_or("", |entry| entry.value.as_str())
    }
}

/// What a chain may know of a case: no label, no metadata, no split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseInput {
    /// Unique in the dataset.
    pub case_id: String,
    /// The tenant's word for the task.
    pub task_type: String,
    /// The case's string map, names unique.
    pub context: Vec<Entry>,
}
