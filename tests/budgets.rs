//! What a run may cost: met exactly, never passed, and the run goes on with more.

use crate::support::{Answer, Bench, FakeServer, Ran};
use serde_json::Value;

const SUMS: &str = "tenants/sums/configs/validation.json";

/// A tenant of sums over a counted server, with as many cases side by side as are asked for.
fn bench(server: &FakeServer, workers: u32) -> Bench {
    let bench = crate::optimize::over_a_server(server);
    bench.edit(SUMS, "\"max_workers\": 3", &format!("\"max_workers\": {workers}"));
    bench
}

fn eval(bench: &Bench, further: &[&str]) -> Ran {
    bench.fapo(&[&["eval", "--config", SUMS, "--output-dir", "run", "--json"], further].concat())
}

fn five(_: &str) -> String {
    "5".into()
}

#[test]
fn a_cap_of_calls_is_met_exactly_at_every_boundary_and_the_run_goes_on_with_more() {
    for workers in [1, 20] {
        let server = FakeServer::start(Answer::Reply(five));
        let bench = bench(&server, workers);
        let cap = |n: usize| eval(&bench, &["--calls-max", &n.to_string()]);
        // 20 cases of one call each.
        for n in [0, 1, 19] {
            let ran = cap(n);
            assert_eq!((ran.code, server.requests()), (4, n), "{workers} workers: {}{}", ran.stdout, ran.stderr);
        }
        let ended = cap(20);
        assert_eq!((ended.code, server.requests()), (0, 20), "{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.line("run")["errors"], 0);
        assert_eq!(cap(20).code, 0, "a finished run costs nothing more");
    }
}

#[test]
fn what_the_operator_allows_binds_and_cached_replies_cost_nothing() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 4);
    bench.append("fapo.toml", "\n[tenants.sums.budget]\ncalls_max = 3\n");
    let ran = eval(&bench, &["--calls-max", "10"]);
    assert_eq!((ran.code, server.requests()), (4, 3), "{}", ran.stderr);
    assert!(ran.stdout.contains("the 3 calls that this run may cost"), "{}", ran.stdout);
    assert!(ran.stdout.contains("[tenants.ID.budget]"), "{}", ran.stdout);
    // Another run of the same: what was paid for is in the cache, so its three calls are new ones.
    let other = bench.fapo(&["eval", "--config", SUMS, "--output-dir", "other"]);
    assert_eq!((other.code, server.requests()), (4, 6), "{}", other.stderr);
}

#[test]
fn a_cap_of_tokens_is_not_passed_and_a_run_stopped_by_it_goes_on() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 20);
    let tokens = |ran: &Ran| {
        let usage: Value = ran.line("usage");
        usage["prompt_tokens"].as_u64().expect("n") + usage["completion_tokens"].as_u64().expect("n")
    };
    let whole = tokens(&bench.fapo(&["eval", "--config", SUMS, "--output-dir", "whole", "--json"]));
    std::fs::remove_dir_all(bench.path("fapo-work/cache/replies")).expect("forgotten");
    let mut spent = 0;
    for most in [0, whole / 2, whole] {
        let ran = eval(&bench, &["--tokens-max", &most.to_string()]);
        assert_eq!(ran.code, 4, "{}", ran.stderr);
        assert!(tokens(&ran) <= most && tokens(&ran) >= spent, "{} of {most}", tokens(&ran));
        spent = tokens(&ran);
    }
    assert!(spent > 0, "some of it was run");
    let ended = eval(&bench, &["--tokens-max", &(whole * 20).to_string()]);
    assert_eq!((ended.code, tokens(&ended)), (0, whole), "{}", ended.stderr);
}

