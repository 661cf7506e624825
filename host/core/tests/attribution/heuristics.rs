//! Each heuristic: a case in which it sees its sign, and one that differs in just what it looks for.

use crate::rows::{read, with};
use fapo_core::attribution::{HEURISTICS, attribute};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Two searches that find what is needed, and a right answer in the last summary.
fn base() -> Value {
    json!({
        "task_type": "qa", "context": {"question": "Who built the light on the island of Tove Hart?"},
        "expected": {"answer": "Mara Quill", "supporting_facts": [["Tove Hart", 0], ["Harrow Light", 1]]},
        "steps": [["retrieve_hop1", "Tove Hart lived on Tarn Island."], ["summarize_hop1", "She lived on Tarn Island."],
                  ["query_hop2", "light Tarn Island"], ["retrieve_hop2", "Mara Quill built the Harrow Light on Tarn Island; Jon Ost keeps it."],
                  ["summarize_hop2", "Mara Quill built it, Jon Ost keeps it."], ["answer", "Jon Ost"]],
        "searches": [["retrieve_hop1", "Who?", ["Tove Hart"]], ["retrieve_hop2", "light Tarn Island", ["Harrow Light"]]],
    })
}

fn finding(row: &Value) -> (String, String) {
    let (case, record) = read(row);
    let found = attribute(&[case], &[record]).findings.pop().expect("a finding");
    (found.heuristic, found.step)
}

#[track_caller]
fn check(changes: Value, heuristic: &str, step: &str) {
    assert_eq!(finding(&with(&base(), &changes)), (heuristic.into(), step.into()), "{changes}");
}

/// The steps of the base with some texts replaced.
fn steps(texts: &[(&str, &str)]) -> Value {
    let mut steps = base()["steps"].clone();
    for step in steps.as_array_mut().expect("a list") {
        if let Some((_, text)) = texts.iter().find(|(name, _)| step[0] == *name) {
            step[1] = (*text).into();
        }
    }
    steps
}

#[test]
fn the_base_is_a_wrong_answer_near_evidence() {
    check(json!({}), "wrong_answer_near_evidence", "answer");
}

#[test]
fn faults_are_told_apart_by_whose_they_are() {
    let fault = |phase: &str, kind: &str| json!({"fault": {"phase": phase, "kind": kind, "message": "m", "step": "s"}});
    check(fault("provider", "timed_out"), "provider_fault", "s");
    check(fault("host", "budget"), "provider_fault", "s");
    check(fault("chain", "trapped"), "component_fault", "s");
    check(fault("scorer", "returned"), "component_fault", "s");
    check(
        json!({"fault": {"phase": "provider", "kind": "unreachable", "message": "m"}}),
        "provider_fault",
        "(provider)",
    );
}

#[test]
fn a_refused_call_counts_where_its_step_gave_nothing() {
    let refused = |fault: &str| json!([["answer", "p", null, null, fault]]);
    let empty = steps(&[("answer", "")]);
    let long = "the prompt is longer than the model's context";
    check(json!({"steps": empty, "calls": refused(long)}), "prompt_too_long", "answer");
    check(json!({"steps": empty, "calls": refused("the service declined: x")}), "call_refused", "answer");
    // A fallback gave an answer.
    check(json!({"calls": refused(long)}), "wrong_answer_near_evidence", "answer");
}

#[test]
fn a_cascade_needs_a_second_step_that_gives_nothing() {
    check(json!({"steps": steps(&[("query_hop2", ""), ("retrieve_hop2", "")])}), "empty_cascade", "query_hop2");
    check(json!({"steps": steps(&[("retrieve_hop2", " "), ("summarize_hop2", "")])}), "empty_search", "retrieve_hop2");
    check(json!({"steps": steps(&[("query_hop2", "")])}), "wrong_answer_near_evidence", "answer");
}

#[test]
fn a_missing_title_is_laid_at_the_hop_that_found_nothing_new() {
    let unseen = steps(&[("retrieve_hop2", "Jon Ost keeps it."), ("summarize_hop2", "Jon Ost keeps it.")]);
    let titles = |first: &str, second: &str| json!([["retrieve_hop1", "q", [first]], ["retrieve_hop2", "q", [second]]]);
    let row = |first: &str, second: &str| json!({"steps": unseen, "searches": titles(first, second)});
    check(row("Other", "Harrow Light"), "evidence_missing_first_hop", "retrieve_hop1");
    check(row("Tove Hart", "Other"), "evidence_missing_later_hop", "retrieve_hop2");
    check(row("tove hart", "HARROW  LIGHT"), "wrong_answer_near_evidence", "answer");
    let third = json!({"answer": "Mara Quill", "gold_title": "Marn", "supporting_facts": [["Tove Hart", 0], ["Harrow Light", 1]]});
    let every = with(&row("Tove Hart", "Harrow Light"), &json!({"expected": third}));
    check(every, "evidence_missing_no_hop_left", "retrieve_hop2");
    // A summary gives the answer all the same; so does the output.
    check(json!({"searches": titles("Tove Hart", "Other")}), "wrong_answer_near_evidence", "answer");
    let right = steps(&[("summarize_hop2", "Jon Ost."), ("answer", "By Mara Quill.")]);
    check(json!({"steps": right, "searches": titles("Tove Hart", "Other")}), "verbose_near_miss", "answer");
}

