//! The built-in kinds: one file each, one line each in the table below.

use crate::kind::Kind;
use fapo_graph::{HandleKind, NodeKind, Port, PortNeed};
use serde_json::{Value, json};

mod component;
mod extract;
mod llm;
mod markers;
mod merge_passages;
mod multi_retrieve;
mod retrieve;
mod span;
mod template;
mod vote;

pub use component::Component;
pub use extract::Extract;
pub use llm::Llm;
pub use markers::{Field, field};
pub use merge_passages::MergePassages;
pub use multi_retrieve::MultiRetrieve;
pub use retrieve::Retrieve;
pub use span::span;
pub use template::Template;
pub use vote::Vote;

/// Every built-in kind, in the order of the catalogue.
pub fn built_in() -> Vec<Box<dyn Kind>> {
    vec![
        Box::new(Llm),
        Box::new(Retrieve),
        Box::new(MultiRetrieve),
        Box::new(MergePassages),
        Box::new(Template),
        Box::new(Extract),
        Box::new(Vote),
        Box::new(Component),
    ]
}

/// Hits a search asks for where the settings do not say.
const K_DEFAULT: u32 = 7;

fn port(name: &str, need: PortNeed, summary: &str) -> Port {
    Port { name: name.into(), need, summary: summary.into() }
}

fn required(name: &str, summary: &str) -> Port {
    port(name, PortNeed::Required, summary)
}

fn optional(name: &str, summary: &str) -> Port {
    port(name, PortNeed::Optional, summary)
}

/// A kind that calls nothing and takes no prompt; the others change what differs.
fn plain(name: &str, summary: &str, properties: Value, inputs: Vec<Port>, outputs: &[&str]) -> NodeKind {
    NodeKind {
        name: name.into(),
        summary: summary.into(),
        settings_schema: json!({"type": "object", "properties": properties, "additionalProperties": false}),
        inputs,
        outputs: outputs.iter().map(|output| (*output).to_string()).collect(),
        takes_prompt: false,
        handles: Vec::new(),
        deterministic: true,
    }
}

fn searching(kind: NodeKind) -> NodeKind {
    NodeKind { handles: vec![HandleKind::Index], ..kind }
}

fn k_schema() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 100, "description": "Passages wanted, 7 where absent."})
}
