//! One run: every case through the chain and the scorer, journalled as it ends.
//!
//! Workers run cases side by side, put each record into words, and hand its line to one committer, which writes what
//! has come together since its last commit, with one sync for all of it: a case costs the workers no wait for the disk,
//! and a crash at any byte loses at most the cases in flight. A case is reported finished only once its line is durable.
//! From then on its record stands in the journal and in no memory, so that a run of a million cases takes little more
//! than one of a thousand; figures and artefacts are made in one pass over the journal.

use crate::account::Account;
use crate::artifacts;
use crate::case::{InFlight, one_case};
use crate::figures::RunFigures;
use crate::folder::{self, Begun, RunFolder};
pub use crate::folder::{Earlier, Retry};
use crate::journal::{self, JOURNAL, Lines};
use crate::judge::RunJudges;
pub use crate::services::Granted;
use crate::spending::{Spending, Spent};
use crate::stop::StopSignal;
use crate::telemetry;
use crate::totals::{Ended, Facts, Phase, Totals};
use fapo_core::InputError;
use fapo_core::attribution::{Explained, Explainer, FailureCounts, Labels};
use fapo_core::grants::Budget;
use fapo_core::ports::{Cases, Chain, Clock, Definition, RunFiles, Scorer};
use fapo_core::run::{CaseEnd, CaseRecord, PASSED};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

/// Shortest time between two writes of a live `progress.json`: each costs a rename and a sync.
const PROGRESS_EVERY_MS: i64 = 500;

/// Most records in one commit, and most bytes of them, give or take one: so that a slow disk cannot make the next one
/// arbitrarily large.
const COMMIT_RECORDS_MAX: usize = 256;
const COMMIT_BYTES_MAX: usize = 4 << 20;

/// Shortest time between two commits: at a thousand cases a second, one sync for fifty of them. Calls that a crash
/// then finds without a record are in the response cache.
const COMMIT_EVERY: Duration = Duration::from_millis(50);

/// How often records are fetched meanwhile, where no worker waits for a place: to be woken for each of them would cost
/// more than to look.
const FETCH_EVERY: Duration = Duration::from_millis(5);

/// Cases that the scorer looks at in one go before any is run.
const VALIDATED_TOGETHER: usize = 100;

/// Everything a run needs.
pub struct Evaluation {
    /// Whose run it is.
    pub tenant_id: String,
    /// Planned cases, in order: the denominator.
    pub cases: Arc<dyn Cases>,
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
    },
    /// An earlier start finished this case.
    Resumed {
        /// How it ended.
        end: CaseEnd,
    },
    /// A case came to its end and its line is durable.
    Finished {
        /// How it ended.
        end: CaseEnd,
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
    /// What its records come to; fewer than planned where the run was stopped.
    pub figures: RunFigures,
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
    let stays = |record: &CaseRecord| (record.index, folder::stands(record) && !run.earlier.again(record));
    let found = journal::scan(&run.folder.join(JOURNAL), stays)?;
    let same = found.header.is_some_and(|header| journal::identity(&header) == journal::identity(&run.run_config));
    Ok(if same && run.earlier != Earlier::Forgotten { found.lines.count() } else { 0 })
}

