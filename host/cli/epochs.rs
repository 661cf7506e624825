//! The same config several times over: how steady its scores are, and what difference one can believe.

use super::gate::after_run;
use super::lines::{EpochsLine, Line, Mean};
use super::printer::Printer;
use super::{Exit, eval, live};
use crate::place::Place;
use crate::plan::{EvalOptions, Plan, plan};
use fapo_core::InputError;
use fapo_core::ports::Cases;
use fapo_core::stats::{clustered_estimate, smallest_difference};
use fapo_engine::figures::RunFigures;
use std::time::{Duration, Instant};

/// Cases listed that did not score the same in every epoch.
const CASES_SHOWN_MAX: usize = 20;

/// Runs a config `epochs` times, each with samples and a folder of its own, and sums them up. No case is begun after
/// `minutes`. Each is held against the tenant's gate where `gated`.
///
/// # Errors
/// As for one run.
pub(super) async fn run(
    place: &Place,
    options: &EvalOptions,
    epochs: u32,
    minutes: Option<u64>,
    gated: bool,
    printer: Printer,
) -> Result<Exit, InputError> {
    let mut all = Vec::new();
    let mut worst = Exit::Done;
    let until = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    for epoch in 0..epochs {
        let Plan { evaluation, warnings, replies, gate, .. } =
            plan(place, &EvalOptions { epoch, ..options.clone() }).await?;
        if epoch == 0 {
            warnings.iter().for_each(|warning| printer.warning(warning));
        }
        if epochs > 1 {
            printer.text(&format!("\nepoch {} of {epochs}", epoch + 1));
        }
        let (report, evaluation) = live::run(evaluation, until, printer).await?;
        if let Some(losses) = replies.as_ref().and_then(|cache| cache.losses()) {
            printer.warning(&losses);
        }
        let ended = eval::print_end(&report, &evaluation, printer);
        let held = match report.stopped || !gated {
            true => Exit::Done,
            false => after_run(place, gate.as_ref(), &evaluation.folder, printer)?,
        };
        let late = report.stopped && until.is_some_and(|until| Instant::now() >= until);
        worst = worse(worst, worse(if late { Exit::Budget } else { ended }, held));
        if report.stopped {
            return Ok(worst);
        }
        all.push(report.figures);
        if epoch + 1 == epochs && epochs > 1 {
            print(&all, evaluation.cases.as_ref(), printer)?;
        }
    }
    Ok(worst)
}

/// A budget that is spent before a gate that fails, and that before a run that is partial.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Budget => 3,
        Exit::Failed => 2,
        Exit::Partial => 1,
        Exit::Done => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// Sums up epochs that all came to their end: their cases are the same, at the same positions.
fn print(epochs: &[RunFigures], cases: &dyn Cases, printer: Printer) -> Result<(), InputError> {
    let scores = |at: usize| epochs.iter().map(|figures| figures.composites()[at]).collect();
    let clusters: Vec<Vec<f64>> = (0..cases.count()).map(scores).collect();
    let estimate = clustered_estimate(&clusters);
    let mut unsteady = Vec::new();
    for (at, scores) in clusters.iter().enumerate() {
        if scores.iter().any(|score| *score != scores[0]) {
            unsteady.push(cases.at(at)?.case_id.clone());
        }
    }
    unsteady.sort();
    let line = EpochsLine {
        epochs: epochs.len() as u64,
        cases: clusters.len() as u64,
        means: epochs.iter().map(|figures| mean(figures.composites())).collect(),
        composite: Mean { mean: estimate.map(|e| e.mean), ci: estimate.and_then(|e| e.ci) },
        smallest_difference: smallest_difference(&clusters.iter().map(|scores| noise(scores)).collect::<Vec<_>>()),
        unsteady,
    };
    let means: Vec<String> = line.means.iter().map(|mean| format!("{mean:.2}")).collect();
    let interval = line.composite.ci.map_or(String::new(), |[lo, hi]| format!("  (95% {lo:.2} to {hi:.2}, by case)"));
    let shown: Vec<&str> = line.unsteady.iter().take(CASES_SHOWN_MAX).map(String::as_str).collect();
    let more = if line.unsteady.len() > shown.len() { ", …" } else { "" };
    let mut rows = vec![
        vec!["epochs".to_string(), means.join(", ")],
        vec!["composite".into(), format!("{:.2}{interval}", line.composite.mean.unwrap_or_default())],
        vec!["unsteady".into(), format!("{} of {} cases  {}{more}", line.unsteady.len(), line.cases, shown.join(", "))],
    ];
    if let Some(smallest) = line.smallest_difference {
        rows.push(vec![
            "noise".into(),
            format!("a difference of two such runs up to {smallest:.2} is what chance alone makes in 95 of 100 pairs"),
        ]);
    }
    printer.text("");
    printer.table(&["", ""], rows);
    printer.line(&Line::Epochs(line));
    Ok(())
}

fn mean(composites: &[f64]) -> f64 {
    composites.iter().sum::<f64>() / composites.len().max(1) as f64
}

/// The root mean square of the differences between all pairs of a case's scores.
fn noise(scores: &[f64]) -> f64 {
    let pairs = scores.iter().enumerate().flat_map(|(at, a)| scores[at + 1..].iter().map(move |b| (a - b).powi(2)));
    let squares: Vec<f64> = pairs.collect();
    (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt()
}
