//! `llm`: a prompt to a model, the reply or one marked field of it back.

use super::markers::field;
use super::plain;
use crate::host::{FinishReason, Generation};
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use fapo_graph::{HandleKind, NodeKind};
use serde_json::{Value, json};

/// The kind `llm`.
///
/// Output `text`: the reply as it came, or with `field` the text of that marked field. With `field` there is also
/// `raw`, the whole reply. A missing placeholder is "" and stands by its bare name in the diagnostics.
pub struct Llm;

impl Kind for Llm {
    fn name(&self) -> &'static str {
        "llm"
    }

    fn describe(&self) -> NodeKind {
        let properties = json!({
            "output_tokens_max": {"type": ["integer", "null"], "minimum": 1, "maximum": 32768,
                "description": "Cap on the reply; null or absent leaves it to the model's route."},
            "stop": {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 8,
                "description": "Texts that end the reply."},
            "field": {"type": "string", "minLength": 1, "maxLength": 64,
                "description": "Field to take from a reply with [[ ## field ## ]] markers."},
            "sets_output": {"type": "boolean",
                "description": "Whether the text becomes the chain's answer so far; true where absent."},
        });
        NodeKind {
            takes_prompt: true,
            handles: vec![HandleKind::Model],
            deterministic: false,
            ..plain(self.name(), "Asks a model with a prompt.", properties, vec![], &["text", "raw"])
        }
    }

    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String> {
        let Some(Replies::Generated(generations)) = replies.first() else {
            let mut request = node.ask(node.render()?.messages)?;
            request.output_tokens_max = node.integer("output_tokens_max");
            let stop = node.settings().get("stop").and_then(Value::as_array);
            request.stop = stop.into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
            return Ok(Turn::Generate(vec![request]));
        };
        let reply = generations.first().ok_or("the host gave no reply")?;
        let output = read(reply, node.text("field")).sets_output(node.flag("sets_output").unwrap_or(true));
        Ok(Turn::Done(node.missing()?.into_iter().fold(output, Output::note)))
    }
}

fn read(reply: &Generation, wanted: Option<&str>) -> Output {
    let output = match wanted {
        None => Output::new("text", &reply.text),
        Some(name) => {
            let found = field(&reply.text, name);
            let output = Output::new("text", found.text).and("raw", &reply.text);
            if found.marked {
                output
            } else {
                output.note(format!("the reply marks no field {name}: all of it is taken"))
            }
        }
    };
    match reply.finish {
        FinishReason::Stop | FinishReason::Other => output,
        FinishReason::Length => output.note("the reply ended at the token cap"),
        FinishReason::Filtered => output.note("the service withheld a part of the reply"),
    }
}
