//! Two runs side by side, and one that is run again.

use crate::support::{Answer, Bench, FakeServer};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";
const OTHER: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-other";

/// A tenant of sums, run as it is and with a prompt that helps.
pub(crate) fn two_runs() -> Bench {
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

/// Right at every second request, whatever is asked.
fn every_second(asked: &str) -> String {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let numbers: Vec<u32> = asked.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let right = ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
    (numbers.iter().sum::<u32>() + u32::from(!right)).to_string()
}

fn one_at_a_time(bench: &Bench) {
    bench.edit("tenants/sums/configs/validation.json", "\"max_workers\": 3", "\"max_workers\": 1");
}

const SUMS: &str = "tenants/sums/configs/validation.json";

#[test]
fn epochs_draw_anew_and_say_what_chance_alone_does() {
    let server = FakeServer::start(Answer::Reply(every_second));
    let bench = crate::optimize::over_a_server(&server);
    one_at_a_time(&bench);
    let ran = bench.fapo(&["eval", "--config", SUMS, "--limit", "5", "--epochs", "2", "--output-dir", "e", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.requests(), 10, "the second epoch is not answered by the replies of the first");
    let line = ran.line("epochs");
    assert_eq!((&line["means"], &line["unsteady"].as_array().expect("ids").len()), (&json!([60.0, 40.0]), &5));
    assert_eq!(line["composite"], json!({"mean": 50.0, "ci": [50.0, 50.0]}), "each case is right every second time");
    // Each of five cases differs by 100: t(4, 0.975) of 100 over the root of 5.
    let noise = line["smallest_difference"].as_f64().expect("noise");
    assert!((noise - 2.776_445 * 100.0 / 5f64.sqrt()).abs() < 0.001, "{noise}");
    // The same command again pays nothing; each epoch is a run that can be shown, and the two can be compared.
    let again = bench.fapo(&["eval", "--config", SUMS, "--limit", "5", "--epochs", "2", "--output-dir", "e", "--json"]);
    assert_eq!((again.line("epochs"), server.requests()), (line, 10));
    let compared = bench.fapo(&["compare", "fapo-work/e", "fapo-work/e-epoch-2", "--json"]);
    assert_eq!(compared.line("comparison")["difference"]["mean"], -20.0);
    let noise = bench.fapo(&["noise", "--config", SUMS, "--limit", "5", "--repeats", "3", "--json"]);
    assert_eq!((noise.code, noise.line("epochs")["epochs"].clone()), (0, 3.into()));
    // A gate is held against runs that somebody relies on, not against a measure of chance.
    bench.append("tenants/sums/tenant.toml", "\n[gate]\ncomposite_min = 100.0\n");
    for (command, code) in [("noise", 0), ("eval", 1)] {
        let gated = bench.fapo(&[command, "--config", SUMS, "--limit", "5"]);
        assert_eq!(gated.code, code, "{command}: {}", gated.stderr);
    }
    let steady = Bench::with_index();
    let line = steady.fapo(&["noise", "--config", CONFIG, "--limit", "6", "--json"]).line("epochs");
    assert_eq!((&line["smallest_difference"], &line["unsteady"]), (&json!(0.0), &json!([])));
}

#[test]
fn finished_cases_are_run_again_where_somebody_asks_for_it() {
    let bench = crate::nodes::bench("panic", "");
    crate::nodes::rows(&bench, 5);
    let lines = || bench.read(&format!("{RUN}/journal.jsonl")).lines().count();
    let eval = |retry: &[&str]| bench.fapo(&[&["eval", "--config", CONFIG, "--limit", "3"], retry].concat());
    assert_eq!((eval(&[]).code, lines()), (5, 4), "faults of guests stand");
    assert_eq!((eval(&["--retry", "errors"]).code, lines()), (5, 7));
    assert_eq!((eval(&["--retry", "dq-v002", "--retry", "dq-v002"]).code, lines()), (5, 8));
    let unknown = eval(&["--retry", "somebody"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("nor a case of the dataset"), "{}", unknown.stderr);

    let bench = Bench::with_index();
    let eval = |retry: &[&str]| bench.fapo(&[&["eval", "--config", CONFIG, "--json"], retry].concat());
    let mean = eval(&[]).line("run")["composite"]["mean"].clone();
    let lines = || bench.read(&format!("{RUN}/journal.jsonl")).lines().count();
    let failed = bench.read(&format!("{RUN}/results.jsonl"));
    let failed = failed.lines().filter(|row| !row.contains("\"composite_score\":100.0")).count();
    assert!(failed > 0 && lines() == 47);
    assert_eq!(eval(&["--retry", "failed"]).line("run")["composite"]["mean"], mean);
    assert_eq!(lines(), 47 + failed);
}

#[test]
fn a_run_that_does_not_hold_its_gate_says_which_rule_and_exits_1() {
    let bench = two_runs();
    let gate = |arguments: &[&str]| bench.fapo(&[&["gate"], arguments].concat());
    assert_eq!(gate(&["fapo-work/b", "--composite-min", "75", "--errors-max", "0"]).code, 0);
    let low = gate(&["fapo-work/b", "--composite-min", "81"]);
    assert_eq!(low.code, 1);
    assert!(low.stdout.contains("the mean composite is 80.00, at least 81 is asked"), "{}", low.stdout);
    let fell = gate(&["fapo-work/a", "--baseline", "fapo-work/b"]);
    assert_eq!(fell.code, 1, "{}", fell.stdout);
    assert!(fell.stdout.contains("the mean went from 80.00 to 0.00 (-80.00"), "{}", fell.stdout);
    assert_eq!(gate(&["fapo-work/a", "--baseline", "fapo-work/b", "--drop-max", "80"]).code, 0);
    assert_eq!(gate(&["fapo-work/b", "--baseline", "fapo-work/a"]).code, 0);
    assert_eq!(gate(&["fapo-work/b"]).code, 2, "there is no rule");
    // The tenant's own gate, at the end of each run of it.
    bench.append("tenants/sums/tenant.toml", "\n[gate]\ncomposite_min = 50.0\nbaseline = \"b\"\n");
    let eval = |to: &str| bench.fapo(&["eval", "--config", SUMS, "--output-dir", to]);
    let held = eval("b");
    assert_eq!(held.code, 0, "{}{}", held.stdout, held.stderr);
    assert!(held.stdout.contains("gate composite_min") && held.stdout.contains("gate baseline"), "{}", held.stdout);
    let prompt = "tenants/sums/prompts/modules/answer/variant-001.md";
    bench.edit(prompt, "Give the shortest phrase that answers.\n", "");
    assert_eq!(eval("c").code, 1);
    // One case worse of twenty is within the noise, unless that is no excuse.
    let results = bench.read("fapo-work/b/journal.jsonl");
    let at = results.find("\"composite\":100.0").expect("a case that passed");
    std::fs::create_dir_all(bench.path("fapo-work/d")).expect("made");
    bench.write("fapo-work/d/journal.jsonl", &format!("{}\"composite\":0.0{}", &results[..at], &results[at + 17..]));
    let doubtful = gate(&["fapo-work/d", "--baseline", "fapo-work/b", "--composite-min", "10"]);
    assert_eq!(doubtful.code, 0, "{}", doubtful.stdout);
    assert!(doubtful.stdout.contains("within the noise"), "{}", doubtful.stdout);
    assert_eq!(gate(&["fapo-work/d", "--baseline", "fapo-work/b", "--composite-min", "10", "--strict"]).code, 1);
}
