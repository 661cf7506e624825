//! A dataset where it stands: every row is checked in one reading, and read again when its case is run.

use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::case::{Case, ROW_BYTES_MAX, no_case, read_row, repeated};
use fapo_core::digest::Hasher;
use fapo_core::ports::Cases;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

/// Longest dataset, bytes.
pub const DATASET_BYTES_MAX: u64 = 64 << 30;
/// Most keys of contexts that are counted.
const KEYS_MAX: usize = 1_000;

/// Which rows of a dataset are planned: those with these ids, or all where none is named, up to the limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Only the first of them.
    pub limit: Option<usize>,
    /// Only these cases; all where empty.
    pub case_ids: &'a [String],
}

/// The planned rows of a dataset. Of each row are kept where it stands and a check of its bytes, so that a file which is
/// changed while a run reads it is found out.
pub struct DatasetFile {
    name: String,
    file: Mutex<File>,
    rows: Vec<Row>,
    check: RandomState,
    digest: String,
    keys: ContextKeys,
}

struct Row {
    offset: u64,
    bytes: u32,
    check: u32,
}

/// How many cases have which keys in their context.
#[derive(Clone, Debug, Default)]
pub struct ContextKeys {
    /// All cases.
    pub cases: usize,
    /// By key; of the first thousand keys.
    pub with: BTreeMap<String, usize>,
}

impl ContextKeys {
    /// Of all these cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Self {
        let mut keys = ContextKeys::default();
        cases.into_iter().for_each(|case| keys.add(case));
        keys
    }

    fn add(&mut self, case: &Case) {
        self.cases += 1;
        for (name, _) in &case.context {
            let room = self.with.len() < KEYS_MAX;
            match self.with.get_mut(name) {
                Some(cases) => *cases += 1,
                None if room => drop(self.with.insert(name.clone(), 1)),
                None => {}
            }
        }
    }
}

impl DatasetFile {
    /// Opens a tenant's dataset and reads it once; `field` is where it was named.
    ///
    /// # Errors
    /// It is missing, a row is wrong or stands twice, or a wanted case is not in it; named with its line.
    pub fn open(folder: &TenantFolder, field: &str, path: &str, wanted: Wanted<'_>) -> Result<Self, InputError> {
        let file = folder.file(field, path, DATASET_BYTES_MAX)?;
        Self::read(path, file, wanted)
    }

    fn read(name: &str, file: File, wanted: Wanted<'_>) -> Result<Self, InputError> {
        let (mut rows, mut keys, check) = (Vec::new(), ContextKeys::default(), RandomState::new());
        let mut ids: Vec<u64> = Vec::new();
        let mut missing: Vec<&String> = wanted.case_ids.iter().collect();
        let limit = wanted.limit.unwrap_or(usize::MAX).max(1);
        let mut hasher = Hasher::default();
        let mut lines = Lines::new(name, &file);
        while let Some(Line { offset, number, bytes }) = lines.next_line()? {
            hasher.update(bytes);
            let line = text(name, number, bytes)?;
            let Some(case) = read_row(name, number, line)? else { continue };
            ids.push(check.hash_one(&case.case_id));
            missing.retain(|id| **id != case.case_id);
            let is_wanted = wanted.case_ids.is_empty() || wanted.case_ids.contains(&case.case_id);
            if is_wanted && rows.len() < limit {
                keys.add(&case);
                let check = check.hash_one(line) as u32;
                rows.push(Row { offset, bytes: line.len() as u32, check });
            }
        }
        if ids.is_empty() {
            return Err(no_case(name));
        }
        ids.sort_unstable();
        let twice: Vec<u64> = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        if !twice.is_empty() {
            refuse_repeated(name, &file, |id| twice.binary_search(&check.hash_one(id)).is_ok())?;
        }
        if let Some(unknown) = missing.first() {
            return Err(InputError::new(format!("{name}, case {unknown:?}"), "there is no such case")
                .hint("case ids are the `case_id` of the dataset's rows"));
        }
        rows.shrink_to_fit();
        Ok(DatasetFile { name: name.into(), file: Mutex::new(file), rows, check, digest: hasher.finish(), keys })
    }

