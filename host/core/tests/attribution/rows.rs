//! Cases and records from compact rows, as `attribution_labels.md` describes them.

use fapo_core::case::Case;
use fapo_core::fault::Fault;
use fapo_core::run::CaseRecord;
use fapo_core::score::{RawScore, Score};
use serde_json::{Map, Value, json};

/// The case and the record of a row. A step without a call of its own gets one, unless it searched: a prompt with what
/// such a step is shown.
pub(crate) fn read(row: &Value) -> (Case, CaseRecord) {
    let object = |key: &str| row[key].as_object().cloned().unwrap_or_default();
    let context: Vec<(String, String)> =
        object("context").into_iter().map(|(name, value)| (name, text(&value))).collect();
    let case_id = row["case_id"].as_str().unwrap_or("c");
    let task_type = row["task_type"].as_str().unwrap_or("qa");
    let (steps, searches) = (list(row, "steps"), list(row, "searches"));
    let mut calls: Vec<Value> = list(row, "calls").iter().map(own_call).collect();
    for (at, step) in steps.iter().enumerate() {
        let id = id(&step[0]);
        let known = calls.iter().any(|call| call["id"] == id) || searches.iter().any(|search| search[0] == step[0]);
        if !known && row["without_calls"] != true {
            let prompt = shown(&context, &steps[..at], step[0].as_str().unwrap_or_default());
            calls.push(call(&id, &prompt, json!(step[1]), "stop", Value::Null));
        }
    }
    let fault: Option<Fault> = row.get("fault").map(|fault| serde_json::from_value(fault.clone()).expect("a fault"));
    let raw = RawScore {
        composite: row["score"].as_f64().unwrap_or(0.0),
        breakdown: vec![],
        feedback: row["feedback"].as_str().unwrap_or_default().into(),
        diagnostics: vec![],
    };
    let score = fault.is_none().then(|| Score::checked(raw).expect("a score"));
    let output = row["output"].as_str().map(str::to_string);
    let output = output.unwrap_or_else(|| steps.last().map_or(String::new(), |step| text(&step[1])));
    let record = json!({
        "index": 0, "case_id": case_id, "task_type": task_type, "score": score, "fault": fault, "diagnostics": [],
        "output_text": output,
        "steps": steps.iter().map(|step| json!({"seconds": 0.0, "step": {"id": id(&step[0]), "origin": "executed",
            "outputs": [{"name": "output", "value": step[1]}]}})).collect::<Vec<_>>(),
        "calls": calls,
        "searches": searches.iter().map(|search| json!({"id": id(&search[0]), "index": "wiki", "query": search[1],
            "hits": search[2].as_array().into_iter().flatten().map(|title| json!(["p", title])).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "chain_use": {"fuel": 0, "memory_bytes_peak": 0, "host_calls": 0},
        "scorer_use": {"fuel": 0, "memory_bytes_peak": 0, "host_calls": 0},
    });
    let case = Case {
        case_id: case_id.into(),
        task_type: task_type.into(),
        context,
        expected: object("expected"),
        metadata: object("metadata"),
    };
    (case, serde_json::from_value(record).expect("a record"))
}

/// A row with some of its keys replaced.
pub(crate) fn with(row: &Value, changes: &Value) -> Value {
    let mut changed: Map<String, Value> = row.as_object().cloned().unwrap_or_default();
    changed.extend(changes.as_object().cloned().unwrap_or_default());
    changed.into()
}

fn list(row: &Value, key: &str) -> Vec<Value> {
    row[key].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn id(name: &Value) -> Value {
    let name = name.as_str().unwrap_or_default();
    let (node, visit) = name.split_once('#').unwrap_or((name, "0"));
    json!({"node": node, "visit": visit.parse::<u32>().expect("a visit")})
}

fn own_call(row: &Value) -> Value {
    call(&id(&row[0]), row[1].as_str().unwrap_or_default(), row[2].clone(), &text(&row[3]), row[4].clone())
}

fn call(id: &Value, prompt: &str, reply: Value, finish: &str, fault: Value) -> Value {
    let finish = if reply.is_null() { Value::Null } else { finish.into() };
    json!({"id": id, "model": "task", "messages": [{"role": "user", "content": prompt}], "reply": reply,
           "finish": finish, "fault": fault, "cached": false, "attempts": 1, "seconds": 0.0})
}

/// What a model step is shown: in the published chain its own inputs, elsewhere all that stands before it.
fn shown(context: &[(String, String)], before: &[Value], step: &str) -> String {
    let inputs: Option<&[&str]> = match step {
        "summarize_hop1" => Some(&["retrieve_hop1"]),
        "query_hop2" => Some(&["summarize_hop1"]),
        "summarize_hop2" => Some(&["summarize_hop1", "retrieve_hop2"]),
        "answer" if before.iter().any(|step| step[0] == "summarize_hop2") => {
            Some(&["summarize_hop1", "summarize_hop2"])
        }
        _ => None,
    };
    let mut lines: Vec<String> = context.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let seen = |step: &&Value| inputs.is_none_or(|names| names.iter().any(|name| step[0] == **name));
    lines.extend(before.iter().filter(seen).map(|step| text(&step[1])));
    lines.join("\n")
}
