//! A run's journal: a header and a line for each finished case, from which everything else can be made again.
//!
//! Records stay on disk: of each it is known where its line stands, and it is read from there.

use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// Name of the journal in a run's folder.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// What a journal holds.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// `run_config.json` of the run; None where nothing whole was written yet.
    pub(crate) header: Option<Value>,
    /// Where the records stand.
    pub(crate) lines: Lines,
    /// Bytes after the last whole line, torn by a stop.
    pub(crate) torn: u64,
}

/// Where the latest record of each case stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    /// Bytes of whole lines.
    end: u64,
}

/// One record's line.
#[derive(Clone, Copy, Debug)]
struct Line {
    offset: u64,
    /// 0 of a record that stands for nothing, and for no earlier one of its case either.
    bytes: u32,
    index: u32,
}

impl Lines {
    /// Bytes of whole lines.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Records that stand.
    pub(crate) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Positions in the run of the cases with a record, ascending.
    pub(crate) fn indexes(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().map(|line| line.index as usize)
    }

    /// A line of this many bytes that is no record.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.end += bytes as u64;
    }

    /// The next line: the record of a case, which stands or not. None where it is too large to be one of a run's.
    pub(crate) fn add(&mut self, index: usize, bytes: usize, stands: bool) -> Option<()> {
        let (index, length) = (u32::try_from(index).ok()?, u32::try_from(bytes).ok()?);
        self.lines.push(Line { offset: self.end, bytes: if stands { length } else { 0 }, index });
        self.end += bytes as u64;
        Some(())
    }

    /// Puts lines in the order of their cases, the last of each case.
    pub(crate) fn settle(&mut self) {
        self.lines.sort_unstable_by_key(|line| (line.index, line.offset));
        self.lines.dedup_by(|later, kept| {
            let same = later.index == kept.index;
            if same {
                *kept = *later;
            }
            same
        });
        self.lines.retain(|line| line.bytes > 0);
    }

    /// The records, as they stand in the journal at `path`.
    ///
    /// # Errors
    /// The journal cannot be opened; later, it was changed.
    pub(crate) fn records(
        &self,
        path: &Path,
    ) -> Result<impl Iterator<Item = Result<CaseRecord, InputError>> + use<'_>, InputError> {
        let path = path.to_path_buf();
        let mut file = match File::open(&path) {
            Ok(file) => Some(file),
            Err(_) if self.lines.is_empty() => None,
            Err(e) => return Err(unreadable(&path, &e)),
        };
        let mut bytes = Vec::new();
        Ok(self.lines.iter().map(move |line| {
            let file = file.as_mut().ok_or_else(|| changed(&path))?;
            bytes.resize(line.bytes as usize, 0);
            let read = file.seek(SeekFrom::Start(line.offset)).and_then(|_| file.read_exact(&mut bytes));
            read.map_err(|_| changed(&path))?;
            let number = || line_number(&path, line.offset);
            serde_json::from_slice::<Kept<CaseRecord>>(&bytes)
                .map(|kept| kept.record)
                .map_err(|e| wrong(&path, number(), &e))
        }))
    }
}

/// A record as its line has it, whole or in part.
#[derive(Deserialize)]
struct Kept<T> {
    record: T,
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
pub(crate) fn case_line(record: &CaseRecord) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        kind: &'static str,
        record: &'a CaseRecord,
    }
    // Not by way of a value: that would copy every text of the record.
    let mut line = Vec::with_capacity(4 << 10);
    serde_json::to_writer(&mut line, &Line { kind: "case", record }).expect("a record is texts and finite numbers");
    line.push(b'\n');
    line
}

/// Goes through a journal once. `T` is as much of a record as one wants to see of it; `of` says which case it is of
/// and whether it stands.
///
/// A case may stand several times: one that ended with a fault of the infrastructure is run again by the next start,
/// and its later line counts.
///
/// # Errors
/// A whole line is no journal line, or the file cannot be read.
pub(crate) fn scan<T: DeserializeOwned>(
    path: &Path,
    mut of: impl FnMut(&T) -> (usize, bool),
) -> Result<Journal, InputError> {
    let mut journal = Journal::default();
    let file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(journal),
        file => file.map_err(|e| unreadable(path, &e))?,
    };
    let (mut reader, mut line) = (BufReader::new(file), Vec::new());
    for number in 1.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(|e| unreadable(path, &e))?;
        if line.last() != Some(&b'\n') {
            journal.torn = read as u64;
            break;
        }
        if number == 1 {
            journal.header = Some(serde_json::from_slice(&line).map_err(|e| wrong(path, number, &e))?);
            journal.lines.pass(read);
            continue;
        }
        let kept: Kept<T> = serde_json::from_slice(&line).map_err(|e| wrong(path, number, &e))?;
        let (index, stands) = of(&kept.record);
        let added = journal.lines.add(index, read, stands);
        added.ok_or_else(|| wrong(path, number, &"its case is beyond any run"))?;
    }
    journal.lines.settle();
    Ok(journal)
}

fn wrong(path: &Path, number: usize, why: &dyn std::fmt::Display) -> InputError {
    InputError::new(format!("{}:{number}", path.display()), format!("is no journal line: {why}"))
        .hint("the file was changed or damaged; start the run over with --fresh")
}

fn changed(path: &Path) -> InputError {
    InputError::new(path.display().to_string(), "was changed while it was read")
        .hint("somebody started the run over; ask again")
}

fn unreadable(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string()).hint("mend the permissions, then run the same command")
}

/// The number of the line at a place, from 1.
fn line_number(path: &Path, offset: u64) -> usize {
    let before = File::open(path).map(|file| BufReader::new(file.take(offset)).split(b'\n').count());
    before.unwrap_or_default() + 1
}
