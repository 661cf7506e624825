//! `fapo attribute`: where the failures of a run lost their answer.

use super::lines::{AttributionLine, Line};
use super::printer::Printer;
use super::show::cases;
use super::trial_report::word;
use super::{Exit, interventions, live};
use crate::place::Place;
use crate::replay::plan_diagnosis;
use fapo_core::InputError;
use fapo_core::attribution::{Attribution, Interventions, attribute};
use fapo_engine::intervene::intervene;
use fapo_engine::stored::{StoredRun, read_run};
use std::path::PathBuf;

/// Say where the failed cases of a run lost their answer: failures grouped by step and remedy, with how sure that is and
/// what mending them could gain.
///
/// Steps are held against the labels of the tenant's cases, so the dataset of the run must still be there.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo attribute fapo-work/tenants/demo_qa/evals/tmp/train-baseline --findings")]
pub(super) struct Attribute {
    /// Folder of the run.
    run: PathBuf,
    /// Show each failed case with what in its record shows the cause.
    #[arg(long)]
    findings: bool,
    /// Show the original project's attribution instead, in its own shape.
    #[arg(long)]
    original: bool,
    /// Look into failed cases by replays: put the tenant's gold ([gold] of tenant.toml) in the place of a step's outputs,
    /// run on, and see whether the score comes back. Asks the run's models again; for train cases, since gold is read.
    #[arg(long, conflicts_with = "original")]
    intervene: bool,
    /// Most paid model calls of the replays, over all starts of this command.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "intervene")]
    calls: u64,
}

impl Attribute {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let stored = read_run(&self.run)?;
        let cases = cases(place, &stored).ok_or_else(|| {
            let path = stored.run_config["dataset_path"].as_str().unwrap_or("the dataset");
            InputError::new(self.run.display().to_string(), format!("{path} is not what the run was made from")).hint(
                "attribution needs the labels: bring the dataset back, or evaluate again with the one that stands",
            )
        })?;
        let mut found = attribute(&cases, &stored.records()?);
        let interventions = match self.intervene {
            true => Some(self.look_into(place, &stored, printer).await?),
            false => None,
        };
        if let Some(interventions) = &interventions {
            found = found.corrected(interventions);
        }
        if self.original {
            printer.text(&format!("{:#}", serde_json::json!({"steps": found.original, "summary": found.summary})));
        } else {
            print(&found, self.findings, printer);
            interventions.iter().for_each(|seen| interventions::print(seen, self.findings, printer));
        }
        let run_id = stored.run_config["run_id"].as_str().unwrap_or_default().to_string();
        printer.line(&Line::Attribution(Box::new(AttributionLine { run_id, attribution: found, interventions })));
        Ok(Exit::Done)
    }

    async fn look_into(
        &self,
        place: &Place,
        stored: &StoredRun,
        printer: Printer,
    ) -> Result<Interventions, InputError> {
        let planned = plan_diagnosis(place, &self.run, stored, self.calls).await?;
        let bar = live::replay_bar(printer);
        let observe = |completed: usize, failed: usize| {
            if let Some(bar) = &bar {
                bar.set_length(failed as u64);
                bar.set_position(completed as u64);
            }
        };
        let found = intervene(&planned.diagnosis, &observe).await;
        if let Some(bar) = &bar {
            bar.finish_and_clear();
        }
        let found = found?;
        if let Some(losses) = planned.replies.as_ref().and_then(|cache| cache.losses()) {
            printer.warning(&losses);
        }
        Ok(found)
    }
}

fn print(found: &Attribution, findings: bool, printer: Printer) {
    printer.text(&format!("{} of {} cases failed", found.failed, found.planned));
    if found.failed == 0 {
        return;
    }
    let rows = found.clusters.iter().map(|c| {
        vec![
            c.step.clone(),
            word(c.fix),
            c.level.map_or("-".into(), |level| level.word().to_string()),
            word(c.confidence),
            c.count.to_string(),
            format!("{:.0}%", 100.0 * c.share),
            format!("{:.2}", c.gain),
            c.label.clone(),
            c.case_ids.join(", "),
        ]
    });
    printer.text("");
    let head = ["step", "fix", "level", "confidence", "cases", "share", "could gain", "cluster", "for example"];
    printer.table(&head, rows.collect());
    if !findings {
        return;
    }
    let rows = found
        .findings
        .iter()
        .map(|f| vec![f.case_id.clone(), f.step.clone(), f.heuristic.clone(), word(f.confidence), f.evidence.clone()]);
    printer.text("");
    printer.table(&["case", "step", "heuristic", "confidence", "evidence"], rows.collect());
}
