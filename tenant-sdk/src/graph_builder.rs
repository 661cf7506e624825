//! A graph written in Rust.
//!
//! ```text
//! GraphBuilder::new()
//!     .node(node("retrieve", "retrieve").index("wiki").input("query", context("question")))
//!     .node(node("answer", "llm").prompt("answer").model("task").after("retrieve"))
//!     .output("answer")
//! ```

use fapo_graph::{Binding, Condition, Edge, GraphSpec, Handle, Join, NodeSpec, ValueSource};
use serde_json::{Map, Value, json};

/// Nodes so far; [`GraphBuilder::output`] ends it.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeSpec>,
    edges: Vec<Edge>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        GraphBuilder::default()
    }

    /// Adds a node and the edges into it.
    pub fn node(mut self, node: NodeBuilder) -> Self {
        self.nodes.push(node.spec);
        self.edges.extend(node.edges);
        self
    }

    /// Adds an edge back to an earlier node that may start up to `visits_max` further visits of it.
    pub fn back(mut self, source: &str, target: &str, when: Option<Condition>, visits_max: u32) -> Self {
        self.edges.push(Edge { source: source.into(), target: target.into(), when, visits_max: Some(visits_max) });
        self
    }

    /// The graph, with the node whose main output is the answer.
    pub fn output(self, node: &str) -> GraphSpec {
        GraphSpec { nodes: self.nodes, edges: self.edges, output: node.into() }
    }
}

/// One node and the edges into it; see [`node`].
#[derive(Clone, Debug)]
pub struct NodeBuilder {
    spec: NodeSpec,
    edges: Vec<Edge>,
}

/// A node of a kind.
pub fn node(name: &str, kind: &str) -> NodeBuilder {
    let spec = NodeSpec {
        name: name.into(),
        kind: kind.into(),
        settings: Map::new(),
        prompt: None,
        handles: Vec::new(),
        inputs: Vec::new(),
        join: Join::All,
    };
    NodeBuilder { spec, edges: Vec::new() }
}

impl NodeBuilder {
    /// A setting; [`param`] refers to a parameter.
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.spec.settings.insert(name.into(), value.into());
        self
    }

    /// The node's prompt, by name.
    pub fn prompt(mut self, name: &str) -> Self {
        self.spec.prompt = Some(name.into());
        self
    }

    /// The model it asks.
    pub fn model(mut self, alias: &str) -> Self {
        self.spec.handles.push(Handle::Model(alias.into()));
        self
    }

    /// The index it searches.
    pub fn index(mut self, name: &str) -> Self {
        self.spec.handles.push(Handle::Index(name.into()));
        self
    }

    /// The node component it calls.
    pub fn component(mut self, name: &str) -> Self {
        self.spec.handles.push(Handle::Component(name.into()));
        self
    }

    /// Where an input port gets its text from.
    pub fn input(mut self, port: &str, source: ValueSource) -> Self {
        self.spec.inputs.push(Binding { port: port.into(), source });
        self
    }

    /// Runs after this node.
    pub fn after(self, node: &str) -> Self {
        self.edge(node, None)
    }

    /// Runs after this node, where the condition holds.
    pub fn after_when(self, node: &str, condition: Condition) -> Self {
        self.edge(node, Some(condition))
    }

    /// Runs when one of the edges into it is taken, not only when all are.
    pub fn join_any(mut self) -> Self {
        self.spec.join = Join::Any;
        self
    }

    fn edge(mut self, source: &str, when: Option<Condition>) -> Self {
        self.edges.push(Edge { source: source.into(), target: self.spec.name.clone(), when, visits_max: None });
        self
    }
}

/// A name of the case's context.
pub fn context(name: &str) -> ValueSource {
    ValueSource::Context(name.into())
}

/// The main output of a node's latest visit.
pub fn step(node: &str) -> ValueSource {
    ValueSource::Step(node.into())
}

/// A setting's value that stands for a parameter.
pub fn param(name: &str) -> Value {
    json!({ "param": name })
}
