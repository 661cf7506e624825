//! HoVer: the published chain for claims that rest on three articles (search, summarise, ask again, twice over), its
//! passages joined at the end, and a scorer that asks whether every article was found.

mod converter;
mod scorer;
mod titles;

pub use converter::HoverConverter;
pub use scorer::HoverScorer;

use fapo_tenant_sdk::{
    Chain, ChainBuilder, GraphBuilder, GraphSpec, context, export_chain, export_converter, export_scorer, json, node,
    param, parameter, step,
};

/// The chain, of built-in kinds only.
pub struct HoverChain;

impl Chain for HoverChain {
    fn define() -> ChainBuilder {
        let k = || json!({"type": "integer", "minimum": 1, "maximum": 100});
        ChainBuilder::new(baseline)
            .parameter(parameter("retrieval_k", "Passages of the first two searches.", k(), 7))
            .parameter(parameter("last_retrieval_k", "Passages of the third search.", k(), 10))
    }
}

fn baseline() -> GraphSpec {
    let retrieve = |name, k| node(name, "retrieve").setting("k", param(k)).index("wiki");
    let ask = |name, field: &str, prompt| node(name, "llm").setting("field", field).prompt(prompt).model("task");
    let joined = node("combine_retrievals", "merge_passages")
        .input("a", step("retrieve_hop1"))
        .input("b", step("retrieve_hop2"))
        .input("c", step("retrieve_hop3"));
    GraphBuilder::new()
        .node(retrieve("retrieve_hop1", "retrieval_k").input("query", context("claim")))
        .node(ask("summarize_hop1", "summary", "summarize1").after("retrieve_hop1"))
        .node(ask("query_hop2", "query", "create_query_hop2").after("summarize_hop1"))
        .node(retrieve("retrieve_hop2", "retrieval_k").input("query", step("query_hop2")).after("query_hop2"))
        .node(ask("summarize_hop2", "summary", "summarize2").after("retrieve_hop2"))
        .node(ask("query_hop3", "query", "create_query_hop3").after("summarize_hop2"))
        .node(retrieve("retrieve_hop3", "last_retrieval_k").input("query", step("query_hop3")).after("query_hop3"))
        .node(joined.after("retrieve_hop3"))
        .output("combine_retrievals")
}

export_chain!(HoverChain);
export_scorer!(HoverScorer);
export_converter!(HoverConverter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_the_file_of_variant_001() {
        let file =
            ChainBuilder::of_json(include_str!("../chains/baseline.json")).catalogue().expect("the file is a graph");
        assert_eq!(HoverChain::define().catalogue().expect("a catalogue").baseline, file.baseline);
    }
}
