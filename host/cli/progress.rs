//! `fapo progress`: how far a run is, while it runs or afterwards.

use super::Exit;
use super::lines::{Line, ProgressLine};
use super::printer::Printer;
use crate::place::{Place, read_text};
use fapo_core::InputError;
use serde_json::Value;
use std::path::PathBuf;

/// Show how far a run is; it may be running in another terminal.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo progress fapo-work/tenants/demo_qa/evals/tmp/validation-baseline")]
pub(super) struct Progress {
    /// Folder of the run.
    run: PathBuf,
}

impl Progress {
    pub(super) fn run(self, _place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let path = self.run.join("progress.json");
        let text = read_text(&path).map_err(|e| e.hint("name the folder of a run that has begun"))?;
        let progress: Value = serde_json::from_str(&text)
            .map_err(|e| InputError::new(format!("{}:{}", path.display(), e.line()), e.to_string()))?;
        let text = |key: &str| progress[key].as_str().unwrap_or_default().to_string();
        let count = |key: &str| progress[key].as_u64().unwrap_or_default();
        let mean = progress["avg_composite_score"].as_f64();
        printer.text(&format!(
            "{}  {}  {}/{}  mean {}",
            text("run_id"),
            text("status"),
            count("completed_cases"),
            count("total_cases"),
            mean.map_or("N/A".into(), |m| format!("{m:.1}"))
        ));
        printer.line(&Line::Progress(ProgressLine {
            run_id: text("run_id"),
            status: text("status"),
            planned: count("total_cases"),
            completed: count("completed_cases"),
            errors: progress["failed_case_ids"].as_array().map_or(0, Vec::len) as u64,
            mean,
        }));
        Ok(Exit::Done)
    }
}
