//! AIME: one model node that solves a problem, and a scorer with the three ways of reading an answer that are in use.

mod converter;
mod parse;
mod scorer;

pub use converter::AimeConverter;
pub use scorer::AimeScorer;

use fapo_tenant_sdk::{
    Chain, ChainBuilder, GraphBuilder, GraphSpec, export_chain, export_converter, export_scorer, node,
};

/// The chain: one node of a built-in kind.
pub struct AimeChain;

impl Chain for AimeChain {
    fn define() -> ChainBuilder {
        ChainBuilder::new(baseline)
    }
}

fn baseline() -> GraphSpec {
    let answer = node("answer", "llm").prompt("answer").model("task");
    GraphBuilder::new().node(answer).output("answer")
}

export_chain!(AimeChain);
export_scorer!(AimeScorer);
export_converter!(AimeConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_file_of_variant_001() {
        let file =
            ChainBuilder::of_json(include_str!("../chains/baseline.json")).catalogue().expect("the file is a graph");
        assert_eq!(AimeChain::define().catalogue().expect("a catalogue").baseline, file.baseline);
    }
}
