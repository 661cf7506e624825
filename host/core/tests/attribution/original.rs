//! The original's attribution: its order, names, tiers, confidences and objects.

use crate::rows::{read, with};
use fapo_core::attribution::{FailureCounts, attribute};
use serde_json::{Value, json};

fn base() -> Value {
    json!({
        "case_id": "c1", "context": {"question": "one two three four five six seven eight nine ten"},
        "expected": {"answer": "Mara Quill"},
        "steps": [["retrieve", "one two three four"], ["think", "t"], ["answer", "nobody"]],
    })
}

fn of(row: &Value) -> Value {
    let (case, record) = read(row);
    attribute(&[case], &[record]).original.into()
}

/// One step is blamed, by this heuristic with this confidence.
#[track_caller]
fn check(changes: Value, step: &str, heuristic: &str, confidence: &str) {
    let found = of(&with(&base(), &changes));
    assert_eq!(found.as_object().map(serde_json::Map::len), Some(1), "{found}");
    assert_eq!(found[step]["heuristic"], heuristic, "{found}");
    assert_eq!(found[step]["confidence"], confidence, "{found}");
    assert_eq!(found[step]["heuristic_counts"][heuristic], 1, "{found}");
}

fn steps(retrieve: &str, think: &str, answer: &str) -> Value {
    json!({"steps": [["retrieve", retrieve], ["think", think], ["answer", answer]]})
}

const FOUR: &str = "one two three four";

#[test]
fn the_first_of_the_tables_tests_that_holds_decides() {
    let fault = json!({"fault": {"phase": "provider", "kind": "timed_out", "message": "m"}});
    check(fault, "__infrastructure__", "execution_failure", "high");
    check(json!({"steps": []}), "__no_steps__", "no_steps", "high");
    check(steps("", "t", "nobody"), "retrieve", "retrieval_empty", "high");
    check(steps(FOUR, " ", "nobody"), "think", "empty_intermediate", "high");
    check(steps(FOUR, "t", "it was MARA QUILL"), "answer", "format_failure", "medium");
    check(steps(FOUR, "t", "nobody"), "answer", "final_step_fallback", "low");
}

#[test]
fn a_format_failure_is_over_one_and_a_half_times_as_long() {
    check(steps(FOUR, "t", "Mara Quill12345"), "answer", "final_step_fallback", "low");
    check(steps(FOUR, "t", "Mara Quill123456"), "answer", "format_failure", "medium");
    check(steps(FOUR, "t", "mara quill"), "answer", "final_step_fallback", "low");
}

#[test]
fn overlap_has_three_tiers_and_is_sure_at_its_ends() {
    for (text, tier, confidence) in [
        ("none of them", "miss", "high"),
        ("ONE", "miss", "medium"),
        ("one two", "partial", "medium"),
        ("one two three", "partial", "medium"),
    ] {
        let found = of(&with(&base(), &steps(text, "t", "x")));
        assert_eq!(
            (&found["retrieve"]["retrieval_tier"], &found["retrieve"]["confidence"]),
            (&json!(tier), &json!(confidence))
        );
        assert_eq!(found["retrieve"]["retrieval_tier_counts"][tier], 1);
    }
    // 4 of 11 words: above 0.35, below 0.4.
    let longer = json!({"context": {"query": "one two three four five six seven eight nine ten eleven"}});
    check(longer, "retrieve", "retrieval_overlap", "high");
    let no_question = with(&steps("none", "t", "nobody"), &json!({"context": {}}));
    check(no_question, "answer", "final_step_fallback", "low");
    // The first such step only.
    let second = json!({"steps": [["retrieve", FOUR], ["search", "none"], ["answer", "nobody"]]});
    check(second, "answer", "final_step_fallback", "low");
}

