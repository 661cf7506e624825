//! A run's folder while it is written: one writer, the journal, files replaced as a whole.

use crate::journal::{self, JOURNAL, Lines};
use crate::spending::Spent;
use fapo_core::InputError;
use fapo_core::ports::{RunFiles, WriteOut};
use fapo_core::run::{CaseEnd, CaseRecord, PASSED};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LOCK: &str = "lock";

/// Files that a finished run leaves; a run that starts over removes them.
pub(crate) const ARTEFACTS: [&str; 4] = ["results.jsonl", "run_config.json", "summary.md", "progress.json"];

/// What becomes of the cases that an earlier start of a run finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Earlier {
    /// They stand, but for faults of the infrastructure.
    #[default]
    Stand,
    /// All of them are forgotten.
    Forgotten,
    /// Those that one of these means are run again as well; the old record counts until the new one is written.
    Again(Vec<Retry>),
}

/// Cases to run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Every case with a fault.
    Errors,
    /// Every case below 100, those with a fault among them.
    Failed,
    /// This case.
    Case(String),
}

impl Earlier {
    pub(crate) fn again(&self, record: &CaseRecord) -> bool {
        let Earlier::Again(which) = self else { return false };
        which.iter().any(|retry| match retry {
            Retry::Errors => record.fault.is_some(),
            Retry::Failed => record.composite() < PASSED,
            Retry::Case(id) => record.case_id == *id,
        })
    }
}

/// An open run folder; nobody else can write to it while it lives.
pub(crate) struct RunFolder {
    folder: PathBuf,
    files: Arc<dyn RunFiles>,
    lines: Mutex<Lines>,
    _lock: fs::File,
}

/// What an opened folder held already.
pub(crate) struct Begun {
    /// The header that the run began with: a continued run keeps its id.
    pub(crate) header: Value,
    /// What earlier starts cost, whether their records stand or not.
    pub(crate) spent: Spent,
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command: finished cases are kept")
}

impl RunFolder {
    /// Opens or makes a folder for the run with this header. Records in it that stand are kept; cases with a fault of the
    /// infrastructure and those that are run again are not among them.
    ///
    /// A journal line torn by a stop is cut off.
    ///
    /// # Errors
    /// Another process writes to it, it holds a run of another identity, or it cannot be written.
    pub(crate) fn open(
        folder: &Path,
        files: &Arc<dyn RunFiles>,
        header: &Value,
        earlier: &Earlier,
    ) -> Result<(Self, Begun), InputError> {
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let lock_path = folder.join(LOCK);
        let lock = fs::File::create(&lock_path).map_err(|e| failed(&lock_path, &e))?;
        if lock.try_lock().is_err() {
            return Err(InputError::new(folder.display().to_string(), "another process is writing this run")
                .hint("wait for it, or choose another --output-dir"));
        }
        if *earlier == Earlier::Forgotten {
            // The journal last: as long as it stands, the old run can be continued.
            for name in ARTEFACTS.into_iter().chain([JOURNAL]) {
                let path = folder.join(name);
                files.remove(&path).map_err(|e| failed(&path, &e))?;
            }
        }
        let path = folder.join(JOURNAL);
        let mut spent = Spent::default();
        let found = journal::scan(&path, |record: &CaseRecord| {
            spent.add(record);
            (record.index, stands(record) && !earlier.again(record))
        })?;
        if found.torn > 0 {
            files.truncate(&path, found.lines.end()).map_err(|e| failed(&path, &e))?;
        }
        let run = RunFolder {
            folder: folder.to_path_buf(),
            files: Arc::clone(files),
            lines: Mutex::new(found.lines),
            _lock: lock,
        };
        let header = match found.header {
            None => {
                let line = journal::header_line(header);
                run.append(line.as_bytes())?;
                run.lines().pass(line.len());
                header.clone()
            }
            Some(begun) if journal::identity(&begun) == journal::identity(header) => begun,
            Some(begun) => return Err(other_identity(folder, &begun, header)),
        };
        Ok((run, Begun { header, spent }))
    }

    /// Appends the lines of finished cases and makes them durable: one sync for all of them.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn finished(&self, cases: &[(CaseEnd, Vec<u8>)]) -> Result<(), InputError> {
        let text = cases.iter().map(|(_, line)| line.as_slice()).collect::<Vec<_>>().concat();
        self.append(&text)?;
        let mut lines = self.lines();
        for (end, line) in cases {
            let large = || InputError::new(&end.case_id, "its record is too large for a journal");
            lines.add(end.index, line.len(), true).ok_or_else(large)?;
        }
        Ok(())
    }

    /// Where the records stand, the latest of each case and in dataset order.
    pub(crate) fn settled(&self) -> MutexGuard<'_, Lines> {
        let mut lines = self.lines();
        lines.settle();
        lines
    }

    /// The journal's path.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) -> Result<(), InputError> {
        let path = self.journal();
        self.files.append(&path, bytes).and_then(|()| self.files.sync(&path)).map_err(|e| failed(&path, &e))
    }

    /// Replaces one of the run's files as a whole.
    ///
    /// # Errors
    /// It cannot be written; the old file then still stands.
    pub(crate) fn replace(&self, name: &str, text: &str) -> Result<(), InputError> {
        let path = self.folder.join(name);
        self.files.replace(&path, text.as_bytes()).map_err(|e| failed(&path, &e))
    }

    /// As [`replace`](Self::replace), by what `write` puts out.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn replace_with(&self, name: &str, write: &mut WriteOut<'_>) -> Result<(), InputError> {
        let path = self.folder.join(name);
        self.files.replace_with(&path, write).map_err(|e| failed(&path, &e))
    }
}

/// Whether a record needs no further start: a fault of the infrastructure says nothing about the variant.
pub(crate) fn stands(record: &CaseRecord) -> bool {
    record.fault.as_ref().is_none_or(|fault| !fault.is_infrastructure())
}

/// Bytes of a log; none where there is none.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(path, &e)),
        Ok(bytes) => Ok(bytes),
    }
}

fn other_identity(folder: &Path, begun: &Value, header: &Value) -> InputError {
    let (old, new) = (&begun["fapo"]["identity"], &header["fapo"]["identity"]);
    let differ: Vec<&str> = new
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| old[name.as_str()] != **value)
        .map(|(name, _)| name.as_str())
        .collect();
    let why = if differ.is_empty() { String::new() } else { format!(" (it differs in {})", differ.join(", ")) };
    InputError::new(folder.display().to_string(), format!("holds a run of another identity{why}"))
        .hint("keep it and choose another --output-dir, or start over with --fresh")
}
