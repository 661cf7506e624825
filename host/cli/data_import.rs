//! `fapo data import`: a publisher's files as cases of a tenant, and their texts as a corpus.

use super::Exit;
use super::lines::{ImportLine, ImportedFile, Line};
use super::printer::Printer;
use crate::import::{Imported, Leaks, Request, import, target_name};
use crate::place::{Place, unwritable};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Turn a publisher's files into cases of a tenant.
///
/// The tenant's converter reads them in its sandbox. The cases come in the splits of the publication, as train.jsonl,
/// validation.jsonl and test.jsonl, or with --no-splits as all.jsonl; passages, where the files bring them, go where
/// --corpus-out says. A file that stands is kept unless --overwrite is given.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo data import ctibench_rcm cti-rcm.tsv --leaks drop\n         \
    fapo data import hotpotqa hotpot_dev_distractor_v1.json --no-splits --limit 300 --corpus-out corpus.jsonl")]
pub(super) struct Import {
    /// The tenant whose converter reads the files.
    tenant: String,
    /// The publisher's files, all that belong together.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the cases; tenants/<TENANT>/datasets/imported where absent.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// All cases in the order of the files, in one file.
    #[arg(long)]
    no_splits: bool,
    /// Where the passages go.
    #[arg(long, value_name = "FILE")]
    corpus_out: Option<PathBuf>,
    /// Only the first cases of each split.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// What is done with cases whose inputs stand in two splits.
    #[arg(long, value_enum, default_value_t = Leaks::Refuse)]
    leaks: Leaks,
    /// Take a file that differs from the known one of its name.
    #[arg(long)]
    unverified: bool,
    /// Replace files that stand.
    #[arg(long)]
    overwrite: bool,
}

impl Import {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let folder = TenantFolder::open(&place.root, &self.tenant)?;
        let operator = place.read_operator()?;
        let out = self.out.clone().unwrap_or_else(|| place.tenant(&self.tenant).join("datasets/imported"));
        if let Some(path) = &self.corpus_out {
            self.free(path)?;
        }
        let request = Request {
            folder: &folder,
            files: &self.files,
            splits: !self.no_splits,
            unverified: self.unverified,
            leaks: self.leaks,
        };
        let imported = match &self.corpus_out {
            None => import(place, &operator, &request, None).await?,
            Some(path) => self.with_corpus(place, &operator, &request, path).await?,
        };
        let files = self.write(&out, &imported)?;
        for file in &files {
            printer.text(&format!("{} cases, {}", file.cases, file.path));
        }
        if let Some(path) = &self.corpus_out {
            printer.text(&format!("{} passages, {}", imported.passages, path.display()));
        }
        if imported.leaks > 0 {
            let done = if self.leaks == Leaks::Drop { "left out of the earlier one" } else { "kept in both" };
            printer.text(&format!("{} cases have equal inputs in another split and were {done}", imported.leaks));
        }
        for file in self.files.iter().filter_map(|path| path.file_name()?.to_str()) {
            let known = imported.verified.iter().any(|name| name == file);
            printer.text(&format!("{file}: {}", if known { "is the known file" } else { "its bytes are not known" }));
        }
        printer.line(&Line::Import(ImportLine {
            files,
            verified: imported.verified,
            leaks: imported.leaks as u64,
            passages: self.corpus_out.as_ref().map(|_| imported.passages),
            corpus: self.corpus_out.map(|path| path.display().to_string()),
        }));
        Ok(Exit::Done)
    }

    /// Imports with the passages written beside, and put in their place at the end.
    async fn with_corpus(
        &self,
        place: &Place,
        operator: &fapo_core::grants::OperatorFile,
        request: &Request<'_>,
        path: &Path,
    ) -> Result<Imported, InputError> {
        let failed = |e: std::io::Error| unwritable(path, &e);
        make_parent(path)?;
        let temporary = path.with_extension("jsonl.tmp");
        let mut writer = BufWriter::new(std::fs::File::create(&temporary).map_err(failed)?);
        let imported = import(place, operator, request, Some((path, &mut writer))).await;
        let flushed = writer.flush().map_err(failed);
        drop(writer);
        match imported.and_then(|imported| flushed.map(|()| imported)) {
            Ok(imported) if imported.passages > 0 => {
                std::fs::rename(&temporary, path).map_err(failed)?;
                Ok(imported)
            }
            ended => {
                let _ = std::fs::remove_file(&temporary);
                ended.and_then(|_| {
                    Err(InputError::new(path.display().to_string(), "the files bring no texts, so there is no corpus")
                        .hint("leave --corpus-out away and build the index from a corpus of its own"))
                })
            }
        }
    }

    /// Writes each split; none is written where one stands.
    fn write(&self, out: &Path, imported: &Imported) -> Result<Vec<ImportedFile>, InputError> {
        let path_of = |target| out.join(format!("{}.jsonl", target_name(target)));
        for target in imported.cases.keys() {
            self.free(&path_of(*target))?;
        }
        let mut files = Vec::new();
        for (target, cases) in &imported.cases {
            let path = path_of(*target);
            let cases = &cases[..cases.len().min(self.limit.unwrap_or(usize::MAX))];
            make_parent(&path)?;
            let text: String = cases.iter().map(|case| format!("{case}\n")).collect();
            let temporary = path.with_extension("jsonl.tmp");
            let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path));
            written.map_err(|e| unwritable(&path, &e))?;
            files.push(ImportedFile {
                split: target_name(*target).into(),
                cases: cases.len() as u64,
                path: path.display().to_string(),
            });
        }
        Ok(files)
    }

    fn free(&self, path: &Path) -> Result<(), InputError> {
        if path.exists() && !self.overwrite {
            return Err(InputError::new(path.display().to_string(), "stands already")
                .hint("give --overwrite, or another --out"));
        }
        Ok(())
    }
}

fn make_parent(path: &Path) -> Result<(), InputError> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e)),
        None => Ok(()),
    }
}
