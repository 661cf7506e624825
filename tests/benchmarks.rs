//! Tenants of published benchmarks: what reaches their models, and what their chains find.
//!
//! The published data is not part of the project; tests that need it say so where it is missing.

use crate::support::{Answer, Bench, FakeServer, Ran, root};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A file of the published data, where it is at hand.
fn published(name: &str) -> Option<PathBuf> {
    let local = root().join("../shared/data");
    let path = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from).join(name);
    if !path.is_file() {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: no {name} under FAPO_DATA_DIR");
        }
        return None;
    }
    Some(path)
}

/// Points a tenant's models at a server.
fn served_by(bench: &Bench, server: &FakeServer, script: &str) {
    let route = format!("\n[models.far]\nprovider = \"openai\"\norigin = \"{}\"\nmodel = \"m\"\n", server.origin());
    bench.append("fapo.toml", &route);
    bench.edit("fapo.toml", &format!("task = [\"{script}\", \"embedded\"]"), "task = [\"far\"]");
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    ran
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The last user message of each request.
fn asked(server: &FakeServer) -> Vec<String> {
    let last = |body: &Value| {
        let messages = body["messages"].as_array().expect("messages");
        messages.last().and_then(|message| message["content"].as_str()).expect("a text").to_string()
    };
    server.seen().iter().map(|(_, body)| last(body)).collect()
}

fn a_letter(_: &str) -> String {
    "AAAAA".into()
}

/// Whether every question that holds `${` stands in a message as it is in the dataset; how many there are.
fn reach_the_model_unchanged(bench: &Bench, dataset: &str) -> usize {
    let server = FakeServer::start(Answer::Reply(a_letter));
    served_by(bench, &server, "livebench_script");
    bench.edit("tenants/livebench_math/configs/test.json", "tenants/livebench_math/datasets/test.jsonl", dataset);
    bench.edit("tenants/livebench_math/configs/test.json", "gpt-4.1-mini", "m");
    ok(bench.fapo(&["eval", "--config", "tenants/livebench_math/configs/test.json"]));
    let asked = asked(&server);
    let questions: Vec<String> = rows(&bench.read(dataset))
        .iter()
        .map(|row| row["context"]["question"].as_str().expect("a question").to_string())
        .collect();
    for question in &questions {
        let whole = format!("[[ ## question ## ]]\n{question}\n");
        assert!(asked.iter().any(|message| message.contains(&whole)), "{question}");
    }
    questions.iter().filter(|question| question.contains("${")).count()
}

#[test]
fn questions_that_look_like_placeholders_reach_the_model_unchanged() {
    let bench = Bench::with_tenant("livebench_math");
    let all: String = ["train", "validation", "test"]
        .map(|s| bench.read(&format!("tenants/livebench_math/datasets/{s}.jsonl")))
        .concat();
    bench.write("tenants/livebench_math/datasets/every.jsonl", &all);
    assert_eq!(reach_the_model_unchanged(&bench, "tenants/livebench_math/datasets/every.jsonl"), 3);
}

#[test]
fn the_published_questions_that_look_like_placeholders_reach_the_model_unchanged() {
    let names =
        ["AMPS_Hard", "math_comp", "olympiad"].map(|name| published(&format!("livebench_math/{name}.question.jsonl")));
    let Some(files) = names.into_iter().collect::<Option<Vec<PathBuf>>>() else { return };
    let bench = Bench::with_tenant("livebench_math");
    let files: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    ok(bench.fapo(&[&["data", "import", "livebench_math", "--no-splits"], files.as_slice()].concat()));
    assert_eq!(reach_the_model_unchanged(&bench, "tenants/livebench_math/datasets/imported/all.jsonl"), 62);
}

#[test]
fn a_trial_of_hotpotqa_changes_prompts_alone_as_its_scope_says() {
    let bench = Bench::with_hotpotqa();
    ok(bench.fapo(&["index", "build", "hotpot"]));
    let trial = ok(bench.fapo(&["optimize", "hotpotqa", "--provider", "scripted", "--variants", "4", "--json"]));
    let attempts = trial.line("trial")["attempts"].clone();
    let attempts = attempts.as_array().expect("attempts");
    assert!(!attempts.is_empty() && attempts.iter().all(|attempt| attempt["level"] == "prompt"), "{attempts:?}");
}

/// A line of text that stands word for word in another.
fn stands_in(line: &str, text: &str) -> bool {
    let words = |text: &str| format!(" {} ", text.split_whitespace().collect::<Vec<_>>().join(" "));
    words(text).contains(words(line).trim())
}

#[test]
fn the_script_of_hover_only_copies_from_claims_and_passages() {
    let read = |name: &str| {
        std::fs::read_to_string(root().join("tenants/hover").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    };
    let passages: Vec<String> = rows(&read("datasets/corpus.jsonl"))
        .iter()
        .map(|row| format!("{} | {}", row["title"].as_str().expect("a title"), row["text"].as_str().expect("a text")))
        .collect();
    let mut seen = 0;
    for rule in rows(&read("scripted.jsonl")).iter().filter(|rule| rule["reply"].is_string()) {
        let claim = rule["contains"][0].as_str().expect("a claim");
        for line in rule["reply"].as_str().expect("a reply").lines() {
            if line.is_empty() || line.starts_with("[[ ## ") {
                continue;
            }
            seen += 1;
            let copied = stands_in(line, claim) || passages.iter().any(|passage| stands_in(line, passage));
            assert!(copied, "{line:?} for {claim:?}");
        }
    }
    assert!(seen > 400, "{seen} lines");
}

/// A model that only copies: of summaries the sentences nearest to the claim, of queries names that stand in what was
/// found and not in the claim.
fn copies(message: &str) -> String {
    let part = |name: &str| {
        let (_, after) = message.split_once(&format!("[[ ## {name} ## ]]\n"))?;
        Some(after.split("\n\n[[ ## ").next().unwrap_or(after).split("\n\nGive your reply").next().unwrap_or(after))
    };
    let field = |name: &str, text: &str| {
        format!("[[ ## reasoning ## ]]\n\n[[ ## {name} ## ]]\n{text}\n\n[[ ## completed ## ]]")
    };
    if let (Some(claim), Some(passages)) = (part("claim"), part("passages")) {
        return field("summary", &nearest(claim, passages, 3).join("\n"));
    }
    if let (Some(claim), Some(first)) = (part("claim"), part("summary_1")) {
        let known = part("summary_2").map_or(first.to_string(), |second| format!("{second}\n{first}"));
        return field("query", names(&known, claim).first().unwrap_or(&claim));
    }
    let question = message.lines().next().and_then(|line| line.strip_prefix("Question: ")).unwrap_or_default();
    let found = message.split_once("Found so far:\n").map_or("", |(_, found)| found);
    if message.ends_with("Queries:") {
        let own = names(question, "");
        return [&[question], &own[..own.len().min(2)]].concat().join("\n");
    }
    if message.ends_with("Names:") {
        let listed: Vec<&str> = names(question, "").into_iter().chain(names(found, question)).take(4).collect();
        return listed.join("\n");
    }
    let near = nearest(question, found, 4).join("\n");
    names(found, question).into_iter().find(|name| near.contains(name)).unwrap_or(question).to_string()
}

fn words(text: &str) -> BTreeSet<String> {
    let word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(word).filter(|word| word.len() > 3).collect()
}

/// Sentences of numbered passages that share most words with a claim.
fn nearest<'a>(claim: &str, passages: &'a str, most: usize) -> Vec<&'a str> {
    let wanted = words(claim);
    let mut sentences: Vec<(usize, &str)> = passages
        .lines()
        .filter_map(|line| Some(line.split_once('«')?.1))
        .flat_map(|line| line.trim_end_matches('»').split(". ").take(3))
        .map(|sentence| (words(sentence).intersection(&wanted).count(), sentence.trim()))
        .collect();
    sentences.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    sentences.into_iter().take(most).map(|(_, sentence)| sentence).collect()
}

