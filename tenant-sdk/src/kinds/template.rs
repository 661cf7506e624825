//! `template`: a prompt rendered to text, without a model.

use super::plain;
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use fapo_graph::NodeKind;
use serde_json::json;

/// The kind `template`. Several messages are joined by a blank line; roles are left out.
pub struct Template;

impl Kind for Template {
    fn name(&self) -> &'static str {
        "template"
    }

    fn describe(&self) -> NodeKind {
        let summary = "Fills a prompt in and gives it on as text.";
        NodeKind { takes_prompt: true, ..plain(self.name(), summary, json!({}), vec![], &["text"]) }
    }

    fn run(&self, node: &NodeCall<'_>, _: &[Replies]) -> Result<Turn, String> {
        let rendered = node.render()?;
        let texts: Vec<String> = rendered.messages.into_iter().map(|message| message.content).collect();
        let output = Output::new("text", texts.join("\n\n"));
        Ok(Turn::Done(rendered.missing.into_iter().fold(output, Output::note)))
    }
}
