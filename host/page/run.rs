//! The page of a run.

use super::{ClusterRow, Plot, cut, interval, page, plot, points};
use askama::Template;
use fapo_core::InputError;
use fapo_core::attribution::attribute;
use fapo_core::case::Case;
use fapo_core::fault::step_name;
use fapo_core::price::Money;
use fapo_core::run::{CaseRecord, cost};
use fapo_core::stats::{median, quantile_nearest_rank};
use fapo_engine::figures::RunFigures;
use fapo_engine::stored::StoredRun;
use fapo_graph::StepOrigin;
use std::collections::BTreeMap;

/// Cases in the list of a page: those that lost most.
const CASES_MAX: usize = 300;
/// Clusters in the table of a page.
const CLUSTERS_MAX: usize = 30;

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    run_id: String,
    tenant: String,
    dataset: String,
    composite: String,
    interval: String,
    planned: usize,
    completed: usize,
    errors: usize,
    calls: u64,
    paid: u64,
    cached: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    calls_without_usage: u64,
    cost: String,
    saved: String,
    plots: Vec<Plot>,
    metrics: Vec<(String, String)>,
    steps: Vec<StepRow>,
    labels: bool,
    clusters: Vec<ClusterRow>,
    shown: usize,
    cases: Vec<CaseRow>,
}

struct StepRow {
    name: String,
    cases: usize,
    mean: String,
    p50: String,
    p95: String,
    calls: usize,
    cost: String,
}

struct CaseRow {
    id: String,
    composite: String,
    text: String,
}

/// The page of a stored run with its records. `cases` are those of its dataset, none where that is not at hand.
///
/// # Errors
/// A plot cannot be drawn.
pub fn run(stored: &StoredRun, cases: &[Case], records: &[CaseRecord]) -> Result<String, InputError> {
    let figures = RunFigures::of(cases, records);
    let (composite, usage) = (figures.composite(stored.planned), figures.usage);
    let times = times(records);
    let sorted = |name: &str| -> Vec<f64> {
        let mut seconds = times.iter().find(|(n, _)| n == name).map(|(_, s)| s.clone()).unwrap_or_default();
        seconds.sort_by(f64::total_cmp);
        seconds
    };
    let by_step: Vec<(String, f64, f64)> = times
        .iter()
        .map(|(name, _)| {
            let seconds = sorted(name);
            (name.clone(), median(&seconds), quantile_nearest_rank(&seconds, 0.95))
        })
        .collect();
    let clusters = if cases.is_empty() { Vec::new() } else { attribute(cases, records).clusters };
    let lost: Vec<(String, f64, f64)> = lost_by_step(&clusters);
    let spent: Vec<(String, f64, f64)> = by_step
        .iter()
        .map(|(name, _, _)| {
            let calls = records.iter().flat_map(|r| &r.calls).filter(|call| step_name(&call.id) == *name);
            let tokens: u64 = calls.filter_map(|call| call.usage).map(|u| u.prompt_tokens + u.completion_tokens).sum();
            (name.clone(), tokens as f64, 0.0)
        })
        .collect();
    let mut plots = vec![Plot { svg: plot::composites(figures.composites())?, caption: "Cases by composite." }];
    if !by_step.is_empty() {
        plots.push(Plot {
            svg: plot::bars(&by_step, "seconds")?,
            caption: "Time of each step: median, and P95 lighter.",
        });
    }
    if spent.iter().any(|(_, tokens, _)| *tokens > 0.0) {
        plots.push(Plot { svg: plot::bars(&spent, "tokens")?, caption: "Tokens of each step, all cases together." });
    }
    if !lost.is_empty() {
        plots.push(Plot { svg: plot::bars(&lost, "points")?, caption: "Points of the mean that each step loses." });
    }
    let text = |field: &str| stored.run_config[field].as_str().unwrap_or_default().to_string();
    let dollars =
        |amount: Option<Money>| amount.map_or("unknown".to_string(), |amount| format!("${:.4}", amount.in_dollars()));
    let mut worst: Vec<&CaseRecord> = records.iter().collect();
    worst.sort_by(|a, b| a.composite().total_cmp(&b.composite()).then_with(|| a.index.cmp(&b.index)));
    let row = |record: &&CaseRecord| CaseRow {
        id: cut(&record.case_id),
        composite: points(record.composite()),
        text: match &record.fault {
            Some(fault) => cut(&format!("{:?}: {}", fault.kind, fault.message)),
            None => cut(&record.output_text),
        },
    };
    let listed: Vec<CaseRow> = worst.iter().take(CASES_MAX).map(row).collect();
    page(&Page {
        run_id: text("run_id"),
        tenant: text("tenant_id"),
        dataset: cut(&text("dataset_path")),
        composite: composite.map_or("none".into(), |estimate| points(estimate.mean)),
        interval: interval(composite.and_then(|estimate| estimate.ci)),
        planned: stored.planned,
        completed: records.len(),
        errors: figures.errors,
        calls: usage.calls,
        paid: usage.paid,
        cached: usage.cached,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        calls_without_usage: usage.calls_without_usage,
        cost: dollars(usage.cost),
        saved: dollars(usage.saved),
        plots,
        metrics: figures.metrics(stored.planned).iter().map(|(name, mean)| (cut(name), points(*mean))).collect(),
        steps: steps(records, &by_step, &times),
        labels: !cases.is_empty(),
        clusters: clusters.iter().take(CLUSTERS_MAX).map(ClusterRow::of).collect(),
        shown: listed.len(),
        cases: listed,
    })
}

/// Seconds of each step by case, steps in order of their first appearance.
fn times(records: &[CaseRecord]) -> Vec<(String, Vec<f64>)> {
    let mut all: Vec<(String, Vec<f64>)> = Vec::new();
    for timed in records.iter().flat_map(|record| &record.steps).filter(|t| t.step.origin != StepOrigin::Skipped) {
        let name = step_name(&timed.step.id);
        match all.iter_mut().find(|(n, _)| *n == name) {
            Some((_, seconds)) => seconds.push(timed.seconds),
            None => all.push((name, vec![timed.seconds])),
        }
    }
    all
}

fn lost_by_step(clusters: &[fapo_core::attribution::Cluster]) -> Vec<(String, f64, f64)> {
    let mut lost: BTreeMap<&str, f64> = BTreeMap::new();
    clusters.iter().for_each(|cluster| *lost.entry(&cluster.step).or_default() += cluster.gain);
    let mut lost: Vec<(String, f64, f64)> =
        lost.into_iter().map(|(step, gain)| (step.to_string(), gain, 0.0)).collect();
    lost.sort_by(|a, b| b.1.total_cmp(&a.1));
    lost
}

fn steps(records: &[CaseRecord], by_step: &[(String, f64, f64)], times: &[(String, Vec<f64>)]) -> Vec<StepRow> {
    let row = |((name, p50, p95), (_, seconds)): (&(String, f64, f64), &(String, Vec<f64>))| {
        let calls = || records.iter().flat_map(|r| &r.calls).filter(|call| step_name(&call.id) == *name);
        StepRow {
            name: name.clone(),
            cases: seconds.len(),
            mean: format!("{:.3}", seconds.iter().sum::<f64>() / seconds.len().max(1) as f64),
            p50: format!("{p50:.3}"),
            p95: format!("{p95:.3}"),
            calls: calls().count(),
            cost: cost(calls().filter(|call| call.is_paid())).map_or("unknown".into(), |money| money.to_string()),
        }
    };
    by_step.iter().zip(times).map(row).collect()
}
