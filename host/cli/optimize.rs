//! `fapo optimize`: improve a tenant's chain within its scope contract.

use super::Exit;
use super::lines::{Line, Mean, SelectedLine, TestLine, TrialCalls, TrialLine};
use super::printer::Printer;
use crate::optimize::{SPLITS, TrialOptions, TrialPlan, plan_trial};
use crate::place::Place;
use fapo_core::InputError;
use fapo_core::held_out::Total;
use fapo_engine::optimize::{Splits, TrialEvent, TrialReport, optimize};
use fapo_engine::stop::StopSource;
use serde_json::json;
use std::path::PathBuf;

/// Improve a tenant's chain: attribute the failures of train, change one thing, review it, keep it if validation gains.
///
/// The playbook's scope block (docs/iteration-playbook.md) says how far it may go: prompts first, then parameters, then
/// structure. Of validation and test only totals are used, and test is read once, after the selection. The same command
/// goes on with a trial that was stopped.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo optimize demo_qa --variants 12")]
pub(super) struct Optimize {
    /// The tenant.
    tenant: String,
    /// Config of train [default: tenants/<TENANT>/configs/train.json].
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Config of validation [default: tenants/<TENANT>/configs/validation.json].
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Config of test [default: tenants/<TENANT>/configs/test.json].
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// In place of the configs' provider.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Name of the trial's folder.
    #[arg(long, value_name = "NAME")]
    trial: Option<String>,
    /// Most variants.
    #[arg(long, value_name = "N", default_value_t = VARIANTS_MAX)]
    variants: u32,
    /// Most paid model calls.
    #[arg(long, value_name = "N", default_value_t = CALLS_MAX)]
    calls: u64,
}

/// Variants of a trial where the command line says nothing.
const VARIANTS_MAX: u32 = 25;
/// Paid calls of a trial where the command line says nothing.
const CALLS_MAX: u64 = 100_000;

impl Optimize {
    /// A tenant with everything else as it comes.
    pub(super) fn of(tenant: &str) -> Self {
        Optimize {
            tenant: tenant.into(),
            train: None,
            validation: None,
            test: None,
            provider: None,
            trial: None,
            variants: VARIANTS_MAX,
            calls: CALLS_MAX,
        }
    }

    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let config = |given: &Option<PathBuf>, split: &str| {
            given.clone().unwrap_or_else(|| format!("tenants/{}/configs/{split}.json", self.tenant).into())
        };
        let options = TrialOptions {
            configs: [
                config(&self.train, SPLITS[0]),
                config(&self.validation, SPLITS[1]),
                config(&self.test, SPLITS[2]),
            ],
            tenant: self.tenant,
            provider: self.provider,
            name: self.trial,
            variants_max: self.variants,
            calls_max: self.calls,
        };
        let TrialPlan { trial, mut runner, replies } = plan_trial(place, &options).await?;
        let source = StopSource::new();
        runner.stop = source.signal();
        let stopping = runner.stop.clone();
        let interrupt = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                printer.note("stopping: the cases in flight come to their end; the same command goes on");
                source.stop();
            }
        });
        let ended = optimize(&trial, &runner, &|event| show(&event, printer)).await;
        interrupt.abort();
        let report = match ended {
            Err(e) if stopping.is_set() => {
                printer.note(&e.to_string());
                return Ok(Exit::Partial);
            }
            ended => ended?,
        };
        if let Some(losses) = replies.as_ref().and_then(|cache| cache.losses()) {
            printer.warning(&losses);
        }
        print(&report, runner.paid_calls(), &trial.folder.display().to_string(), printer);
        Ok(Exit::Done)
    }
}

fn word(value: impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_string()
}

/// What happens, as it happens.
fn show(event: &TrialEvent<'_>, printer: Printer) {
    match event {
        TrialEvent::Scope(scope) => {
            let levels: Vec<&str> = scope.levels.iter().map(|level| level.word()).collect();
            let open = if levels.is_empty() { "nothing".into() } else { levels.join(", ") };
            printer.text(&format!(
                "scope     {open} open, at most {} variants",
                scope.variants_max.map_or("any".into(), |n| n.to_string())
            ));
        }
        TrialEvent::Baseline(train, validation) => {
            printer.text(&format!("v000      baseline: train {train:.2}, validation {}", total(validation)));
        }
        TrialEvent::Attempt(attempt) => {
            printer.text(&format!(
                "{}      {} {}: {}",
                attempt.variant,
                word(attempt.outcome),
                attempt.operator,
                attempt.hypothesis
            ));
            printer.text(&format!("          {}", attempt.why));
            printer.line(&Line::Attempt((*attempt).clone()));
        }
        TrialEvent::Exhausted(left) => printer.text(&format!(
            "          the {} level is left after {} variants: {}",
            left.level.word(),
            left.variants_tried,
            if left.exhaustion_reason == "plateau" {
                "three in a row brought nothing"
            } else {
                "every operator of it was tried"
            }
        )),
    }
}

fn total(total: &Total) -> String {
    match total.ci {
        Some([lo, hi]) => format!("{:.2} (95% interval {lo:.1} to {hi:.1}, n {})", total.mean, total.n),
        None => format!("{:.2} (n {})", total.mean, total.n),
    }
}

fn print(report: &TrialReport, paid: u64, dir: &str, printer: Printer) {
    let (name, level, validation, test) = &report.selected;
    let rows = report.attempts.iter().map(|a| {
        let validation = a.validation.map_or("-".into(), |v| format!("{:.2}", v.mean));
        let train = a.train.map_or("-".into(), |t| format!("{t:.2}"));
        vec![
            a.variant.clone(),
            a.level.word().into(),
            a.operator.clone(),
            word(a.verdict),
            word(a.outcome),
            train,
            validation,
        ]
    });
    printer.text("");
    printer.table(&["variant", "level", "operator", "verdict", "outcome", "train", "validation"], rows.collect());
    printer.text("");
    let interval = report
        .difference
        .and_then(|d| d.ci)
        .map_or(String::new(), |[lo, hi]| format!("  (95% interval {lo:+.1} to {hi:+.1})"));
    printer.table(
        &["", "baseline", name],
        vec![
            vec!["validation".into(), format!("{:.2}", report.baseline.0.mean), format!("{:.2}", validation.mean)],
            vec!["test".into(), total(&report.baseline.1), total(test)],
            vec![
                "difference on test".into(),
                String::new(),
                format!("{:+.2}{interval}", report.difference.map_or(0.0, |d| d.mean)),
            ],
        ],
    );
    if !report.outstanding.is_empty() {
        printer.text("");
        let rows = report
            .outstanding
            .iter()
            .map(|c| vec![c.step.clone(), word(c.fix), c.count.to_string(), format!("{:.2}", c.gain)]);
        printer.table(&["left on train: step", "fix", "cases", "could gain"], rows.collect());
    }
    printer.text(&format!("\nended: {}; {paid} paid calls; {dir}", word(report.stop_reason)));
    let test_line = |total: &Total| TestLine { mean: total.mean, ci: total.ci, n: total.n as u64 };
    printer.line(&Line::Trial(Box::new(TrialLine {
        baseline: SelectedLine { variant: "v000".into(), level: None, test: test_line(&report.baseline.1) },
        selected: SelectedLine { variant: name.clone(), level: *level, test: test_line(test) },
        difference: Mean { mean: report.difference.map(|d| d.mean), ci: report.difference.and_then(|d| d.ci) },
        attempts: report.attempts.clone(),
        calls: TrialCalls { paid },
        stop_reason: report.stop_reason,
        dir: dir.into(),
    })));
}
