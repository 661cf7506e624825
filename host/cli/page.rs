//! `fapo report`: a run, a trial or a study as one page for a browser.

use super::Exit;
use super::diff;
use super::lines::Line;
use super::printer::Printer;
use super::show::cases;
use super::trial_report::{self, definition, json_file};
use crate::page::{self, Change, TrialFigures};
use crate::place::{Place, unwritable};
use crate::study::Table;
use fapo_core::InputError;
use fapo_core::ports::{Definition, RunFiles};
use fapo_engine::files::DiskFiles;
use fapo_engine::optimize::Attempt;
use fapo_engine::stored::read_run;
use std::path::{Path, PathBuf};

/// Write a run, a trial or a study as one HTML file with plots, with everything in it: it loads nothing and runs nothing.
///
/// A run's page holds texts of its cases; a trial's holds what its report and variants hold, and no case of validation
/// or test.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo report fapo-work/trials/demo_qa-0a1b2c3d4e5f --out report.html")]
pub(super) struct WriteReport {
    /// Folder of the run, the trial or the study.
    folder: PathBuf,
    /// Where it goes [default: report.html in the folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl WriteReport {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let has = |name: &str| self.folder.join(name).is_file();
        let (of, text) = if has("study.json") {
            ("study", of_study(&self.folder)?)
        } else if has("trial.json") {
            ("trial", of_trial(&self.folder)?)
        } else {
            ("run", of_run(place, &self.folder)?)
        };
        let path = self.out.unwrap_or_else(|| self.folder.join("report.html"));
        DiskFiles.replace(&path, text.as_bytes()).map_err(|e| unwritable(&path, &e))?;
        let path = path.display().to_string();
        printer.text(&format!("the {of} stands in {path}"));
        printer.line(&Line::Report { of: of.into(), path });
        Ok(Exit::Done)
    }
}

fn of_study(folder: &Path) -> Result<String, InputError> {
    let path = folder.join("study.json");
    let table: Table = serde_json::from_value(json_file(&path)?).map_err(|e| {
        InputError::new(path.display().to_string(), e.to_string())
            .hint("it was written by another version; run `fapo study` again, which runs no finished trial again")
    })?;
    page::study(&table)
}

fn of_run(place: &Place, folder: &Path) -> Result<String, InputError> {
    let stored = read_run(folder)?;
    let (cases, records) = (cases(place, &stored).unwrap_or_default(), stored.records()?);
    page::run(&stored, &cases, &records)
}

fn of_trial(folder: &Path) -> Result<String, InputError> {
    let report = trial_report::read(folder)?;
    let begun = json_file(&folder.join("trial.json"))?;
    let scope = serde_json::from_value(begun["scope"].clone()).unwrap_or_default();
    let changes = report.attempts.iter().map(|attempt| change(folder, attempt)).collect::<Result<_, _>>()?;
    let figures = TrialFigures {
        tenant: begun["identity"]["tenant"].as_str().unwrap_or_default().into(),
        scope,
        calls: trial_report::calls(folder, &report)?,
        changes,
    };
    page::trial(&report, &figures)
}

/// What an attempt changes in its parent.
fn change(folder: &Path, attempt: &Attempt) -> Result<Change, InputError> {
    let (before, after) = (definition(folder, &attempt.parent)?, definition(folder, &attempt.variant)?);
    let names = (attempt.parent.as_str(), attempt.variant.as_str());
    let prompts = diff::prompts(&before, &after, names).into_iter().map(|prompt| (prompt.module, prompt.diff));
    Ok(Change { variant: attempt.variant.clone(), prompts: prompts.collect(), facts: facts(&before, &after) })
}

/// Changes of parameters and of the graph in words.
fn facts(before: &Definition, after: &Definition) -> Vec<String> {
    let value = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_string(), |v| v.to_string());
    let mut facts: Vec<String> = diff::params(before, after)
        .iter()
        .map(|param| format!("Parameter {}: {} for {}.", param.name, value(&param.b), value(&param.a)))
        .collect();
    let graph = diff::graph(&before.graph, &after.graph);
    for (what, list) in [
        ("Nodes added", &graph.nodes_added),
        ("Nodes removed", &graph.nodes_removed),
        ("Nodes changed", &graph.nodes_changed),
        ("Edges added", &graph.edges_added),
        ("Edges removed", &graph.edges_removed),
    ] {
        if !list.is_empty() {
            facts.push(format!("{what}: {}.", list.join(", ")));
        }
    }
    if graph.output[0] != graph.output[1] {
        facts.push(format!("Output: {} for {}.", graph.output[1], graph.output[0]));
    }
    facts
}
