//! What a node kind is: a function of its inputs and of the replies so far.

use crate::host::{GenerateRequest, Generation, Hit, NodeInput, NodeOutput, SearchRequest};
use fapo_graph::{Entry, Execution, Handle, NodeKind, NodeSpec, StepId, ValueSource};
use fapo_template::{Message, Prompt, Rendered, missing, render, step_reference};
use serde_json::{Map, Value};

/// A node kind.
///
/// A kind never calls the host. [`Kind::run`] says what it needs, the SDK asks for everything a superstep needs in one
/// batch, and runs the kind again with the replies. So three model nodes side by side cost one round trip.
pub trait Kind {
    /// Name by which graphs use it. Looked up at every step, so it costs nothing.
    fn name(&self) -> &'static str;

    /// Name, ports, settings and handles, as the catalogue lists them. Must be constant.
    fn describe(&self) -> NodeKind;

    /// What the settings schema cannot say, for example whether a pattern compiles.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn check(&self, settings: &Map<String, Value>) -> Result<(), String> {
        let _ = settings;
        Ok(())
    }

    /// Runs the node, or says what it needs first.
    ///
    /// `replies` holds one entry for each time it asked within this step: empty at first. The same call with the
    /// same replies must give the same turn. After 16 turns the case faults.
    ///
    /// # Errors
    /// Why the case cannot go on, for people; the case then ends with a fault that names the step.
    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String>;
}

/// What a kind wants next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Nothing more: this is the step's result.
    Done(Output),
    /// These model calls.
    Generate(Vec<GenerateRequest>),
    /// These searches.
    Search(Vec<SearchRequest>),
    /// These calls of the node's own component handle.
    Call(Vec<NodeInput>),
}

/// What was asked for, in the order of the requests. Errors end the case before a kind sees them.
#[derive(Clone, Debug, PartialEq)]
pub enum Replies {
    /// For [`Turn::Generate`].
    Generated(Vec<Generation>),
    /// For [`Turn::Search`].
    Found(Vec<Vec<Hit>>),
    /// For [`Turn::Call`].
    Called(Vec<NodeOutput>),
}

/// The result of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The main one first; at least one.
    pub outputs: Vec<Entry>,
    /// Whether the main output also becomes the chain's answer so far; `None`: only at the graph's output node.
    pub sets_output: Option<bool>,
    /// For people; sorted and made unique by the SDK.
    pub diagnostics: Vec<String>,
}

impl Output {
    /// One main output.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Output { outputs: vec![Entry::new(name, value)], ..Output::default() }
    }

    /// A further output.
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.outputs.push(Entry::new(name, value));
        self
    }

    /// A note for people.
    pub fn note(mut self, diagnostic: impl Into<String>) -> Self {
        self.diagnostics.push(diagnostic.into());
        self
    }

    /// Whether the main output becomes the chain's answer so far.
    pub fn sets_output(mut self, sets: bool) -> Self {
        self.sets_output = Some(sets);
        self
    }
}

/// A node about to run, with everything it may read.
pub struct NodeCall<'a> {
    pub(crate) id: &'a StepId,
    pub(crate) spec: &'a NodeSpec,
    pub(crate) settings: &'a Map<String, Value>,
    pub(crate) prompt: Option<&'a Prompt>,
    pub(crate) execution: &'a Execution,
}

impl<'a> NodeCall<'a> {
    /// Which node, which visit.
    pub fn id(&self) -> &'a StepId {
        self.id
    }

    /// Settings with parameters put in; they satisfy the kind's schema.
    pub fn settings(&self) -> &'a Map<String, Value> {
        self.settings
    }

    /// A whole number among the settings.
    pub fn integer(&self, name: &str) -> Option<u32> {
        let value = self.settings.get(name)?;
        let number = value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as u64))?;
        u32::try_from(number).ok()
    }

    /// A text among the settings.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.settings.get(name)?.as_str()
    }

    /// A boolean among the settings.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.settings.get(name)?.as_bool()
    }

    /// The text at an input port: `None` where the port is not bound, "" where its source has no text yet.
    pub fn port(&self, name: &str) -> Option<&'a str> {
        let spec = self.spec;
        let binding = spec.inputs.iter().find(|binding| binding.port == name)?;
        Some(self.execution.value(&binding.source).unwrap_or(""))
    }

    /// Every bound port in the graph's order.
    pub fn ports(&self) -> Vec<Entry> {
        let read = |source: &ValueSource| self.execution.value(source).unwrap_or("").to_string();
        self.spec.inputs.iter().map(|binding| Entry::new(&binding.port, read(&binding.source))).collect()
    }

    /// A name of the case's context.
    pub fn context(&self, name: &str) -> Option<&'a str> {
        self.execution.context().iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }

    /// The node's prompt, not yet filled in.
    pub fn prompt(&self) -> Option<&'a Prompt> {
        self.prompt
    }

    /// The node's prompt with the values of the case and of earlier steps.
    ///
    /// # Errors
    /// The node has no prompt.
    pub fn render(&self) -> Result<Rendered, String> {
        Ok(render(self.own_prompt()?, |name| self.value(name)))
    }

    /// Names of values that the node's prompt lacks, as [`render`](Self::render) reports them, without filling it in.
    ///
    /// # Errors
    /// The node has no prompt.
    pub fn missing(&self) -> Result<Vec<String>, String> {
        Ok(missing(self.own_prompt()?, |name| self.value(name)))
    }

    fn own_prompt(&self) -> Result<&'a Prompt, String> {
        self.prompt.ok_or_else(|| "this node has no prompt".to_string())
    }

    /// What stands for a name in a prompt.
    fn value(&self, name: &str) -> Option<&'a str> {
        match step_reference(name) {
            Some(node) => self.execution.latest(node).map(fapo_graph::Step::main_output),
            None => self.context(name),
        }
    }

    /// The model alias of the node's handle.
    ///
    /// # Errors
    /// The node has no such handle.
    pub fn model(&self) -> Result<&'a str, String> {
        self.handle("model", |handle| if let Handle::Model(name) = handle { Some(name) } else { None })
    }

    /// The index of the node's handle.
    ///
    /// # Errors
    /// The node has no such handle.
    pub fn index(&self) -> Result<&'a str, String> {
        self.handle("index", |handle| if let Handle::Index(name) = handle { Some(name) } else { None })
    }

    /// The node component of the node's handle.
    ///
    /// # Errors
    /// The node has no such handle.
    pub fn component(&self) -> Result<&'a str, String> {
        self.handle("component", |handle| if let Handle::Component(name) = handle { Some(name) } else { None })
    }

    /// A model call of this step over its model handle.
    ///
    /// # Errors
    /// The node has no model handle.
    pub fn ask(&self, messages: Vec<Message>) -> Result<GenerateRequest, String> {
        let model = self.model()?.to_string();
        Ok(GenerateRequest { id: self.id.clone(), model, messages, output_tokens_max: None, stop: Vec::new() })
    }

    /// A search of this step over its index handle.
    ///
    /// # Errors
    /// The node has no index handle.
    pub fn find(&self, query: impl Into<String>, k: u32) -> Result<SearchRequest, String> {
        Ok(SearchRequest { id: self.id.clone(), index: self.index()?.to_string(), query: query.into(), k })
    }

    fn handle(&self, what: &str, pick: impl Fn(&'a Handle) -> Option<&'a String>) -> Result<&'a str, String> {
        let found = self.spec.handles.iter().find_map(pick);
        found.map(String::as_str).ok_or_else(|| format!("this node has no {what} handle"))
    }
}
