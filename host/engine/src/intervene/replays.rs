//! Replays, each paid once: what one found is kept in a log, by what was given.

use super::Diagnosis;
use super::localise::{Handed, Subject};
use crate::account::Amount;
use crate::case::one_diagnostic;
use crate::evaluate::Evaluation;
use crate::folder;
use crate::judge::RunJudges;
use crate::optimize::TrialCalls;
use crate::spending::{Spending, Spent};
use fapo_core::gold::did_its_part;
use fapo_core::grants::Budget;
use fapo_core::ports::RunFiles;
use fapo_core::run::CaseRecord;
use fapo_core::{InputError, digest};
use fapo_graph::StepOrigin;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a replay found: no text of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Found {
    /// What was given to which case.
    key: String,
    /// Composite; 0 with a fault.
    pub(super) composite: f64,
    /// Whether steps did their part, by position among the subject's steps; those whose texts cannot tell are absent.
    pub(super) parts: BTreeMap<usize, bool>,
    /// Paid calls.
    paid: u64,
    /// Calls that the cache answered.
    cached: u64,
}

/// What a log holds, by key. A line that a crash cut is a replay that was not kept.
fn kept(text: &[u8]) -> BTreeMap<String, Found> {
    let whole = String::from_utf8_lossy(text);
    let lines = whole.lines().filter_map(|line| serde_json::from_str::<Found>(line).ok());
    lines.map(|found| (found.key.clone(), found)).collect()
}

/// Model calls of the replays that a log holds; none where there is no log.
///
/// # Errors
/// It cannot be read.
pub fn calls_of(log: &Path) -> Result<TrialCalls, InputError> {
    let mut calls = TrialCalls::default();
    for found in kept(&folder::read(log)?).values() {
        calls += TrialCalls { paid: found.paid, cached: found.cached };
    }
    Ok(calls)
}

/// Runs replays and remembers them.
pub(super) struct Replays {
    run: Arc<Evaluation>,
    spending: Arc<Spending>,
    judges: Option<Arc<RunJudges>>,
    found: Mutex<BTreeMap<String, Found>>,
    /// Paid calls of the replays that this start asked for, whenever they were paid: a start that goes on decides by the
    /// same numbers as one that was never stopped.
    asked_for: Mutex<BTreeMap<String, u64>>,
    log: PathBuf,
    files: Arc<dyn RunFiles>,
}

impl Replays {
    pub(super) fn open(diagnosis: &Diagnosis) -> Result<Self, InputError> {
        let text = folder::read(&diagnosis.log)?;
        let found = kept(&text);
        let calls = found.values().map(|found| found.paid).sum();
        let spent = Spent { amount: Amount { calls, ..Amount::default() }, ..Spent::default() };
        let budget = Budget { calls_max: Some(diagnosis.calls_max), ..Budget::default() };
        let run = Arc::clone(&diagnosis.run);
        let spending = Arc::new(Spending::begin(budget, &spent, &run.accounts));
        let judges = RunJudges::begin(&run.tenant_id, &run.granted.judges, &spending, &Spent::default());
        let (log, files) = (diagnosis.log.clone(), Arc::clone(&run.files));
        if !text.is_empty() && !text.ends_with(b"\n") {
            // So that the next line does not join the one that was cut.
            files.append(&log, b"\n").map_err(|e| failed(&log, &e))?;
        }
        Ok(Replays { run, spending, judges, found: Mutex::new(found), asked_for: Mutex::default(), log, files })
    }

    /// Whether models may answer equal calls differently.
    pub(super) fn sampled(&self) -> bool {
        self.run.granted.models.values().any(|model| model.samples())
    }

    /// Runs a case on from what it is handed; None where the calls are used up.
    ///
    /// # Errors
    /// A service failed, or the log cannot be written.
    pub(super) async fn run_on(&self, subject: &Subject<'_>, handed: &Handed) -> Result<Option<Found>, InputError> {
        let given: Vec<_> = handed.steps.iter().map(|s| json!([s.id, s.outputs, s.output_text])).collect();
        let key = digest::of_json(&json!([subject.case.case_id, given]));
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            self.ask_for(&known);
            return Ok(Some(known));
        }
        let record =
            one_diagnostic(&self.run, subject.case, subject.index, handed, &self.spending, self.judges.as_ref()).await;
        if record.fault.as_ref().is_some_and(|fault| fault.kind.is_spent()) {
            return Ok(None);
        }
        if let Some(fault) = record.fault.as_ref().filter(|fault| fault.is_infrastructure()) {
            let subject = format!("replay of case {:?}", record.case_id);
            let hint = fault.hint.as_deref().unwrap_or("look into it; the same command goes on");
            return Err(InputError::new(subject, fault.message.clone()).hint(hint));
        }
        let calls = record.model_calls();
        let found = Found {
            composite: record.composite(),
            parts: parts(subject, &record),
            paid: record.paid_calls(),
            cached: calls.filter(|call| call.cached).count() as u64,
            key: key.clone(),
        };
        let mut line = serde_json::to_vec(&found).unwrap_or_default();
        line.push(b'\n');
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.append(&self.log, &line).map_err(|e| failed(&self.log, &e))?;
        all.insert(key, found.clone());
        drop(all);
        self.ask_for(&found);
        Ok(Some(found))
    }

    fn ask_for(&self, found: &Found) {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner).insert(found.key.clone(), found.paid);
    }

    /// Paid calls of the replays that this start asked for so far.
    pub(super) fn calls(&self) -> u64 {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Paid and cached calls, and replays, of all starts.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        (all.values().map(|f| f.paid).sum(), all.values().map(|f| f.cached).sum(), all.len() as u64)
    }
}

/// Which of a subject's steps did their part in a replay.
fn parts(subject: &Subject<'_>, record: &CaseRecord) -> BTreeMap<usize, bool> {
    let ran = |node: &str| {
        let of = |t: &&fapo_core::ports::TimedStep| t.step.id.node == node && t.step.origin != StepOrigin::Skipped;
        record.steps.iter().rev().find(of).map(|timed| timed.step.main_output())
    };
    let texts: Vec<(&str, &str)> =
        subject.nodes.iter().map(|node| (node.as_str(), ran(node).unwrap_or_default())).collect();
    let told = |at: usize| Some((at, did_its_part(subject.case, &subject.gold, &texts, at)?));
    (0..texts.len()).filter_map(told).collect()
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command: no replay is paid twice")
}
