//! Runs as other tools read them.

use crate::support::Bench;

const CONFIG: &str = "tenants/demo_qa/configs/validation.json";
const RUN: &str = "fapo-work/tenants/demo_qa/evals/tmp/validation-baseline";

fn export(bench: &Bench, arguments: &[&str]) -> String {
    let ran = bench.fapo(&[&["export", RUN], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn a_run_is_junit_for_ci_with_failures_and_errors_told_apart() {
    let bench = Bench::with_index();
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG, "--limit", "6"]).code, 0);
    let xml = export(&bench, &["--format", "junit"]);
    assert!(xml.contains("tests=\"6\"") && xml.contains("failures=\"5\" errors=\"0\""), "{xml}");
    assert!(xml.contains("<failure message=\"composite 0.00; "), "{xml}");
    let bench = crate::nodes::bench("panic", "");
    crate::nodes::rows(&bench, 5);
    let xml = export(&bench, &["--format", "junit"]);
    assert!(xml.contains("tests=\"3\" failures=\"0\" errors=\"3\""), "{xml}");
    assert!(xml.contains("type=\"returned\"") && xml.contains("(step tool)"), "{xml}");
    // What did not run is no success: a journal that ends early.
    let journal = bench.read(&format!("{RUN}/journal.jsonl"));
    let first: String = journal.split_inclusive('\n').take(2).collect();
    bench.write(&format!("{RUN}/journal.jsonl"), &first);
    let xml = export(&bench, &["--format", "junit"]);
    assert!(xml.contains("tests=\"3\" failures=\"0\" errors=\"3\"") && xml.contains("type=\"not_run\""), "{xml}");
}

#[test]
fn a_pull_request_gets_the_numbers_the_comparison_and_what_lost_cases() {
    let bench = crate::statistics::two_runs();
    let ran = bench.fapo(&["export", "fapo-work/b", "--format", "markdown", "--baseline", "fapo-work/a"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in
        ["### `sums`", "| composite | **80.00** (95% ", "| difference | **+80.00**", "| fixed | 16 `validation-001`, "]
    {
        assert!(ran.stdout.contains(part), "{part} in {}", ran.stdout);
    }
    let wrong = bench.fapo(&["export", "fapo-work/b", "--format", "csv", "--baseline", "fapo-work/a"]);
    assert_eq!(wrong.code, 2);
    let out = bench.fapo(&["export", "fapo-work/b", "--format", "csv", "--out", "reports/b.csv"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(bench.read("reports/b.csv").lines().count(), 21);
}

#[test]
fn attack_52_what_a_tenant_wrote_is_no_formula_no_markup_and_no_element() {
    let bench = Bench::with_index();
    let evil = "=cmd|' /C calc'!A0\n]]></failure><script>alert(1)</script>| @everyone `x`\u{1b}]52;c;aGk=\u{7}";
    let rules = serde_json::json!({"contains": "", "reply": evil});
    bench.write("tenants/demo_qa/scripted.jsonl", &format!("{rules}\n"));
    let row = bench.read("tenants/demo_qa/datasets/validation.jsonl");
    let first = row.lines().next().expect("a case").replace("dq-v001", "+dq|`<b>@here</b>`");
    bench.write("tenants/demo_qa/datasets/validation.jsonl", &format!("{first}\n"));
    assert_eq!(bench.fapo(&["eval", "--config", CONFIG]).code, 0);
    let csv = export(&bench, &["--format", "csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
    assert_eq!(rows.len(), 1, "a line break in a cell makes no row");
    let harmless = |cell: &str| !cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    assert!(rows[0].iter().all(harmless), "{rows:?}");
    assert!(rows[0].iter().any(|cell| cell.starts_with("'=cmd|")), "{rows:?}");
    let xml = export(&bench, &["--format", "junit"]);
    assert!(!xml.contains("<script>") && !xml.contains('\u{1b}') && !xml.contains("<b>"), "{xml}");
    assert_eq!(xml.matches("</testcase>").count(), 1);
    let markdown = export(&bench, &["--format", "markdown"]);
    assert!(!markdown.contains('\u{1b}'));
    // Everything of the tenant stands inside code: outside of it there is no markup and no mention.
    let cell = markdown.lines().find(|line| line.contains("@here")).expect("the case");
    let outside: String = cell.split("``").step_by(2).collect();
    assert!(!outside.contains(['<', '@']), "{cell}");
}
