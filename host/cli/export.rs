//! `fapo export`: a run for CI, for a spreadsheet, for a pull request.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use super::show::dataset;
use crate::export::{csv, junit, markdown};
use crate::place::{Place, unwritable};
use fapo_core::InputError;
use fapo_core::ports::{Cases, RunFiles};
use fapo_engine::compare::compare;
use fapo_engine::files::DiskFiles;
use fapo_engine::stored::read_run;
use std::path::{Path, PathBuf};

/// Write a run as JUnit (a failure is a case below 100, an error a case with a fault), CSV or Markdown.
///
/// Cells that a spreadsheet would take for a formula get a quote in front; in Markdown a tenant's text is code.
#[derive(clap::Args)]
#[command(
    after_help = "Example: fapo export fapo-work/runs/my_task-0a1b2c3d4e5f --format junit --out junit.xml\n         \
fapo export fapo-work/runs/my_task-0a1b2c3d4e5f --format markdown --baseline fapo-work/runs/my_task-5f4e3d2c1b0a"
)]
pub(super) struct Export {
    /// Folder of the run.
    run: PathBuf,
    /// The form.
    #[arg(long, value_enum)]
    format: Format,
    /// For Markdown: folder of a run to compare with.
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// Where it goes [default: stdout].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Junit,
    Csv,
    Markdown,
}

impl Export {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if self.baseline.is_some() && self.format != Format::Markdown {
            return Err(InputError::new("--baseline", "is for --format markdown")
                .hint("leave it out, or use `fapo compare --json` or `fapo gate`"));
        }
        let run = read_run(&self.run)?;
        let text = match self.format {
            Format::Junit => junit(&run)?,
            Format::Csv => csv(&run)?,
            Format::Markdown => {
                let baseline = self.baseline.as_deref().map(read_run).transpose()?;
                let found = baseline.map(|baseline| compare(&baseline, &run)).transpose()?;
                let cases = dataset(place, &run);
                markdown(&run, cases.as_ref().map(|cases| cases as &dyn Cases), found.as_ref())?
            }
        };
        match self.out {
            Some(out) => {
                write(&out, &text)?;
                printer.text(&format!("made {}", out.display()));
                printer.line(&Line::Created { path: out.display().to_string() });
            }
            None => printer.document(&text),
        }
        Ok(Exit::Done)
    }
}

fn write(out: &Path, text: &str) -> Result<(), InputError> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = parent.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| DiskFiles.replace(out, text.as_bytes())).map_err(|e| unwritable(out, &e))
}
