//! The page of a trial.

use super::{ClusterRow, cut, interval, page, plot, points, word};
use askama::Template;
use fapo_core::InputError;
use fapo_core::scope::ScopeContract;
use fapo_core::variant::Outcome;
use fapo_engine::optimize::{Attempt, Exhaustion, TrialCalls, TrialReport};

/// What a page shows of a trial beside its report.
pub struct TrialFigures {
    /// Whose chain it is.
    pub tenant: String,
    /// How far it may go.
    pub scope: ScopeContract,
    /// Calls of all its runs.
    pub calls: TrialCalls,
    /// What each attempt changes.
    pub changes: Vec<Change>,
}

/// What a variant changes in its parent.
pub struct Change {
    /// The variant.
    pub variant: String,
    /// Unified differences of prompts, by module.
    pub prompts: Vec<(String, String)>,
    /// Changes of parameters and of the graph, a sentence each.
    pub facts: Vec<String>,
}

#[derive(Template)]
#[template(path = "trial.html")]
struct Page {
    tenant: String,
    policy: &'static str,
    stop_reason: String,
    levels: String,
    selected: String,
    baseline_test: String,
    baseline_interval: String,
    selected_test: String,
    selected_interval: String,
    difference: String,
    difference_interval: String,
    baseline_validation: String,
    selected_validation: String,
    paid: u64,
    cached: u64,
    trajectory: String,
    attempts: Vec<AttemptRow>,
    lineage: String,
    exhausted: Vec<ExhaustedRow>,
    outstanding: Vec<ClusterRow>,
    counsel: Vec<(String, u64)>,
    diffs: Vec<DiffRow>,
}

struct AttemptRow {
    variant: String,
    parent: String,
    level: &'static str,
    operator: String,
    step: String,
    verdict: String,
    outcome: String,
    train: String,
    validation: String,
    hypothesis: String,
    why: String,
}

struct ExhaustedRow {
    level: &'static str,
    reason: String,
    tried: u32,
    kept: u32,
    techniques: String,
    share: String,
    ceiling: String,
}

struct DiffRow {
    variant: String,
    parent: String,
    operator: String,
    kept: bool,
    facts: Vec<String>,
    prompts: Vec<PromptRow>,
}

struct PromptRow {
    module: String,
    lines: Vec<(char, String)>,
}

/// The page of a finished trial.
///
/// # Errors
/// A plot cannot be drawn.
pub fn trial(report: &TrialReport, figures: &TrialFigures) -> Result<String, InputError> {
    let (baseline, selected) = (&report.baseline, &report.selected);
    let levels: Vec<&str> = figures.scope.levels.iter().map(|level| level.word()).collect();
    let signed = |value: f64| format!("{value:+.2}");
    let difference = report.difference.as_ref();
    let between = difference.and_then(|d| d.ci).map(|[low, high]| format!("95% interval {low:+.1} to {high:+.1}"));
    page(&Page {
        tenant: figures.tenant.clone(),
        policy: report.policy.word(),
        stop_reason: word(report.stop_reason),
        levels: if levels.is_empty() { "none".into() } else { levels.join(", ") },
        selected: selected.variant.clone(),
        baseline_test: points(baseline.test.mean),
        baseline_interval: interval(baseline.test.ci),
        selected_test: points(selected.test.mean),
        selected_interval: interval(selected.test.ci),
        difference: signed(difference.map_or(0.0, |d| d.mean)),
        difference_interval: between.unwrap_or_default(),
        baseline_validation: points(baseline.validation.mean),
        selected_validation: points(selected.validation.mean),
        paid: figures.calls.paid,
        cached: figures.calls.cached,
        trajectory: plot::trajectory(&points_of(report))?,
        attempts: report.attempts.iter().map(attempt).collect(),
        lineage: plot::lineage(&lineage(report))?,
        exhausted: report.exhausted.iter().map(exhausted).collect(),
        outstanding: report.outstanding.iter().map(ClusterRow::of).collect(),
        counsel: counsel(report),
        diffs: report.attempts.iter().filter_map(|a| diff(a, figures)).collect(),
    })
}

