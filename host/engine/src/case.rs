//! One case: the chain in its sandbox, the scorer in its own, and whose fault it was where one failed.

use crate::evaluate::Evaluation;
use crate::intervene::Handed;
use crate::judge::{CaseJudge, RunJudges};
use crate::services::{DIAGNOSTIC_EPOCH, Granted, Services};
use crate::spending::Spending;
use fapo_core::case::Case;
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::ports::{CaseServices, FinishedCase, JudgeServices, ResourceUse, TimedStep};
use fapo_core::run::{CallRecord, CaseRecord, chain_exception, step_diagnostics};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Further tries of a case that passed a wall-clock limit: such a fault says nothing about the guest. Faults of a
/// model service are retried by its provider, and by the next start of the same run.
const TRIES_AGAIN_MAX: u32 = 1;

/// Cases that are being run, by position.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<BTreeMap<usize, String>>);

/// A case's stay among those in flight.
pub(crate) struct Here<'a>(&'a InFlight, usize);

impl InFlight {
    pub(crate) fn enter(&self, index: usize, case_id: &str) -> Here<'_> {
        self.cases().insert(index, case_id.into());
        Here(self, index)
    }

    pub(crate) fn count(&self) -> usize {
        self.cases().len()
    }

    pub(crate) fn case_ids(&self) -> Vec<String> {
        self.cases().values().cloned().collect()
    }

    fn cases(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.cases().remove(&self.1);
    }
}

/// Runs one planned case to its record. Nothing that a guest or the host does in it ends the run.
pub(crate) async fn one_case(
    run: &Evaluation,
    case: &Case,
    index: usize,
    spending: &Arc<Spending>,
    judges: Option<&Arc<RunJudges>>,
) -> CaseRecord {
    let (mut calls_before, mut judged_before) = (Vec::new(), Vec::new());
    let mut tries = 0;
    loop {
        let attempt = AssertUnwindSafe(one_try(run, &run.granted, case, index, spending, judges)).catch_unwind().await;
        let mut record = attempt.unwrap_or_else(|_| {
            let message = "the host failed while it ran this case; its message is on stderr";
            failed(case, index, Fault::new(Phase::Host, FaultKind::Internal, message))
        });
        let timed_out = record.fault.as_ref().is_some_and(|fault| {
            fault.kind == FaultKind::TimedOut && matches!(fault.phase, Phase::Chain | Phase::Scorer)
        });
        if timed_out && tries < TRIES_AGAIN_MAX {
            tries += 1;
            let in_vain = |call: &mut CallRecord| call.in_vain = true;
            record.calls.iter_mut().chain(record.judge_calls.iter_mut().map(|j| &mut j.call)).for_each(in_vain);
            calls_before.append(&mut record.calls);
            judged_before.append(&mut record.judge_calls);
            continue;
        }
        // What was called for a try in vain was called all the same.
        calls_before.append(&mut record.calls);
        record.calls = calls_before;
        judged_before.append(&mut record.judge_calls);
        record.judge_calls = judged_before;
        return record;
    }
}

/// Runs one case once, with `granted` in the place of what the run was granted.
pub(crate) async fn one_try(
    run: &Evaluation,
    granted: &Granted,
    case: &Case,
    index: usize,
    spending: &Arc<Spending>,
    judges: Option<&Arc<RunJudges>>,
) -> CaseRecord {
    one_way(run, granted, case, index, None, spending, judges).await
}

/// Runs one case once with some steps given: what comes of it is no result of a run. Its model calls are samples that no
/// run draws, so that no cached reply of it can become one.
pub(crate) async fn one_diagnostic(
    run: &Evaluation,
    case: &Case,
    index: usize,
    handed: &Handed,
    spending: &Arc<Spending>,
    judges: Option<&Arc<RunJudges>>,
) -> CaseRecord {
    let way = one_way(run, &run.granted, case, index, Some(handed), spending, judges);
    AssertUnwindSafe(way).catch_unwind().await.unwrap_or_else(|_| {
        let message = "the host failed while it replayed this case; its message is on stderr";
        failed(case, index, Fault::new(Phase::Host, FaultKind::Internal, message))
    })
}

async fn one_way(
    run: &Evaluation,
    granted: &Granted,
    case: &Case,
    index: usize,
    handed: Option<&Handed>,
    spending: &Arc<Spending>,
    judges: Option<&Arc<RunJudges>>,
) -> CaseRecord {
    let epoch = if handed.is_some() { DIAGNOSTIC_EPOCH } else { run.epoch };
    let services = Arc::new(Services::new(&run.tenant_id, granted.clone(), Arc::clone(spending), epoch));
    let reached = Arc::clone(&services) as Arc<dyn CaseServices>;
    let outcome = match handed {
        Some(handed) => run.chain.run_on(&run.definition, &case.input(), &handed.steps, reached).await,
        None => run.chain.run(&run.definition, &case.input(), reached).await,
    };
    let (calls, made) = services.take();
    let searches: Vec<_> = handed.into_iter().flat_map(|handed| handed.searches.clone()).chain(made).collect();
    let mut record = CaseRecord {
        fault: outcome.fault,
        diagnostics: step_diagnostics(&outcome.steps),
        output_text: answer(&run.definition.graph.output, &outcome.steps),
        steps: outcome.steps,
        calls,
        searches,
        chain_use: outcome.used,
        ..empty(case, index)
    };
    if let Some(fault) = &record.fault {
        record.diagnostics = vec![chain_exception(fault)];
        return record;
    }
    if record.output_text.trim().is_empty() {
        record.diagnostics.push("the chain gave no answer".into());
    }
    let finished =
        FinishedCase { case, steps: &record.steps, searches: &record.searches, output_text: &record.output_text };
    let judge = judges.map(|judges| Arc::new(CaseJudge::new(judges, epoch)));
    let asked = judge.as_ref().map(|judge| Arc::clone(judge) as Arc<dyn JudgeServices>);
    let scored = run.scorer.score(finished, &run.profile, asked).await;
    record.judge_calls = judge.map(|judge| judge.take()).unwrap_or_default();
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

fn empty(case: &Case, index: usize) -> CaseRecord {
    CaseRecord {
        index,
        case_id: case.case_id.clone(),
        task_type: case.task_type.clone(),
        score: None,
        fault: None,
        diagnostics: Vec::new(),
        output_text: String::new(),
        steps: Vec::new(),
        calls: Vec::new(),
        judge_calls: Vec::new(),
        searches: Vec::new(),
        chain_use: ResourceUse::default(),
        scorer_use: ResourceUse::default(),
    }
}

fn failed(case: &Case, index: usize, fault: Fault) -> CaseRecord {
    CaseRecord { diagnostics: vec![chain_exception(&fault)], fault: Some(fault), ..empty(case, index) }
}

/// The last `output-text` that a step set, else the latest main output of the graph's output node.
fn answer(output: &str, steps: &[TimedStep]) -> String {
    let set = steps.iter().rev().find_map(|t| t.step.output_text.clone());
    let of_node = || steps.iter().rev().find(|t| t.step.id.node == output);
    set.or_else(|| of_node().map(|t| t.step.main_output().to_string())).unwrap_or_default()
}