/// Runs of two words and more that begin with a capital, in order, none of which stands in `known`; each once.
fn names<'a>(text: &'a str, known: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for line in text.lines() {
        let mut run: Option<(usize, usize, usize)> = None;
        let mut at = 0;
        for word in line.split(' ').chain([""]) {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
            let capital = bare.chars().next().is_some_and(char::is_uppercase);
            let end = at + word.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
            run = match (run, capital) {
                (None, true) => Some((at + word.find(bare).unwrap_or(0), end, 1)),
                (Some((start, _, count)), true) => Some((start, end, count + 1)),
                (Some((start, stop, count)), false) => {
                    let name = &line[start..stop];
                    if count > 1 && !known.contains(name) && !found.contains(&name) {
                        found.push(name);
                    }
                    None
                }
                (None, false) => None,
            };
            at += word.len() + 1;
        }
    }
    found
}

/// Recall and partial recall of a run.
fn recall(bench: &Bench, folder: &str) -> (f64, f64) {
    let rows = rows(&bench.read(&format!("{folder}/results.jsonl")));
    let mean = |name: &str| {
        let sum: f64 = rows.iter().map(|row| row["score_breakdown"][name].as_f64().expect("a number")).sum();
        sum / rows.len() as f64
    };
    (mean("recall"), mean("partial_recall"))
}

