//! Two runs side by side, and one that is run again.

use crate::support::Bench;
use serde_json::Value;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";
const OTHER: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-other";

/// A tenant of sums, run as it is and with a prompt that helps.
fn two_runs() -> Bench {
    let bench = crate::optimize::sums("shortest phrase that answers");
    let config = "tenants/sums/configs/validation.json";
    assert_eq!(bench.fapo(&["eval", "--config", config, "--output-dir", "a"]).code, 0);
    let prompt = "tenants/sums/prompts/modules/answer/variant-001.md";
    bench.append(prompt, "Give the shortest phrase that answers.\n");
    assert_eq!(bench.fapo(&["eval", "--config", config, "--output-dir", "b"]).code, 0);
    bench
}

#[test]
fn a_comparison_says_what_changed_how_sure_it_is_and_what_it_costs() {
    let bench = two_runs();
    let line = bench.fapo(&["compare", "fapo-work/a", "fapo-work/b", "--json"]).line("comparison");
    assert_eq!(line["cases"], 20);
    let (to_passed, to_failed) = (line["to_passed"].as_u64().expect("n"), line["to_failed"].as_u64().expect("n"));
    assert!(to_passed > to_failed + 5, "{line:#}");
    // The binomial, added up by hand.
    let (n, least) = (to_passed + to_failed, to_passed.min(to_failed));
    let choose = |n: u64, k: u64| (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64);
    let p = 2.0 * (0..=least).map(|k| choose(n, k)).sum::<f64>() / 2f64.powi(i32::try_from(n).expect("small"));
    assert!((line["mcnemar_p"].as_f64().expect("p") - p.min(1.0)).abs() < 1e-12, "{line:#}");
    let [lo, hi] = [0, 1].map(|at| line["bootstrap"][at].as_f64().expect("bounds"));
    let mean = line["difference"]["mean"].as_f64().expect("a mean");
    assert!(lo < mean && mean < hi && lo > 0.0, "{line:#}");
    let effect = |what: &str| -> Value {
        let effects = line["effects"].as_array().expect("a list");
        effects.iter().find(|effect| effect["what"] == what).unwrap_or_else(|| panic!("no {what}: {line:#}")).clone()
    };
    assert_eq!((&effect("calls")["mean_a"], &effect("calls")["mean_b"]), (&1.0.into(), &1.0.into()));
    assert!(effect("prompt_tokens")["difference"]["mean"].as_f64().is_some_and(|more| more > 0.0), "{line:#}");
    assert!(effect("seconds")["mean_a"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn runs_whose_scores_do_not_mean_the_same_are_not_compared() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "3"]).code, 0);
    for (field, from, to) in [
        ("scoring_profile", "\"exact_match\"", "\"token_f1\""),
        ("dataset", "datasets/validation.jsonl", "datasets/test.jsonl"),
    ] {
        let before = bench.read(CONFIG);
        bench.edit(CONFIG, "validation-baseline", "validation-other");
        bench.edit(CONFIG, from, to);
        assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "3", "--fresh"]).code, 0);
        let ran = bench.fapo(&["compare", RUN, OTHER]);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains(&format!("differ in {field}")), "{}", ran.stderr);
        bench.write(CONFIG, &before);
    }
}
