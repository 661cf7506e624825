//! A chain: the kinds a component offers, its parameters and its baseline graph.

use crate::kind::Kind;
use crate::kinds;
use fapo_graph::check::check;
use fapo_graph::{Catalogue, Entry, GraphSpec, NodeKind, Parameter, StepId, resolve_settings};
use fapo_template::Prompt;
use serde_json::Value;
use std::fmt;

/// A tenant's chain.
pub trait Chain: 'static {
    /// Kinds, parameters and baseline. Called once per case, so it should only put values together.
    fn define() -> ChainBuilder;
}

/// The structure of variant 001; made only where the catalogue is asked for.
enum Baseline {
    Json(&'static str),
    Built(fn() -> GraphSpec),
}

/// Puts a chain together. Every built-in kind is there from the start.
pub struct ChainBuilder {
    baseline: Baseline,
    kinds: Vec<Box<dyn Kind>>,
    parameters: Vec<Parameter>,
}

impl ChainBuilder {
    /// A chain with the built-in kinds and a baseline that is built in Rust. No case needs it, so it is a function.
    pub fn new(baseline: fn() -> GraphSpec) -> Self {
        Self::with(Baseline::Built(baseline))
    }

    /// The same with the text of a `chains/*.json`.
    pub fn of_json(baseline: &'static str) -> Self {
        Self::with(Baseline::Json(baseline))
    }

    fn with(baseline: Baseline) -> Self {
        ChainBuilder { baseline, kinds: kinds::built_in(), parameters: Vec::new() }
    }

    /// Adds a kind of the tenant's own; one of the same name is replaced.
    pub fn kind(mut self, kind: impl Kind + 'static) -> Self {
        self.kinds.retain(|other| other.name() != kind.name());
        self.kinds.push(Box::new(kind));
        self
    }

    /// Adds a parameter; see [`parameter`].
    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// What the component tells the host of itself.
    ///
    /// # Errors
    /// The baseline's JSON is no graph.
    pub fn catalogue(&self) -> Result<Catalogue, String> {
        let baseline = match &self.baseline {
            Baseline::Json(text) => serde_json::from_str(text).map_err(|error| format!("baseline graph: {error}"))?,
            Baseline::Built(build) => build(),
        };
        let kinds = self.kinds.iter().map(|kind| NodeKind { name: kind.name().into(), ..kind.describe() }).collect();
        Ok(Catalogue { kinds, parameters: self.parameters.clone(), baseline })
    }

    /// What only this component can know to be wrong with a definition. The host checks the graph itself.
    pub fn check(&self, definition: &Definition) -> Vec<Problem> {
        let mut problems = Vec::new();
        for node in &definition.graph.nodes {
            if let Some(kind) = self.find(&node.kind)
                && let Ok(settings) = resolve_settings(node, &definition.params)
                && let Err(message) = kind.check(&settings)
            {
                problems.push(Problem { subject: node.name.clone(), message });
            }
        }
        problems
    }

    /// The host's checks and the component's own, for tests.
    pub fn check_all(&self, definition: &Definition) -> Vec<Problem> {
        let catalogue = match self.catalogue() {
            Ok(catalogue) => catalogue,
            Err(message) => {
                return vec![Problem { subject: "baseline".into(), message }];
            }
        };
        let prompts: Vec<fapo_graph::PromptNames> = definition
            .prompts
            .iter()
            .map(|prompt| fapo_graph::PromptNames {
                name: prompt.name.clone(),
                placeholders: prompt.placeholders().map(str::to_string).collect(),
            })
            .collect();
        let general = check(&definition.graph, &catalogue, &definition.params, &prompts);
        let general = general.into_iter().map(|problem| Problem { subject: problem.subject, message: problem.message });
        general.chain(self.check(definition)).collect()
    }

    /// A kind by name.
    pub(crate) fn find(&self, name: &str) -> Option<&dyn Kind> {
        self.kinds.iter().map(AsRef::as_ref).find(|kind| kind.name() == name)
    }
}

/// A parameter with its JSON Schema (type, minimum, maximum, enum) and default.
pub fn parameter(name: &str, summary: &str, schema: Value, default: impl Into<Value>) -> Parameter {
    Parameter { name: name.into(), summary: summary.into(), schema, default: default.into() }
}

/// One variant, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Structure.
    pub graph: GraphSpec,
    /// Prompts by name.
    pub prompts: Vec<Prompt>,
    /// Every parameter of the catalogue.
    pub params: Vec<(String, Value)>,
}

/// Outputs to use in place of running that visit of a node: diagnostic replays only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenStep {
    /// Which node, which visit.
    pub id: StepId,
    /// At least one.
    pub outputs: Vec<Entry>,
    /// As in a step.
    pub output_text: Option<String>,
}

/// Something wrong with a definition, before any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Node, edge, prompt or parameter it concerns.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

/// The case cannot go on; steps already returned stay valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    /// The step it happened in.
    pub id: Option<StepId>,
    /// For people.
    pub message: String,
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "step {}/{}: {}", id.node, id.visit, self.message),
            None => f.write_str(&self.message),
        }
    }
}
