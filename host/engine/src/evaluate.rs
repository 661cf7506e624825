//! One run: every case through the chain and the scorer, journalled as it ends.

use crate::artifacts::{self, RunFolder};
pub use crate::services::Granted;
use crate::services::Services;
use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::ports::{CaseServices, Chain, Definition, FinishedCase, ResourceUse, Scorer};
use fapo_core::run::{CaseRecord, chain_exception, step_diagnostics};
use futures::StreamExt;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Everything a run needs.
pub struct Evaluation {
    /// Whose run it is.
    pub tenant_id: String,
    /// Planned cases, in order.
    pub cases: Vec<Case>,
    /// The variant.
    pub definition: Definition,
    /// Its chain.
    pub chain: Arc<dyn Chain>,
    /// Its scorer.
    pub scorer: Arc<dyn Scorer>,
    /// The scorer's settings.
    pub profile: Value,
    /// What the chain may use.
    pub granted: Granted,
    /// Cases at one time, at least 1.
    pub workers: usize,
    /// Where the run goes.
    pub folder: PathBuf,
    /// The artefact `run_config.json`, with `identity`.
    pub run_config: Value,
}

/// A finished run.
pub struct RunReport {
    /// Id of the run, kept over continued starts.
    pub run_id: String,
    /// Records in dataset order.
    pub records: Vec<CaseRecord>,
    /// Cases that an earlier start of the same run had finished.
    pub resumed: usize,
}

/// Runs what is not yet journalled, then writes the artefacts.
///
/// # Errors
/// The scorer refuses a row, or the run's folder cannot be used. Faults of cases are data, not errors.
pub async fn evaluate(run: &Evaluation, progress: &(dyn Fn(&CaseRecord) + Sync)) -> Result<RunReport, InputError> {
    let refused = run.scorer.validate(&run.cases, &run.profile).await;
    let refused =
        refused.map_err(|fault| InputError::new(format!("tenant {}, scorer", run.tenant_id), fault.message))?;
    if let Some((at, why)) = refused.first() {
        let subject = format!("tenant {}, case {:?}", run.tenant_id, run.cases[*at].case_id);
        return Err(InputError::new(subject, format!("the scorer does not accept it: {why}"))
            .hint("mend the row or the scoring_profile; nothing was run"));
    }
    let (mut folder, run_config, mut records) = RunFolder::open(&run.folder, &run.run_config)?;
    let resumed = records.len();
    let started = jiff::Timestamp::now();
    let done: std::collections::BTreeSet<usize> = records.iter().map(|r| r.index).collect();
    let open = (0..run.cases.len()).filter(|index| !done.contains(index));
    let mut ended = futures::stream::iter(open.map(|index| one_case(run, index))).buffer_unordered(run.workers.max(1));
    while let Some(record) = ended.next().await {
        folder.finished(&record)?;
        progress(&record);
        records.push(record);
    }
    drop(ended);
    records.sort_by_key(|r| r.index);
    folder.replace("results.jsonl", &artifacts::results(&records))?;
    folder.replace("run_config.json", &format!("{run_config:#}\n"))?;
    folder.replace("summary.md", &artifacts::summary(&records))?;
    folder
        .replace("progress.json", &format!("{:#}\n", progress_json(run, &run_config["run_id"], &records, started)))?;
    let run_id = run_config["run_id"].as_str().unwrap_or_default().to_string();
    Ok(RunReport { run_id, records, resumed })
}

fn progress_json(run: &Evaluation, run_id: &Value, records: &[CaseRecord], started: jiff::Timestamp) -> Value {
    let ids = |failed: bool| -> Vec<&str> {
        records.iter().filter(|r| r.fault.is_some() == failed).map(|r| r.case_id.as_str()).collect()
    };
    let (failed, succeeded) = (ids(true), ids(false));
    let status = match (failed.len(), succeeded.len()) {
        (0, _) => "completed",
        (_, 0) => "failed",
        _ => "degraded",
    };
    let n = records.len().max(1) as f64;
    json!({
        "run_id": run_id, "status": status,
        "total_cases": run.cases.len(), "completed_cases": records.len(), "successful_cases": succeeded.len(),
        "started_at": started.to_string(), "updated_at": jiff::Timestamp::now().to_string(),
        "avg_composite_score": records.iter().map(CaseRecord::composite).sum::<f64>() / n,
        "weighted_avg_score": null, "score_breakdown_averages": artifacts::breakdown_averages(records),
        "failed_case_ids": failed, "attempted_case_ids": records.iter().map(|r| &r.case_id).collect::<Vec<_>>(),
        "successful_case_ids": succeeded, "in_flight_case_ids": [], "trust_tier_summaries": {},
    })
}

async fn one_case(run: &Evaluation, index: usize) -> CaseRecord {
    let case = &run.cases[index];
    let services = Arc::new(Services::new(&run.tenant_id, run.granted.clone()));
    let reached = Arc::clone(&services) as Arc<dyn CaseServices>;
    let outcome = run.chain.run(&run.definition, &case.input(), reached).await;
    let (calls, searches) = services.take();
    let output_text = answer(&run.definition, &outcome.steps);
    let mut record = CaseRecord {
        index,
        case_id: case.case_id.clone(),
        task_type: case.task_type.clone(),
        score: None,
        fault: outcome.fault,
        diagnostics: step_diagnostics(&outcome.steps),
        output_text,
        steps: outcome.steps,
        calls,
        searches,
        chain_use: outcome.used,
        scorer_use: ResourceUse::default(),
    };
    if let Some(fault) = &record.fault {
        record.diagnostics = vec![chain_exception(fault)];
        return record;
    }
    if record.output_text.trim().is_empty() {
        record.diagnostics.push("the chain gave no answer".into());
    }
    let finished = FinishedCase {
        case: case.clone(),
        steps: record.steps.iter().map(|t| t.step.clone()).collect(),
        searches: record.searches.clone(),
        output_text: record.output_text.clone(),
    };
    let scored = run.scorer.score(&finished, &run.profile).await;
    record.scorer_use = scored.used;
    match scored.result {
        Ok(score) => {
            record.diagnostics.extend(score.diagnostics.iter().cloned());
            record.score = Some(score);
        }
        Err(fault) => {
            record.diagnostics.push(format!("Scorer fault: {}", fault.message));
            record.fault = Some(fault);
        }
    }
    record
}

/// The last `output-text` that a step set, else the latest main output of the graph's output node.
fn answer(definition: &Definition, steps: &[fapo_core::ports::TimedStep]) -> String {
    let set = steps.iter().rev().find_map(|t| t.step.output_text.clone());
    let of_node = || steps.iter().rev().find(|t| t.step.id.node == definition.graph.output);
    set.or_else(|| of_node().map(|t| t.step.main_output().to_string())).unwrap_or_default()
}
