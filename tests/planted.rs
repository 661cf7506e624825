//! One fault planted in each step of a chain in turn: attribution names the step, and blames neither retrieval for an
//! answer that was there nor the answer for one that was not.

use crate::support::{Bench, say};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CONFIG: &str = "tenants/demo_qa/configs/train.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/train-baseline";

/// A kind of fault: the steps that may be named for it, and what it does to a case's replies.
struct Planted {
    name: &'static str,
    steps: &'static [&'static str],
    /// Replies of query, summary and answer, from the question, the answer and another case's title.
    replies: fn(&str, &str, &str) -> [String; 3],
}

/// Every fault; the first is none.
const PLANTED: [Planted; 6] = [
    Planted { name: "none", steps: &[], replies: |q, a, _| [q.into(), said(a), a.into()] },
    Planted {
        name: "the query asks for something else",
        steps: &["query", "retrieve"],
        replies: |_, _, other| [other.into(), format!("The text is about {other}."), "fourteen herons".into()],
    },
    Planted {
        name: "the summary drops the answer",
        steps: &["summarise"],
        replies: |q, _, _| [q.into(), "The text tells a story of a place.".into(), "fourteen herons".into()],
    },
    Planted {
        name: "the answer is in a sentence",
        steps: &["answer"],
        replies: |q, a, _| [q.into(), said(a), format!("Going by the notes it would most likely be {a} in this case.")],
    },
    Planted {
        name: "the answer gives up",
        steps: &["answer"],
        replies: |q, a, _| [q.into(), said(a), "I cannot tell.".into()],
    },
    Planted {
        name: "the last line is not the answer",
        steps: &["last"],
        replies: |q, a, _| [q.into(), said(a), format!("{a}\nThank you for asking me today.")],
    },
];

fn said(answer: &str) -> String {
    format!("The text says {answer} here.")
}

fn llm(name: &str) -> Value {
    json!({"name": name, "kind": "llm", "prompt": name, "handles": [{"model": "task"}]})
}