/// Questions of HotpotQA as claims, none about an article that the given claims rest on.
fn questions_as_claims(text: &str, apart_from: &BTreeSet<String>) -> Vec<Value> {
    let titles = |row: &Value| -> Vec<String> {
        let facts = row["supporting_facts"].as_array().expect("facts");
        facts.iter().map(|fact| fact[0].as_str().expect("a title").to_string()).collect()
    };
    rows(text)
        .iter()
        .filter(|row| row["type"] == "bridge" && titles(row).iter().all(|title| !apart_from.contains(title)))
        .map(|row| {
            json!({
                "case_id": row["case_id"], "task_type": "claim_retrieval", "context": {"claim": row["question"]},
                "expected": {"supporting_facts": row["supporting_facts"]}, "metadata": {},
            })
        })
        .collect()
}

#[test]
fn further_hops_and_queries_find_more_of_the_published_claims_articles() {
    let (Some(claims), Some(corpus), Some(questions)) = (
        published("hover/dev_covered_by_wiki_corpus.jsonl"),
        published("wiki_corpus/wiki_corpus.jsonl"),
        published("hotpotqa/cases_unified.jsonl"),
    ) else {
        return;
    };
    let server = FakeServer::start(Answer::Reply(copies));
    let bench = Bench::with_tenant("hover");
    served_by(&bench, &server, "hover_script");
    bench.edit("fapo.toml", "tenants/hover/datasets/corpus.jsonl", corpus.to_str().expect("a path"));
    ok(bench.fapo(&["index", "build", "hover"]));
    ok(bench.fapo(&["data", "import", "hover", claims.to_str().expect("a path"), "--no-splits"]));
    let claims = bench.read("tenants/hover/datasets/imported/all.jsonl");
    assert_eq!(claims.lines().count(), 23);
    // The claims are test; what is learned and chosen by are questions over the same passages.
    let titles = rows(&claims)
        .iter()
        .flat_map(|row| row["expected"]["supporting_facts"].as_array().expect("facts").clone())
        .map(|fact| fact[0].as_str().expect("a title").to_string())
        .collect();
    let learned = questions_as_claims(&std::fs::read_to_string(questions).expect("read"), &titles);
    let lines = |part: &[Value]| part.iter().map(|row| format!("{row}\n")).collect::<String>();
    bench.write("tenants/hover/datasets/train.jsonl", &lines(&learned[..60]));
    bench.write("tenants/hover/datasets/validation.jsonl", &lines(&learned[60..160]));
    bench.write("tenants/hover/datasets/test.jsonl", &claims);
    for split in ["train", "validation", "test"] {
        bench.edit(&format!("tenants/hover/configs/{split}.json"), "gpt-4.1-mini", "m");
    }
    // The number of passages stays, so that what is gained is the graph's.
    bench.edit(
        "tenants/hover/docs/iteration-playbook.md",
        "\"prompt\", \"parameter\", \"structure\"",
        "\"prompt\", \"structure\"",
    );
    let trial =
        ok(bench.fapo(&["optimize", "hover", "--provider", "openai", "--variants", "30", "--trial", "t", "--json"]));
    let report = trial.line("trial");
    let kept: Vec<&str> = report["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .filter(|attempt| attempt["outcome"] == "kept" && attempt["level"] == "structure")
        .filter_map(|attempt| attempt["operator"].as_str())
        .collect();
    assert!(kept.contains(&"multi_query"), "{report}");
    let adopted = ok(bench.fapo(&["adopt", "fapo-work/trials/t", "--json"]));
    let made: Vec<Value> = adopted.lines();
    let made = |part: &str| {
        let paths = made.iter().filter_map(|line| line["path"].as_str());
        paths
            .clone()
            .find(|path| path.contains(part))
            .unwrap_or_else(|| panic!("no {part} in {:?}", paths.collect::<Vec<_>>()))
    };
    let chain: Value = serde_json::from_str(&bench.read(made("chains/variants/"))).expect("JSON");
    let nodes = chain["nodes"].as_array().expect("nodes");
    let searches = nodes.iter().filter(|node| node["handles"][0]["index"].is_string()).count();
    assert!((4..=5).contains(&searches), "{searches} hops");
    // All that the model said stands in what it was asked.
    let lines = |message: &String| copies(message).lines().map(str::to_string).collect::<Vec<_>>();
    for message in asked(&server) {
        for line in lines(&message).iter().filter(|line| !line.starts_with("[[ ## ")) {
            assert!(stands_in(line, &message), "{line:?} in {message:?}");
        }
    }
    let found = |config: &str, folder: &str| {
        ok(bench.fapo(&["eval", "--config", config, "--output-dir", folder]));
        recall(&bench, &format!("fapo-work/{folder}"))
    };
    let (before, after) = (found("tenants/hover/configs/test.json", "three"), found(made("configs/test-"), "more"));
    #[expect(clippy::print_stderr, reason = "the figures are worth a look")]
    {
        eprintln!(
            "23 claims, recall and partial recall: three hops {before:.2?}, {searches} hops {after:.2?}, kept {kept:?}"
        );
    }
    assert!(after.0 > before.0 && after.1 > before.1, "{before:?} {after:?}");
}
