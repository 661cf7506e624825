//! A publisher's files as cases: the tenant's converter reads them in its sandbox, the host checks what comes out.

use crate::components;
use crate::place::{Place, unreadable, unwritable};
use crate::plan::{sandbox, sandbox_error};
use crate::tenant_folder::TenantFolder;
use fapo_core::case::{Case, read_dataset};
use fapo_core::fault::Fault;
use fapo_core::grants::OperatorFile;
use fapo_core::limits::Limits;
use fapo_core::tenant::TenantManifest;
use fapo_core::{InputError, digest};
use fapo_sandbox::{Conversion, Target};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a file that a converter gets at one time.
const PIECE_BYTES: usize = 1 << 20;

/// Leaks that an error names.
const LEAKS_SHOWN: usize = 5;

/// What is done with a case whose inputs stand in another split too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Leaks {
    /// Nothing is imported.
    Refuse,
    /// The case stays where it is held back most: in test before validation, in validation before train.
    Drop,
    /// The splits stay as they are published.
    Keep,
}

/// What is imported.
pub struct Request<'a> {
    /// The tenant whose converter reads.
    pub folder: &'a TenantFolder,
    /// Files of the publisher.
    pub files: &'a [PathBuf],
    /// Whether the cases come in the splits of the publication, or as they stand.
    pub splits: bool,
    /// Whether a file may differ from the known one of its name.
    pub unverified: bool,
    /// What is done with cases that stand in two splits.
    pub leaks: Leaks,
}

/// Where passages go as they come.
struct Corpus<'a> {
    out: Option<&'a mut dyn Write>,
    path: &'a Path,
    titles: HashSet<String>,
}

/// Cases made of a publisher's files, checked.
#[derive(Debug, Default)]
pub struct Imported {
    /// Cases by target, in the order in which they came.
    pub cases: BTreeMap<Target, Vec<Value>>,
    /// Passages that went to the corpus, of each title the first.
    pub passages: u64,
    /// Files whose bytes are those that the converter knows.
    pub verified: Vec<String>,
    /// Cases that stood in two splits: dropped or kept, as asked.
    pub leaks: usize,
}

impl Imported {
    /// Cases of a target as JSONL.
    pub fn jsonl(&self, target: Target) -> String {
        self.cases.get(&target).into_iter().flatten().map(|row| format!("{row}\n")).collect()
    }
}

/// The name of a target, as its file has it.
pub fn target_name(target: Target) -> &'static str {
    match target {
        Target::Train => "train",
        Target::Validation => "validation",
        Target::Test => "test",
        Target::All => "all",
        Target::Corpus => "corpus",
    }
}

/// Reads files through a tenant's converter; passages go to `corpus`, named with its path, or are left out.
///
/// # Errors
/// The tenant has no converter; a file cannot be read, is another than the known one of its name, or has a wrong
/// record; a row is no case; a case stands twice, or in two splits where that is refused.
pub async fn import(
    place: &Place,
    operator: &OperatorFile,
    request: &Request<'_>,
    corpus: Option<(&Path, &mut dyn Write)>,
) -> Result<Imported, InputError> {
    let manifest = request.folder.manifest()?;
    let mut conversion = begin(place, operator, request.folder, &manifest).await?;
    let subject = format!("tenant {}, converter component", manifest.id);
    let failed = |fault: Fault| in_converter(&subject, fault);
    let described = conversion.describe().await.map_err(failed)?;
    let mut imported = Imported::default();
    let mut corpus = match corpus {
        Some((path, out)) => Corpus { out: Some(out), path, titles: HashSet::new() },
        None => Corpus { out: None, path: Path::new(""), titles: HashSet::new() },
    };
    for path in request.files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = path.display().to_string();
        if let Some((_, known)) = described.known.iter().find(|(known, _)| *known == name) {
            let found = digest::of_reader(std::fs::File::open(path).map_err(|e| unreadable(path, &e))?)
                .map_err(|e| unreadable(path, &e))?;
            let same = found.strip_prefix("sha256:") == Some(known.as_str());
            if !same && !request.unverified {
                return Err(InputError::new(
                    shown,
                    format!("has the digest {found}, the known file has sha256:{known}"),
                )
                .hint("fetch the version that the tenant's docs name, or give --unverified"));
            }
            if same {
                imported.verified.push(name.clone());
            }
        }
        let mut file = std::fs::File::open(path).map_err(|e| unreadable(path, &e))?;
        let mut piece = next_piece(&mut file, path)?;
        loop {
            let following = next_piece(&mut file, path)?;
            let last = following.is_empty();
            let read = conversion.read(&name, &piece, last).await.map_err(failed)?;
            read.map_err(|why| InputError::new(&shown, why).hint(format!("the converter reads {}", described.reads)))?;
            drain(&mut conversion, &subject, &mut imported, &mut corpus).await?;
            if last {
                break;
            }
            piece = following;
        }
    }
    let finished = conversion.finish(request.splits).await.map_err(failed)?;
    finished.map_err(|why| InputError::new(files(request.files), why))?;
    drain(&mut conversion, &subject, &mut imported, &mut corpus).await?;
    check(&mut imported, &files(request.files), request.leaks)?;
    Ok(imported)
}

