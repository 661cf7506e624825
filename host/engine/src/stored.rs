//! Runs as they stand on disk: finished, stopped, or still being written by somebody else.

use crate::folder;
use crate::journal::{self, JOURNAL};
use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use serde_json::Value;
use std::path::Path;

/// A run read from its journal.
#[derive(Debug)]
pub struct StoredRun {
    /// `run_config.json` of the run.
    pub run_config: Value,
    /// Planned cases.
    pub planned: usize,
    /// The latest record of each case that came to its end, in dataset order.
    pub records: Vec<CaseRecord>,
}

impl StoredRun {
    /// One dimension of the run's identity.
    pub fn identity(&self, dimension: &str) -> &Value {
        &self.run_config["fapo"]["identity"][dimension]
    }
}

/// Reads a run. Writes nothing and needs no lock.
///
/// # Errors
/// The folder holds no run, or its journal is damaged; named with its line.
pub fn read_run(folder: &Path) -> Result<StoredRun, InputError> {
    let path = folder.join(JOURNAL);
    let found = journal::read(&path, &folder::read(&path)?)?;
    let run_config = found.header.ok_or_else(|| {
        InputError::new(folder.display().to_string(), "holds no run")
            .hint("name the folder that `fapo eval` printed; it holds a journal.jsonl")
    })?;
    let planned = run_config["fapo"]["planned"].as_u64().and_then(|n| usize::try_from(n).ok());
    Ok(StoredRun { planned: planned.unwrap_or(found.records.len()), run_config, records: found.records })
}