fn rows(bench: &Bench, split: &str) -> Vec<Value> {
    let text = bench.read(&format!("tenants/demo_qa/datasets/{split}.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// `demo_qa` with a chain of five steps.
fn five_steps() -> Bench {
    let bench = Bench::with_index();
    let search = json!({"name": "retrieve", "kind": "retrieve", "settings": {"k": 1}, "handles": [{"index": "corpus"}],
                        "inputs": [{"port": "query", "source": {"step": "query"}}]});
    let last = json!({"name": "last", "kind": "extract", "settings": {"mode": "last_line"},
                      "inputs": [{"port": "text", "source": {"step": "answer"}}]});
    let nodes = ["query", "retrieve", "summarise", "answer", "last"];
    let edges: Vec<Value> = nodes.windows(2).map(|pair| json!({"source": pair[0], "target": pair[1]})).collect();
    let graph = json!({"nodes": [llm("query"), search, llm("summarise"), llm("answer"), last], "edges": edges, "output": "last"});
    bench.write("tenants/demo_qa/chains/baseline.json", &graph.to_string());
    let mut paths = BTreeMap::new();
    for (name, text) in [
        ("query", "User: QUERY ${question}\n"),
        ("summarise", "User: SUMMARISE ${question}\n${steps.retrieve.output}\n"),
        ("answer", "User: ANSWER ${question}\n${steps.summarise.output}\n"),
    ] {
        let path = format!("tenants/demo_qa/prompts/modules/{name}/variant-001.md");
        bench.write(&path, text);
        paths.insert(name, path);
    }
    for split in ["train", "validation", "test"] {
        let path = format!("tenants/demo_qa/configs/{split}.json");
        let mut config: Value = serde_json::from_str(&bench.read(&path)).expect("JSON");
        config["chain"]["config"] = json!({"prompt_paths": paths});
        bench.write(&path, &config.to_string());
    }
    bench
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_string()
}

/// With a script that plants fault n % 6 in case n.
fn planted() -> Bench {
    let bench = five_steps();
    let rows = rows(&bench, "train");
    let mut script = String::new();
    for (at, row) in rows.iter().enumerate() {
        let (question, answer) = (text(&row["context"]["question"]), text(&row["expected"]["answer"]));
        let gold = text(&row["metadata"]["gold_title"]);
        let other = rows.iter().map(|row| text(&row["metadata"]["gold_title"])).rfind(|title| *title != gold);
        let replies = (PLANTED[at % PLANTED.len()].replies)(&question, &answer, &other.expect("another passage"));
        for (step, reply) in ["QUERY", "SUMMARISE", "ANSWER"].into_iter().zip(replies) {
            script.push_str(&format!("{}\n", json!({"contains": [step, question], "reply": reply})));
        }
    }
    bench.write("tenants/demo_qa/scripted.jsonl", &script);
    bench
}

#[test]
fn planted_faults_are_found_in_their_step_and_evidence_decides_who_is_blamed() {
    let bench = planted();
    let ran = bench.fapo(&["eval", "--config", CONFIG, "--json"]);
    assert_eq!(ran.code, 0, "{} {}", ran.stderr, ran.stdout);
    let found = bench.fapo(&["attribute", RUN, "--json"]);
    assert_eq!(found.code, 0, "{}", found.stderr);
    let found = found.line("attribution");
    let journal = bench.read(&format!("{RUN}/journal.jsonl"));
    let records: BTreeMap<String, Value> = journal
        .lines()
        .skip(1)
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            (line["record"]["case_id"].as_str().expect("an id").to_string(), line["record"].clone())
        })
        .collect();
    let cases = rows(&bench, "train");
    let mut named: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for finding in found["findings"].as_array().expect("findings") {
        let at = cases.iter().position(|case| case["case_id"] == finding["case_id"]).expect("a case");
        let gold = &cases[at]["metadata"]["gold_title"];
        let hits = records[finding["case_id"].as_str().expect("an id")]["searches"][0]["hits"].as_array().cloned();
        let had_evidence = hits.unwrap_or_default().iter().any(|hit| hit[1] == *gold);
        let step = finding["step"].as_str().expect("a step");
        assert!(!(had_evidence && step == "retrieve"), "retrieval is blamed for evidence it brought: {finding}");
        assert!(
            had_evidence || !["answer", "last"].contains(&step),
            "the answer is blamed without evidence: {finding}"
        );
        let planted = &PLANTED[at % PLANTED.len()];
        let count = named.entry(planted.name).or_default();
        *count = (count.0 + usize::from(planted.steps.contains(&step)), count.1 + 1);
    }
    say(&format!("planted faults named, of those that failed: {named:?}"));
    assert_eq!(named.len(), PLANTED.len() - 1, "each kind failed somewhere, and what has none did not");
    let (right, all) = named.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    assert!(right * 10 >= all * 9, "{named:?}");
}

/// With summaries that drop the answer unless their prompt asks for the text's own words.
pub fn mended_by_a_rule() -> Bench {
    let bench = five_steps();
    let mut script = String::new();
    for row in ["train", "validation", "test"].into_iter().flat_map(|split| rows(&bench, split)) {
        let (question, answer) = (text(&row["context"]["question"]), text(&row["expected"]["answer"]));
        for rule in [
            json!({"contains": ["QUERY", question], "reply": question}),
            json!({"contains": ["SUMMARISE", question], "when": ["word for word"], "reply": said(&answer)}),
            json!({"contains": ["SUMMARISE", question], "reply": "The text tells a story of a place."}),
            json!({"contains": ["ANSWER", question, said(&answer)], "reply": answer}),
            json!({"contains": ["ANSWER", question], "reply": "fourteen herons"}),
        ] {
            script.push_str(&format!("{rule}\n"));
        }
    }
    bench.write("tenants/demo_qa/scripted.jsonl", &script);
    bench
}

/// Cases that were run until a variant was kept, and the gain on test.
fn until_kept(bench: &Bench, arguments: &[&str]) -> (usize, f64) {
    let ran = bench.fapo(&[&["optimize", "demo_qa", "--variants", "12", "--json"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let end = ran.line("trial");
    let attempts = end["attempts"].as_array().expect("attempts");
    let kept = attempts.iter().position(|attempt| attempt["outcome"] == "kept").map_or(attempts.len(), |at| at + 1);
    let runs = (0..=kept).flat_map(|number| ["train", "validation"].map(|split| format!("{number:03}/{split}")));
    let cases = runs.map(|run| {
        let journal =
            std::path::Path::new(end["dir"].as_str().expect("a folder")).join(format!("variants/{run}/journal.jsonl"));
        std::fs::read_to_string(bench.path(journal.to_str().expect("a path")))
            .map_or(0, |text| text.lines().count() - 1)
    });
    (cases.sum(), end["difference"]["mean"].as_f64().expect("a difference"))
}

#[test]
fn attribution_earns_its_place() {
    let bench = mended_by_a_rule();
    let (cases, gain) = until_kept(&bench, &[]);
    assert!(gain > 90.0, "{gain}");
    let dealt: Vec<(usize, f64)> =
        ["1", "2", "3", "4", "5"].map(|seed| until_kept(&bench, &["--deal-clusters", seed])).to_vec();
    say(&format!("cases run until the gain: {cases}; with clusters dealt at random (cases, gain): {dealt:?}"));
    // Never sooner, and mostly later or not at all.
    let worse = dealt.iter().filter(|(needed, gained)| *needed > cases || *gained < gain).count();
    assert!(dealt.iter().all(|(needed, gained)| *needed >= cases || *gained < gain), "{dealt:?}");
    assert!(worse >= 3, "{cases} {dealt:?}");
}
