//! `fapo study`: the same protocol over tenants, models and policies.

use super::Exit;
use super::lines::Line;
use super::optimize::{Ended, run_trial};
use super::printer::Printer;
use crate::optimize::plan_trial;
use crate::place::{Place, unwritable};
use crate::study::{HEAD, Of, Study, Table, table};
use fapo_core::InputError;
use fapo_core::ports::RunFiles;
use fapo_engine::files::DiskFiles;
use fapo_engine::optimize::TrialReport;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run a study: trials of each tenant, model and policy that a file names, and one table of means and deviations.
///
/// The same command goes on with a study that was stopped. The table stands in fapo-work/studies/<name> as study.md,
/// study.csv and study.json, and grows with each trial; docs/studies.md has the file's fields.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo study study.toml")]
pub(super) struct RunStudy {
    /// The study.
    file: PathBuf,
}

impl RunStudy {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let study = Study::read(&self.file)?;
        let folder = study.folder(place);
        std::fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, &e))?;
        let account = study.account(place)?;
        let cells = study.cells();
        let mut ended: Vec<(Of, TrialReport)> = Vec::new();
        let many = cells.len();
        for (at, mut cell) in cells.into_iter().enumerate() {
            let Of { tenant, model, policy } = &cell.of;
            let name =
                format!("trial {} of {many}: {tenant}, {model}, {}, no. {}", at + 1, policy.word(), cell.repeat + 1);
            cell.options.accounts = vec![Arc::clone(&account)];
            let mut planned = plan_trial(place, &cell.options, &|what| printer.note(what)).await?;
            if ended.is_empty() {
                planned.warnings.iter().for_each(|warning| printer.warning(warning));
            }
            let report = match planned.ended() {
                Some(report) => report,
                None => {
                    printer.note(&name);
                    match run_trial(&mut planned, printer, &|_, _| {}).await? {
                        Ended::Whole(report) => *report,
                        Ended::Early(exit) => return Ok(exit),
                    }
                }
            };
            let (before, after) = (report.baseline.test.mean, report.selected.test.mean);
            printer.text(&format!("{name}: test {before:.2} to {after:.2}, {} selected", report.selected.variant));
            ended.push((cell.of, report));
            write(&folder, &table(&study, &ended))?;
        }
        let table = table(&study, &ended);
        print(&table, printer);
        printer.text(&format!("\n{}", folder.display()));
        printer.line(&Line::Study(table));
        Ok(Exit::Done)
    }
}

/// The table's three forms, each replaced as a whole.
fn write(folder: &Path, table: &Table) -> Result<(), InputError> {
    let json = format!("{:#}\n", serde_json::json!(table));
    for (name, text) in [("study.md", table.markdown()), ("study.csv", table.csv()), ("study.json", json)] {
        let path = folder.join(name);
        DiskFiles.replace(&path, text.as_bytes()).map_err(|e| unwritable(&path, &e))?;
    }
    Ok(())
}

pub(super) fn print(table: &Table, printer: Printer) {
    printer.text("");
    printer.table(&HEAD, table.cells());
    printer.text("");
    table.sentences().iter().for_each(|sentence| printer.text(sentence));
}
