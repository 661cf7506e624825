//! `merge_passages`: numbered lists of passages into one.

use super::{optional, plain, required};
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use crate::passages::merge;
use fapo_graph::NodeKind;
use serde_json::json;

/// The kind `merge_passages`.
pub struct MergePassages;

const PORTS: [&str; 4] = ["a", "b", "c", "d"];

impl Kind for MergePassages {
    fn name(&self) -> &'static str {
        "merge_passages"
    }

    fn describe(&self) -> NodeKind {
        let inputs = vec![
            required(PORTS[0], "First list."),
            optional(PORTS[1], "Second list."),
            optional(PORTS[2], "Third list."),
            optional(PORTS[3], "Fourth list."),
        ];
        let summary = "Joins lists of passages, drops duplicates and numbers them anew.";
        plain(self.name(), summary, json!({}), inputs, &["passages"])
    }

    fn run(&self, node: &NodeCall<'_>, _: &[Replies]) -> Result<Turn, String> {
        let lists = PORTS.iter().filter_map(|port| node.port(port));
        Ok(Turn::Done(Output::new("passages", merge(lists))))
    }
}
