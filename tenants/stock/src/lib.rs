//! The chain and the scorer of tenants without code: every built-in kind, and five metrics.

use fapo_tenant_sdk::scoring::{Metric, contains, exact_match, f1_points, label_of, numbers_equal};
use fapo_tenant_sdk::{
    Chain, ChainBuilder, FinishedCase, GraphBuilder, GraphSpec, LabelledCase, Score, Scorer, Value, context,
    expected_answers, export_chain, export_scorer, json, node, param, parameter,
};

/// A chain of built-in kinds; a tenant's own `chains/*.json` takes the place of its baseline.
pub struct StockChain;

impl Chain for StockChain {
    fn define() -> ChainBuilder {
        ChainBuilder::new(baseline)
            .parameter(parameter(
                "retrieval_k",
                "Passages per search.",
                json!({"type": "integer", "minimum": 1, "maximum": 100}),
                7,
            ))
            .parameter(parameter(
                "output_tokens_max",
                "Cap on a reply, tokens.",
                json!({"type": "integer", "minimum": 1, "maximum": 32768}),
                16_000,
            ))
    }
}

fn baseline() -> GraphSpec {
    GraphBuilder::new()
        .node(
            node("retrieve", "retrieve")
                .setting("k", param("retrieval_k"))
                .index("corpus")
                .input("query", context("question")),
        )
        .node(node("answer", "llm").prompt("generate_answer").model("task").after("retrieve"))
        .output("answer")
}

/// Compares the answer with the label under the profile's `metric`.
pub struct StockScorer;

impl Scorer for StockScorer {
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String> {
        metric(profile)?;
        if expected_answers(&case.expected).is_empty() {
            return Err("`expected` holds none of answer, expected_answer, reference_output, label".into());
        }
        Ok(())
    }

    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String> {
        let answer = finished.answer(profile.get("step").and_then(Value::as_str));
        let golds = expected_answers(&finished.labelled.expected);
        let exact = golds.iter().any(|gold| exact_match(answer, gold, Metric::Gepa));
        let f1 = golds.iter().map(|gold| f1_points(answer, gold, Metric::Fapo)).fold(0.0, f64::max);
        let composite = match metric(profile)? {
            "token_f1" => f1,
            "number" => points(golds.iter().any(|gold| numbers_equal(answer, gold) == Some(true))),
            "label" => points(golds.iter().any(|gold| label_of(answer, std::slice::from_ref(gold)).is_some())),
            "contains" => points(golds.iter().any(|gold| contains(answer, gold, Metric::Gepa))),
            _ => points(exact),
        };
        let feedback = if composite < 100.0 {
            format!("expected {:?}, got {answer:?}", golds.first().map_or("", String::as_str))
        } else {
            String::new()
        };
        Ok(Score::new(composite).metric("exact_match", points(exact)).metric("f1", f1).feedback(feedback))
    }
}

fn points(passed: bool) -> f64 {
    if passed { 100.0 } else { 0.0 }
}

fn metric(profile: &Value) -> Result<&str, String> {
    let name = profile.get("metric").and_then(Value::as_str).unwrap_or("exact_match");
    if ["exact_match", "token_f1", "number", "label", "contains"].contains(&name) {
        return Ok(name);
    }
    Err(format!("metric {name:?} is none of exact_match, token_f1, number, label, contains"))
}

export_chain!(StockChain);
export_scorer!(StockScorer);

/// The starter that `fapo tenant new --rust` writes compiles as it is.
#[cfg(test)]
#[allow(unreachable_pub, reason = "it is the root of a package elsewhere")]
#[path = "../../../host/cli/starter/lib.rs.txt"]
mod starter;

#[cfg(test)]
#[test]
fn the_starters_scorer_compares_numbers() {
    use fapo_tenant_sdk::CaseInput;
    let finished = |output_text: &str| FinishedCase {
        labelled: LabelledCase {
            input: CaseInput { case_id: "c".into(), task_type: "sum".into(), context: Vec::new() },
            expected: json!({"answer": "42"}),
            metadata: json!({}),
        },
        steps: Vec::new(),
        searches: Vec::new(),
        output_text: output_text.into(),
    };
    for (output, points) in [("42", 100.0), ("It is 42.", 100.0), ("41", 0.0), ("", 0.0)] {
        let score = starter::TaskScorer::score(&finished(output), &json!({})).expect("a score");
        assert_eq!(score.composite, points, "{output}");
    }
    assert!(starter::TaskChain::define().catalogue().is_ok());
}