/// Cases of the given files as they stand, for scoring; with their digest.
///
/// # Errors
/// As for [`import`].
pub async fn cases(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
    paths: &[PathBuf],
) -> Result<(Vec<Case>, String), InputError> {
    let request = Request { folder, files: paths, splits: false, unverified: true, leaks: Leaks::Keep };
    let imported = import(place, operator, &request, None).await?;
    let dataset = read_dataset(&files(paths), &imported.jsonl(Target::All))?;
    Ok((dataset.cases, dataset.digest))
}

/// What a tenant's converter says it reads; None where the tenant has none.
///
/// # Errors
/// Its component is missing, is no converter, traps or passes a limit.
pub async fn reads(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
) -> Result<Option<String>, InputError> {
    let manifest = folder.manifest()?;
    if manifest.converter.is_none() {
        return Ok(None);
    }
    let mut conversion = begin(place, operator, folder, &manifest).await?;
    let described = conversion.describe().await;
    let subject = format!("tenant {}, converter component", manifest.id);
    described.map(|described| Some(described.reads)).map_err(|fault| in_converter(&subject, fault))
}

async fn begin(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
    manifest: &TenantManifest,
) -> Result<Conversion, InputError> {
    let Some(converter) = &manifest.converter else {
        return Err(InputError::new(format!("tenants/{}/tenant.toml", manifest.id), "the tenant has no converter")
            .hint(
                "give cases in the project's own shape, or implement the SDK's Converter and name its component under \
             [converter]",
            ));
    };
    let limits = Limits::effective(&operator.limits, &manifest.requests.limits, &manifest.id)?;
    let bytes = components::one(place, operator, folder, "converter", &converter.component)?;
    let subject = format!("tenant {}, converter component", manifest.id);
    let component = sandbox(place, 1, 0)?.converter(bytes, limits).await.map_err(|e| sandbox_error(&subject, &e))?;
    component.begin().await.map_err(|fault| in_converter(&subject, fault))
}

fn in_converter(subject: &str, fault: Fault) -> InputError {
    let error = InputError::new(subject, fault.message);
    match fault.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Names of files, for people.
pub fn files(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    names.join(", ")
}

fn next_piece(file: &mut std::fs::File, path: &Path) -> Result<Vec<u8>, InputError> {
    let mut piece = Vec::new();
    file.take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(|e| unreadable(path, &e))?;
    Ok(piece)
}

/// Takes the rows that are ready; each has to be an object.
async fn drain(
    conversion: &mut Conversion,
    subject: &str,
    imported: &mut Imported,
    corpus: &mut Corpus<'_>,
) -> Result<(), InputError> {
    while let Some((target, lines)) = conversion.take().await.map_err(|fault| in_converter(subject, fault))? {
        for line in lines.lines() {
            let row: Value = serde_json::from_str(line)
                .map_err(|e| InputError::new(subject, format!("a row for {} is no JSON: {e}", target_name(target))))?;
            if target == Target::Corpus {
                imported.passages += u64::from(corpus.add(subject, &row)?);
            } else {
                imported.cases.entry(target).or_default().push(row);
            }
        }
    }
    Ok(())
}

impl Corpus<'_> {
    /// Writes a passage whose title is new; whether it was.
    fn add(&mut self, subject: &str, row: &Value) -> Result<bool, InputError> {
        let (Some(title), true) = (row["title"].as_str(), row["text"].is_string()) else {
            return Err(InputError::new(subject, "made a passage without title and text"));
        };
        let Some(out) = &mut self.out else { return Ok(false) };
        let new = self.titles.insert(title.to_string());
        if new {
            writeln!(out, "{row}").map_err(|e| unwritable(self.path, &e))?;
        }
        Ok(new)
    }
}

