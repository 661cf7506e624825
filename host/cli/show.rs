//! `fapo show`: a run, or one of its cases in full.

use super::Exit;
use super::lines::{CaseLine, CheckLine, CheckStatus, Line};
use super::printer::Printer;
use super::report::{RunView, print_case, print_run};
use super::trial_report;
use crate::dataset::{DatasetFile, Wanted};
use crate::place::Place;
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::names::is_name;
use fapo_core::ports::Cases;
use fapo_core::run::{CaseRecord, PASSED};
use fapo_engine::optimize::derive;
use fapo_engine::stored::{StoredRun, read_run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show a run; with --cases a page of its cases; with --case one case in full: steps, prompts as rendered, passages, limits used. Show a trial, and make
/// its decisions again from the scores that its runs stored.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo show fapo-work/tenants/demo_qa/evals/tmp/validation-baseline --case dq-v003")]
pub(super) struct Show {
    /// Folder of the run or of the trial.
    run: PathBuf,
    /// A case; may be given several times.
    #[arg(long, value_name = "CASE_ID")]
    case: Vec<String>,
    /// List the cases of the run, a page at a time.
    #[arg(long, conflicts_with = "case")]
    cases: bool,
    /// List only those below 100.
    #[arg(long, requires = "cases")]
    failed: bool,
    /// The page, from 1.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "cases", value_parser = clap::value_parser!(u64).range(1..))]
    page: u64,
    /// Cases of a page.
    #[arg(long, value_name = "N", default_value_t = 50, requires = "cases", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    page_size: u64,
}

/// Characters of an answer in a list of cases.
const ANSWER_CHARS_MAX: usize = 60;

impl Show {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if self.case.is_empty() && self.run.join("trial.json").is_file() {
            return show_trial(&self.run, printer);
        }
        let stored = read_run(&self.run)?;
        if self.cases {
            self.list(&stored, printer)?;
            return Ok(Exit::Done);
        }
        if self.case.is_empty() {
            print_stored(place, &self.run, &stored, printer)?;
            return Ok(Exit::Done);
        }
        for record in records_of(&self.run, &stored, &self.case)? {
            print_case(&record, &stored.run_config["fapo"]["identity"]["limits"], printer);
        }
        Ok(Exit::Done)
    }

    /// One page of the run's cases in dataset order.
    fn list(&self, stored: &StoredRun, printer: Printer) -> Result<(), InputError> {
        let before = (self.page - 1).saturating_mul(self.page_size);
        let (mut rows, mut of_all) = (Vec::new(), 0);
        for record in stored.each()? {
            let record = record?;
            if self.failed && record.composite() >= PASSED {
                continue;
            }
            of_all += 1;
            if of_all <= before || rows.len() as u64 == self.page_size {
                continue;
            }
            let short: String = record.output_text.chars().take(ANSWER_CHARS_MAX).collect();
            let what = record.fault.as_ref().map_or(short, |fault| format!("{:?}: {}", fault.kind, fault.message));
            let line = CaseLine::of(&record.into());
            rows.push(vec![line.case_id.clone(), format!("{:.2}", line.composite), what]);
            printer.line(&Line::Case(line));
        }
        let shown = rows.len() as u64;
        printer.table(&["case", "composite", "answer, or fault"], rows);
        let pages = of_all.div_ceil(self.page_size).max(1);
        let range = if shown == 0 { "none".into() } else { format!("{} to {}", before + 1, before + shown) };
        printer.text(&format!("\n{range} of {of_all} cases, page {} of {pages}", self.page));
        Ok(())
    }
}

/// Case ids that an error about a missing one names.
const IDS_SHOWN_MAX: usize = 5;

/// The records of the cases that a person named, in that order.
///
/// # Errors
/// The run has none of one of them, or its journal is damaged.
pub(super) fn records_of(run: &Path, stored: &StoredRun, ids: &[String]) -> Result<Vec<CaseRecord>, InputError> {
    let (mut found, mut known) = (BTreeMap::new(), Vec::new());
    for record in stored.each()? {
        let record = record?;
        if known.len() < IDS_SHOWN_MAX {
            known.push(record.case_id.clone());
        }
        if ids.contains(&record.case_id) {
            found.insert(record.case_id.clone(), record);
        }
    }
    let one = |id: &String| {
        found.get(id).cloned().ok_or_else(|| {
            InputError::new(format!("{}, case {id:?}", run.display()), "the run has no such case")
                .hint(format!("cases begin: {}", known.join(", ")))
        })
    };
    ids.iter().map(one).collect()
}

/// Prints a finished trial and makes its decisions again from the stored scores.
fn show_trial(folder: &Path, printer: Printer) -> Result<Exit, InputError> {
    let report = trial_report::read(folder)?;
    trial_report::print(&report, trial_report::calls(folder, &report)?, folder, printer);
    let derived = derive(folder, &report)?;
    let holds = derived.differences.is_empty();
    let message = if holds {
        format!("every outcome and the selection of {} follow from the stored scores", derived.selected)
    } else {
        derived.differences.join("; ")
    };
    printer.text(&format!("\n{}: {message}", if holds { "checked" } else { "NOT what the stored scores say" }));
    let status = if holds { CheckStatus::Ok } else { CheckStatus::Error };
    printer.line(&Line::Check(CheckLine {
        subject: folder.display().to_string(),
        status,
        message,
        hint: (!holds).then(|| "the report or a run was changed after the trial; run `fapo optimize` again".into()),
    }));
    Ok(if holds { Exit::Done } else { Exit::Failed })
}

/// Prints a run that stands on disk.
fn print_stored(place: &Place, folder: &Path, stored: &StoredRun, printer: Printer) -> Result<(), InputError> {
    let cases = dataset(place, stored);
    let view = RunView {
        run_id: stored.run_config["run_id"].as_str().unwrap_or_default(),
        planned: stored.planned,
        figures: &stored.figures(cases.as_ref().map(|cases| cases as &dyn Cases))?,
        resumed: 0,
        dir: folder.display().to_string(),
    };
    print_run(&view, printer);
    Ok(())
}

/// The run's planned cases with their labels; None where the dataset is no longer there or has changed since.
pub(super) fn dataset(place: &Place, stored: &StoredRun) -> Option<DatasetFile> {
    let config = &stored.run_config;
    let (tenant, path) = (config["tenant_id"].as_str()?, config["dataset_path"].as_str()?);
    if !is_name(tenant) {
        return None;
    }
    let folder = TenantFolder::open(&place.root, tenant).ok()?;
    let limit = stored.identity("limit").as_u64().and_then(|limit| usize::try_from(limit).ok());
    let ids: Vec<String> = serde_json::from_value(stored.identity("case_ids").clone()).unwrap_or_default();
    let cases = DatasetFile::open(&folder, "dataset_path", path, Wanted { limit, case_ids: &ids }).ok()?;
    (*stored.identity("dataset") == cases.digest()).then_some(cases)
}

/// As [`dataset`], all cases at once.
pub(super) fn cases(place: &Place, stored: &StoredRun) -> Option<Vec<Case>> {
    dataset(place, stored)?.all().ok()
}
