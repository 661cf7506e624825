//! What an adviser says, read into types: whatever is not in the form that was asked for is dropped with its reason.

use fapo_core::attribution::Fix;
use fapo_core::ports::Definition;
use fapo_core::review::{Issue, Severity};
use fapo_core::scope::VariantLevel;
use fapo_core::variant::{Edit, Proposal};
use fapo_graph::GraphSpec;
use fapo_template::{Cut, Prompt, parse};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Edits that are read of one answer.
const EDITS_MAX: usize = 8;
/// Issues that are read of one review.
const ISSUES_MAX: usize = 8;
/// Characters of a sentence that is shown to people.
const SENTENCE_CHARS_MAX: usize = 300;
/// Characters of the name of a technique.
const TECHNIQUE_CHARS_MAX: usize = 40;

#[derive(Deserialize)]
struct Edits {
    edits: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditSaid {
    technique: String,
    step: String,
    hypothesis: String,
    change: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Change {
    Prompt {
        module: String,
        text: String,
    },
    Parameter {
        name: String,
        value: Value,
    },
    Structure {
        pattern: String,
        graph: GraphSpec,
        #[serde(default)]
        prompts: BTreeMap<String, String>,
    },
}

#[derive(Deserialize)]
struct ReviewSaid {
    verdict: VerdictSaid,
    #[serde(default)]
    issues: Vec<IssueSaid>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum VerdictSaid {
    Pass,
    Warn,
    Fail,
}

#[derive(Deserialize)]
struct IssueSaid {
    description: String,
    #[serde(default)]
    suggestion: String,
}

/// How a step lost a case, as a model says (paper, 3.2).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Reasoning,
    Knowledge,
    Format,
    Content,
}

impl Kind {
    /// What could mend it, and how deep that would go.
    pub(super) fn fix(self) -> (Fix, VariantLevel) {
        match self {
            Kind::Reasoning => (Fix::FewShot, VariantLevel::Prompt),
            Kind::Knowledge => (Fix::RetrievalDepth, VariantLevel::Parameter),
            Kind::Format => (Fix::OutputField, VariantLevel::Prompt),
            Kind::Content => (Fix::CopyVerbatim, VariantLevel::Prompt),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) step: String,
    pub(super) kind: Kind,
    pub(super) why: String,
}

/// The JSON object of an answer, whatever stands around it; None where there is none.
fn object<T: serde::de::DeserializeOwned>(reply: &str) -> Option<T> {
    let (begin, end) = (reply.find('{')?, reply.rfind('}')?);
    let value = fapo_core::json::read(reply.get(begin..=end)?).ok()?;
    serde_json::from_value(value).ok()
}

/// The edits of an answer, each read or not; None where the answer has no list of them.
pub(super) fn edits(reply: &str, definition: &Definition) -> Option<Vec<Result<Proposal, String>>> {
    let said: Edits = object(reply)?;
    Some(said.edits.into_iter().take(EDITS_MAX).map(|edit| proposal(edit, definition)).collect())
}

fn proposal(said: Value, definition: &Definition) -> Result<Proposal, String> {
    let EditSaid { technique, step, hypothesis, change } =
        serde_json::from_value(said).map_err(|_| "an edit is not in the form that was asked for".to_string())?;
    let prompt = |name: &str, text: &str| -> Result<Prompt, String> {
        parse(name, text, Cut::Trailing).map_err(|_| "a prompt is no prompt".to_string())
    };
    let edit = match change {
        Change::Prompt { module, text } => {
            if !definition.prompts.iter().any(|prompt| prompt.name == module) {
                return Err("an edit is of a prompt that is not there".into());
            }
            Edit::Prompt(prompt(&module, &text)?)
        }
        Change::Parameter { name, value } => Edit::Parameter { name, value },
        Change::Structure { pattern, graph, prompts } => {
            let fresh = |name: &String| !definition.prompts.iter().any(|prompt| prompt.name == *name);
            if !prompts.keys().all(|name| fresh(name) && fapo_core::names::is_name(name)) {
                return Err("a structure brings a prompt whose name is taken or no name".into());
            }
            let prompts = prompts.iter().map(|(name, text)| prompt(name, text)).collect::<Result<_, _>>()?;
            Edit::Structure { pattern, graph, prompts }
        }
    };
    let technique: String = technique
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(TECHNIQUE_CHARS_MAX)
        .collect();
    Ok(Proposal {
        operator: format!("model({technique})"),
        step: if definition.graph.nodes.iter().any(|node| node.name == step) { step } else { String::new() },
        edit,
        hypothesis: sentence(&hypothesis),
        files: Vec::new(),
    })
}

/// What a model reviewer found: whether it fails the change, and its issues. None where it gave no verdict.
pub(super) fn review(reply: &str) -> Option<(bool, Vec<Issue>)> {
    let said: ReviewSaid = object(reply)?;
    let severity = if said.verdict == VerdictSaid::Fail { Severity::Block } else { Severity::Warn };
    let issue = |description: &str, suggestion: &str| Issue {
        check: super::review::CHECK.into(),
        severity,
        description: sentence(description),
        suggestion: sentence(suggestion),
    };
    let mut issues: Vec<Issue> = match said.verdict {
        VerdictSaid::Pass => Vec::new(),
        _ => said.issues.iter().take(ISSUES_MAX).map(|i| issue(&i.description, &i.suggestion)).collect(),
    };
    if issues.is_empty() && said.verdict != VerdictSaid::Pass {
        issues.push(issue("it does not say what is wrong", ""));
    }
    Some((said.verdict == VerdictSaid::Fail, issues))
}

/// What a model says of a failed case.
pub(super) fn told(reply: &str, definition: &Definition) -> Option<Told> {
    let said: Told = object(reply)?;
    definition
        .graph
        .nodes
        .iter()
        .any(|node| node.name == said.step)
        .then_some(Told { why: sentence(&said.why), ..said })
}

/// A text on one line, cut.
pub(super) fn sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(SENTENCE_CHARS_MAX).collect()
}