fn points_of(report: &TrialReport) -> Vec<plot::Point> {
    let first = &report.baseline.validation;
    let mut points = vec![plot::Point { name: "v000".into(), mean: Some(first.mean), interval: first.ci, kept: true }];
    points.extend(report.attempts.iter().map(|a| plot::Point {
        name: a.variant.clone(),
        mean: a.validation.map(|v| v.mean),
        interval: a.validation.and_then(|v| v.ci),
        kept: a.outcome == Outcome::Kept,
    }));
    points
}

fn lineage(report: &TrialReport) -> Vec<plot::Born> {
    let names: Vec<&str> = std::iter::once("v000").chain(report.attempts.iter().map(|a| a.variant.as_str())).collect();
    let place = |name: &str| names.iter().position(|n| *n == name);
    let selected = &report.selected.variant;
    let mut all = vec![plot::Born { name: "v000".into(), parent: None, kept: true, selected: selected == "v000" }];
    all.extend(report.attempts.iter().map(|a| plot::Born {
        name: a.variant.clone(),
        parent: place(&a.parent),
        kept: a.outcome == Outcome::Kept,
        selected: a.variant == *selected,
    }));
    all
}

fn attempt(a: &Attempt) -> AttemptRow {
    let mean = |value: Option<f64>| value.map_or("-".to_string(), points);
    AttemptRow {
        variant: a.variant.clone(),
        parent: a.parent.clone(),
        level: a.level.word(),
        operator: cut(&a.operator),
        step: cut(&a.step),
        verdict: word(a.verdict),
        outcome: word(a.outcome),
        train: mean(a.train),
        validation: mean(a.validation.map(|v| v.mean)),
        hypothesis: cut(&a.hypothesis),
        why: cut(&a.why),
    }
}

fn exhausted(e: &Exhaustion) -> ExhaustedRow {
    let ceiling = e
        .ceiling
        .as_ref()
        .map_or("not looked into".into(), |gain| format!("{} {}", points(gain.mean), interval(gain.ci)));
    ExhaustedRow {
        level: e.level.word(),
        reason: e.exhaustion_reason.clone(),
        tried: e.variants_tried,
        kept: e.variants_kept,
        techniques: cut(&e.techniques.join(", ")),
        share: format!("{:.0}%", 100.0 * e.addressable_share),
        ceiling,
    }
}

fn counsel(report: &TrialReport) -> Vec<(String, u64)> {
    let Some(counsel) = &report.counsel else { return Vec::new() };
    let mut rows = vec![
        ("questions asked".to_string(), counsel.asked),
        ("of them without an answer".into(), counsel.unanswered),
        ("paid calls".into(), counsel.calls_paid),
        ("edits proposed".into(), counsel.edits),
        ("reviews that failed a change".into(), counsel.failed_reviews),
        ("failed cases told".into(), counsel.cases_told),
    ];
    rows.extend(counsel.dropped.iter().map(|(reason, count)| (format!("dropped: {}", cut(reason)), *count)));
    rows
}

fn diff(attempt: &Attempt, figures: &TrialFigures) -> Option<DiffRow> {
    let change = figures.changes.iter().find(|change| change.variant == attempt.variant)?;
    let marked = |line: &str| (line.chars().next().unwrap_or(' '), fapo_core::names::shown(line));
    let prompts = change.prompts.iter().map(|(module, text)| PromptRow {
        module: module.clone(),
        lines: text.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++")).map(marked).collect(),
    });
    Some(DiffRow {
        variant: attempt.variant.clone(),
        parent: attempt.parent.clone(),
        operator: cut(&attempt.operator),
        kept: attempt.outcome == Outcome::Kept,
        facts: change.facts.iter().map(|fact| cut(fact)).collect(),
        prompts: prompts.collect(),
    })
}
