//! Datasets in the shape their publishers give them, as cases and passages of ours.

mod hotpotqa;

use fapo_core::InputError;
use serde_json::Value;
use std::collections::BTreeSet;

/// Rows made of a publisher's file.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    /// Rows of a dataset: `case_id`, `task_type`, `context`, `expected`, `metadata`.
    pub cases: Vec<Value>,
    /// Rows of a corpus (`title`, `text`), where the file brings texts; no title twice.
    pub passages: Vec<Value>,
}

/// A converter: the file's name for errors, and its text.
type Converter = fn(&str, &str) -> Result<Imported, InputError>;

/// Every dataset there is a converter for: its name, what it reads, the converter.
const DATASETS: &[(&str, &str, Converter)] =
    &[("hotpotqa", "the official JSON array, or JSONL rows of its fields with `case_id`", hotpotqa::convert)];

/// Names of the datasets, with what each converter reads.
pub fn datasets() -> impl Iterator<Item = (&'static str, &'static str)> {
    DATASETS.iter().map(|(name, reads, _)| (*name, *reads))
}

/// Converts a publisher's file. `file` names it in errors.
///
/// # Errors
/// There is no converter for `dataset`, or a row is wrong; named with its position.
pub fn convert(dataset: &str, file: &str, text: &str) -> Result<Imported, InputError> {
    let Some((_, _, converter)) = DATASETS.iter().find(|(name, _, _)| *name == dataset) else {
        let names: Vec<&str> = DATASETS.iter().map(|(name, _, _)| *name).collect();
        return Err(InputError::new(format!("dataset {dataset:?}"), "there is no converter for it")
            .hint(format!("converters: {}; other files have to be unified cases already", names.join(", "))));
    };
    let imported = converter(file, text)?;
    let mut seen = BTreeSet::new();
    for case in &imported.cases {
        let id = case["case_id"].as_str().unwrap_or_default();
        if !seen.insert(id) {
            return Err(InputError::new(format!("{file}, case {id:?}"), "stands in the file twice")
                .hint("take one of the two rows out"));
        }
    }
    Ok(imported)
}

/// Rows as JSONL text.
pub fn jsonl(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}
