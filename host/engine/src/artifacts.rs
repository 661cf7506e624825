//! The texts of a run's artefacts, in the original's shapes (formats of the original, §4).

use fapo_core::attribution::step_table;
use fapo_core::case::Case;
use fapo_core::run::CaseRecord;
use std::collections::BTreeMap;

/// The text of `results.jsonl`: a row a case, in dataset order.
pub fn results(records: &[CaseRecord]) -> String {
    records.iter().map(|record| format!("{}\n", record.result_row())).collect()
}

/// The text of `summary.md`, with the original's attribution where something failed.
pub fn summary(cases: &[Case], records: &[CaseRecord]) -> String {
    use fapo_core::stats::{median, quantile_nearest_rank};
    let n = records.len().max(1) as f64;
    let failures = records.iter().filter(|r| r.fault.is_some()).count();
    let mut text = format!(
        "# Evaluation Summary\n\nTotal cases: {}\nSuccessful cases: {}\nInfrastructure failures: {}\n\n## Composite Score\n- average: {:.2}\n",
        records.len(),
        records.len() - failures,
        failures,
        records.iter().map(CaseRecord::composite).sum::<f64>() / n
    );
    let averages = breakdown_averages(records);
    if !averages.is_empty() {
        text.push_str("\n## Score Breakdown\n");
        for (name, mean) in &averages {
            text.push_str(&format!("- {name}: {mean:.2}\n"));
        }
    }
    let mut steps: Vec<(String, Vec<f64>)> = Vec::new();
    let mut totals = Vec::new();
    for record in records {
        totals.push(record.steps.iter().map(|t| t.seconds).sum());
        for timed in &record.steps {
            let name = &timed.step.id.node;
            match steps.iter_mut().find(|(seen, _)| seen == name) {
                Some((_, times)) => times.push(timed.seconds),
                None => steps.push((name.clone(), vec![timed.seconds])),
            }
        }
    }
    steps.push(("**Total**".into(), totals));
    text.push_str(
        "\n## Step Timings\n\n| Step | Avg (s) | P50 (s) | P95 (s) |\n|------|---------|---------|---------|\n",
    );
    for (name, mut times) in steps {
        times.sort_by(f64::total_cmp);
        let cells = [
            times.iter().sum::<f64>() / times.len().max(1) as f64,
            median(&times),
            quantile_nearest_rank(&times, 0.95),
        ];
        let shown: Vec<String> = cells
            .iter()
            .map(|c| if name.starts_with('*') { format!("**{c:.3}**") } else { format!("{c:.3}") })
            .collect();
        text.push_str(&format!("| {name} | {} |\n", shown.join(" | ")));
    }
    if let Some(table) = step_table(cases, records) {
        text.push_str(&format!("\n{table}"));
    }
    text
}

/// Mean of each metric over all cases, a case without it as 0; names sorted.
pub fn breakdown_averages(records: &[CaseRecord]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (name, value) in records.iter().filter_map(|r| r.score.as_ref()).flat_map(|s| s.breakdown()) {
        *sums.entry(name.clone()).or_insert(0.0) += value;
    }
    sums.values_mut().for_each(|sum| *sum /= records.len() as f64);
    sums
}
