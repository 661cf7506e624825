//! Runs as they stand on disk: finished, stopped, or still being written by somebody else.

use crate::figures::RunFigures;
use crate::journal::{self, JOURNAL, Lines};
use fapo_core::InputError;
use fapo_core::attribution::{Explainer, Labels};
use fapo_core::ports::Cases;
use fapo_core::run::{CaseRecord, PASSED};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A run in its journal. Its records stay there until somebody asks for them.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// `run_config.json` of the run.
    pub run_config: Value,
    /// Planned cases.
    pub planned: usize,
    journal: PathBuf,
    lines: Lines,
}

impl StoredRun {
    /// One dimension of the run's identity.
    pub fn identity(&self, dimension: &str) -> &Value {
        &self.run_config["fapo"]["identity"][dimension]
    }

    /// Cases that came to their end.
    pub fn completed(&self) -> usize {
        self.lines.count()
    }

    /// The latest record of each case that came to its end, in dataset order, one after the other.
    ///
    /// # Errors
    /// The journal is damaged, or was changed since the run was opened; named with its line.
    pub fn each(&self) -> Result<impl Iterator<Item = Result<CaseRecord, InputError>> + use<'_>, InputError> {
        self.lines.records(&self.journal)
    }

    /// All records at once, for those that must look at them together.
    ///
    /// # Errors
    /// As for one after the other.
    pub fn records(&self) -> Result<Vec<CaseRecord>, InputError> {
        self.each()?.collect()
    }

    /// What the run comes to, its failures explained where its cases are at hand.
    ///
    /// # Errors
    /// As for its records, and those of the cases.
    pub fn figures(&self, cases: Option<&dyn Cases>) -> Result<RunFigures, InputError> {
        let mut labels = Labels::default();
        for index in 0..cases.map_or(0, Cases::count) {
            cases.map_or(Ok(()), |cases| cases.at(index).map(|case| labels.add(&case)))?;
        }
        let (explainer, mut figures) = (Explainer::new(&labels), RunFigures::default());
        for record in self.each()? {
            let record = record?;
            let failed = cases.filter(|cases| record.composite() < PASSED && record.index < cases.count());
            let case = failed.map(|cases| cases.at(record.index)).transpose()?;
            let case = case.as_deref().filter(|case| case.case_id == record.case_id);
            let why = case.and_then(|case| explainer.explain(case, &record));
            why.into_iter().for_each(|why| figures.failures.add(why));
            figures.add(&record);
        }
        Ok(figures)
    }
}

/// Opens a run. Writes nothing and needs no lock.
///
/// # Errors
/// The folder holds no run, or its journal is damaged; named with its line.
pub fn read_run(folder: &Path) -> Result<StoredRun, InputError> {
    #[derive(Deserialize)]
    struct Of {
        index: usize,
    }
    let path = folder.join(JOURNAL);
    let found = journal::scan::<Of>(&path, |record| (record.index, true))?;
    let run_config = found.header.ok_or_else(|| {
        InputError::new(folder.display().to_string(), "holds no run")
            .hint("name the folder that `fapo eval` printed; it holds a journal.jsonl")
    })?;
    let planned = run_config["fapo"]["planned"].as_u64().and_then(|n| usize::try_from(n).ok());
    Ok(StoredRun { planned: planned.unwrap_or(found.lines.count()), run_config, journal: path, lines: found.lines })
}
