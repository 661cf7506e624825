//! Replays with gold find the step that was planted, whatever a later step hides, and blame nobody for a scorer's whim.

use crate::support::{Bench, guest, say};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CONFIG: &str = "tenants/demo_qa/configs/train.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/train-baseline";
const STEPS: [&str; 5] = ["query", "retrieve", "summarise", "answer", "polish"];

const GOLD: &str = r#"
[gold]
index = "corpus"
[gold.steps]
query = "${titles}"
retrieve = "${passages}"
summarise = "The text says ${answer} here."
answer = "${answer}"
polish = "${answer}"
"#;

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

fn rows(bench: &Bench) -> Vec<Value> {
    let rows = bench.read("tenants/demo_qa/datasets/train.jsonl");
    rows.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn llm(name: &str) -> Value {
    json!({"name": name, "kind": "llm", "prompt": name, "handles": [{"model": "task"}]})
}

/// The first case about the same passage: a passage that is hard to find is so for all of them.
fn first_with_its_passage(rows: &[Value], at: usize) -> usize {
    let title = &rows[at]["metadata"]["gold_title"];
    rows.iter().position(|row| row["metadata"]["gold_title"] == *title).unwrap_or(at)
}

/// `demo_qa` with a chain of five steps whose model does in `faulty` of the cases (position, faulty steps) what spoils
/// them, and everything else as it should as long as it is shown what it needs.
fn planted(faulty: impl Fn(usize) -> Vec<&'static str>) -> Bench {
    let bench = Bench::new();
    let search = json!({"name": "retrieve", "kind": "retrieve", "settings": {"k": 1}, "handles": [{"index": "corpus"}],
                        "inputs": [{"port": "query", "source": {"step": "query"}}]});
    let edges: Vec<Value> = STEPS.windows(2).map(|pair| json!({"source": pair[0], "target": pair[1]})).collect();
    let nodes = json!([llm("query"), search, llm("summarise"), llm("answer"), llm("polish")]);
    let graph = json!({"nodes": nodes, "edges": edges, "output": "polish"});
    bench.write("tenants/demo_qa/chains/baseline.json", &graph.to_string());
    let mut paths = BTreeMap::new();
    for (name, text) in [
        ("query", "User: QUERY ${question}\n"),
        ("summarise", "User: SUMMARISE ${question}\n${steps.retrieve.output}\n"),
        ("answer", "User: ANSWER ${question}\n${steps.summarise.output}\n"),
        ("polish", "User: POLISH ${question}\n<${steps.answer.output}>\n"),
    ] {
        let path = format!("tenants/demo_qa/prompts/modules/{name}/variant-001.md");
        bench.write(&path, text);
        paths.insert(name, path);
    }
    let mut config: Value = serde_json::from_str(&bench.read(CONFIG)).expect("JSON");
    config["chain"]["config"] = json!({"prompt_paths": paths});
    bench.write(CONFIG, &config.to_string());
    let manifest = bench.read("tenants/demo_qa/tenant.toml");
    let (before, gold) = manifest.split_once("[gold]").expect("gold");
    let requests = gold.split_once("[requests]").expect("requests").1;
    bench.write("tenants/demo_qa/tenant.toml", &format!("{before}{GOLD}\n[requests]{requests}"));

    let rows = rows(&bench);
    let (mut script, mut decoys) = (String::new(), String::new());
    for (at, row) in rows.iter().enumerate() {
        let (question, answer) = (text(&row["context"]["question"]), text(&row["expected"]["answer"]));
        let title = text(&row["metadata"]["gold_title"]);
        let other = rows.iter().map(|row| text(&row["metadata"]["gold_title"])).rfind(|other| *other != title);
        let faults = faulty(first_with_its_passage(&rows, at));
        let mut rule = |step: &str, shown: &str, reply: &str| {
            script.push_str(&format!("{}\n", json!({"contains": [step, question, shown], "reply": reply})));
        };
        rule("QUERY", "", if faults.contains(&"query") { other.as_deref().expect("another") } else { &title });
        if faults.contains(&"retrieve") {
            // A passage that says nothing and is found first.
            decoys.push_str(&format!(
                "{}\n",
                json!({"title": format!("On {title}"), "text": format!("{title} {title} {title}")})
            ));
        }
        if !faults.contains(&"summarise") {
            rule("SUMMARISE", &format!("«{title} |"), &format!("The text says {answer} here."));
        }
        rule("SUMMARISE", "", "The text tells a story of a place.");
        if !faults.contains(&"answer") {
            rule("ANSWER", &format!("says {answer} here"), &answer);
        }
        rule("ANSWER", "", "fourteen herons");
        if !faults.contains(&"polish") {
            rule("POLISH", &format!("<{answer}>"), &answer);
        }
        rule("POLISH", "", "I cannot tell.");
    }
    bench.write("tenants/demo_qa/scripted.jsonl", &script);
    bench.append("tenants/demo_qa/datasets/corpus.jsonl", &decoys);
    bench
}

/// Runs train, then looks into its failures: where each failed case is laid, and the calls it took.
fn looked_into(bench: &Bench, arguments: &[&str]) -> (BTreeMap<String, Vec<String>>, Value) {
    for command in [vec!["index", "build", "demo"], vec!["eval", "--config", CONFIG]] {
        let ran = bench.fapo(&command);
        assert_eq!(ran.code, 0, "{}{}", ran.stderr, ran.stdout);
    }
    let found = bench.fapo(&[&["attribute", RUN, "--intervene", "--json"], arguments].concat());
    assert_eq!(found.code, 0, "{}", found.stderr);
    let found = found.line("attribution")["interventions"].clone();
    let steps = |case: &Value| case["blamed"].as_array().expect("a list").iter().map(|b| text(&b["step"])).collect();
    let located = found["located"].as_array().expect("cases");
    (located.iter().map(|case| (text(&case["case_id"]), steps(case))).collect(), found)
}

/// Failing cases that a step was planted in and for which it was named, of all of them; and how often another was.
fn named(
    bench: &Bench,
    found: &BTreeMap<String, Vec<String>>,
    faulty: impl Fn(usize) -> Vec<&'static str>,
) -> [usize; 3] {
    let (mut right, mut all, mut wrong) = (0, 0, 0);
    let cases = rows(bench);
    for (at, row) in cases.iter().enumerate() {
        let Some(steps) = found.get(&text(&row["case_id"])) else { continue };
        let planted = faulty(first_with_its_passage(&cases, at));
        all += planted.len();
        right += planted.iter().filter(|step| steps.iter().any(|s| s == *step)).count();
        wrong += steps.iter().filter(|step| !planted.contains(&step.as_str())).count();
    }
    [right, all, wrong]
}

/// Two cases in five, others for another `shift`.
fn hit(at: usize, shift: usize) -> bool {
    (at + shift) % 5 < 2
}

#[test]
fn a_fault_in_each_step_in_turn_is_found_where_it_was_planted() {
    for (shift, step) in STEPS.into_iter().enumerate() {
        let faulty = move |at| if hit(at, shift) { vec![step] } else { Vec::new() };
        let bench = planted(faulty);
        let (found, counts) = looked_into(&bench, &[]);
        let [right, all, wrong] = named(&bench, &found, faulty);
        say(&format!(
            "{step}: named in {right} of {all}, another in {wrong}; {} paid calls, {} replays for {} failed cases",
            counts["calls_paid"], counts["replays"], counts["failed"]
        ));
        assert!(
            all >= 12 && right * 10 >= all * 9 && wrong * 10 <= all,
            "{step}: {right} of {all}, wrong {wrong}: {found:?}"
        );
        let gain = counts["steps"].as_array().expect("steps").iter().find(|one| one["of"] == step).expect("the step");
        let share = 100.0 * all as f64 / counts["planned"].as_f64().expect("a number");
        assert!((gain["gain"]["mean"].as_f64().expect("a mean") - share).abs() < 0.01 * share, "{gain} {share}");
    }
}

#[test]
fn of_two_faults_both_are_found_and_one_that_a_later_one_hides() {
    for pair in [["summarise", "polish"], ["query", "answer"], ["retrieve", "summarise"]] {
        let faulty = move |at| if hit(at, 0) { pair.to_vec() } else { Vec::new() };
        let bench = planted(faulty);
        let (found, counts) = looked_into(&bench, &[]);
        let [right, all, wrong] = named(&bench, &found, faulty);
        say(&format!("{pair:?}: named in {right} of {all}, another in {wrong}; {} paid calls", counts["calls_paid"]));
        assert!(all >= 24 && right * 10 >= all * 9 && wrong * 10 <= all, "{right} of {all}, wrong {wrong}: {found:?}");
        let hidden =
            counts["located"].as_array().expect("cases").iter().all(|case| case["blamed"][0]["seen_by"] == "text");
        assert!(hidden, "the score cannot show the first of the two");
    }
}

#[test]
fn nobody_is_blamed_where_the_scorer_rejects_what_is_right() {
    let faulty = |at| if hit(at, 0) { vec!["answer"] } else { Vec::new() };
    let bench = planted(faulty);
    std::fs::copy(guest(), bench.path("tenants/demo_qa/guest.wasm")).expect("copied");
    bench.edit(
        "tenants/demo_qa/tenant.toml",
        "[scorer]\ncomponent = \"tenants/demo_qa/stock.wasm\"",
        "[scorer]\ncomponent = \"tenants/demo_qa/guest.wasm\"",
    );
    let ids: Vec<String> = rows(&bench).iter().map(|row| text(&row["case_id"])).collect();
    let rejected: BTreeSet<&String> = ids.iter().enumerate().filter(|(at, _)| hit(*at, 2)).map(|(_, id)| id).collect();
    let mut config: Value = serde_json::from_str(&bench.read(CONFIG)).expect("JSON");
    config["scoring_profile"] = json!({"behave": "rejects", "rejects": rejected});
    bench.write(CONFIG, &config.to_string());
    let (found, counts) = looked_into(&bench, &[]);
    let noise: Vec<&Vec<String>> =
        found.iter().filter(|(id, _)| rejected.contains(id)).map(|(_, steps)| steps).collect();
    let left = noise.iter().filter(|steps| steps.is_empty()).count();
    say(&format!("scorer noise: {left} of {} cases left without a step", noise.len()));
    assert!(noise.len() >= 12 && left * 10 >= noise.len() * 9, "{found:?}");
    assert_eq!(counts["unattributed"], left);
    let others = found.iter().filter(|(id, _)| !rejected.contains(id));
    assert!(others.clone().count() >= 10 && others.clone().all(|(_, steps)| *steps == ["answer"]), "{found:?}");
}

#[test]
fn replays_stay_within_their_calls_go_on_with_more_and_pay_nothing_twice() {
    let faulty = |at| if hit(at, 0) { vec!["summarise"] } else { Vec::new() };
    let bench = planted(faulty);
    let (few, counts) = looked_into(&bench, &["--calls", "50"]);
    let paid = |counts: &Value| counts["calls_paid"].as_u64().expect("a number");
    assert!(paid(&counts) <= 50 && counts["budget_ended"] == true && !few.is_empty(), "{counts}");
    let (all, whole) = looked_into(&bench, &["--calls", "5000"]);
    assert!(whole["budget_ended"] == false && all.len() > few.len() && few.iter().all(|(id, steps)| all[id] == *steps));
    let (again, more) = looked_into(&bench, &["--calls", "5000"]);
    assert_eq!((again, paid(&more), &more["replays"]), (all, paid(&whole), &whole["replays"]));
    // A line that a crash cut costs the replay it was of.
    let folder = bench.path("fapo-work/diagnostics");
    let log = std::fs::read_dir(folder).expect("listed").flatten().next().expect("a log").path();
    let kept = std::fs::read(&log).expect("read");
    std::fs::write(&log, &kept[..kept.len() - 7]).expect("written");
    let (after, one) = looked_into(&bench, &["--calls", "5000"]);
    assert_eq!((after.len(), &one["replays"]), (few.len().max(after.len()), &whole["replays"]));
    let text = String::from_utf8(std::fs::read(&log).expect("read")).expect("UTF-8");
    assert!(!text.contains("The text says"), "no text is kept");
    let run = bench.read(&format!("{RUN}/journal.jsonl"));
    assert!(!run.contains("\"given\""), "no replay stands in a run");
}

#[test]
fn what_cannot_be_looked_into_is_said_with_its_mend() {
    let bench = Bench::with_index();
    let test = CONFIG.replace("train", "test");
    assert_eq!(bench.fapo(&["eval", "--config", &test]).code, 0);
    let refused = bench.fapo(&["attribute", &RUN.replace("train", "test"), "--intervene"]);
    assert!(refused.code == 2 && refused.stderr.contains("is one of test"), "{}", refused.stderr);
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG]).code, 0);
    let manifest = bench.read("tenants/demo_qa/tenant.toml");
    let (before, gold) = manifest.split_once("[gold]").expect("gold");
    let requests = gold.split_once("[requests]").expect("requests").1;
    for (gold, says) in [
        ("", "declares no gold"),
        ("[gold]\n[gold.steps]\nretrieve = \"${passages}\"\n", "[gold.steps] retrieve: needs passages"),
        ("[gold]\nindex = \"other\"\n[gold.steps]\nretrieve = \"${passages}\"\n", "no requested index is named"),
        ("[gold]\n[gold.steps]\nanswer = \"\"\n", "[gold.steps] answer: is no text"),
        ("[gold]\nstep = 1\n", "unknown field `step`"),
    ] {
        bench.write("tenants/demo_qa/tenant.toml", &format!("{before}{gold}\n[requests]{requests}"));
        let ran = bench.fapo(&["attribute", RUN, "--intervene"]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{gold}: {}", ran.stderr);
    }
}
