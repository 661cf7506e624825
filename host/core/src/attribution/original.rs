//! The original's attribution, by its names, order, tiers and confidences, and the objects it writes
//! (formats of the original, §5). A step is a node here: its latest output counts.

use crate::case::Case;
use crate::fault::Phase;
use crate::run::CaseRecord;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Shares of the question's words at and above which a retrieval step is a hit or a partial hit.
const OVERLAP_HIT: f64 = 0.4;
const OVERLAP_PARTIAL: f64 = 0.2;
/// Below and above these shares a verdict on the overlap is sure.
const OVERLAP_SURE: (f64, f64) = (0.1, 0.35);
/// How many times as long as the answer a last step must be to be a failure of format.
const FORMAT_LENGTH_RATIO: f64 = 1.5;

/// What one case says of one step.
struct Verdict {
    step: String,
    heuristic: &'static str,
    confidence: &'static str,
    /// Further key and value, counted under `<key>_counts`.
    detail: Option<(&'static str, String)>,
}

impl Verdict {
    fn new(step: &str, heuristic: &'static str, confidence: &'static str) -> Self {
        Verdict { step: step.into(), heuristic, confidence, detail: None }
    }

    fn with(mut self, key: &'static str, value: &str) -> Self {
        self.detail = Some((key, value.into()));
        self
    }
}

/// The original's result over failed cases: an object a step, in the order in which steps are first blamed.
pub(super) fn attribute_failures(failed: &[(&Case, &CaseRecord)]) -> Map<String, Value> {
    let mut result = Map::new();
    for (case, record) in failed {
        for verdict in verdicts(case, record) {
            let entry = result.entry(verdict.step.clone()).or_insert_with(|| {
                json!({"count": 0, "case_ids": [], "heuristic": verdict.heuristic, "confidence": verdict.confidence,
                       "heuristic_counts": {}, "confidence_counts": {}})
            });
            if let Value::Object(entry) = entry {
                add(entry, &record.case_id, &verdict);
            }
        }
    }
    result
}

fn add(entry: &mut Map<String, Value>, case_id: &str, verdict: &Verdict) {
    raise(entry, "count");
    if let Some(Value::Array(ids)) = entry.get_mut("case_ids") {
        ids.push(case_id.into());
    }
    raise_in(entry, "heuristic_counts", verdict.heuristic);
    raise_in(entry, "confidence_counts", verdict.confidence);
    match verdict.heuristic {
        "format_failure" => raise(entry, "format_failures"),
        "execution_failure" => {
            entry.insert("infrastructure_failure".into(), true.into());
        }
        _ => {}
    }
    if let Some((key, value)) = &verdict.detail {
        entry.entry(*key).or_insert_with(|| value.as_str().into());
        raise_in(entry, &format!("{key}_counts"), value);
    }
}

fn raise(counts: &mut Map<String, Value>, key: &str) {
    let count = counts.get(key).and_then(Value::as_u64).unwrap_or(0);
    counts.insert(key.into(), (count + 1).into());
}

fn raise_in(entry: &mut Map<String, Value>, key: &str, value: &str) {
    if let Value::Object(counts) = entry.entry(key).or_insert_with(|| json!({})) {
        raise(counts, value);
    }
}

/// Steps that one case is laid at.
pub(super) fn blamed(case: &Case, record: &CaseRecord) -> impl Iterator<Item = String> {
    verdicts(case, record).into_iter().map(|verdict| verdict.step)
}

/// The first heuristic that matches; a cascade blames every later step too.
fn verdicts(case: &Case, record: &CaseRecord) -> Vec<Verdict> {
    if let Some(fault) = &record.fault {
        let stage = match fault.phase {
            Phase::Provider => "provider",
            Phase::Chain => "chain",
            Phase::Scorer => "scorer",
            Phase::Host => "unknown",
        };
        return vec![Verdict::new("__infrastructure__", "execution_failure", "high").with("failure_stage", stage)];
    }
    let steps = record.step_outputs();
    let Some(((last, last_text), before)) = steps.split_last() else {
        return vec![Verdict::new("__no_steps__", "no_steps", "high")];
    };
    let blank = |(_, text): &(&str, &str)| text.trim().is_empty();
    let first_blank = before.iter().position(blank);
    if let Some(root) = first_blank.filter(|root| steps[root + 1..].iter().any(blank)) {
        let name = steps[root].0;
        let first = Verdict::new(name, "cascade", "high").with("cascade_root", name);
        let later = steps[root + 1..].iter();
        let rest = later.map(|(step, _)| Verdict::new(step, "cascade_downstream", "high").with("cascade_root", name));
        return std::iter::once(first).chain(rest).collect();
    }
    let mut retrieval = steps.iter().filter(|(name, _)| is_retrieval(name));
    let verdict = retrieval
        .clone()
        .find(|step| blank(step))
        .map(|(name, _)| Verdict::new(name, "retrieval_empty", "high").with("retrieval_tier", "miss"))
        .or_else(|| retrieval.next().and_then(|(name, text)| overlap(case, name, text)))
        .or_else(|| first_blank.map(|at| Verdict::new(steps[at].0, "empty_intermediate", "high")))
        .or_else(|| format_failure(case, last_text).then(|| Verdict::new(last, "format_failure", "medium")))
        .unwrap_or_else(|| Verdict::new(last, "final_step_fallback", "low"));
    vec![verdict]
}

fn is_retrieval(step: &str) -> bool {
    ["retriev", "search", "fetch"].iter().any(|part| step.to_lowercase().contains(part))
}

/// A retrieval step that has too few of the question's words.
fn overlap(case: &Case, step: &str, text: &str) -> Option<Verdict> {
    let of = |key: &str| case.context.iter().find(|(name, _)| name == key).map(|(_, value)| value.to_lowercase());
    let question = of("question").or_else(|| of("query")).unwrap_or_default();
    let mut missing: BTreeSet<&str> = question.split_whitespace().collect();
    let asked = missing.len() as f64;
    if missing.is_empty() {
        return None;
    }
    let mut share = 0.0;
    let mut lower = String::new();
    for word in text.split_whitespace() {
        if word.is_ascii() {
            word.clone_into(&mut lower);
            lower.make_ascii_lowercase();
        } else {
            lower = word.to_lowercase();
        }
        missing.remove(lower.as_str());
        share = (asked - missing.len() as f64) / asked;
        if share >= OVERLAP_HIT {
            return None;
        }
    }
    let sure = share < OVERLAP_SURE.0 || share > OVERLAP_SURE.1;
    let tier = if share >= OVERLAP_PARTIAL { "partial" } else { "miss" };
    let confidence = if sure { "high" } else { "medium" };
    Some(Verdict::new(step, "retrieval_overlap", confidence).with("retrieval_tier", tier))
}

fn format_failure(case: &Case, text: &str) -> bool {
    let (text, answer) = (text.trim().to_lowercase(), case.expected_answer().unwrap_or_default().trim().to_lowercase());
    let longer = text.chars().count() as f64 > answer.chars().count() as f64 * FORMAT_LENGTH_RATIO;
    !answer.is_empty() && text.contains(&answer) && text != answer && longer
}

/// The original's summary of its result. A fault of the infrastructure is counted as such, and to no level.
pub(super) fn summarize(result: &Map<String, Value>) -> Value {
    let (mut prompt, mut structural, mut infrastructure, mut format, mut total) = (0, 0, 0, 0, 0);
    let mut by_confidence = json!({"high": 0, "medium": 0, "low": 0});
    let mut by_tier = json!({"hit": 0, "partial": 0, "miss": 0});
    for entry in result.values() {
        let downstream = count_of(entry, "heuristic_counts", "cascade_downstream");
        for (heuristic, count) in counts(entry, "heuristic_counts") {
            match heuristic.as_str() {
                "cascade_downstream" => continue,
                "retrieval_empty" | "retrieval_overlap" | "cascade" => structural += count,
                "execution_failure" => infrastructure += count,
                _ => prompt += count,
            }
            total += count;
        }
        format += count_of(entry, "heuristic_counts", "format_failure");
        for (confidence, count) in counts(entry, "confidence_counts") {
            // A step downstream of a cascade is high, and counted nowhere.
            let counted = count - if confidence == "high" { downstream } else { 0 };
            by_confidence[&confidence] = (by_confidence[&confidence].as_u64().unwrap_or(0) + counted).into();
        }
        for (tier, count) in counts(entry, "retrieval_tier_counts") {
            by_tier[&tier] = (by_tier[&tier].as_u64().unwrap_or(0) + count).into();
        }
    }
    json!({
        "prompt_addressable": prompt, "skill_addressable": prompt, "structural_addressable": structural,
        "tool_addressable": 0, "format_failures": format, "infrastructure_failures": infrastructure,
        "total_failures": total, "by_confidence": by_confidence, "by_retrieval_tier": by_tier, "tool_error_types": {},
    })
}

fn counts(entry: &Value, key: &str) -> impl Iterator<Item = (String, u64)> {
    let map = entry[key].as_object().cloned().unwrap_or_default();
    map.into_iter().map(|(name, count)| (name, count.as_u64().unwrap_or(0)))
}

fn count_of(entry: &Value, key: &str, name: &str) -> u64 {
    entry[key][name].as_u64().unwrap_or(0)
}

/// The section of `summary.md`: a row a step with its failures.
pub(super) fn step_table(rows: &[(&str, usize)]) -> String {
    let rows: String = rows.iter().map(|(step, count)| format!("| {step} | {count} |\n")).collect();
    format!("## Step Attribution\n\n| Step | Failure Count |\n|------|--------------|\n{rows}")
}
