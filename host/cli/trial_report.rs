//! What a trial looks like to people and to programs, while it runs and read back from its folder.

use super::lines::{Line, Mean, SelectedLine, TestLine, TrialLine};
use super::printer::Printer;
use crate::split_runner::SPLITS;
use fapo_core::InputError;
use fapo_core::attribution::Ceiling;
use fapo_core::held_out::Total;
use fapo_core::ports::Definition;
use fapo_core::scope::VariantLevel;
use fapo_engine::intervene::{REPLAYS, calls_of};
use fapo_engine::optimize::{TrialCalls, TrialReport};
use fapo_engine::stored::read_run;
use serde_json::{Value, json};
use std::path::Path;

/// The word that a unit variant stands for.
pub(super) fn word(value: impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_string()
}

/// A mean with its interval and number of cases.
pub(super) fn total(total: &Total) -> String {
    match total.ci {
        Some([lo, hi]) => format!("{:.2} (95% interval {lo:.1} to {hi:.1}, n {})", total.mean, total.n),
        None => format!("{:.2} (n {})", total.mean, total.n),
    }
}

/// Prints a finished trial; its line for programs comes last.
pub(super) fn print(report: &TrialReport, calls: TrialCalls, folder: &Path, printer: Printer) {
    print_attempts(report, printer);
    print_selection(report, printer);
    print_counsel(report, printer);
    let dir = folder.display().to_string();
    let (reason, TrialCalls { paid, cached }) = (word(report.stop_reason), calls);
    printer.text(&format!("\nended: {reason}; {paid} paid calls, {cached} from the cache; {dir}"));
    let test = |total: &Total| TestLine { mean: total.mean, ci: total.ci, n: total.n as u64 };
    let selected = &report.selected;
    printer.line(&Line::Trial(Box::new(TrialLine {
        baseline: SelectedLine { variant: "v000".into(), level: None, test: test(&report.baseline.test) },
        selected: SelectedLine { variant: selected.variant.clone(), level: selected.level, test: test(&selected.test) },
        difference: Mean { mean: report.difference.map(|d| d.mean), ci: report.difference.and_then(|d| d.ci) },
        policy: report.policy,
        attempts: report.attempts.clone(),
        calls,
        counsel: report.counsel.clone(),
        stop_reason: report.stop_reason,
        dir,
    })));
}

fn print_attempts(report: &TrialReport, printer: Printer) {
    let mean = |value: Option<f64>| value.map_or("-".to_string(), |mean| format!("{mean:.2}"));
    let baseline = ["v000", "", "baseline", "", "", "", &mean(Some(report.baseline.validation.mean)), ""];
    let mut rows = vec![baseline.map(str::to_string).to_vec()];
    rows.extend(report.attempts.iter().map(|a| {
        vec![
            a.variant.clone(),
            a.level.word().into(),
            a.operator.clone(),
            word(a.verdict),
            word(a.outcome),
            mean(a.train),
            mean(a.validation.map(|v| v.mean)),
            a.hypothesis.clone(),
        ]
    }));
    printer.text("");
    printer.table(&["variant", "level", "operator", "verdict", "outcome", "train", "validation", "hypothesis"], rows);
}

/// What advisers said, and what of it was dropped.
fn print_counsel(report: &TrialReport, printer: Printer) {
    let Some(counsel) = &report.counsel else { return };
    let (asked, unanswered, edits) = (counsel.asked, counsel.unanswered, counsel.edits);
    let dropped: u64 = counsel.dropped.values().sum();
    printer.text(&format!(
        "\nadvisers: {asked} questions ({} paid calls), {unanswered} without an answer; {edits} edits proposed; {dropped} edits and answers dropped; {} reviews failed; {} cases told",
        counsel.calls_paid, counsel.failed_reviews, counsel.cases_told
    ));
    for (reason, count) in &counsel.dropped {
        printer.text(&format!("  dropped {count}: {reason}"));
    }
}

