//! `fapo data import`: a publisher's file as cases, and its texts as a corpus.

use super::Exit;
use super::lines::{ImportLine, Line};
use super::printer::Printer;
use crate::import::{self, convert, jsonl};
use crate::place::{Place, read_text, unwritable};
use fapo_core::InputError;
use std::path::{Path, PathBuf};

/// Turn a dataset's own file into cases.
///
/// Cases go to tenants/<DATASET>/datasets/imported.jsonl unless --out names a file; passages, where the file brings
/// them, go where --corpus-out says. A file that stands is kept unless --overwrite is given.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo data import hotpotqa hotpot_dev_distractor_v1.json --limit 300")]
pub(super) struct Import {
    /// The dataset: hotpotqa.
    dataset: String,
    /// Its file.
    file: PathBuf,
    /// Where the cases go.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the passages go.
    #[arg(long, value_name = "FILE")]
    corpus_out: Option<PathBuf>,
    /// Only the first cases.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Replace files that stand.
    #[arg(long)]
    overwrite: bool,
}

impl Import {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if !import::datasets().any(|(name, _)| name == self.dataset) {
            convert(&self.dataset, "", "")?;
        }
        let file = self.file.display().to_string();
        let mut imported = convert(&self.dataset, &file, &read_text(&self.file)?)?;
        imported.cases.truncate(self.limit.unwrap_or(usize::MAX));
        if self.corpus_out.is_some() && imported.passages.is_empty() {
            return Err(InputError::new(file, "brings no texts, so there is no corpus to write")
                .hint("leave --corpus-out away and build the index from a corpus of its own"));
        }
        let out = self.out.unwrap_or_else(|| place.tenant(&self.dataset).join("datasets/imported.jsonl"));
        for path in [Some(&out), self.corpus_out.as_ref()].into_iter().flatten() {
            if path.exists() && !self.overwrite {
                return Err(InputError::new(path.display().to_string(), "stands already")
                    .hint("give --overwrite, or another --out"));
            }
        }
        write(&out, &jsonl(&imported.cases))?;
        if let Some(path) = &self.corpus_out {
            write(path, &jsonl(&imported.passages))?;
        }
        printer.text(&format!("{} cases, {}", imported.cases.len(), out.display()));
        if let Some(path) = &self.corpus_out {
            printer.text(&format!("{} passages, {}", imported.passages.len(), path.display()));
        }
        printer.line(&Line::Import(ImportLine {
            cases: imported.cases.len() as u64,
            dataset: out.display().to_string(),
            passages: self.corpus_out.as_ref().map(|_| imported.passages.len() as u64),
            corpus: self.corpus_out.map(|path| path.display().to_string()),
        }));
        Ok(Exit::Done)
    }
}

/// Writes a file as a whole.
fn write(path: &Path, text: &str) -> Result<(), InputError> {
    let failed = |e: std::io::Error| unwritable(path, &e);
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let temporary = path.with_extension("jsonl.tmp");
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(failed)
}