/// As [`evaluate`], with all records in dataset order, for those that must look at them together.
///
/// # Errors
/// As there.
pub async fn evaluate_keeping(
    run: &Arc<Evaluation>,
    observe: &(dyn Fn(&RunEvent<'_>) + Sync),
) -> Result<(RunReport, Vec<CaseRecord>), InputError> {
    let (report, folder) = conduct(run, &|event| observe(&event)).await?;
    let records = folder.settled().records(&folder.journal())?.collect::<Result<_, _>>()?;
    Ok((report, records))
}

/// Runs what is not yet journalled, then writes the artefacts.
///
/// # Errors
/// The scorer refuses a row, a row is no longer what it was, or the run's folder cannot be used. Faults of cases are
/// data, not errors.
pub async fn evaluate(run: &Arc<Evaluation>, observe: &(dyn Fn(RunEvent<'_>) + Sync)) -> Result<RunReport, InputError> {
    Ok(conduct(run, observe).await?.0)
}

/// The same, with the folder that then holds the run.
async fn conduct(
    run: &Arc<Evaluation>,
    observe: &(dyn Fn(RunEvent<'_>) + Sync),
) -> Result<(RunReport, Arc<RunFolder>), InputError> {
    let explainer = Arc::new(Explainer::new(&validate(run).await?));
    let (folder, Begun { header, spent }) = RunFolder::open(&run.folder, &run.files, &run.run_config, &run.earlier)?;
    let folder = Arc::new(folder);
    let run_id = header["run_id"].as_str().unwrap_or_default().to_string();
    observe(RunEvent::Started { run_id: &run_id, planned: run.cases.count() });
    let facts = Facts { run_id: &run_id, planned: run.cases.count(), started: run.clock.now() };
    let (mut totals, mut failures) = (Totals::default(), FailureCounts::default());
    let (resumed, crew) = {
        let before = folder.settled();
        if let Some(beyond) = before.indexes().last().filter(|index| *index >= run.cases.count()) {
            let message = format!("has a record of case {} of {}", beyond + 1, run.cases.count());
            return Err(InputError::new(folder.journal().display().to_string(), message)
                .hint("the file was changed or damaged; start the run over with --fresh"));
        }
        for record in before.records(&folder.journal())? {
            let record = record?;
            let failed = record.composite() < PASSED;
            let why = failed.then(|| Ok(explainer.explain(&*run.cases.at(record.index)?, &record))).transpose()?;
            why.flatten().into_iter().for_each(|why| failures.add(why));
            let end = record.into();
            totals.add(&end);
            observe(RunEvent::Resumed { end });
        }
        (before.count(), Crew::start(run, &run_id, &before, &explainer, spent))
    };
    let Crew { workers: _workers, mut finished, full, in_flight, spending } = crew;
    let mut batch = Vec::new();
    let mut commit_next = Instant::now();
    let mut progress_written: Option<jiff::Timestamp> = None;
    while gather(&mut finished, &full, &mut batch, commit_next).await {
        commit_next = Instant::now() + COMMIT_EVERY;
        // What came to its end before a row was found changed is still kept.
        let (mut ended, mut changed) = (Vec::with_capacity(batch.len()), None);
        for one in batch.drain(..) {
            match one {
                Ok(Finished { end, line, why }) => {
                    ended.push((end, line));
                    why.into_iter().for_each(|why| failures.add(why));
                }
                Err(error) => changed = Some(error),
            }
        }
        for (end, _) in commit(&folder, ended).await? {
            totals.add(&end);
            observe(RunEvent::Finished {
                end,
                cases_in_flight: in_flight.count(),
                calls_in_flight: spending.waiting(),
            });
        }
        if let Some(changed) = changed {
            return Err(changed);
        }
        let now = run.clock.now();
        if progress_written.is_none_or(|then| now.duration_since(then).as_millis() >= i128::from(PROGRESS_EVERY_MS)) {
            let ids = in_flight.case_ids();
            folder.replace_with("progress.json", &mut |out| {
                totals.write_progress(&facts, Phase::Running, now, &ids, None, out)
            })?;
            progress_written = Some(now);
        }
    }
    let figures = finish(run, &folder, &facts, &header, failures)?;
    let stopped = figures.completed() < run.cases.count();
    Ok((RunReport { run_id, figures, resumed, stopped }, folder))
}

/// Receives what has come to its end, and what follows until a time; false where nothing more will come.
async fn gather(
    finished: &mut mpsc::Receiver<Result<Finished, InputError>>,
    full: &Notify,
    batch: &mut Vec<Result<Finished, InputError>>,
    until: Instant,
) -> bool {
    let room = |batch: &[Result<Finished, InputError>]| {
        let bytes: usize = batch.iter().flatten().map(|case| case.line.len()).sum();
        batch.len() < COMMIT_RECORDS_MAX && bytes < COMMIT_BYTES_MAX
    };
    batch.extend(finished.recv().await);
    while room(batch) {
        if let Ok(one) = finished.try_recv() {
            batch.push(one);
        } else if finished.is_closed() || Instant::now() >= until {
            break;
        } else {
            let _ = timeout_at(until.min(Instant::now() + FETCH_EVERY), full.notified()).await;
        }
    }
    !batch.is_empty()
}

/// Goes through the records once in dataset order: sums them up, and writes the artefacts of a run that has ended.
fn finish(
    run: &Evaluation,
    folder: &RunFolder,
    facts: &Facts<'_>,
    header: &Value,
    failures: FailureCounts,
) -> Result<RunFigures, InputError> {
    let mut figures = RunFigures::with(failures);
    let (lines, mut totals, mut failed) = (folder.settled(), Totals::default(), Vec::new());
    let mut sum = |record: CaseRecord| {
        figures.add(&record);
        failed.push(record.fault.is_some());
        totals.add(&record.into());
    };
    let ended = lines.count() == run.cases.count();
    if ended {
        let mut records = lines.records(&folder.journal())?;
        let mut wrong = None;
        let written = folder.replace_with("results.jsonl", &mut |out| {
            for record in &mut records {
                match record {
                    Ok(record) => {
                        artifacts::write_result(&record, out)?;
                        sum(record);
                    }
                    Err(error) => {
                        wrong = Some(error);
                        return Err(std::io::ErrorKind::InvalidData.into());
                    }
                }
            }
            Ok(())
        });
        wrong.map_or(written, Err)?;
        folder.replace("run_config.json", &format!("{header:#}\n"))?;
        folder.replace("summary.md", &artifacts::summary(&figures))?;
    } else {
        for record in lines.records(&folder.journal())? {
            sum(record?);
        }
    }
    let (phase, now) = (if ended { Phase::Ended } else { Phase::Stopped }, run.clock.now());
    let all = ended.then_some(Ended { cases: run.cases.as_ref(), failed: &failed });
    folder
        .replace_with("progress.json", &mut |out| totals.write_progress(facts, phase, now, &[], all.as_ref(), out))?;
    Ok(figures)
}

/// Has the scorer look at every case, and sees which answers are labels.
async fn validate(run: &Evaluation) -> Result<Labels, InputError> {
    let mut labels = Labels::default();
    let mut part = Vec::with_capacity(VALIDATED_TOGETHER.min(run.cases.count()));
    for index in 0..run.cases.count() {
        let case = run.cases.at(index)?.into_owned();
        labels.add(&case);
        part.push(case);
        if part.len() == VALIDATED_TOGETHER || index + 1 == run.cases.count() {
            let refused = run.scorer.validate(&part, &run.profile).await;
            let subject = format!("tenant {}, scorer", run.tenant_id);
            let refused = refused.map_err(|fault| InputError::new(subject, fault.message))?;
            if let Some((at, why)) = refused.first() {
                let subject = format!("tenant {}, case {:?}", run.tenant_id, part[*at].case_id);
                return Err(InputError::new(subject, format!("the scorer does not accept it: {why}"))
                    .hint("mend the row or the scoring_profile; nothing was run"));
            }
            part.clear();
        }
    }
    Ok(labels)
}

/// Makes records durable, off the threads that run cases.
async fn commit(
    folder: &Arc<RunFolder>,
    cases: Vec<(CaseEnd, Vec<u8>)>,
) -> Result<Vec<(CaseEnd, Vec<u8>)>, InputError> {
    let folder = Arc::clone(folder);
    let written = tokio::task::spawn_blocking(move || folder.finished(&cases).map(|()| cases)).await;
    written.unwrap_or_else(|e| Err(InputError::new("journal", format!("the writer failed: {e}"))))
}

/// A case that came to its end. Its record is put into words and let go by the worker that ran it: its texts are in
/// that worker's memory and caches.
struct Finished {
    end: CaseEnd,
    /// Of the journal.
    line: Vec<u8>,
    why: Option<Explained>,
}

/// The workers of a run; dropping it ends them.
struct Crew {
    workers: JoinSet<()>,
    finished: mpsc::Receiver<Result<Finished, InputError>>,
    /// A worker found no place for what it finished.
    full: Arc<Notify>,
    in_flight: Arc<InFlight>,
    spending: Arc<Spending>,
}

/// Cases that nobody has begun.
struct Open {
    /// By position.
    done: Vec<bool>,
    next: usize,
}

impl Open {
    fn next(&mut self) -> Option<usize> {
        while self.next < self.done.len() {
            self.next += 1;
            if !self.done[self.next - 1] {
                return Some(self.next - 1);
            }
        }
        None
    }
}

impl Crew {
    /// Starts workers on the cases that have no record yet.
    fn start(run: &Arc<Evaluation>, run_id: &str, before: &Lines, explainer: &Arc<Explainer>, spent: Spent) -> Self {
        let mut done = vec![false; run.cases.count()];
        before.indexes().for_each(|index| {
            if let Some(done) = done.get_mut(index) {
                *done = true
            }
        });
        let count = run.workers.max(1).min(done.len() - before.count().min(done.len()));
        let open = Arc::new(Mutex::new(Open { done, next: 0 }));
        // One place a worker: a slow disk stops the workers before records pile up.
        let (send, finished) = mpsc::channel(run.workers.max(1));
        let full = Arc::<Notify>::default();
        let in_flight = Arc::<InFlight>::default();
        let spending = Arc::new(Spending::begin(run.budget, &spent, &run.accounts));
        let judges = RunJudges::begin(&run.tenant_id, &run.granted.judges, &spending, &spent);
        let over = Arc::<AtomicBool>::default();
        let whole = telemetry::run(&run.tenant_id, run_id, run.cases.count());
        let mut workers = JoinSet::new();
        for _ in 0..count {
            let (run, open, send) = (Arc::clone(run), Arc::clone(&open), send.clone());
            let (in_flight, spending, judges) = (Arc::clone(&in_flight), Arc::clone(&spending), judges.clone());
            let (over, full) = (Arc::clone(&over), Arc::clone(&full));
            let (whole, explainer) = (whole.clone(), Arc::clone(explainer));
            workers.spawn(async move {
                while !run.stop.is_set() && !over.load(Ordering::Relaxed) {
                    let next = open.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(index) = next else { return };
                    let case = match run.cases.at(index) {
                        Ok(case) => case,
                        Err(error) => {
                            over.store(true, Ordering::Relaxed);
                            let _ = send.send(Err(error)).await;
                            return;
                        }
                    };
                    if run.part.as_ref().is_some_and(|part| !part.contains(&case.case_id)) {
                        continue;
                    }
                    let record = {
                        let _here = in_flight.enter(index, &case.case_id);
                        let span = telemetry::case(&whole, &case.case_id);
                        let ended = one_case(&run, &case, index, &spending, judges.as_ref());
                        let record = ended.instrument(span.clone()).await;
                        telemetry::case_ended(&span, &record);
                        record
                    };
                    // What one case may not pay for, no other may: the rest waits for the next start.
                    if record.fault.as_ref().is_some_and(|fault| fault.kind.is_spent()) {
                        over.store(true, Ordering::Relaxed);
                    }
                    let (why, line) = (explainer.explain(&case, &record), journal::case_line(&record));
                    // The committer is gone where the disk failed; then there is nobody to tell.
                    let there = match send.try_send(Ok(Finished { end: record.into(), line, why })) {
                        Err(TrySendError::Full(finished)) => {
                            full.notify_one();
                            send.send(finished).await.is_ok()
                        }
                        sent => sent.is_ok(),
                    };
                    if !there {
                        return;
                    }
                }
            });
        }
        Crew { workers, finished, full, in_flight, spending }
    }
}
