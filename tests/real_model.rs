//! The main job with the real model inside the program. Asked for by `FAPO_REAL_MODEL=1`, because it needs the model's
//! file (fetched once through pip) and minutes of two cores.

use crate::support::{Bench, Ran, real_model, root, say};

fn demo(bench: &Bench, arguments: &[&str]) -> Ran {
    let ran = bench.fapo(&[&["demo", "--json"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

#[test]
fn the_demo_gains_on_the_real_model_and_pays_nothing_a_second_time() {
    if !real_model() {
        return;
    }
    let bench = Bench::new();
    let first = demo(&bench, &[]).line("trial");
    say(&format!("own corpus: {} {} {}", first["difference"], first["calls"], first["selected"]));
    assert!(first["difference"]["mean"].as_f64() >= Some(25.0), "{first}");
    assert!(first["difference"]["ci"][0].as_f64() > Some(0.0), "{first}");
    assert!(first["calls"]["paid"].as_u64() > Some(0));
    let folder = first["dir"].as_str().expect("a folder");
    assert_eq!(bench.fapo(&["show", folder]).code, 0, "every outcome follows from the stored scores");
    std::fs::remove_dir_all(bench.path("fapo-work/trials")).expect("removed");
    let second = demo(&bench, &[]).line("trial");
    assert_eq!(second["calls"]["paid"], 0);
    for key in ["selected", "difference", "attempts", "stop_reason"] {
        assert_eq!(second[key], first[key], "{key}");
    }
}

#[test]
fn the_gain_holds_on_a_corpus_that_nothing_was_tuned_on() {
    if !real_model() {
        return;
    }
    let bench = Bench::new();
    let given = |name: &str| root().join("tests/fixtures/second_corpus").join(name).display().to_string();
    let arguments = ["--dataset", &given("cases.jsonl"), "--index", &given("corpus.jsonl")];
    let end = demo(&bench, &arguments).line("trial");
    say(&format!("second corpus: {} {} {}", end["difference"], end["calls"], end["selected"]));
    assert!(end["difference"]["ci"][0].as_f64() > Some(0.0), "{end}");
}

#[test]
fn replays_of_six_nodes_give_ceilings_of_each_level_with_their_intervals() {
    if !real_model() {
        return;
    }
    let bench = Bench::with_hotpotqa();
    assert_eq!(bench.fapo(&["index", "build", "hotpot"]).code, 0);
    let config = "tenants/hotpotqa/configs/embedded.json";
    assert_eq!(bench.fapo(&["eval", "--config", config, "--limit", "5"]).code, 0);
    let run = "fapo-work/tenants/hotpotqa/evals/tmp/embedded-baseline";
    let found = bench.fapo(&["attribute", run, "--intervene", "--json"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let found = found.line("attribution")["interventions"].clone();
    say(&format!("six nodes: {} {}", found["levels"], found["calls_paid"]));
    let levels = found["levels"].as_array().expect("levels");
    let means: Vec<f64> = levels.iter().map(|level| level["gain"]["mean"].as_f64().expect("a mean")).collect();
    assert!(means.len() == 3 && means.windows(2).all(|pair| pair[0] <= pair[1]), "{means:?}");
    assert!(levels.iter().all(|level| level["gain"]["ci"].is_array()), "{levels:?}");
    let (failed, located) = (found["failed"].as_u64(), found["located"].as_array().expect("cases").len() as u64);
    assert_eq!(
        (failed, found["budget_ended"].as_bool()),
        (Some(located), Some(false)),
        "each failed case was looked into"
    );
}
