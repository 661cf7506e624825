//! CTIBench's root cause mapping: one model node that names the weakness behind a vulnerability, and a scorer that
//! takes an answer only where it names one.

mod converter;
mod extract;
mod scorer;

pub use converter::RcmConverter;
pub use extract::{Format, extract};
pub use scorer::RcmScorer;

use fapo_tenant_sdk::{
    Chain, ChainBuilder, GraphBuilder, GraphSpec, export_chain, export_converter, export_scorer, node,
};

/// The chain: one node of a built-in kind.
pub struct RcmChain;

impl Chain for RcmChain {
    fn define() -> ChainBuilder {
        ChainBuilder::new(baseline)
    }
}

fn baseline() -> GraphSpec {
    let classify = node("classify", "llm").prompt("classify").model("task");
    GraphBuilder::new().node(classify).output("classify")
}

export_chain!(RcmChain);
export_scorer!(RcmScorer);
export_converter!(RcmConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_file_of_variant_001() {
        let file =
            ChainBuilder::of_json(include_str!("../chains/baseline.json")).catalogue().expect("the file is a graph");
        assert_eq!(RcmChain::define().catalogue().expect("a catalogue").baseline, file.baseline);
    }
}
