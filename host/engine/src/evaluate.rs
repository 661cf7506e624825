//! One run: every case through the chain and the scorer, journalled as it ends.
//!
//! Workers run cases side by side and hand their records to one committer, which writes what has queued while its last
//! commit ran, with one sync for all of it: a case costs the workers no wait for the disk, and a crash at any byte
//! loses at most the cases in flight. A case is reported finished only once its line is durable.

use crate::account::Account;
use crate::artifacts;
use crate::case::{InFlight, one_case};
use crate::folder::{self, Begun, RunFolder};
pub use crate::folder::{Earlier, Retry};
use crate::journal::{self, JOURNAL};
use crate::judge::RunJudges;
pub use crate::services::Granted;
use crate::spending::{Spending, Spent};
use crate::stop::StopSignal;
use crate::telemetry;
use crate::totals::{Facts, Phase, Totals};
use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::grants::Budget;
use fapo_core::ports::{Chain, Clock, Definition, RunFiles, Scorer};
use fapo_core::run::CaseRecord;
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

/// Shortest time between two writes of a live `progress.json`: each costs a rename and a sync.
const PROGRESS_EVERY_MS: i64 = 500;

/// Most records in one commit, so that a slow disk cannot make the next one arbitrarily large.
const COMMIT_RECORDS_MAX: usize = 256;

/// Everything a run needs.
pub struct Evaluation {
    /// Whose run it is.
    pub tenant_id: String,
    /// Planned cases, in order: the denominator.
    pub cases: Vec<Case>,
    /// The variant.
    pub definition: Definition,
    /// Its chain.
    pub chain: Arc<dyn Chain>,
    /// Its scorer.
    pub scorer: Arc<dyn Scorer>,
    /// The scorer's settings.
    pub profile: Value,
    /// What chain and scorer may use.
    pub granted: Granted,
    /// Most that the run may cost over all its starts.
    pub budget: Budget,
    /// What it may cost together with other runs.
    pub accounts: Vec<Arc<Account>>,
    /// Cases at one time, at least 1.
    pub workers: usize,
    /// Where the run goes.
    pub folder: PathBuf,
    /// The artefact `run_config.json`, with `run_id`, `fapo.planned`, `fapo.identity` and its digest in
    /// `fapo.identity_digest`.
    pub run_config: Value,
    /// What becomes of the cases that the folder holds already.
    pub earlier: Earlier,
    /// The n-th run of the same thing, from 0: its equal calls are other samples.
    pub epoch: u32,
    /// Cases that this start is held to; the run then stands as one that was stopped, and a start without this goes on.
    pub part: Option<BTreeSet<String>>,
    /// Asks the run to end early.
    pub stop: StopSignal,
    /// The only way the run writes.
    pub files: Arc<dyn RunFiles>,
    /// Where times come from.
    pub clock: Arc<dyn Clock>,
}

/// What happens in a run, for those who watch.
pub enum RunEvent<'a> {
    /// The folder is open and no case has begun.
    Started {
        /// Id of the run, kept over continued starts.
        run_id: &'a str,
        /// Planned cases.
        planned: usize,
        /// Records of earlier starts.
        finished: &'a [CaseRecord],
    },
    /// A case came to its end and its line is durable.
    Finished {
        /// Its record.
        record: &'a CaseRecord,
        /// Cases in flight.
        cases_in_flight: usize,
        /// Model calls that are waited for.
        calls_in_flight: usize,
    },
}

/// A run at its end, or as far as it came.
#[derive(Debug)]
pub struct RunReport {
    /// Id of the run, kept over continued starts.
    pub run_id: String,
    /// Records in dataset order; fewer than planned where the run was stopped.
    pub records: Vec<CaseRecord>,
    /// Cases that an earlier start of the same run had finished.
    pub resumed: usize,
    /// It was asked to end early and cases are left; the same run continues.
    pub stopped: bool,
}

/// How many of the planned cases the run's folder holds already. Writes nothing.
///
/// # Errors
/// The folder holds a damaged journal.
pub fn finished(run: &Evaluation) -> Result<usize, InputError> {
    let path = run.folder.join(JOURNAL);
    let found = journal::read(&path, &folder::read(&path)?)?;
    let same = found.header.is_some_and(|header| journal::identity(&header) == journal::identity(&run.run_config));
    Ok(if same && run.earlier != Earlier::Forgotten {
        found.records.iter().filter(|r| folder::stands(r) && !run.earlier.again(r)).count()
    } else {
        0
    })
}

