//! HotpotQA: the published six-node chain (retrieve, summarise, ask again, retrieve, summarise, answer) and a scorer
//! with the three metric versions that are in use.

mod converter;
mod scorer;

pub use converter::HotpotConverter;
pub use scorer::HotpotScorer;

use fapo_tenant_sdk::{
    Chain, ChainBuilder, GraphBuilder, GraphSpec, context, export_chain, export_converter, export_scorer, json, node,
    param, parameter, step,
};

/// The chain, of built-in kinds only.
pub struct HotpotChain;

impl Chain for HotpotChain {
    fn define() -> ChainBuilder {
        let k = json!({"type": "integer", "minimum": 1, "maximum": 100});
        ChainBuilder::new(baseline).parameter(parameter("retrieval_k", "Passages per search.", k, 7))
    }
}

fn baseline() -> GraphSpec {
    let retrieve = |name| node(name, "retrieve").setting("k", param("retrieval_k")).index("wiki");
    let ask = |name, field: &str, prompt| node(name, "llm").setting("field", field).prompt(prompt).model("task");
    GraphBuilder::new()
        .node(retrieve("retrieve_hop1").input("query", context("question")))
        .node(ask("summarize_hop1", "summary", "summarize1").after("retrieve_hop1"))
        .node(ask("query_hop2", "query", "generate_query_with_context").after("summarize_hop1"))
        .node(retrieve("retrieve_hop2").input("query", step("query_hop2")).after("query_hop2"))
        .node(ask("summarize_hop2", "summary", "summarize2").after("retrieve_hop2"))
        .node(ask("answer", "answer", "generate_answer").after("summarize_hop2"))
        .output("answer")
}

export_chain!(HotpotChain);
export_scorer!(HotpotScorer);
export_converter!(HotpotConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_file_of_variant_001() {
        let file: GraphSpec = serde_json_from(include_str!("../chains/baseline.json"));
        assert_eq!(HotpotChain::define().catalogue().expect("a catalogue").baseline, file);
    }

    fn serde_json_from(text: &str) -> GraphSpec {
        let catalogue = ChainBuilder::of_json(text.to_string().leak()).catalogue();
        catalogue.expect("the file is a graph").baseline
    }
}
