//! Prompt templates: parsed once, rendered in a single pass.
//!
//! Roles are split before any value is known, and a value is never looked at again once it is put in,
//! so no value can move a role boundary or smuggle in a placeholder.
//!
//! The file format is described at [`parse`], what happens to values at [`render`]. Where values come from is not
//! decided here.

mod error;
mod parse;
mod render;
mod unparse;

pub use error::TemplateError;
pub use parse::{Cut, parse};
pub use render::{Rendered, missing, render};
pub use unparse::unparse;

use serde::{Deserialize, Serialize};

/// Who speaks a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions.
    System,
    /// The asking side.
    User,
    /// The model's side; in a template, a worked example.
    Assistant,
}

impl Role {
    /// The name by which chat services know it.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// A piece of a parsed template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Copied as it is.
    Literal(String),
    /// Name of a value: a context name, or `steps.<node>.output`.
    Placeholder(String),
}

/// One chat message of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTemplate {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub segments: Vec<Segment>,
}

/// A parsed prompt file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Module name, for example `generate_answer`.
    pub name: String,
    /// At least one message.
    pub messages: Vec<MessageTemplate>,
}

impl Prompt {
    /// Names of the placeholders in reading order, repeats included.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().flat_map(|message| &message.segments).filter_map(|segment| match segment {
            Segment::Placeholder(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// Names of the nodes whose outputs the prompt reads, repeats included.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.placeholders().filter_map(step_reference)
    }
}

/// The node a placeholder reads: `a` of `steps.a.output`, nothing of any other name.
pub fn step_reference(name: &str) -> Option<&str> {
    let node = name.strip_prefix("steps.")?.strip_suffix(".output")?;
    (!node.is_empty()).then_some(node)
}

impl Role {
    /// The word a prompt file writes before the colon.
    pub fn heading(self) -> &'static str {
        match self {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
        }
    }
}

/// A chat message ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_step_references_name_a_node() {
        for (name, node) in [
            ("steps.answer.output", Some("answer")),
            ("steps..output", None),
            ("steps.answer", None),
            ("steps.answer.raw", None),
            ("Xsteps.answer.output", None),
            ("question", None),
        ] {
            assert_eq!(step_reference(name), node, "{name}");
        }
    }

    #[test]
    fn placeholders_come_in_reading_order() {
        let prompt = parse("p", "System: ${b}\nUser: ${a} ${steps.x.output} ${b}", Cut::Trailing).expect("prompt");
        assert_eq!(prompt.placeholders().collect::<Vec<_>>(), ["b", "a", "steps.x.output", "b"]);
        assert_eq!(prompt.steps().collect::<Vec<_>>(), ["x"]);
    }
}
