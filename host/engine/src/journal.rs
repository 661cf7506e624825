//! A run's journal: a header and a line for each finished case, from which everything else can be made again.

use crate::spending::Spent;
use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the journal in a run's folder.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// `run_config.json` of the run; None where nothing whole was written yet.
    pub(crate) header: Option<Value>,
    /// The latest record of each case, in dataset order.
    pub(crate) records: Vec<CaseRecord>,
    /// What all records cost, those that a later one took the place of among them.
    pub(crate) spent: Spent,
    /// Bytes of whole lines; what follows was torn by a stop.
    pub(crate) whole: u64,
}

/// The digest that tells whether two headers are of one run.
pub(crate) fn identity(header: &Value) -> &Value {
    &header["fapo"]["identity_digest"]
}

/// A header's line.
pub(crate) fn header_line(header: &Value) -> String {
    format!("{header}\n")
}

/// A finished case's line.
pub(crate) fn case_line(record: &CaseRecord) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: &'static str,
        record: &'a CaseRecord,
    }
    // Not by way of a value: that would copy every text of the record.
    let line = serde_json::to_string(&Line { kind: "case", record }).expect("a record is texts and finite numbers");
    line + "\n"
}

/// Reads a journal's bytes. `path` names it in errors.
///
/// A case may stand several times: one that ended with a fault of the infrastructure is run again by the next start,
/// and its later line counts.
///
/// # Errors
/// A whole line is no journal line.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Journal, InputError> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut journal = Journal { whole: whole as u64, ..Journal::default() };
    let mut records = BTreeMap::new();
    for (at, line) in bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate() {
        let wrong = |e: serde_json::Error| {
            InputError::new(format!("{}:{}", path.display(), at + 1), format!("is no journal line: {e}"))
                .hint("the file was changed or damaged; start the run over with --fresh")
        };
        let mut value: Value = serde_json::from_slice(line).map_err(wrong)?;
        if at == 0 {
            journal.header = Some(value);
        } else {
            let record = value.get_mut("record").map(Value::take).unwrap_or_default();
            let record: CaseRecord = serde_json::from_value(record).map_err(wrong)?;
            journal.spent.add(&record);
            records.insert(record.index, record);
        }
    }
    journal.records = records.into_values().collect();
    Ok(journal)
}