    /// Digest of the file's bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Keys of the contexts of the planned cases.
    pub fn keys(&self) -> &ContextKeys {
        &self.keys
    }
}

impl Cases for DatasetFile {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn at(&self, index: usize) -> Result<Cow<'_, Case>, InputError> {
        let row = self.rows.get(index).ok_or_else(|| {
            InputError::new(
                format!("{}, row {}", self.name, index + 1),
                format!("{} rows are planned", self.rows.len()),
            )
            .hint("the run's journal was changed; start the run over with --fresh")
        })?;
        let mut bytes = vec![0; row.bytes as usize];
        let read = {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(row.offset)).and_then(|_| file.read_exact(&mut bytes))
        };
        let line = read.ok().and_then(|()| String::from_utf8(bytes).ok());
        let line = line.filter(|line| self.check.hash_one(line.as_str()) as u32 == row.check);
        let case = line.map(|line| read_row(&self.name, index + 1, &line)).transpose()?.flatten();
        case.map(Cow::Owned).ok_or_else(|| {
            InputError::new(format!("{}, row {}", self.name, index + 1), "was changed since the run began").hint(
                "what is finished is kept: bring the file back and the same command goes on, or start over with --fresh",
            )
        })
    }
}

/// The lines of a file with where they stand, each within the bounds of a row.
struct Lines<'a> {
    name: &'a str,
    reader: BufReader<&'a File>,
    line: Vec<u8>,
    offset: u64,
    number: usize,
}

/// A line of a file, its end included.
struct Line<'a> {
    /// Where it begins.
    offset: u64,
    /// From 1.
    number: usize,
    bytes: &'a [u8],
}

impl<'a> Lines<'a> {
    fn new(name: &'a str, file: &'a File) -> Self {
        Lines { name, reader: BufReader::with_capacity(1 << 16, file), line: Vec::new(), offset: 0, number: 0 }
    }

    /// The next line.
    fn next_line(&mut self) -> Result<Option<Line<'_>>, InputError> {
        self.offset += self.line.len() as u64;
        self.number += 1;
        self.line.clear();
        // A longer line is cut, and still too long for a row.
        let bound = ROW_BYTES_MAX as u64 + 2;
        let read = (&mut self.reader).take(bound).read_until(b'\n', &mut self.line);
        let wrong =
            |e: std::io::Error| InputError::new(self.name, e.to_string()).hint("mend the file or its permissions");
        Ok((read.map_err(wrong)? > 0).then_some(Line { offset: self.offset, number: self.number, bytes: &self.line }))
    }
}

/// A line without its end.
fn text<'a>(name: &str, number: usize, bytes: &'a [u8]) -> Result<&'a str, InputError> {
    let line = std::str::from_utf8(bytes).map_err(|e| {
        InputError::new(format!("{name}:{number}"), format!("is not UTF-8 at byte {} of the line", e.valid_up_to()))
            .hint("save the file as UTF-8")
    })?;
    let line = line.strip_suffix('\n').unwrap_or(line);
    Ok(line.strip_suffix('\r').unwrap_or(line))
}

