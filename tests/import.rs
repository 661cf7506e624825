//! `fapo data import`: publishers' files through converters in the sandbox, and converters that misbehave.

use crate::support::{Bench, Ran, guest};
use serde_json::{Value, json};

/// A bench whose tenant `demo_qa` has the hostile guest's converter.
fn hostile() -> Bench {
    let bench = Bench::new();
    std::fs::copy(guest(), bench.path("tenants/demo_qa/hostile.wasm")).expect("copied");
    bench.append("tenants/demo_qa/tenant.toml", "\n[converter]\ncomponent = \"tenants/demo_qa/hostile.wasm\"\n");
    bench
}

fn told(bench: &Bench, lines: &str, more: &[&str]) -> Ran {
    bench.write("told.txt", lines);
    bench.fapo(&[&["data", "import", "demo_qa", "told.txt", "--out", "out", "--overwrite"], more].concat())
}

fn ids(bench: &Bench, file: &str) -> Vec<String> {
    let row =
        |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["case_id"].as_str().expect("an id").into();
    bench.read(file).lines().map(row).collect()
}

#[test]
fn cases_come_in_splits_or_as_they_stand_and_passages_where_they_are_asked_for() {
    let bench = Bench::with_tenant("hotpotqa");
    let row = |n: usize| {
        json!({"_id": format!("h{n}"), "question": format!("q{n}"), "answer": "a",
            "context": [["Shared", ["One. ", "Two."]], [format!("T{n}"), ["Own."]]]})
    };
    bench.write("hotpot.json", &Value::Array((0..10).map(row).collect()).to_string());
    let ran = bench.fapo(&["data", "import", "hotpotqa", "hotpot.json", "--corpus-out", "corpus.jsonl", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let folder = "tenants/hotpotqa/datasets/imported";
    assert_eq!(ids(&bench, &format!("{folder}/test.jsonl")), ["h0", "h1", "h2", "h3"]);
    assert_eq!(ids(&bench, &format!("{folder}/validation.jsonl")), ["h4", "h5", "h6", "h7"]);
    assert_eq!(ids(&bench, &format!("{folder}/train.jsonl")), ["h8", "h9"]);
    assert_eq!(bench.read("corpus.jsonl").lines().count(), 11, "a title comes once");
    let line = ran.line("import");
    assert_eq!((&line["passages"], &line["leaks"], &line["verified"]), (&json!(11), &json!(0), &json!([])));
    // What stands is kept, in whole or not at all.
    let again = bench.fapo(&["data", "import", "hotpotqa", "hotpot.json"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("stands already") && again.stderr.contains("--overwrite"), "{}", again.stderr);
    let all = bench.fapo(&["data", "import", "hotpotqa", "hotpot.json", "--no-splits", "--limit", "3", "--out", "all"]);
    assert_eq!(all.code, 0, "{}", all.stderr);
    assert_eq!(ids(&bench, "all/all.jsonl"), ["h0", "h1", "h2"]);
    // The same file serves `fapo score`.
    bench.write("outputs.jsonl", "{\"case_id\": \"h3\", \"output_text\": \"a\"}\n");
    let scored = bench.fapo(&[
        "score",
        "--tenant",
        "hotpotqa",
        "--cases",
        "hotpot.json",
        "--outputs",
        "outputs.jsonl",
        "--output-dir",
        "s",
    ]);
    assert!(scored.stdout.contains("10.00"), "one of ten: {}", scored.stdout);
}

#[test]
fn a_case_whose_inputs_stand_in_two_splits_is_refused_unless_somebody_decides() {
    let bench = Bench::with_tenant("ctibench_rcm");
    let mut table = "URL\tDescription\tPrompt\tGT\n".to_string();
    // Five rows of one weakness with one text: one of them is drawn for train.
    (0..5).for_each(|_| table.push_str("u\tThe same text.\tp\tCWE-79\n"));
    bench.write("table.tsv", &table);
    let import = |more: &[&str]| {
        bench.fapo(&[&["data", "import", "ctibench_rcm", "table.tsv", "--out", "out", "--overwrite"], more].concat())
    };
    let refused = import(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("1 cases have equal inputs in another split"), "{}", refused.stderr);
    assert!(!bench.path("out").exists(), "nothing is written");
    assert_eq!(import(&["--leaks", "keep"]).code, 0);
    assert_eq!((ids(&bench, "out/train.jsonl").len(), ids(&bench, "out/test.jsonl").len()), (1, 4));
    let dropped = import(&["--leaks", "drop"]);
    assert_eq!(dropped.code, 0);
    assert!(dropped.stdout.contains("left out of the earlier one"), "{}", dropped.stdout);
    assert_eq!((ids(&bench, "out/train.jsonl").len(), ids(&bench, "out/test.jsonl").len()), (0, 4));
}

#[test]
fn a_file_with_the_name_of_a_known_one_is_that_one() {
    let bench = hostile();
    bench.write("known.txt", "ok one\n");
    let import =
        |more: &[&str]| bench.fapo(&[&["data", "import", "demo_qa", "known.txt", "--out", "out"], more].concat());
    let refused = import(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("has the digest sha256:"), "{}", refused.stderr);
    let taken = import(&["--unverified"]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    assert!(taken.stdout.contains("known.txt: its bytes are not known"), "{}", taken.stdout);
}

#[test]
fn a_converter_that_misbehaves_ends_the_import_with_its_reason_and_writes_nothing() {
    let bench = hostile();
    for (lines, why) in [
        ("ok a\npanic\n", "the guest panicked"),
        ("spin\n", "limit fuel_units passed"),
        ("grow\n", "limit import_memory_bytes passed"),
        ("exit\n", "the guest called exit"),
        ("recurse\n", "stack"),
        ("ok a\nwrong\n", "told.txt: record 2, line 2: is wrong on purpose"),
        ("no-case\n", "case_id"),
        ("ok \nsame\n", "stands in validation and in test"),
        ("no-passage T\n", "made a passage without title and text"),
        ("model\n", "Denied"),
        ("ok a\nrefuse\n", "told.txt: these are no splits"),
    ] {
        let ran = told(&bench, lines, &[]);
        assert_eq!(ran.code, 2, "{lines:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(why), "{lines:?}: {}", ran.stderr);
        assert!(!bench.path("out").exists(), "{lines:?}");
    }
    let ran = told(&bench, "wordy\n", &[]);
    assert!(ran.code == 2 && ran.stderr.len() < 10_000, "what a converter says is cut: {} bytes", ran.stderr.len());
    let ran = told(&bench, "ok a\nok train\npassage T\npassage T\n", &["--corpus-out", "corpus.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((ids(&bench, "out/test.jsonl"), ids(&bench, "out/train.jsonl")), (vec!["0".into()], vec!["1".into()]));
    assert_eq!(bench.read("corpus.jsonl").lines().count(), 1);
    let ran = told(&bench, "ok a\n", &["--corpus-out", "other.jsonl"]);
    assert!(ran.code == 2 && ran.stderr.contains("bring no texts"), "{}", ran.stderr);
    assert!(!bench.listing(".").contains("other.jsonl"), "no torn corpus stays");
}

#[test]
fn what_a_converter_takes_and_makes_is_bounded() {
    let bench = hostile();
    bench.append("fapo.toml", "\n[limits]\nimport_bytes = 10000000\nimport_memory_bytes = 10000000\n");
    // Twenty rows of a megabyte are more than its memory, and then more than its rows may have.
    let ran = told(&bench, "rows\n", &[]);
    assert!(ran.code == 2 && ran.stderr.contains("limit import_memory_bytes passed"), "{}", ran.stderr);
    bench.edit("fapo.toml", "import_memory_bytes = 10000000\n", "");
    let ran = told(&bench, "rows\n", &["--corpus-out", "corpus.jsonl"]);
    assert!(ran.code == 2 && ran.stderr.contains("limit import_bytes passed"), "{}", ran.stderr);
}

#[test]
fn a_check_and_a_look_at_a_tenant_show_its_converter() {
    let bench = hostile();
    let ran = bench.fapo(&["tenant", "check", "demo_qa"]);
    assert!(ran.stdout.contains("converter component: reads lines that say what to do"), "{}", ran.stdout);
    let ran = bench.fapo(&["tenant", "inspect", "demo_qa"]);
    assert!(ran.stdout.contains("converter (tenants/demo_qa/hostile.wasm)"), "{}", ran.stdout);
    bench.edit("tenants/demo_qa/tenant.toml", "hostile.wasm", "stock.wasm");
    let ran = bench.fapo(&["tenant", "check", "demo_qa"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("error    tenant demo_qa, converter component"), "{}", ran.stdout);
}