/// Runs what is not yet journalled, then writes the artefacts.
///
/// # Errors
/// The scorer refuses a row, or the run's folder cannot be used. Faults of cases are data, not errors.
pub async fn evaluate(run: &Arc<Evaluation>, observe: &(dyn Fn(RunEvent<'_>) + Sync)) -> Result<RunReport, InputError> {
    validate(run).await?;
    let (folder, Begun { header, mut records, spent }) =
        RunFolder::open(&run.folder, &run.files, &run.run_config, &run.earlier)?;
    let folder = Arc::new(folder);
    let run_id = header["run_id"].as_str().unwrap_or_default().to_string();
    let resumed = records.len();
    observe(RunEvent::Started { run_id: &run_id, planned: run.cases.len(), finished: &records });
    let facts = Facts { run_id: &run_id, planned: run.cases.len(), started: run.clock.now() };
    let mut totals = Totals::default();
    records.iter().for_each(|record| totals.add(record));

    let crew = Crew::start(run, &run_id, &records, spent);
    let Crew { workers: _workers, mut finished, in_flight, spending } = crew;
    let mut batch = Vec::new();
    let mut progress_written: Option<jiff::Timestamp> = None;
    while finished.recv_many(&mut batch, COMMIT_RECORDS_MAX).await > 0 {
        batch = commit(&folder, std::mem::take(&mut batch)).await?;
        for record in batch.drain(..) {
            totals.add(&record);
            observe(RunEvent::Finished {
                record: &record,
                cases_in_flight: in_flight.count(),
                calls_in_flight: spending.waiting(),
            });
            records.push(record);
        }
        let now = run.clock.now();
        if progress_written.is_none_or(|then| now.duration_since(then).as_millis() >= i128::from(PROGRESS_EVERY_MS)) {
            let ids = in_flight.case_ids(&run.cases);
            folder.replace("progress.json", &totals.progress_json(&facts, Phase::Running, now, &ids, &[]))?;
            progress_written = Some(now);
        }
    }
    records.sort_by_key(|r| r.index);
    let stopped = records.len() < run.cases.len();
    if stopped {
        let text = totals.progress_json(&facts, Phase::Stopped, run.clock.now(), &[], &[]);
        folder.replace("progress.json", &text)?;
    } else {
        folder.replace("results.jsonl", &artifacts::results(&records))?;
        folder.replace("run_config.json", &format!("{header:#}\n"))?;
        folder.replace("summary.md", &artifacts::summary(&run.cases, &records))?;
        let text = totals.progress_json(&facts, Phase::Ended, run.clock.now(), &[], &records);
        folder.replace("progress.json", &text)?;
    }
    Ok(RunReport { run_id, records, resumed, stopped })
}

async fn validate(run: &Evaluation) -> Result<(), InputError> {
    let refused = run.scorer.validate(&run.cases, &run.profile).await;
    let subject = format!("tenant {}, scorer", run.tenant_id);
    let refused = refused.map_err(|fault| InputError::new(subject, fault.message))?;
    let Some((at, why)) = refused.first() else {
        return Ok(());
    };
    let subject = format!("tenant {}, case {:?}", run.tenant_id, run.cases[*at].case_id);
    Err(InputError::new(subject, format!("the scorer does not accept it: {why}"))
        .hint("mend the row or the scoring_profile; nothing was run"))
}

/// Makes records durable, off the threads that run cases.
async fn commit(folder: &Arc<RunFolder>, records: Vec<CaseRecord>) -> Result<Vec<CaseRecord>, InputError> {
    let folder = Arc::clone(folder);
    let written = tokio::task::spawn_blocking(move || folder.finished(&records).map(|()| records)).await;
    written.unwrap_or_else(|e| Err(InputError::new("journal", format!("the writer failed: {e}"))))
}

/// The workers of a run; dropping it ends them.
struct Crew {
    workers: JoinSet<()>,
    finished: mpsc::Receiver<CaseRecord>,
    in_flight: Arc<InFlight>,
    spending: Arc<Spending>,
}

impl Crew {
    /// Starts workers on the cases that have no record yet.
    fn start(run: &Arc<Evaluation>, run_id: &str, records: &[CaseRecord], spent: Spent) -> Self {
        let done: BTreeSet<usize> = records.iter().map(|r| r.index).collect();
        let wanted = |index: &usize| run.part.as_ref().is_none_or(|part| part.contains(&run.cases[*index].case_id));
        let open: VecDeque<usize> = (0..run.cases.len()).filter(|index| !done.contains(index)).filter(wanted).collect();
        let count = run.workers.max(1).min(open.len());
        let open = Arc::new(Mutex::new(open));
        // One place a worker: a slow disk stops the workers before records pile up.
        let (send, finished) = mpsc::channel(run.workers.max(1));
        let in_flight = Arc::<InFlight>::default();
        let spending = Arc::new(Spending::begin(run.budget, &spent, &run.accounts));
        let judges = RunJudges::begin(&run.tenant_id, &run.granted.judges, &spending, &spent);
        let over = Arc::<AtomicBool>::default();
        let whole = telemetry::run(&run.tenant_id, run_id, run.cases.len());
        let mut workers = JoinSet::new();
        for _ in 0..count {
            let (run, open, send) = (Arc::clone(run), Arc::clone(&open), send.clone());
            let (in_flight, spending, judges) = (Arc::clone(&in_flight), Arc::clone(&spending), judges.clone());
            let (over, whole) = (Arc::clone(&over), whole.clone());
            workers.spawn(async move {
                while !run.stop.is_set() && !over.load(Ordering::Relaxed) {
                    let next = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(index) = next else { return };
                    let record = {
                        let _here = in_flight.enter(index);
                        let span = telemetry::case(&whole, &run.cases[index].case_id);
                        let case = one_case(&run, index, &spending, judges.as_ref());
                        let record = case.instrument(span.clone()).await;
                        telemetry::case_ended(&span, &record);
                        record
                    };
                    // What one case may not pay for, no other may: the rest waits for the next start.
                    if record.fault.as_ref().is_some_and(|fault| fault.kind.is_spent()) {
                        over.store(true, Ordering::Relaxed);
                    }
                    // The committer is gone where the disk failed; then there is nobody to tell.
                    if send.send(record).await.is_err() {
                        return;
                    }
                }
            });
        }
        Crew { workers, finished, in_flight, spending }
    }
}
