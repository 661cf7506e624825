//! Cases: one JSONL row each, checked when the dataset is read.

use crate::input_error::InputError;
use fapo_graph::{CaseInput, Entry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Longest row of a dataset, bytes.
pub const ROW_BYTES_MAX: usize = 4 << 20;

/// One row of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Not blank, unique in the dataset.
    pub case_id: String,
    /// The tenant's word for the task.
    pub task_type: String,
    /// What the chain sees; values turned into text.
    pub context: Vec<(String, String)>,
    /// The label: seen by the scorer only.
    pub expected: Map<String, Value>,
    /// Seen by the scorer only.
    pub metadata: Map<String, Value>,
}

impl Case {
    /// What a chain may know of this case.
    pub fn input(&self) -> CaseInput {
        CaseInput {
            case_id: self.case_id.clone(),
            task_type: self.task_type.clone(),
            context: self.context.iter().map(|(name, value)| Entry::new(name.clone(), value.clone())).collect(),
        }
    }

    /// The split that it says it belongs to.
    pub fn split(&self) -> Option<&str> {
        ["split", "split_name", "evaluation_split"].iter().find_map(|k| self.metadata.get(*k).and_then(Value::as_str))
    }

    /// The expected answer, where the label has one under a name the method knows (formats of the original, §5).
    pub fn expected_answer(&self) -> Option<&str> {
        ["answer", "expected_answer", "reference_output", "label", "cwe_id"]
            .iter()
            .find_map(|key| self.expected.get(*key).and_then(Value::as_str))
    }
}

/// A dataset as read: rows, and what identifies them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Rows in file order.
    pub cases: Vec<Case>,
    /// Digest of the file's bytes.
    pub digest: String,
    /// Split its rows say they belong to, where all that say so agree.
    pub split: Option<String>,
}

/// Reads a dataset from the text of a JSONL file. `file` names it in errors.
///
/// Blank lines are skipped but counted.
///
/// # Errors
/// A row that is no case, a blank or repeated `case_id` (both lines are named), or a context value that
/// equals the label, which would hand the chain its answer.
pub fn read_dataset(file: &str, text: &str) -> Result<Dataset, InputError> {
    let mut cases = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let Some(case) = read_row(file, at + 1, line)? else { continue };
        if let Some(first) = seen.insert(case.case_id.clone(), at + 1) {
            return Err(repeated(file, &case.case_id, [first, at + 1]));
        }
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(no_case(file));
    }
    let mut splits: Vec<&str> = cases.iter().filter_map(Case::split).collect();
    splits.sort_unstable();
    splits.dedup();
    let split = if let [one] = splits[..] { Some(one.to_string()) } else { None };
    Ok(Dataset { digest: crate::digest::of_bytes(text.as_bytes()), split, cases })
}

/// A dataset must have a case.
pub fn no_case(file: &str) -> InputError {
    InputError::new(file, "no case in this file").hint("a dataset holds one JSON object a line")
}

/// Two rows have one id; `lines` are theirs, counted from 1.
pub fn repeated(file: &str, case_id: &str, [first, second]: [usize; 2]) -> InputError {
    InputError::new(format!("{file}:{second}"), format!("case_id {case_id:?} stands already on line {first}"))
        .hint("give each case an id of its own")
}

/// Reads one row of a dataset; None of a blank line. `number` is the line's, from 1.
///
/// # Errors
/// The row is no case, or a context value equals the label.
pub fn read_row(file: &str, number: usize, line: &str) -> Result<Option<Case>, InputError> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let subject = format!("{file}:{number}");
    let shape = "a row needs case_id, task_type, context, expected and metadata";
    let wrong = |message: String| InputError::new(&subject, message).hint(shape);
    if line.len() > ROW_BYTES_MAX {
        return Err(wrong(format!("the row is {} bytes long; at most {ROW_BYTES_MAX} are read", line.len())));
    }
    let value = crate::json::read(line).map_err(|e| {
        let what = if e.is_data() { "" } else { "not JSON: " };
        wrong(format!("{what}{}", column_only(&e)))
    })?;
    let Value::Object(mut row) = value else {
        return Err(wrong("not a JSON object".into()));
    };
    let mut text = |key: &str| match row.remove(key) {
        Some(Value::String(s)) if !s.trim().is_empty() => Ok(s),
        Some(Value::String(_)) => Err(wrong(format!("`{key}` is blank"))),
        Some(_) => Err(wrong(format!("`{key}` is not a text"))),
        None => Err(wrong(format!("`{key}` is missing"))),
    };
    let case_id = text("case_id")?;
    let task_type = text("task_type")?;
    let mut object = |key: &str| match row.remove(key) {
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(wrong(format!("`{key}` is not an object"))),
        None => Err(wrong(format!("`{key}` is missing"))),
    };
    let context: Vec<(String, String)> = object("context")?.into_iter().map(|(k, v)| (k, as_text(v))).collect();
    let case = Case { case_id, task_type, context, expected: object("expected")?, metadata: object("metadata")? };
    if let Some(answer) = case.expected_answer().filter(|a| !a.trim().is_empty())
        && let Some((name, _)) = case.context.iter().find(|(_, v)| v.trim() == answer.trim())
    {
        return Err(InputError::new(
            &subject,
            format!("context.{name} of case {:?} equals the label, so the chain would see its answer", case.case_id),
        )
        .hint("take the answer out of `context`; only `expected` may hold it"));
    }
    Ok(Some(case))
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(s) => s,
        other => other.to_string(),
    }
}

fn column_only(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.rfind(" at line ") {
        Some(at) => format!("{} (column {})", &text[..at], e.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"case_id":"a","task_type":"qa","context":{"question":"Who?","year":1874},"expected":{"answer":"Mara"},"metadata":{"split":"train"}}"#;

    fn refuses(text: &str, want: &str) {
        let e = read_dataset("d.jsonl", text).expect_err(text);
        assert!(e.to_string().contains(want), "{e} should hold {want}");
    }

    #[test]
    fn a_row_becomes_a_case_and_its_values_text() {
        let set = read_dataset("d.jsonl", &format!("\n{GOOD}\n")).expect("reads");
        assert_eq!(set.cases[0].context, [("question".into(), "Who?".into()), ("year".into(), "1874".into())]);
        assert_eq!(set.split.as_deref(), Some("train"));
        assert_eq!(set.cases[0].input().context.len(), 2);
    }

    #[test]
    fn each_fault_names_its_line() {
        refuses(&format!("{GOOD}\n\n{{"), "d.jsonl:3: not JSON");
        refuses(&format!("{GOOD}\n{GOOD}"), "d.jsonl:2: case_id \"a\" stands already on line 1");
        refuses(&GOOD.replace("\"expected\":{\"answer\":\"Mara\"},", ""), "`expected` is missing");
        refuses(&GOOD.replace("\"a\"", "\" \""), "`case_id` is blank");
        refuses(&GOOD.replace("Who?", "Mara"), "context.question of case \"a\" equals the label");
        refuses("[]", "not a JSON object");
        refuses("", "no case");
        refuses(&GOOD.replace("1874", &format!("{}{}", "[".repeat(40), "]".repeat(40))), "nested deeper");
    }
}
