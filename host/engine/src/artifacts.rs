//! A run's folder: the journal while it runs, the original's artefacts at its end. Only this module writes them.

use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// An open run folder; nobody else can write to it while it lives.
pub struct RunFolder {
    folder: PathBuf,
    journal: fs::File,
    _lock: fs::File,
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command: finished cases are kept")
}

impl RunFolder {
    /// Opens or makes a folder for the run with this identity, and reads the cases already finished in it.
    ///
    /// The header returned is the one the run began with, so that a continued run keeps its id. A journal line torn by a
    /// stop is cut off.
    ///
    /// # Errors
    /// Another process writes to it, it holds a run of another identity, or it cannot be written.
    pub fn open(folder: &Path, header: &Value) -> Result<(Self, Value, Vec<CaseRecord>), InputError> {
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let lock_path = folder.join(LOCK);
        let lock = fs::File::create(&lock_path).map_err(|e| failed(&lock_path, &e))?;
        if lock.try_lock().is_err() {
            return Err(InputError::new(folder.display().to_string(), "another process is writing this run")
                .hint("wait for it, or choose another --work folder"));
        }
        let path = folder.join(JOURNAL);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(failed(&path, &e)),
        };
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let (head, records) = read_journal(&path, &bytes[..whole])?;
        let journal = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(|e| failed(&path, &e))?;
        if whole < bytes.len() {
            journal.set_len(whole as u64).map_err(|e| failed(&path, &e))?;
        }
        let mut run = RunFolder { folder: folder.to_path_buf(), journal, _lock: lock };
        let begun = match head {
            None => {
                run.append(header)?;
                header.clone()
            }
            Some(found) if found["identity"] == header["identity"] => found,
            Some(_) => {
                return Err(InputError::new(folder.display().to_string(), "holds a run of another identity")
                    .hint("choose another output_dir, or remove the folder"));
            }
        };
        Ok((run, begun, records))
    }

    fn append(&mut self, value: &Value) -> Result<(), InputError> {
        let line = format!("{value}\n");
        self.journal.write_all(line.as_bytes()).map_err(|e| failed(&self.folder.join(JOURNAL), &e))
    }

    /// Journals a finished case.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn finished(&mut self, record: &CaseRecord) -> Result<(), InputError> {
        self.append(&json!({"kind": "case", "record": record}))
    }

    /// Replaces one of the run's files as a whole.
    ///
    /// # Errors
    /// It cannot be written; the old file then still stands.
    pub fn replace(&self, name: &str, text: &str) -> Result<(), InputError> {
        let (path, temporary) = (self.folder.join(name), self.folder.join(format!("{name}.tmp")));
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|e| failed(&path, &e))
    }
}

type Journal = (Option<Value>, Vec<CaseRecord>);

fn read_journal(path: &Path, bytes: &[u8]) -> Result<Journal, InputError> {
    let text = String::from_utf8_lossy(bytes);
    let (mut head, mut records) = (None, Vec::new());
    for (at, line) in text.lines().enumerate() {
        let wrong = |e: serde_json::Error| {
            InputError::new(format!("{}:{}", path.display(), at + 1), format!("is no journal line: {e}"))
                .hint("remove the run's folder to start it over")
        };
        let mut value: Value = serde_json::from_str(line).map_err(wrong)?;
        if at == 0 {
            head = Some(value);
        } else {
            records.push(serde_json::from_value(value["record"].take()).map_err(wrong)?);
        }
    }
    Ok((head, records))
}

/// The text of `results.jsonl`: a row a case, in dataset order.
pub fn results(records: &[CaseRecord]) -> String {
    records.iter().map(|record| format!("{}\n", record.result_row())).collect()
}

/// The text of `summary.md`, without the attribution table.
pub fn summary(records: &[CaseRecord]) -> String {
    use fapo_core::stats::{median, quantile_nearest_rank};
    let n = records.len().max(1) as f64;
    let failures = records.iter().filter(|r| r.fault.is_some()).count();
    let mut text = format!(
        "# Evaluation Summary\n\nTotal cases: {}\nSuccessful cases: {}\nInfrastructure failures: {}\n\n## Composite Score\n- average: {:.2}\n",
        records.len(),
        records.len() - failures,
        failures,
        records.iter().map(CaseRecord::composite).sum::<f64>() / n
    );
    let averages = breakdown_averages(records);
    if !averages.is_empty() {
        text.push_str("\n## Score Breakdown\n");
        for (name, mean) in &averages {
            text.push_str(&format!("- {name}: {mean:.2}\n"));
        }
    }
    let mut steps: Vec<(String, Vec<f64>)> = Vec::new();
    let mut totals = Vec::new();
    for record in records {
        totals.push(record.steps.iter().map(|t| t.seconds).sum());
        for timed in &record.steps {
            let name = &timed.step.id.node;
            match steps.iter_mut().find(|(seen, _)| seen == name) {
                Some((_, times)) => times.push(timed.seconds),
                None => steps.push((name.clone(), vec![timed.seconds])),
            }
        }
    }
    steps.push(("**Total**".into(), totals));
    text.push_str(
        "\n## Step Timings\n\n| Step | Avg (s) | P50 (s) | P95 (s) |\n|------|---------|---------|---------|\n",
    );
    for (name, mut times) in steps {
        times.sort_by(f64::total_cmp);
        let cells = [
            times.iter().sum::<f64>() / times.len().max(1) as f64,
            median(&times),
            quantile_nearest_rank(&times, 0.95),
        ];
        let shown: Vec<String> = cells
            .iter()
            .map(|c| if name.starts_with('*') { format!("**{c:.3}**") } else { format!("{c:.3}") })
            .collect();
        text.push_str(&format!("| {name} | {} |\n", shown.join(" | ")));
    }
    text
}

/// Mean of each metric over all cases, a case without it as 0; names sorted.
pub fn breakdown_averages(records: &[CaseRecord]) -> std::collections::BTreeMap<String, f64> {
    let mut sums = std::collections::BTreeMap::new();
    for (name, value) in records.iter().filter_map(|r| r.score.as_ref()).flat_map(|s| s.breakdown()) {
        *sums.entry(name.clone()).or_insert(0.0) += value;
    }
    sums.values_mut().for_each(|sum| *sum /= records.len() as f64);
    sums
}