/// Goes through the file once more for ids that stand twice, among those that `suspect` leaves.
fn refuse_repeated(name: &str, mut file: &File, suspect: impl Fn(&String) -> bool) -> Result<(), InputError> {
    let wrong = |e: std::io::Error| InputError::new(name, e.to_string()).hint("mend the file or its permissions");
    file.seek(SeekFrom::Start(0)).map_err(wrong)?;
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = Lines::new(name, file);
    while let Some(Line { number, bytes, .. }) = lines.next_line()? {
        let Some(case) = read_row(name, number, text(name, number, bytes)?)?.filter(|case| suspect(&case.case_id))
        else {
            continue;
        };
        if let Some(first) = first.get(&case.case_id) {
            return Err(repeated(name, &case.case_id, [*first, number]));
        }
        first.insert(case.case_id, number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::case::read_dataset;
    use std::io::Write;

    fn row(id: &str, question: &str) -> String {
        format!(
            r#"{{"case_id":"{id}","task_type":"qa","context":{{"question":"{question}"}},"expected":{{"answer":"Mara"}},"metadata":{{}}}}"#
        )
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    fn read(text: &str, wanted: Wanted<'_>) -> Result<DatasetFile, InputError> {
        DatasetFile::read("d.jsonl", file(text).reopen().expect("opens"), wanted)
    }

    #[test]
    fn what_is_read_row_by_row_is_what_is_read_as_a_whole() {
        let text = format!("\n{}\r\n\n{}\n{}", row("a", "Who?"), row("b", "Wo — där?"), row("c", ""));
        let whole = read_dataset("d.jsonl", &text).expect("reads");
        let rows = read(&text, Wanted::default()).expect("reads");
        assert_eq!((rows.all().expect("reads"), rows.digest()), (whole.cases, whole.digest.as_str()));
        assert_eq!((rows.keys().cases, &rows.keys().with), (3, &BTreeMap::from([("question".to_string(), 3)])));
    }

    #[test]
    fn only_what_is_wanted_is_planned_and_all_is_checked() {
        let text = format!("{}\n{}\n{}\n", row("a", "1"), row("b", "2"), row("c", "3"));
        let ids = |wanted: Wanted<'_>| -> Vec<String> {
            let all = read(&text, wanted).expect("reads").all().expect("reads");
            all.into_iter().map(|case| case.case_id).collect()
        };
        assert_eq!(ids(Wanted { limit: Some(2), case_ids: &[] }), ["a", "b"]);
        assert_eq!(ids(Wanted { limit: Some(0), case_ids: &[] }), ["a"]);
        assert_eq!(ids(Wanted { limit: None, case_ids: &["c".into(), "a".into()] }), ["a", "c"]);
        let refuses = |text: &str, wanted, want: &str| {
            let error = read(text, wanted).err().expect("refused").to_string();
            assert!(error.contains(want), "{error} should hold {want}");
        };
        let two = ["a".to_string(), "z".to_string()];
        refuses(&text, Wanted { limit: None, case_ids: &two }, "case \"z\": there is no such case");
        let first = Wanted { limit: Some(1), case_ids: &[] };
        refuses(&format!("{text}{}\n", row("b", "4")), first, "d.jsonl:4: case_id \"b\" stands already on line 2");
        refuses(&format!("{text}{{"), first, "d.jsonl:4: not JSON");
        refuses(" \n", first, "no case in this file");
        refuses(&format!("{}\n", "x".repeat(ROW_BYTES_MAX + 9)), first, "at most 4194304 are read");
    }

    #[test]
    fn keys_of_other_names_in_every_row_are_not_all_counted() {
        let rows: String = (0..KEYS_MAX + 5)
            .map(|n| row(&format!("c{n}"), "Who?").replace("question", &format!("key-{n}")) + "\n")
            .collect();
        let keys = read(&rows, Wanted::default()).expect("reads").keys().clone();
        assert_eq!((keys.cases, keys.with.len()), (KEYS_MAX + 5, KEYS_MAX));
    }

    #[test]
    fn a_row_that_is_changed_after_the_reading_is_found_out() {
        let text = format!("{}\n{}\n", row("a", "one"), row("b", "two"));
        let file = file(&text);
        let rows = DatasetFile::read("d.jsonl", file.reopen().expect("opens"), Wanted::default()).expect("reads");
        std::fs::write(file.path(), text.replace("two", "six")).expect("written");
        assert_eq!(rows.at(0).expect("as it was").case_id, "a");
        let error = rows.at(1).expect_err("changed");
        assert!(error.to_string().contains("d.jsonl, row 2: was changed since the run began"), "{error}");
        std::fs::write(file.path(), row("a", "one")).expect("written");
        assert!(rows.at(1).is_err(), "cut off");
        assert!(rows.at(2).expect_err("there are two").to_string().contains("2 rows are planned"));
    }
}
