//! The proposer that needs no model: operators that turn a cluster of failures into typed edits.
//!
//! One ordered table. An operator knows prompts, parameters and graphs, and no tenant's word; what it says is said in
//! general terms, and what it shows comes from the tenant's own `examples/`, never from a split.

mod examples;
mod parameters;
mod prompts;
mod structure;

pub use examples::Example;

use fapo_core::attribution::Fix;
use fapo_core::ports::Definition;
use fapo_core::scope::{ScopeContract, VariantLevel};
use fapo_core::variant::{Edit, Proposal};
use fapo_graph::{Catalogue, NodeSpec};

/// What an operator works with.
pub struct Ground<'a> {
    /// The incumbent.
    pub definition: &'a Definition,
    /// What the chain component offers.
    pub catalogue: &'a Catalogue,
    /// The step that loses most.
    pub step: &'a str,
    /// Worked examples of the tenant.
    pub examples: &'a [Example],
    /// How far one may go: operators choose values inside it, the review holds them to it.
    pub scope: &'a ScopeContract,
    /// Expected answers of train that occur so often that they are labels; empty where the task has none.
    pub labels: &'a [String],
}

/// An edit with its reason.
pub struct Suggestion {
    /// What tells it apart from others of the same operator, for example a number; may be empty.
    pub variation: String,
    /// The change.
    pub edit: Edit,
    /// Why it should help.
    pub hypothesis: String,
}

/// One operator.
pub struct Operator {
    /// Its name, as memory and reports show it.
    pub name: &'static str,
    /// How deep it goes.
    pub level: VariantLevel,
    /// Fixes it is a means of.
    pub fixes: &'static [Fix],
    /// Edits it can think of, best first.
    pub suggest: fn(&Ground<'_>) -> Vec<Suggestion>,
}

use VariantLevel::{Parameter, Prompt, Structure};

/// Every operator, cheapest first within its level.
pub const OPERATORS: &[Operator] = &[
    Operator {
        name: "few_shot_turns",
        level: Prompt,
        fixes: &[Fix::FewShot, Fix::Brevity, Fix::CopyVerbatim],
        suggest: prompts::few_shot_turns,
    },
    Operator {
        name: "answer_cue",
        level: Prompt,
        fixes: &[Fix::AnswerCue, Fix::Brevity],
        suggest: prompts::answer_cue,
    },
    Operator { name: "brevity_rule", level: Prompt, fixes: &[Fix::Brevity], suggest: prompts::brevity_rule },
    Operator { name: "must_answer_rule", level: Prompt, fixes: &[Fix::MustAnswer], suggest: prompts::must_answer_rule },
    Operator {
        name: "copy_verbatim_rule",
        level: Prompt,
        fixes: &[Fix::CopyVerbatim],
        suggest: prompts::copy_verbatim_rule,
    },
    Operator { name: "last_line_rule", level: Prompt, fixes: &[Fix::OutputField], suggest: prompts::last_line_rule },
    Operator { name: "label_list", level: Prompt, fixes: &[Fix::LabelList], suggest: prompts::label_list },
    Operator { name: "rule_deletion", level: Prompt, fixes: &[], suggest: prompts::rule_deletion },
    Operator {
        name: "retrieval_depth",
        level: Parameter,
        fixes: &[Fix::RetrievalDepth],
        suggest: parameters::retrieval_depth,
    },
    Operator {
        name: "output_cap",
        level: Parameter,
        fixes: &[Fix::OutputCap, Fix::Brevity],
        suggest: parameters::output_cap,
    },
    Operator {
        name: "extract_span",
        level: Structure,
        fixes: &[Fix::Extract, Fix::Brevity, Fix::CopyVerbatim],
        suggest: structure::extract_span,
    },
    Operator {
        name: "extract_last_line",
        level: Structure,
        fixes: &[Fix::Extract, Fix::OutputField],
        suggest: structure::extract_last_line,
    },
    Operator {
        name: "multi_query",
        level: Structure,
        fixes: &[Fix::MultiQuery, Fix::RetrievalDepth],
        suggest: structure::multi_query,
    },
    Operator { name: "extra_hop", level: Structure, fixes: &[Fix::ExtraHop], suggest: structure::extra_hop },
    Operator {
        name: "title_rescue",
        level: Structure,
        fixes: &[Fix::ExtraHop, Fix::MultiQuery],
        suggest: structure::title_rescue,
    },
    Operator { name: "vote", level: Structure, fixes: &[Fix::Vote], suggest: structure::vote },
];

/// Fixes that an operator is a means of, by the name its proposals carry; none for one that is not in the table.
pub fn means_of(proposed_by: &str) -> &'static [Fix] {
    let name = proposed_by.split('(').next().unwrap_or_default();
    OPERATORS.iter().find(|operator| operator.name == name).map_or(&[], |operator| operator.fixes)
}

/// Proposals of one level for clusters given as `(step, fix)`, the gravest first, and then of every operator of the
/// level that no cluster asked for: a level is left only when all of it was tried.
pub fn proposals(ground: &Ground<'_>, clusters: &[(String, Fix)], level: VariantLevel) -> Vec<Proposal> {
    let mut found: Vec<Proposal> = Vec::new();
    let mut add = |operator: &Operator, step: &str| {
        let at_step = Ground { step, ..*ground };
        for suggestion in (operator.suggest)(&at_step).into_iter().filter(|s| ground.scope.allows_pattern(&s.edit)) {
            let name = match suggestion.variation.as_str() {
                "" => operator.name.to_string(),
                variation => format!("{}({variation})", operator.name),
            };
            let proposal = Proposal {
                operator: name,
                step: step.into(),
                edit: suggestion.edit,
                hypothesis: suggestion.hypothesis,
                files: Vec::new(),
            };
            if !found.iter().any(|p| p.edit == proposal.edit) {
                found.push(proposal);
            }
        }
    };
    let of_level = || OPERATORS.iter().filter(|operator| operator.level == level);
    for (step, fix) in clusters {
        of_level().filter(|operator| operator.fixes.contains(fix)).for_each(|operator| add(operator, step));
    }
    let step = clusters.first().map_or(ground.definition.graph.output.clone(), |(step, _)| step.clone());
    of_level().for_each(|operator| add(operator, &step));
    found
}

impl Ground<'_> {
    /// The node whose prompt is to be changed: the step itself where it has one, else the one that gives the answer,
    /// else the last that has one.
    fn prompted(&self) -> Option<&NodeSpec> {
        let nodes = &self.definition.graph.nodes;
        let with_prompt = |name: &str| nodes.iter().find(|node| node.name == name && node.prompt.is_some());
        with_prompt(self.step)
            .or_else(|| with_prompt(&self.definition.graph.output))
            .or_else(|| nodes.iter().rev().find(|node| node.prompt.is_some()))
    }
}