#[test]
fn a_cascade_blames_its_root_and_every_later_step() {
    let found = of(&with(&base(), &steps("", "t", "")));
    let heuristics: Vec<&Value> = found.as_object().expect("steps").values().map(|step| &step["heuristic"]).collect();
    assert_eq!(heuristics, ["cascade", "cascade_downstream", "cascade_downstream"]);
    assert_eq!(found["answer"]["cascade_root"], "retrieve");
    assert_eq!(found["answer"]["cascade_root_counts"], json!({"retrieve": 1}));
}

#[test]
fn objects_have_the_originals_keys_and_the_summary_counts_each_case_once() {
    let rows = [
        with(&base(), &json!({"case_id": "c1"})),
        with(&base(), &with(&steps(FOUR, "t", "it was Mara Quill"), &json!({"case_id": "c2"}))),
        with(&base(), &with(&steps("", "", ""), &json!({"case_id": "c3"}))),
        with(&base(), &with(&steps("none", "t", "x"), &json!({"case_id": "c4"}))),
        with(&base(), &json!({"case_id": "c5", "fault": {"phase": "scorer", "kind": "trapped", "message": "m"}})),
        with(&base(), &json!({"case_id": "c6", "score": 100.0})),
    ];
    let (cases, mut records): (Vec<_>, Vec<_>) = rows.iter().map(read).unzip();
    records.iter_mut().enumerate().for_each(|(at, record)| record.index = at);
    let found = attribute(&cases, &records);
    assert_eq!(
        found.original["answer"],
        json!({"count": 3, "case_ids": ["c1", "c2", "c3"], "heuristic": "final_step_fallback", "confidence": "low",
               "heuristic_counts": {"final_step_fallback": 1, "format_failure": 1, "cascade_downstream": 1},
               "confidence_counts": {"low": 1, "medium": 1, "high": 1}, "format_failures": 1,
               "cascade_root": "retrieve", "cascade_root_counts": {"retrieve": 1}})
    );
    let stage = &found.original["__infrastructure__"];
    assert_eq!(
        (&stage["infrastructure_failure"], &stage["failure_stage_counts"]),
        (&json!(true), &json!({"scorer": 1}))
    );
    assert_eq!(
        found.summary,
        json!({"prompt_addressable": 2, "skill_addressable": 2, "structural_addressable": 2, "tool_addressable": 0,
               "format_failures": 1, "infrastructure_failures": 1, "total_failures": 5,
               "by_confidence": {"high": 3, "medium": 1, "low": 1}, "by_retrieval_tier": {"hit": 0, "partial": 0, "miss": 1},
               "tool_error_types": {}})
    );
    assert_eq!(
        FailureCounts::of(&cases, &records).step_table().expect("a table"),
        "## Step Attribution\n\n| Step | Failure Count |\n|------|--------------|\n| answer | 3 |\n| retrieve | 2 |\n\
         | think | 1 |\n| __infrastructure__ | 1 |\n"
    );
}

#[test]
fn no_table_where_nothing_failed() {
    let (case, passed) = read(&with(&base(), &json!({"score": 100.0})));
    assert!(FailureCounts::of(&[case], &[passed]).step_table().is_none());
}

#[test]
fn failures_are_counted_in_any_order() {
    let of = |n: usize, steps: Value| {
        let (case, mut record) = read(&with(&base(), &json!({"case_id": format!("c{n}"), "steps": steps})));
        record.index = n;
        (case, record)
    };
    let (cases, records): (Vec<_>, Vec<_>) =
        (0..8).map(|n| of(n, json!([[if n % 2 == 0 { "later" } else { "ask" }, "somebody else"]]))).unzip();
    let counts = FailureCounts::of(&cases, &records);
    let backwards: Vec<_> = records.iter().rev().cloned().collect();
    let again = FailureCounts::of(&cases, &backwards);
    assert_eq!((counts.steps(), counts.step_table()), (again.steps(), again.step_table()));
    assert_eq!(counts.steps()[1].case_ids, ["c0", "c2", "c4", "c6"]);
    assert!(counts.step_table().expect("a table").ends_with("| later | 4 |\n| ask | 4 |\n"));
}
