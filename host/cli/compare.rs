//! `fapo compare`: two runs, paired by case.

use super::Exit;
use super::lines::{ComparisonLine, Line, Mean};
use super::printer::Printer;
use crate::place::Place;
use fapo_core::InputError;
use fapo_engine::compare::compare;
use fapo_engine::stored::read_run;
use std::path::PathBuf;

/// Compare two runs over the same cases: paired difference with its interval, fixed and broken cases.
///
/// Runs that differ in dataset, scorer, profile or limits are refused: their scores do not mean the same.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo compare fapo-work/runs/my_task-0a1b2c3d4e5f fapo-work/runs/my_task-5f4e3d2c1b0a")]
pub(super) struct Compare {
    /// Folder of the first run.
    a: PathBuf,
    /// Folder of the second run; the difference is second minus first.
    b: PathBuf,
}

/// Cases listed for people.
const CASES_SHOWN_MAX: usize = 20;

impl Compare {
    pub(super) fn run(self, _place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let (a, b) = (read_run(&self.a)?, read_run(&self.b)?);
        let found = compare(&a, &b)?;
        let difference = Mean { mean: found.difference.map(|e| e.mean), ci: found.difference.and_then(|e| e.ci) };
        let ids = |ids: &[String]| {
            let shown: Vec<&str> = ids.iter().take(CASES_SHOWN_MAX).map(String::as_str).collect();
            let more = if ids.len() > shown.len() { ", …" } else { "" };
            format!("{}  {}{more}", ids.len(), shown.join(", "))
        };
        let interval = match difference.ci {
            Some([lo, hi]) => format!("  (95% interval {lo:+.2} to {hi:+.2})"),
            None => String::new(),
        };
        printer.table(
            &["", ""],
            vec![
                vec!["pairs".into(), found.pairs.to_string()],
                vec!["first".into(), format!("{:.2}", found.mean_a)],
                vec!["second".into(), format!("{:.2}", found.mean_b)],
                vec!["difference".into(), format!("{:+.2}{interval}", difference.mean.unwrap_or_default())],
                vec!["fixed".into(), ids(&found.fixed)],
                vec!["broken".into(), ids(&found.broken)],
                vec!["same".into(), found.same.to_string()],
                vec!["unpaired".into(), ids(&found.unpaired)],
            ],
        );
        printer.line(&Line::Comparison(ComparisonLine {
            cases: found.pairs as u64,
            mean_a: found.mean_a,
            mean_b: found.mean_b,
            difference,
            fixed: found.fixed,
            broken: found.broken,
            same: found.same as u64,
            unpaired: found.unpaired,
        }));
        Ok(Exit::Done)
    }
}