#[test]
fn a_trial_that_its_budget_stops_goes_on_with_more() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 4);
    bench.append("fapo.toml", "\n[tenants.sums.budget]\ncalls_max = 7\n");
    let stopped = crate::optimize::trial(&bench, &["--variants", "1"]);
    assert_eq!(stopped.code, 4, "{}", stopped.stdout);
    assert!(stopped.stderr.contains("the 7 calls that this run may cost"), "{}", stopped.stderr);
    let paid = server.requests();
    bench.edit("fapo.toml", "calls_max = 7", "calls_max = 1000");
    let ended = crate::optimize::trial(&bench, &["--variants", "1"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(server.requests() > paid);
}

/// Prices with which each call of the fake server (10 tokens and 2) costs 0.00003 dollars.
fn priced(bench: &Bench) {
    bench.write("prices.toml", "dated = 2026-11-01\n[openai]\nm = { prompt = 1.0, reply = 10.0 }\n");
    bench.write("fapo.toml", &format!("prices = \"prices.toml\"\n{}", bench.read("fapo.toml")));
}

#[test]
fn a_cap_of_cost_is_not_passed_and_what_was_paid_and_saved_is_shown() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 20);
    let refused = eval(&bench, &["--cost-max", "1"]);
    assert_eq!((refused.code, server.requests()), (2, 0), "{}", refused.stdout);
    assert!(refused.stderr.contains("no price is known for \"m\""), "{}", refused.stderr);
    priced(&bench);
    let mut spent = 0.0;
    for most in [0.0, 0.0007, 0.0011] {
        let ran = eval(&bench, &["--cost-max", &most.to_string()]);
        assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
        let cost = ran.line("usage")["cost"].as_f64().expect("known");
        assert!(cost <= most && cost >= spent, "{cost} of {most}");
        spent = cost;
    }
    let ended = eval(&bench, &["--cost-max", "100"]);
    assert_eq!((ended.code, ended.line("usage")["cost"].as_f64()), (0, Some(0.0006)), "{}", ended.stderr);
    let again = bench.fapo(&["eval", "--config", SUMS, "--output-dir", "other"]);
    assert!(again.stdout.contains("$0, $0.000600 saved by the cache"), "{}", again.stdout);
    let compared = bench.fapo(&["compare", "fapo-work/run", "fapo-work/other"]);
    assert!(compared.stdout.contains("dollars"), "{}", compared.stdout);
}

#[test]
fn all_runs_of_a_tenant_share_one_total() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 20);
    bench.append("fapo.toml", "\n[tenants.sums.total]\ncalls_max = 25\n");
    assert_eq!(eval(&bench, &[]).code, 0);
    std::fs::remove_dir_all(bench.path("fapo-work/cache/replies")).expect("forgotten");
    let second = |dir: &str| bench.fapo(&["eval", "--config", SUMS, "--output-dir", dir]);
    let stopped = second("second");
    assert_eq!((stopped.code, server.requests()), (4, 25), "{}", stopped.stderr);
    assert!(stopped.stdout.contains("the 25 calls that tenant sums may cost"), "{}", stopped.stdout);
    assert!(stopped.stdout.contains("[tenants.sums.total] of the operator's file"), "{}", stopped.stdout);
    assert_eq!((second("third").code, server.requests()), (4, 25), "of nothing nothing is left");
    bench.edit("fapo.toml", "calls_max = 25", "calls_max = 60");
    assert_eq!((second("second").code, server.requests()), (0, 40));
}

#[test]
fn a_trial_has_a_total_of_its_own() {
    let server = FakeServer::start(Answer::Reply(five));
    let bench = bench(&server, 4);
    priced(&bench);
    let trial = |cost: &str| crate::optimize::trial(&bench, &["--variants", "1", "--cost-max", cost]);
    let stopped = trial("0.001");
    assert_eq!(stopped.code, 4, "{}", stopped.stdout);
    assert!(stopped.stderr.contains("$0.001000 of cost that this trial may cost"), "{}", stopped.stderr);
    let paid = server.requests();
    let ended = trial("10");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(server.requests() > paid);
}