#[test]
fn without_titles_words_that_no_text_has_were_never_found() {
    let expected = json!({"answer": "Mara Quill"});
    let unseen = steps(&[("retrieve_hop2", "Jon Ost keeps it."), ("summarize_hop2", "Jon Ost keeps it.")]);
    check(json!({"expected": expected, "steps": unseen}), "answer_never_found", "retrieve_hop2");
    check(json!({"expected": expected}), "wrong_answer_near_evidence", "answer");
    check(json!({"expected": expected, "steps": unseen, "searches": []}), "unexplained", "answer");
}

#[test]
fn what_a_step_was_shown_and_does_not_give_on_is_lost_there() {
    let dropped = steps(&[("summarize_hop2", "Jon Ost keeps it.")]);
    check(json!({"steps": dropped}), "answer_dropped", "summarize_hop2");
    let cut = json!([["summarize_hop2", "Mara Quill built the Harrow Light", "Jon Ost keeps it.", "length"]]);
    check(json!({"steps": dropped, "calls": cut}), "truncated_on_the_way", "summarize_hop2");
    let gives_up = steps(&[("summarize_hop2", "The passages do not mention it.")]);
    check(json!({"steps": gives_up}), "abstention_on_the_way", "summarize_hop2");
    // The answering step sees the passages itself: nothing was lost before it.
    let sees = json!([["answer", "Mara Quill built the Harrow Light", "Jon Ost", "stop"]]);
    check(json!({"steps": dropped, "calls": sees}), "wrong_answer_near_evidence", "answer");
    // Without recorded prompts a step is taken to have seen the one before.
    check(json!({"steps": dropped, "without_calls": true}), "answer_dropped", "summarize_hop2");
}

#[test]
fn the_reply_of_the_last_step_is_cut_or_lacks_its_field() {
    let ask = "[[ ## question ## ]]\nWho? Mara Quill built it.\n[[ ## reasoning ## ]]\n[[ ## answer ## ]]\n[[ ## completed ## ]]";
    let reply = |text: &str, finish: &str| json!({"calls": [["answer", ask, text, finish]]});
    check(reply("Jon Ost", "length"), "truncated", "answer");
    check(reply("Jon Ost", "stop"), "malformed", "answer");
    check(reply("[[ ## answer ## ]]\nJon Ost\n[[ ## completed ## ]]", "stop"), "wrong_answer_near_evidence", "answer");
    check(json!({"steps": steps(&[("answer", " \n")])}), "malformed", "answer");
}

#[test]
fn how_the_output_reads_decides_the_rest() {
    let says = |text: &str| json!({"steps": steps(&[("answer", text)])});
    check(says("I do not know."), "abstention", "answer");
    check(says("Unknown to many, Mara Quill built it."), "verbose_near_miss", "answer");
    check(says("It was built by Mara Quill."), "verbose_near_miss", "answer");
    check(says("Not Mara Quill but Jon Ost"), "wrong_answer_near_evidence", "answer");
}

#[test]
fn a_part_of_the_answer_is_other_wording_and_strange_words_are_ungrounded() {
    let says = |text: &str| json!({"steps": steps(&[("answer", text)])});
    check(says("Quill"), "other_wording", "answer");
    check(says("mara quill!"), "other_wording", "answer");
    check(says("Ada Bell"), "ungrounded", "answer");
    check(says("Jon Bell"), "wrong_answer_near_evidence", "answer");
    // The scorer asks for more than the answer.
    check(says("Mara Quill"), "unexplained", "answer");
}

#[test]
fn a_right_draft_that_is_changed_is_dropped() {
    let chain = |draft: &str| {
        json!({"steps": [["draft", draft], ["verify", "Jon Ost"]], "searches": [], "expected": {"answer": "Mara Quill"},
               "context": {"passages": "Mara Quill built it, Jon Ost keeps it."}})
    };
    check(chain("Mara Quill"), "draft_changed", "verify");
    check(chain("Mara Quill built it, Jon Ost keeps it."), "wrong_answer_near_evidence", "verify");
}

#[test]
fn labels_are_identifiers_or_answers_that_cases_share() {
    let label = |answer: &str, output: &str| json!({"expected": {"cwe_id": answer}, "steps": [["classify", output]], "searches": []});
    check(label("CWE-79", "CWE-80"), "wrong_label", "classify");
    check(label("CWE-79", "script injection"), "wrong_label", "classify");
    check(label("CWE-79", "It is CWE-79."), "verbose_near_miss", "classify");
    check(label("wolf", "dog"), "unexplained", "classify");
    let shared = |times: usize| {
        let row =
            |n: usize| json!({"case_id": n.to_string(), "expected": {"label": "wolf"}, "steps": [["classify", "dog"]]});
        let (cases, records): (Vec<_>, Vec<_>) = (0..times).map(|n| read(&row(n))).unzip();
        attribute(&cases, &records).findings[0].heuristic.clone()
    };
    assert_eq!((shared(2).as_str(), shared(3).as_str()), ("unexplained", "wrong_label"));
}

#[test]
fn a_yes_or_no_is_stated_first_or_last_and_proves_nothing_elsewhere() {
    let says = |text: &str| {
        let facts = base()["expected"]["supporting_facts"].clone();
        json!({"steps": steps(&[("answer", text)]), "expected": {"answer": "no", "supporting_facts": facts}})
    };
    check(says("No, they are not."), "verbose_near_miss", "answer");
    check(says("There is no doubt: yes"), "wrong_answer_near_evidence", "answer");
}

#[test]
fn the_table_has_one_row_a_name_and_ends_with_the_fallback() {
    let names: BTreeSet<&str> = HEURISTICS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), HEURISTICS.len());
    assert_eq!(HEURISTICS.last().map(|row| row.name), Some("unexplained"));
}