fn print_selection(report: &TrialReport, printer: Printer) {
    let (baseline, selected) = (&report.baseline, &report.selected);
    let interval = report
        .difference
        .and_then(|d| d.ci)
        .map_or(String::new(), |[lo, hi]| format!("  (95% interval {lo:+.1} to {hi:+.1})"));
    let difference = format!("{:+.2}{interval}", report.difference.map_or(0.0, |d| d.mean));
    printer.text("");
    printer.table(
        &["", "baseline", &selected.variant],
        vec![
            vec![
                "validation".into(),
                format!("{:.2}", baseline.validation.mean),
                format!("{:.2}", selected.validation.mean),
            ],
            vec!["test".into(), total(&baseline.test), total(&selected.test)],
            vec!["difference on test".into(), String::new(), difference],
        ],
    );
    if report.outstanding.is_empty() {
        return;
    }
    printer.text("");
    let rows = report
        .outstanding
        .iter()
        .map(|c| vec![c.step.clone(), word(c.fix), c.count.to_string(), format!("{:.2}", c.gain)]);
    printer.table(&["left on train: step", "fix", "cases", "could gain"], rows.collect());
    if !report.ceilings.is_empty() {
        let ceiling = |c: &Ceiling<VariantLevel>| {
            let interval = c.gain.ci.map_or(String::new(), |[low, high]| format!(" ({low:.1} to {high:.1})"));
            format!("{} {:.2}{interval}", c.of.word(), c.gain.mean)
        };
        let all: Vec<String> = report.ceilings.iter().map(ceiling).collect();
        printer.text(&format!("\nreplays say that changes up to a level could still gain: {}", all.join(", ")));
    }
}

/// A JSON file of a trial's folder.
///
/// # Errors
/// It is not there or damaged.
pub(super) fn json_file(path: &Path) -> Result<Value, InputError> {
    let text = crate::place::read_text(path)
        .map_err(|e| e.hint("name the folder of a trial that has ended; `fapo optimize` prints it"))?;
    serde_json::from_str(&text).map_err(|e| InputError::new(format!("{}:{}", path.display(), e.line()), e.to_string()))
}

/// Model calls of a trial's runs and replays, as they are stored.
///
/// # Errors
/// A run is damaged.
pub(super) fn calls(folder: &Path, report: &TrialReport) -> Result<TrialCalls, InputError> {
    let mut calls = TrialCalls::default();
    for name in std::iter::once("v000").chain(report.attempts.iter().map(|a| a.variant.as_str())) {
        let variant = folder.join("variants").join(name.trim_start_matches('v'));
        calls += calls_of(&variant.join(REPLAYS))?;
        for split in SPLITS {
            let run = variant.join(split);
            if run.is_dir() {
                calls += TrialCalls::of(&read_run(&run)?.records()?);
            }
        }
    }
    Ok(calls)
}

/// The definition of a trial's variant.
///
/// # Errors
/// There is no such variant, or its file is damaged.
pub(super) fn definition(trial: &Path, variant: &str) -> Result<Definition, InputError> {
    serde_json::from_value(variant_file(trial, variant)?["definition"].clone())
        .map_err(|e| InputError::new(format!("variant {variant}"), format!("holds no definition: {e}")))
}

/// What a trial keeps of a variant.
///
/// # Errors
/// There is no such variant.
pub(super) fn variant_file(trial: &Path, variant: &str) -> Result<Value, InputError> {
    let folder = trial.join("variants").join(variant.trim_start_matches('v'));
    if trial.join("trial.json").is_file() && !folder.is_dir() {
        return Err(InputError::new(trial.display().to_string(), format!("has no variant {variant:?}"))
            .hint("variants are v000, the baseline, and one for each attempt: fapo show <the trial>"));
    }
    json_file(&folder.join("variant.json"))
}

/// The report of a finished trial.
///
/// # Errors
/// The trial has not ended, or the report is damaged.
pub(super) fn read(folder: &Path) -> Result<TrialReport, InputError> {
    let path = folder.join("report.json");
    serde_json::from_value(json_file(&path)?).map_err(|e| {
        InputError::new(path.display().to_string(), e.to_string())
            .hint("it was written by another version; run `fapo optimize` again, which pays for nothing that is cached")
    })
}
