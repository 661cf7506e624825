//! `fapo replay`: cases of a run once more, with the replies that they got.

use super::Exit;
use super::lines::{Line, ReplayDifference, ReplayLine, ReplayStatus};
use super::printer::Printer;
use super::show::records_of;
use crate::place::Place;
use crate::replay::plan;
use fapo_core::InputError;
use fapo_core::run::CaseRecord;
use fapo_engine::replay::{Outcome, Replay, replay};
use fapo_engine::stored::read_run;
use serde_json::Value;
use std::path::PathBuf;

/// Characters shown of a value that is not as it was.
const VALUE_CHARS_MAX: usize = 120;

/// Run cases of a run again with the replies they got: no model is called, nothing is written; exit 1 where something
/// is not as it was recorded.
///
/// The tenant's files, the operator's limits and the indexes must be those of the run. Chain, node components and
/// scorer run in fresh sandboxes; prompts, searches, steps, score and fuel are held against the record.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo replay fapo-work/tenants/demo_qa/evals/tmp/validation-baseline --case dq-v003")]
pub(super) struct ReplayRun {
    /// Folder of the run; one of a trial's runs too.
    run: PathBuf,
    /// A case; may be given several times [default: all that came to their end].
    #[arg(long, value_name = "CASE_ID")]
    case: Vec<String>,
}

impl ReplayRun {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let stored = read_run(&self.run)?;
        let records: Vec<CaseRecord> = match self.case.is_empty() {
            true => stored.records()?,
            false => records_of(&self.run, &stored, &self.case)?,
        };
        let evaluation = plan(place, &self.run, &stored).await?;
        let replays = replay(&evaluation.into(), records).await;
        print(&replays, printer);
        let different = replays.iter().any(|replay| matches!(replay.outcome, Outcome::Different(_)));
        Ok(if different { Exit::Failed } else { Exit::Done })
    }
}

fn print(replays: &[Replay], printer: Printer) {
    let (mut rows, mut same, mut left_out) = (Vec::new(), 0, 0);
    for replay in replays {
        let line = line(replay);
        match line.status {
            ReplayStatus::Same => same += 1,
            ReplayStatus::LeftOut => {
                left_out += 1;
                rows.push(vec![line.case_id.clone(), "left out".into(), line.why.clone().unwrap_or_default()]);
            }
            ReplayStatus::Different => {}
        }
        for d in &line.differences {
            let values = format!("{} was {}", brief(&d.replayed), brief(&d.recorded));
            rows.push(vec![line.case_id.clone(), d.what.clone(), values]);
        }
        printer.line(&Line::Replay(line));
    }
    if !rows.is_empty() {
        printer.table(&["case", "what", ""], rows);
        printer.text("");
    }
    let different = replays.len() - same - left_out;
    printer.text(&format!(
        "replayed without a model: {same} of {} cases as recorded, {different} not, {left_out} left out",
        replays.len()
    ));
}

fn line(replay: &Replay) -> ReplayLine {
    let (status, differences, why) = match &replay.outcome {
        Outcome::Same => (ReplayStatus::Same, Vec::new(), None),
        Outcome::LeftOut(why) => (ReplayStatus::LeftOut, Vec::new(), Some(why.clone())),
        Outcome::Different(found) => {
            let difference = |d: &fapo_engine::replay::Difference| ReplayDifference {
                what: d.what.clone(),
                recorded: d.recorded.clone(),
                replayed: d.replayed.clone(),
            };
            (ReplayStatus::Different, found.iter().map(difference).collect(), None)
        }
    };
    ReplayLine { case_id: replay.case_id.clone(), status, differences, why }
}

/// A value in one line.
fn brief(value: &Value) -> String {
    if value.is_null() {
        return "none".into();
    }
    let text = value.to_string();
    let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { text }
}
