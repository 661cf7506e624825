//! `fapo compare`: two runs, paired by case.

use super::Exit;
use super::lines::{ComparisonLine, EffectLine, Line, Mean};
use super::printer::Printer;
use crate::place::Place;
use fapo_core::InputError;
use fapo_engine::compare::{Effect, compare};
use fapo_engine::stored::read_run;
use std::path::PathBuf;

/// Compare two runs over the same cases: paired difference with its interval, fixed and broken cases, what it costs.
///
/// Runs that differ in dataset, scorer, profile, judges or limits are refused: their scores do not mean the same.
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
        let bootstrap = found.bootstrap.map_or(String::new(), |[lo, hi]| format!("{lo:+.2} to {hi:+.2}"));
        let mut rows = vec![
            vec!["pairs".into(), found.pairs.to_string()],
            vec!["first".into(), format!("{:.2}", found.mean_a)],
            vec!["second".into(), format!("{:.2}", found.mean_b)],
            vec!["difference".into(), format!("{:+.2}{interval}", difference.mean.unwrap_or_default())],
            vec!["  bootstrap, 95%".into(), bootstrap],
            vec!["  sign test".into(), format!("p {:.4}", found.sign_p)],
            vec![
                "  McNemar".into(),
                format!("p {:.4}  ({} to passed, {} to failed)", found.mcnemar_p, found.to_passed, found.to_failed),
            ],
            vec!["fixed".into(), ids(&found.fixed)],
            vec!["broken".into(), ids(&found.broken)],
            vec!["same".into(), found.same.to_string()],
            vec!["unpaired".into(), ids(&found.unpaired)],
        ];
        rows.extend(found.effects.iter().map(effect));
        printer.table(&["", ""], rows);
        printer.line(&Line::Comparison(ComparisonLine {
            cases: found.pairs as u64,
            mean_a: found.mean_a,
            mean_b: found.mean_b,
            difference,
            bootstrap: found.bootstrap,
            sign_p: found.sign_p,
            to_passed: found.to_passed as u64,
            to_failed: found.to_failed as u64,
            mcnemar_p: found.mcnemar_p,
            effects: found.effects.iter().map(EffectLine::of).collect(),
            fixed: found.fixed,
            broken: found.broken,
            same: found.same as u64,
            unpaired: found.unpaired,
        }));
        Ok(Exit::Done)
    }
}

/// A cost of a case in both runs; times only to the millisecond that they are worth.
fn effect(effect: &Effect) -> Vec<String> {
    let interval = effect.difference.ci.map_or(String::new(), |[lo, hi]| format!(", 95% {lo:+.3} to {hi:+.3}"));
    let text = format!("{:.3}, then {:.3}  ({:+.3}{interval})", effect.mean_a, effect.mean_b, effect.difference.mean);
    vec![format!("{} a case", effect.what.replace('_', " ")), text]
}
