//! The texts of a run's artefacts, in the original's shapes (formats of the original, §4).

use crate::figures::RunFigures;
use fapo_core::run::CaseRecord;
use std::io::Write;

/// A row of `results.jsonl`.
pub(crate) fn write_result(record: &CaseRecord, out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, &record.result_row())?;
    writeln!(out)
}

/// The text of `summary.md`, with the original's attribution where something failed.
pub(crate) fn summary(figures: &RunFigures) -> String {
    let (all, failures) = (figures.completed(), figures.errors);
    let mut text = format!(
        "# Evaluation Summary\n\nTotal cases: {all}\nSuccessful cases: {}\nInfrastructure failures: {failures}\n\n## Composite Score\n- average: {:.2}\n",
        all - failures,
        figures.composite(all).map_or(0.0, |estimate| estimate.mean)
    );
    let metrics = figures.metrics(all);
    if !metrics.is_empty() {
        text.push_str("\n## Score Breakdown\n");
        for (name, mean) in &metrics {
            text.push_str(&format!("- {name}: {mean:.2}\n"));
        }
    }
    text.push_str(
        "\n## Step Timings\n\n| Step | Avg (s) | P50 (s) | P95 (s) |\n|------|---------|---------|---------|\n",
    );
    for (step, times) in figures.times() {
        let times = times.figures();
        let bold = if step.is_some() { "" } else { "**" };
        let cells = [times.mean, times.p50, times.p95].map(|seconds| format!("{bold}{seconds:.3}{bold}"));
        text.push_str(&format!("| {bold}{}{bold} | {} |\n", step.unwrap_or("Total"), cells.join(" | ")));
    }
    if let Some(table) = figures.failures.step_table().filter(|_| figures.has_steps()) {
        text.push_str(&format!("\n{table}"));
    }
    text
}
