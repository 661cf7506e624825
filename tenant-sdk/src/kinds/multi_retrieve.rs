//! `multi_retrieve`: several searches side by side, merged by rank.

use super::{K_DEFAULT, k_schema, plain, required, searching};
use crate::host::Hit;
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use crate::passages::format_hits;
use fapo_graph::NodeKind;
use serde_json::json;

/// Queries used where the settings do not say.
const QUERIES_DEFAULT: u32 = 4;

/// The kind `multi_retrieve`.
///
/// Each line of `queries` that is not blank is one query; list marks such as `1.` and `-` are taken off, repeats are
/// searched once. Results merge by rank: the best hit of each query, then the second of each.
pub struct MultiRetrieve;

impl Kind for MultiRetrieve {
    fn name(&self) -> &'static str {
        "multi_retrieve"
    }

    fn describe(&self) -> NodeKind {
        let properties = json!({
            "k": k_schema(),
            "queries_max": {"type": "integer", "minimum": 1, "maximum": 16,
                "description": "Queries used, first ones first; 4 where absent."},
            "passages_max": {"type": "integer", "minimum": 1, "maximum": 1600,
                "description": "Passages kept after the merge; all where absent."},
        });
        let inputs = vec![required("queries", "One query a line.")];
        let summary = "Searches an index with several queries and merges the passages by rank.";
        searching(plain(self.name(), summary, properties, inputs, &["passages"]))
    }

    fn run(&self, node: &NodeCall<'_>, replies: &[Replies]) -> Result<Turn, String> {
        let queries_max = node.integer("queries_max").unwrap_or(QUERIES_DEFAULT) as usize;
        let (queries, dropped) = queries(node.port("queries").unwrap_or(""), queries_max);
        if queries.is_empty() {
            return Ok(Turn::Done(Output::new("passages", "").note("there is no query: nothing was searched")));
        }
        let Some(Replies::Found(results)) = replies.first() else {
            let k = node.integer("k").unwrap_or(K_DEFAULT);
            return queries.into_iter().map(|query| node.find(query, k)).collect::<Result<_, _>>().map(Turn::Search);
        };
        let merged = by_rank(results, node.integer("passages_max").map_or(usize::MAX, |most| most as usize));
        let output = Output::new("passages", format_hits(merged));
        Ok(Turn::Done(if dropped == 0 {
            output
        } else {
            output.note(format!("{dropped} queries over queries_max were left out"))
        }))
    }
}

fn queries(text: &str, queries_max: usize) -> (Vec<&str>, usize) {
    let mut queries: Vec<&str> = Vec::new();
    for line in text.lines().map(without_list_mark) {
        if !line.is_empty() && !queries.contains(&line) {
            queries.push(line);
        }
    }
    let dropped = queries.len().saturating_sub(queries_max);
    queries.truncate(queries_max);
    (queries, dropped)
}

fn without_list_mark(line: &str) -> &str {
    let line = line.trim();
    let unmarked = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or_else(|| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == line.len() {
            return None;
        }
        rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))
    });
    unmarked.unwrap_or(line).trim()
}

fn by_rank(results: &[Vec<Hit>], passages_max: usize) -> Vec<&Hit> {
    let deepest = results.iter().map(Vec::len).max().unwrap_or(0);
    let mut merged: Vec<&Hit> = Vec::new();
    for hit in (0..deepest).flat_map(|rank| results.iter().filter_map(move |hits| hits.get(rank))) {
        if merged.len() < passages_max && !merged.iter().any(|kept| kept.title == hit.title && kept.text == hit.text) {
            merged.push(hit);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_queries() {
        let text = "1. who built it\n- which river\n\n* which river\n2) when\n1874 winners\n3.5 metres";
        assert_eq!(queries(text, 9), (vec!["who built it", "which river", "when", "1874 winners", "3.5 metres"], 0));
        assert_eq!(queries(text, 2), (vec!["who built it", "which river"], 3));
        assert_eq!(queries(" \n", 2), (vec![], 0));
    }

    #[test]
    fn results_merge_by_rank() {
        let hit = |id: &str| Hit { passage_id: id.into(), title: id.into(), text: "t".into(), score: 0.0 };
        let results = vec![vec![hit("a"), hit("b")], vec![hit("a"), hit("c")], vec![]];
        let ids = |most| by_rank(&results, most).iter().map(|hit| hit.passage_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(9), ["a", "b", "c"]);
        assert_eq!(ids(2), ["a", "b"]);
    }
}
