//! Changes to a chain: a proposal, what it does to a definition, and the two ways a definition may be evaluated.

use crate::ports::Definition;
use crate::review::{Review, Verdict};
use crate::scope::VariantLevel;
use fapo_graph::GraphSpec;
use fapo_template::Prompt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One typed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// A prompt module takes another text.
    Prompt(Prompt),
    /// A parameter takes another value.
    Parameter {
        /// Its name.
        name: String,
        /// Its new value.
        value: Value,
    },
    /// Another graph, with the prompts that its new nodes need.
    Structure {
        /// Name of the structure pattern, as the scope contract lists it.
        pattern: String,
        /// The whole graph.
        graph: GraphSpec,
        /// New prompt modules; none that stands may be among them.
        prompts: Vec<Prompt>,
    },
}

impl Edit {
    /// The definition with this change.
    pub fn apply(&self, parent: &Definition) -> Definition {
        let mut changed = parent.clone();
        match self {
            Edit::Prompt(prompt) => match changed.prompts.iter_mut().find(|p| p.name == prompt.name) {
                Some(standing) => *standing = prompt.clone(),
                None => changed.prompts.push(prompt.clone()),
            },
            Edit::Parameter { name, value } => match changed.params.iter_mut().find(|(n, _)| n == name) {
                Some((_, standing)) => *standing = value.clone(),
                None => changed.params.push((name.clone(), value.clone())),
            },
            Edit::Structure { graph, prompts, .. } => {
                changed.graph = graph.clone();
                changed.prompts.extend(prompts.iter().cloned());
            }
        }
        changed
    }
}

/// How deep the change from one definition to another goes: the highest level touched, None where they are equal.
///
/// A literal changed in a graph is structure, whatever its author calls it.
pub fn level_between(parent: &Definition, candidate: &Definition) -> Option<VariantLevel> {
    if parent.graph != candidate.graph {
        return Some(VariantLevel::Structure);
    }
    if parent.params != candidate.params {
        return Some(VariantLevel::Parameter);
    }
    (parent.prompts != candidate.prompts).then_some(VariantLevel::Prompt)
}

/// An unreviewed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who proposes it: an operator of the table, or an external proposer.
    pub operator: String,
    /// The step it is meant to mend.
    pub step: String,
    /// What it changes.
    pub edit: Edit,
    /// Why it should help, in one sentence.
    pub hypothesis: String,
    /// Files it would write, from the tenant's folder; none for a change that stays in the trial's folder.
    #[serde(default)]
    pub files: Vec<String>,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is the new incumbent.
    Kept,
    /// It brought nothing.
    Rejected,
    /// The review stopped it before anything was spent.
    Blocked,
    /// The trial ended before it was decided.
    Stopped,
}

/// A definition that passed the review: the only kind of change the optimizer can have evaluated.
#[derive(Clone, Debug)]
pub struct ReviewedVariant(Definition);

impl ReviewedVariant {
    /// The candidate, if its review does not block it.
    pub fn new(candidate: Definition, review: &Review) -> Option<Self> {
        (review.verdict != Verdict::Block).then_some(ReviewedVariant(candidate))
    }

    /// The tenant's own baseline, which its operator wrote and no review has to pass.
    pub fn baseline(definition: Definition) -> Self {
        ReviewedVariant(definition)
    }

    /// What is evaluated.
    pub fn definition(&self) -> &Definition {
        &self.0
    }
}
