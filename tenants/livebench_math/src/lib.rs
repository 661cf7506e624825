//! LiveBench mathematics: one model node that solves a question, and a scorer with a rule for each of the benchmark's
//! four families.

mod amps;
mod boxed;
mod competition;
mod converter;
mod olympiad;
mod scorer;

pub use converter::LiveBenchConverter;
pub use scorer::LiveBenchScorer;

use fapo_tenant_sdk::{
    Chain, ChainBuilder, GraphBuilder, GraphSpec, export_chain, export_converter, export_scorer, node,
};

/// The chain: one node of a built-in kind.
pub struct LiveBenchChain;

impl Chain for LiveBenchChain {
    fn define() -> ChainBuilder {
        ChainBuilder::new(baseline)
    }
}

fn baseline() -> GraphSpec {
    let solve = node("solve", "llm").setting("field", "answer").prompt("solve").model("task");
    GraphBuilder::new().node(solve).output("solve")
}

export_chain!(LiveBenchChain);
export_scorer!(LiveBenchScorer);
export_converter!(LiveBenchConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_file_of_variant_001() {
        let file =
            ChainBuilder::of_json(include_str!("../chains/baseline.json")).catalogue().expect("the file is a graph");
        assert_eq!(LiveBenchChain::define().catalogue().expect("a catalogue").baseline, file.baseline);
    }
}
