//! `component`: a granted node component, for example a script, in a sandbox of its own.

use super::{optional, plain};
use crate::host::NodeInput;
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use fapo_graph::{HandleKind, NodeKind};
use serde_json::{Value, json};

/// The kind `component`. What it does is the component's; its main output comes back as `text`.
pub struct Component;

impl Kind for Component {
    fn name(&self) -> &'static str {
        "component"
    }

    fn describe(&self) -> NodeKind {
        let properties = json!({
            "kind": {"type": "string", "minLength": 1, "maxLength": 64, "description": "Kind within the component."},
            "settings": {"type": "object", "description": "Settings of that kind."},
        });
        let inputs = ["text", "question", "passages", "a", "b", "c"]
            .map(|name| optional(name, "Handed on under its name."))
            .to_vec();
        let mut kind = plain(self.name(), "Runs a granted node component.", properties, inputs, &["text"]);
        kind.settings_schema["required"] = json!(["kind"]);
        NodeKind { handles: vec![HandleKind::Component], deterministic: false, ..kind }
    }

    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String> {
        let Some(Replies::Called(outputs)) = replies.first() else {
            let settings = node.settings().get("settings").cloned().unwrap_or(Value::Object(Default::default()));
            let kind = node.text("kind").ok_or("setting `kind` is missing")?.to_string();
            let input = NodeInput { id: node.id().clone(), kind, settings, prompt: None, ports: node.ports() };
            return Ok(Turn::Call(vec![input]));
        };
        let answer = outputs.first().ok_or("the host gave no answer")?;
        let main = answer.outputs.first().ok_or("the component gave no output")?;
        Ok(Turn::Done(answer.diagnostics.iter().fold(Output::new("text", &main.value), Output::note)))
    }
}
