//! `vote`: the text that most of several nodes gave.

use super::{optional, plain, required};
use crate::kind::{Kind, NodeCall, Output, Replies, Turn};
use crate::scoring::{Metric, normalise};
use fapo_graph::NodeKind;
use serde_json::json;

/// The kind `vote`. Blank texts do not count; texts are compared after normalisation; the first of equals wins.
pub struct Vote;

const PORTS: [&str; 5] = ["a", "b", "c", "d", "e"];

impl Kind for Vote {
    fn name(&self) -> &'static str {
        "vote"
    }

    fn describe(&self) -> NodeKind {
        let mut inputs = vec![required(PORTS[0], "A text; it wins a tie.")];
        inputs.extend(PORTS[1..].iter().map(|port| optional(port, "A further text.")));
        plain(self.name(), "Gives on the text that most of its inputs agree on.", json!({}), inputs, &["text"])
    }

    fn run(&self, node: &NodeCall<'_>, _: &[Replies]) -> Result<Turn, String> {
        let texts: Vec<&str> = PORTS.iter().filter_map(|port| node.port(port)).collect();
        Ok(Turn::Done(match winner(&texts) {
            Some((text, votes, cast)) => Output::new("text", text).note(format!("{votes} of {cast} votes")),
            None => Output::new("text", "").note("every text is blank: no vote was cast"),
        }))
    }
}

fn winner<'a>(texts: &[&'a str]) -> Option<(&'a str, usize, usize)> {
    let cast: Vec<(&str, String)> = texts
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .map(|text| (text, normalise(text, Metric::Gepa)))
        .collect();
    let mut best: Option<(&str, usize)> = None;
    for (text, plain) in &cast {
        let votes = cast.iter().filter(|(_, other)| other == plain).count();
        if best.is_none_or(|(_, most)| votes > most) {
            best = Some((text, votes));
        }
    }
    best.map(|(text, votes)| (text, votes, cast.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_votes_win_and_the_first_wins_a_tie() {
        assert_eq!(winner(&["Osk", "the Linn", "Linn."]), Some(("the Linn", 2, 3)));
        assert_eq!(winner(&["Osk", "Linn"]), Some(("Osk", 1, 2)));
        assert_eq!(winner(&["", " ", "Osk"]), Some(("Osk", 1, 1)));
        assert_eq!(winner(&["", " "]), None);
    }
}
