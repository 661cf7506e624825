//! Progress while a run goes on: a bar on a terminal, lines otherwise; and Ctrl-C.

use super::lines::{CaseLine, Line, ProgressLine};
use super::printer::Printer;
use crate::split_runner::SplitProgress;
use fapo_core::InputError;
use fapo_core::run::CaseEnd;
use fapo_engine::evaluate::{Evaluation, RunEvent, RunReport, evaluate};
use fapo_engine::stop::StopSource;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Progress lines on stderr where it is no terminal: one each so many percent.
const LINES_EVERY_PERCENT: usize = 10;

/// Runs an evaluation with its progress shown. Ctrl-C ends it early, a second one at once; no case is begun after
/// `until`.
///
/// # Errors
/// As [`evaluate`].
pub(super) async fn run(
    mut evaluation: Evaluation,
    until: Option<Instant>,
    printer: Printer,
) -> Result<(RunReport, Arc<Evaluation>), InputError> {
    let stop = StopSource::new();
    evaluation.stop = stop.signal();
    let (late, late_stop) = (until, stop.clone());
    let alarm = tokio::spawn(async move {
        let Some(until) = late else { return };
        tokio::time::sleep_until(until.into()).await;
        printer.note("the time is over: the cases in flight come to their end");
        late_stop.stop();
    });
    let evaluation = Arc::new(evaluation);
    let live = Live::new(printer);
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        printer.note("stopping: the cases in flight come to their end (Ctrl-C again to leave them)");
        stop.stop();
        if tokio::signal::ctrl_c().await.is_ok() {
            // What is finished is journalled; the number is the shells' own for an interrupt.
            std::process::exit(130);
        }
    });
    let report = evaluate(&evaluation, &|event| live.event(&event)).await;
    interrupt.abort();
    alarm.abort();
    live.end();
    Ok((report?, evaluation))
}

/// A bar for the runs of a trial; none where nobody watches.
pub(super) fn split_bar(printer: Printer) -> Option<ProgressBar> {
    (!printer.is_json() && std::io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {msg}");
        bar.set_style(style.expect("the template is right"));
        bar
    })
}

/// A bar for replays; none where nobody watches.
pub(super) fn replay_bar(printer: Printer) -> Option<ProgressBar> {
    let bar = split_bar(printer)?;
    bar.set_message("failed cases looked into");
    Some(bar)
}

/// Shows how far a variant's run is.
pub(super) fn show_split(bar: &ProgressBar, progress: &SplitProgress<'_>) {
    if bar.position() >= progress.completed as u64 {
        bar.reset();
    }
    bar.set_length(progress.planned as u64);
    bar.set_position(progress.completed as u64);
    bar.set_message(format!("v{} on {}", progress.variant, progress.split));
}

/// Shows a run's events.
struct Live {
    printer: Printer,
    bar: Option<ProgressBar>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    run_id: String,
    planned: usize,
    completed: usize,
    errors: usize,
    sum: f64,
    tokens: u64,
}

impl Counts {
    fn mean(&self) -> Option<f64> {
        (self.completed > 0).then(|| self.sum / self.completed as f64)
    }

    fn add(&mut self, end: &CaseEnd) {
        self.completed += 1;
        self.errors += usize::from(end.fault.is_some());
        self.sum += end.composite();
        self.tokens += end.tokens;
    }
}

impl Live {
    fn new(printer: Printer) -> Self {
        let bar = (!printer.is_json() && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left  {msg}");
            bar.set_style(style.expect("the template is right"));
            bar
        });
        Live { printer, bar, counts: Mutex::default() }
    }

    fn event(&self, event: &RunEvent<'_>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            RunEvent::Started { run_id, planned } => {
                counts.run_id = (*run_id).to_string();
                counts.planned = *planned;
                if let Some(bar) = &self.bar {
                    bar.set_length(*planned as u64);
                }
            }
            RunEvent::Resumed { end } => {
                counts.add(end);
                if let Some(bar) = &self.bar {
                    bar.set_position(counts.completed as u64);
                    bar.reset_eta();
                }
            }
            RunEvent::Finished { end, cases_in_flight, calls_in_flight } => {
                counts.add(end);
                self.printer.line(&Line::Case(CaseLine::of(end)));
                match &self.bar {
                    Some(bar) => {
                        bar.set_position(counts.completed as u64);
                        bar.set_message(message(&counts, *cases_in_flight, *calls_in_flight));
                    }
                    None => self.stderr_line(&counts),
                }
            }
        }
    }

    /// For logs: a line of JSON each tenth of the run.
    fn stderr_line(&self, counts: &Counts) {
        let part = |n: usize| n * 100 / (counts.planned.max(1) * LINES_EVERY_PERCENT);
        if self.printer.is_json() || part(counts.completed) == part(counts.completed - 1) {
            return;
        }
        let line = Line::Progress(ProgressLine {
            run_id: counts.run_id.clone(),
            status: "running".into(),
            planned: counts.planned as u64,
            completed: counts.completed as u64,
            errors: counts.errors as u64,
            mean: counts.mean(),
        });
        self.printer.note(&serde_json::to_string(&line).expect("lines are JSON"));
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn message(counts: &Counts, cases: usize, calls: usize) -> String {
    let mean = counts.mean().map_or("none".into(), |m| format!("{m:.1}"));
    let waits = if calls > 0 {
        format!("waiting for {calls} model calls of {cases} cases")
    } else {
        format!("{cases} cases in flight")
    };
    format!("mean {mean}  errors {}  tokens {}  {waits}", counts.errors, counts.tokens)
}
