//! `retrieve`: one search, its passages as numbered lines.

use super::{K_DEFAULT, k_schema, plain, required, searching};
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use crate::passages::format_hits;
use fapo_graph::NodeKind;
use serde_json::json;

/// The kind `retrieve`. A blank query makes no call: no passages, and a note.
pub struct Retrieve;

impl Kind for Retrieve {
    fn name(&self) -> &'static str {
        "retrieve"
    }

    fn describe(&self) -> NodeKind {
        let inputs = vec![required("query", "Words to search for.")];
        let summary = "Searches an index; lines `[1] «Title | text»`, best first.";
        searching(plain(self.name(), summary, json!({"k": k_schema()}), inputs, &["passages"]))
    }

    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String> {
        let query = node.port("query").unwrap_or("").trim();
        if query.is_empty() {
            return Ok(Turn::Done(Output::new("passages", "").note("the query is empty: nothing was searched")));
        }
        match replies.first() {
            Some(Replies::Found(results)) => {
                Ok(Turn::Done(Output::new("passages", format_hits(results.iter().flatten()))))
            }
            _ => Ok(Turn::Search(vec![node.find(query, node.integer("k").unwrap_or(K_DEFAULT))?])),
        }
    }
}