/// Holds the rows to be cases, each standing once, none in two splits.
fn check(imported: &mut Imported, files: &str, leaks: Leaks) -> Result<(), InputError> {
    let mut seen: BTreeMap<String, Target> = BTreeMap::new();
    for (target, rows) in &imported.cases {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let named = format!("{files}, cases for {}", target_name(*target));
        for case in read_dataset(&named, &lines)?.cases {
            if let Some(other) = seen.insert(case.case_id.clone(), *target) {
                return Err(InputError::new(
                    format!("{files}, case {:?}", case.case_id),
                    format!("stands in {} and in {}", target_name(other), target_name(*target)),
                )
                .hint("take one of the two rows out"));
            }
        }
    }
    let found = leaking(&imported.cases);
    imported.leaks = found.len();
    match leaks {
        Leaks::Keep => Ok(()),
        Leaks::Drop => {
            for (target, id, _) in &found {
                if let Some(rows) = imported.cases.get_mut(target) {
                    rows.retain(|row| row["case_id"] != **id);
                }
            }
            Ok(())
        }
        Leaks::Refuse if found.is_empty() => Ok(()),
        Leaks::Refuse => {
            let shown: Vec<String> = found
                .iter()
                .take(LEAKS_SHOWN)
                .map(|(target, id, others)| format!("{id} of {} is {others}", target_name(*target)))
                .collect();
            Err(InputError::new(files, format!("{} cases have equal inputs in another split: {}", found.len(), shown.join("; ")))
                .hint("give --leaks drop to leave them in the split that is held back most, or --leaks keep for the published splits"))
        }
    }
}

/// Cases whose context a split held back more has too: the split, the id, and which cases those are.
fn leaking(rows: &BTreeMap<Target, Vec<Value>>) -> Vec<(Target, String, String)> {
    let splits = [Target::Test, Target::Validation, Target::Train];
    let mut held: BTreeMap<String, Vec<(Target, String)>> = BTreeMap::new();
    let mut found = Vec::new();
    for target in splits {
        for row in rows.get(&target).into_iter().flatten() {
            let id = row["case_id"].as_str().unwrap_or_default().to_string();
            let there = held.entry(digest::of_json(&json!(row["context"]))).or_default();
            let others: Vec<String> = there
                .iter()
                .filter(|(other, _)| *other != target)
                .map(|(other, id)| format!("{id} of {}", target_name(*other)))
                .collect();
            if !others.is_empty() {
                found.push((target, id.clone(), others.join(" and ")));
            }
            there.push((target, id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(rows: &[(Target, &str, &str)]) -> Imported {
        let mut imported = Imported::default();
        for (target, id, question) in rows {
            let case =
                json!({"case_id": id, "task_type": "qa", "context": {"q": question}, "expected": {}, "metadata": {}});
            imported.cases.entry(*target).or_default().push(case);
        }
        imported
    }

    #[test]
    fn a_case_in_two_splits_is_refused_dropped_or_kept() {
        let rows = [
            (Target::Train, "1", "a"),
            (Target::Train, "2", "b"),
            (Target::Validation, "3", "c"),
            (Target::Test, "4", "a"),
            (Target::Test, "5", "a"),
        ];
        let e = check(&mut imported(&rows), "f", Leaks::Refuse).expect_err("a leak");
        assert!(e.to_string().contains("1 of train is 4 of test and 5 of test"), "{e}");
        let mut kept = imported(&rows);
        check(&mut kept, "f", Leaks::Keep).expect("kept");
        assert_eq!((kept.leaks, kept.cases[&Target::Train].len()), (1, 2));
        let mut dropped = imported(&rows);
        check(&mut dropped, "f", Leaks::Drop).expect("dropped");
        assert_eq!((dropped.cases[&Target::Train].len(), dropped.cases[&Target::Test].len()), (1, 2));
        check(&mut imported(&rows[1..4]), "f", Leaks::Refuse).expect("no leak");
    }

    #[test]
    fn rows_that_are_no_cases_and_cases_that_stand_twice_are_refused() {
        let twice = [(Target::Train, "1", "a"), (Target::Test, "1", "b")];
        let e = check(&mut imported(&twice), "f", Leaks::Keep).expect_err("twice");
        assert!(e.to_string().contains("case \"1\": stands in train and in test"), "{e}");
        let twice = [(Target::All, "1", "a"), (Target::All, "1", "b")];
        assert!(check(&mut imported(&twice), "f", Leaks::Keep).is_err());
        let mut none = Imported::default();
        none.cases.insert(Target::All, vec![json!({"id": 1})]);
        assert!(check(&mut none, "f", Leaks::Keep).is_err());
    }
}
