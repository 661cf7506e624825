//! A process that stops at any write, after any byte of it: the same run again gives the same results, and no case
//! whose line was durable runs a second time.

use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::grants::Budget;
use fapo_core::ports::{
    BoxFuture, CaseServices, Cases, Chain, ChainOutcome, Clock, Definition, FinishedCase, JudgeServices, Problem,
    ResourceUse, RunFiles, ScoreOutcome, Scorer, TimedStep, WriteOut,
};
use fapo_core::run::CaseRecord;
use fapo_core::score::{RawScore, Score};
use fapo_engine::evaluate::{Earlier, Evaluation, Granted, RunEvent, RunReport, evaluate, evaluate_keeping, finished};
use fapo_engine::files::DiskFiles;
use fapo_engine::recorded::RecordedOutputs;
use fapo_engine::stop::{StopSignal, StopSource};
use fapo_engine::stored::read_run;
use fapo_graph::{CaseInput, Catalogue, Entry, Step, StepId, StepOrigin};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Cases of every run here.
const CASES: usize = 8;

/// A chain that answers with the case's id and counts its runs.
#[derive(Default)]
struct FakeChain {
    ran: Mutex<Vec<String>>,
    /// What becomes of a case's n-th run, from 0.
    fault: Option<fn(&str, usize) -> Option<Fault>>,
    /// Bytes that its answers are longer.
    further: usize,
}

impl Chain for FakeChain {
    fn digest(&self) -> &str {
        "sha256:fake"
    }
    fn describe(&self) -> BoxFuture<'_, Result<Catalogue, Fault>> {
        Box::pin(async { unreachable!("a run asks for no catalogue") })
    }
    fn check<'a>(&'a self, _: &'a Definition) -> BoxFuture<'a, Result<Vec<Problem>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn run<'a>(
        &'a self,
        _: &'a Definition,
        input: &'a CaseInput,
        _: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        Box::pin(async move {
            let before = {
                let mut ran = self.ran.lock().expect("not poisoned");
                ran.push(input.case_id.clone());
                ran.iter().filter(|id| **id == input.case_id).count() - 1
            };
            assert_ne!(input.case_id, "panics", "a fault of the host in one case");
            let fault = self.fault.and_then(|fault| fault(&input.case_id, before));
            let step = Step {
                id: StepId { node: "answer".into(), visit: 0 },
                origin: StepOrigin::Executed,
                outputs: vec![Entry::new("text", input.case_id.clone())],
                output_text: Some(format!("the answer of {}{}", input.case_id, "x".repeat(self.further))),
                diagnostics: Vec::new(),
            };
            ChainOutcome { steps: vec![TimedStep { step, seconds: 0.0 }], fault, used: ResourceUse::default() }
        })
    }
}

/// Scores by the length of the answer, at most 100.
struct FakeScorer;

impl Scorer for FakeScorer {
    fn digest(&self) -> &str {
        "sha256:fake"
    }
    fn validate<'a>(&'a self, _: &'a [Case], _: &'a Value) -> BoxFuture<'a, Result<Vec<(usize, String)>, Fault>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn score<'a>(
        &'a self,
        finished: FinishedCase<'a>,
        _: &'a Value,
        _: Option<Arc<dyn JudgeServices>>,
    ) -> BoxFuture<'a, ScoreOutcome> {
        let composite = finished.output_text.len().min(100) as f64;
        let raw = RawScore {
            composite,
            breakdown: vec![("length".into(), composite)],
            feedback: "".into(),
            diagnostics: vec![],
        };
        Box::pin(async {
            ScoreOutcome { result: Ok(Score::checked(raw).expect("a score")), used: ResourceUse::default() }
        })
    }
}

/// A clock that goes on by a second each time it is asked, so that every commit writes a live `progress.json`.
#[derive(Default)]
struct FakeClock(AtomicUsize);

impl Clock for FakeClock {
    fn now(&self) -> jiff::Timestamp {
        let second = self.0.fetch_add(1, Ordering::SeqCst);
        jiff::Timestamp::from_second(1_800_000_000 + second as i64).expect("a time")
    }
}

/// Files of a process that is gone at its `stop_at`-th write, after some bytes of it.
struct StoppingFiles {
    writes: AtomicUsize,
    /// Bytes of the longest write.
    longest: AtomicUsize,
    stop_at: usize,
    bytes: usize,
    kind: ErrorKind,
}

impl StoppingFiles {
    fn new(stop_at: usize, bytes: usize) -> Self {
        StoppingFiles {
            writes: AtomicUsize::new(0),
            longest: AtomicUsize::new(0),
            stop_at,
            bytes,
            kind: ErrorKind::Other,
        }
    }

    /// Bytes of this write that reach the disk: all, some, or none once the process is gone.
    fn reach<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], IoResult<()>) {
        let at = self.writes.fetch_add(1, Ordering::SeqCst);
        self.longest.fetch_max(bytes.len(), Ordering::SeqCst);
        let gone = || Err(Error::new(self.kind, "the process is gone"));
        match at.cmp(&self.stop_at) {
            std::cmp::Ordering::Less => (bytes, Ok(())),
            std::cmp::Ordering::Equal => (&bytes[..self.bytes.min(bytes.len())], gone()),
            std::cmp::Ordering::Greater => (&[], gone()),
        }
    }

    fn alive(&self) -> IoResult<()> {
        if self.writes.load(Ordering::SeqCst) > self.stop_at {
            Err(Error::new(self.kind, "the process is gone"))
        } else {
            Ok(())
        }
    }
}

impl RunFiles for StoppingFiles {
    fn append(&self, path: &Path, bytes: &[u8]) -> IoResult<()> {
        let (reached, ended) = self.reach(bytes);
        DiskFiles.append(path, reached)?;
        ended
    }
    fn sync(&self, path: &Path) -> IoResult<()> {
        self.alive()?;
        DiskFiles.sync(path)
    }
    fn replace_with(&self, path: &Path, write: &mut WriteOut<'_>) -> IoResult<()> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        let (reached, ended) = self.reach(&bytes);
        if ended.is_err() {
            // Half of the file beside the one that stands.
            let beside = path.with_extension("half");
            return DiskFiles.append(&beside, reached).and(ended);
        }
        DiskFiles.replace(path, &bytes)
    }
    fn truncate(&self, path: &Path, length: u64) -> IoResult<()> {
        self.alive()?;
        DiskFiles.truncate(path, length)
    }
    fn remove(&self, path: &Path) -> IoResult<()> {
        self.alive()?;
        DiskFiles.remove(path)
    }
}

fn case(id: &str) -> Case {
    Case {
        case_id: id.into(),
        task_type: "t".into(),
        context: vec![],
        expected: Default::default(),
        metadata: Default::default(),
    }
}

fn cases() -> Vec<Case> {
    (0..CASES).map(|n| case(&format!("case-{n}{}", "x".repeat(n)))).collect()
}

/// Records of a run as they stand on disk.
fn records(folder: &Path) -> Vec<CaseRecord> {
    read_run(folder).and_then(|run| run.records()).expect("reads")
}

fn evaluation(folder: &Path, chain: &Arc<FakeChain>, files: Arc<dyn RunFiles>) -> Evaluation {
    Evaluation {
        tenant_id: "fake".into(),
        cases: Arc::new(cases()),
        definition: RecordedOutputs::definition(),
        chain: Arc::clone(chain) as Arc<dyn Chain>,
        scorer: Arc::new(FakeScorer),
        profile: json!({}),
        granted: Granted::default(),
        workers: 3,
        folder: folder.to_path_buf(),
        run_config: json!({"run_id": "hephaestus-fake-1", "fapo": {"planned": CASES, "identity_digest": "sha256:a", "identity": {"dataset": "d"}}}),
        earlier: Earlier::Stand,
        epoch: 0,
        budget: Budget::default(),
        accounts: Vec::new(),
        part: None,
        stop: StopSignal::never(),
        files,
        clock: Arc::new(FakeClock::default()),
    }
}

/// Runs to the end or to the stop; the ids that were reported finished.
fn run(evaluation: Evaluation) -> (Result<RunReport, InputError>, Vec<String>) {
    let reported = Mutex::new(Vec::new());
    let observe = |event: RunEvent<'_>| {
        if let RunEvent::Finished { end, .. } = event {
            reported.lock().expect("not poisoned").push(end.case_id.clone());
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let report = runtime.block_on(evaluate(&Arc::new(evaluation), &observe));
    let reported = reported.into_inner().expect("not poisoned");
    (report, reported)
}

/// Results and summary; of progress what does not tell the time.
fn artefacts(folder: &Path) -> (String, String, Value) {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut progress: Value = serde_json::from_str(&text("progress.json")).expect("JSON");
    progress["started_at"] = Value::Null;
    progress["updated_at"] = Value::Null;
    (text("results.jsonl"), text("summary.md"), progress)
}

#[test]
fn a_stop_at_any_write_after_any_byte_loses_no_finished_case() {
    let calm = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let files = Arc::new(StoppingFiles::new(usize::MAX, 0));
    run(evaluation(calm.path(), &chain, Arc::clone(&files) as Arc<dyn RunFiles>)).0.expect("runs");
    let expected = artefacts(calm.path());
    // Header, at most a commit and a progress file a case, four artefacts.
    let most = 1 + 2 * CASES + 4;
    assert!(files.writes.load(Ordering::SeqCst) <= most);
    // Within each line of the longest commit, and in its first bytes.
    let longest = files.longest.load(Ordering::SeqCst);
    assert!(longest > 97 * CASES, "{longest} bytes at most");
    let cuts: Vec<usize> = [1, 40].into_iter().chain((0..longest).step_by(97)).collect();

    let (mut stopped, mut lost) = (0, 0);
    for stop_at in 0..files.writes.load(Ordering::SeqCst) + 2 {
        for bytes in cuts.iter().copied() {
            let folder = tempfile::tempdir().expect("a folder");
            let chain = Arc::<FakeChain>::default();
            let files = Arc::new(StoppingFiles::new(stop_at, bytes));
            let (first, durable) = run(evaluation(folder.path(), &chain, files));
            stopped += usize::from(first.is_err());
            chain.ran.lock().expect("not poisoned").clear();
            let (second, _) = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles)));
            let report = second.unwrap_or_else(|e| panic!("stopped at {stop_at} after {bytes}: {e}"));
            assert_eq!(artefacts(folder.path()), expected, "stopped at {stop_at} after {bytes}");
            assert!(!report.stopped && report.figures.completed() == CASES);
            let again = chain.ran.lock().expect("not poisoned");
            for id in &durable {
                assert!(!again.contains(id), "{id} was finished and ran again (stopped at {stop_at} after {bytes})");
            }
            lost += usize::from(first.is_err() && (1..CASES).contains(&again.len()));
        }
    }
    assert!(stopped > 3 * CASES && lost > CASES, "{stopped} runs were stopped, {lost} of them in the middle");
}

#[test]
fn a_full_disk_names_the_file_and_the_way_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let files = StoppingFiles { kind: ErrorKind::StorageFull, ..StoppingFiles::new(2, 0) };
    let e = run(evaluation(folder.path(), &chain, Arc::new(files))).0.expect_err("the disk is full");
    assert!(e.subject.contains(&folder.path().display().to_string()), "{e}");
    assert!(e.hint.as_deref().is_some_and(|hint| hint.contains("finished cases are kept")), "{e:?}");
    assert!(run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.is_ok());
}

#[test]
fn a_damaged_line_in_the_middle_is_named_and_fresh_starts_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect("runs");
    let journal = folder.path().join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    std::fs::write(&journal, text.replacen("{\"kind\":\"case\"", "{\"kind\":case\"", 1)).expect("damaged");
    let e = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect_err("damaged");
    assert!(e.subject.ends_with("journal.jsonl:2"), "{e}");
    assert!(e.hint.is_some());
    std::fs::write(&journal, text.replacen("{\"index\":0,", "{\"index\":99,", 1)).expect("damaged");
    let e = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect_err("a case that no run of eight has");
    assert!(e.to_string().contains("journal.jsonl: has a record of case 100 of 8"), "{e}");
    let fresh = Evaluation { earlier: Earlier::Forgotten, ..evaluation(folder.path(), &chain, Arc::new(DiskFiles)) };
    assert_eq!(run(fresh).0.expect("starts over").resumed, 0);
}

#[test]
fn faults_of_the_infrastructure_are_run_again_by_the_next_start_and_others_stand() {
    fn fault(id: &str, before: usize) -> Option<Fault> {
        match (id, before) {
            ("case-0", 0) => Some(Fault::new(Phase::Provider, FaultKind::Unreachable, "down")),
            ("case-1x", _) => Some(Fault::new(Phase::Chain, FaultKind::Trapped, "the guest panicked")),
            _ => None,
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::new(FakeChain { fault: Some(fault), ..FakeChain::default() });
    let report = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect("runs");
    assert_eq!(report.figures.errors, 2);
    let open = evaluation(folder.path(), &chain, Arc::new(DiskFiles));
    assert_eq!(finished(&open).expect("reads"), CASES - 1);
    let report = run(open).0.expect("continues");
    assert_eq!(report.resumed, CASES - 1);
    let records = records(folder.path());
    let failed: Vec<&str> = records.iter().filter(|r| r.fault.is_some()).map(|r| r.case_id.as_str()).collect();
    assert_eq!((failed.as_slice(), report.figures.errors), (&["case-1x"][..], 1));
}

#[test]
fn a_wall_clock_limit_is_tried_once_more() {
    fn fault(id: &str, before: usize) -> Option<Fault> {
        let times = if id == "case-0" { 1 } else { usize::from(id == "case-1x") * 9 };
        (before < times).then(|| Fault::new(Phase::Chain, FaultKind::TimedOut, "slow"))
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::new(FakeChain { fault: Some(fault), ..FakeChain::default() });
    run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect("runs");
    let records = records(folder.path());
    assert!(records[0].fault.is_none());
    assert_eq!(records[1].fault.as_ref().map(|f| f.kind), Some(FaultKind::TimedOut));
    assert_eq!(chain.ran.lock().expect("not poisoned").iter().filter(|id| *id == "case-1x").count(), 2);
}

#[test]
fn a_fault_of_the_host_in_one_case_is_that_cases_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let mut cases = cases();
    cases[3].case_id = "panics".into();
    let evaluation = evaluation(folder.path(), &chain, Arc::new(DiskFiles));
    run(Evaluation { cases: Arc::new(cases), ..evaluation }).0.expect("the run goes on");
    let records = records(folder.path());
    assert_eq!(records.len(), CASES);
    let fault = records[3].fault.as_ref().expect("a fault");
    assert_eq!((fault.phase, fault.kind), (Phase::Host, FaultKind::Internal));
}

#[test]
fn a_run_that_is_asked_to_end_finishes_what_is_in_flight_and_goes_on_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let source = Arc::new(StopSource::new());
    let stopping =
        Evaluation { stop: source.signal(), workers: 1, ..evaluation(folder.path(), &chain, Arc::new(DiskFiles)) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let report = runtime
        .block_on(evaluate(&Arc::new(stopping), &|event| {
            if let RunEvent::Finished { .. } = event {
                source.stop();
            }
        }))
        .expect("ends");
    let ended = report.figures.completed();
    assert!(report.stopped && (1..CASES).contains(&ended), "{ended}");
    assert!(!folder.path().join("results.jsonl").exists(), "half a run has no results");
    let progress = std::fs::read_to_string(folder.path().join("progress.json")).expect("progress");
    assert!(progress.contains("\"stopped\": true"), "{progress}");
    let report = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect("goes on");
    assert!(!report.stopped && report.figures.completed() == CASES);
}

/// Cases of which one can be read once, when the scorer looks at it, and no more.
struct ChangingCases {
    cases: Vec<Case>,
    reads: AtomicUsize,
}

impl Cases for ChangingCases {
    fn count(&self) -> usize {
        self.cases.len()
    }
    fn at(&self, index: usize) -> Result<Cow<'_, Case>, InputError> {
        match index == 5 && self.reads.fetch_add(1, Ordering::SeqCst) > 0 {
            true => Err(InputError::new("d.jsonl, row 6", "was changed")),
            false => self.cases.at(index),
        }
    }
}

#[test]
fn a_row_that_is_changed_under_a_run_ends_it_and_what_is_finished_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let changing = Arc::new(ChangingCases { cases: cases(), reads: AtomicUsize::new(0) });
    let under = Evaluation { cases: changing, workers: 1, ..evaluation(folder.path(), &chain, Arc::new(DiskFiles)) };
    let (ended, durable) = run(under);
    assert_eq!(ended.expect_err("changed").subject, "d.jsonl, row 6");
    assert_eq!(durable.len(), 5);
    let report = run(evaluation(folder.path(), &chain, Arc::new(DiskFiles))).0.expect("goes on");
    assert_eq!((report.resumed, report.figures.completed()), (5, CASES));
}

/// Most bytes of memory that this process has had so far.
#[cfg(target_os = "linux")]
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_of_many_cases_keeps_none_of_them_in_memory() {
    let (many, further) = (400, 128 << 10);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::new(FakeChain { further, ..FakeChain::default() });
    let cases: Vec<Case> = (0..many).map(|n| case(&format!("case-{n}"))).collect();
    let before = peak_bytes();
    for resumed in [0, many] {
        let long =
            Evaluation { cases: Arc::new(cases.clone()), ..evaluation(folder.path(), &chain, Arc::new(DiskFiles)) };
        let report = run(long).0.expect("runs");
        assert_eq!((report.resumed, report.figures.completed()), (resumed, many));
    }
    let journal = std::fs::metadata(folder.path().join("journal.jsonl")).expect("a journal").len() as usize;
    let grown = peak_bytes() - before;
    // Records that were kept would take as much as the journal; tests beside this one take some.
    assert!(journal > 2 * many * further && grown < journal / 4 * 3, "{grown} bytes for a journal of {journal}");
}

#[test]
fn records_that_are_kept_are_those_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    for resumed in [0, CASES] {
        let again = Arc::new(evaluation(folder.path(), &chain, Arc::new(DiskFiles)));
        let (report, kept) = runtime.block_on(evaluate_keeping(&again, &|_| {})).expect("runs");
        assert_eq!((report.resumed, kept), (resumed, records(folder.path())));
    }
}

#[test]
fn two_runs_are_compared_pair_by_pair_and_only_where_scores_mean_the_same() {
    use fapo_engine::compare::compare;
    let (a, b) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let chain = Arc::<FakeChain>::default();
    fn fault(id: &str, _: usize) -> Option<Fault> {
        (id == "case-0").then(|| Fault::new(Phase::Chain, FaultKind::Trapped, "panic"))
    }
    let failing = Arc::new(FakeChain { fault: Some(fault), ..FakeChain::default() });
    run(evaluation(a.path(), &failing, Arc::new(DiskFiles))).0.expect("runs");
    run(evaluation(b.path(), &chain, Arc::new(DiskFiles))).0.expect("runs");
    let (a, whole) = (read_run(a.path()).expect("reads"), read_run(b.path()).expect("reads"));
    let found = compare(&a, &whole).expect("compares");
    assert_eq!((found.pairs, found.same, found.fixed.as_slice()), (CASES, CASES - 1, &["case-0".to_string()][..]));
    assert!((found.difference.expect("pairs").mean - (found.mean_b - found.mean_a)).abs() < 1e-9);
    let journal = b.path().join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).expect("a journal");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&journal, lines[..CASES].join("\n") + "\n").expect("written");
    let mut b = read_run(b.path()).expect("reads");
    assert_eq!(compare(&a, &b).expect("compares").unpaired.len(), 1);
    assert!(whole.records().expect_err("cut").to_string().contains("was changed while it was read"));
    b.run_config["fapo"]["identity"]["dataset"] = "other".into();
    assert!(compare(&a, &b).expect_err("other cases").to_string().contains("dataset"));
}

#[test]
fn recorded_outputs_stand_in_for_a_chain() {
    let planned = |id: &str| id == "a" || id == "b";
    for (text, want) in [
        ("{\"case_id\": \"a\"}", "o.jsonl:1: missing field `output_text`"),
        ("{\"case_id\": \"z\", \"output_text\": \"\"}", "\"z\" is not among the cases"),
        (
            "{\"case_id\": \"a\", \"output_text\": \"\"}\n\n{\"case_id\": \"a\", \"output_text\": \"\"}",
            "o.jsonl:3: case \"a\" stands in the file twice",
        ),
        (
            "{\"case_id\": \"a\", \"output_text\": \"\", \"step_outputs\": {\"n\": 1}}",
            "output of step \"n\" is no text",
        ),
    ] {
        let e = RecordedOutputs::read("o.jsonl", text, planned).err().expect("refused");
        assert!(e.to_string().contains(want), "{e}");
        assert!(e.hint.is_some());
    }
    let row = "{\"case_id\": \"a\", \"output_text\": \"last\", \"step_outputs\": {\"one\": \"1\", \"two\": \"2\"}}";
    let recorded = Arc::new(RecordedOutputs::read("o.jsonl", row, planned).expect("reads"));
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Arc::<FakeChain>::default();
    let run_it = Evaluation {
        chain: Arc::clone(&recorded) as Arc<dyn Chain>,
        cases: Arc::new(vec![case("a"), case("b")]),
        ..evaluation(folder.path(), &chain, Arc::new(DiskFiles))
    };
    run(run_it).0.expect("scores");
    let records = records(folder.path());
    assert_eq!(records[0].output_text, "last");
    assert_eq!(records[0].step_outputs(), [("one", "1"), ("two", "2")]);
    assert!(records[1].fault.as_ref().is_some_and(|f| f.message.contains("no output is recorded")));
    let summary = |folder: &Path| std::fs::read_to_string(folder.join("summary.md")).expect("a summary");
    assert!(summary(folder.path()).contains("## Step Attribution"));
    let nothing = tempfile::tempdir().expect("a folder");
    let cases = Arc::new(vec![case("b")]);
    run(Evaluation { chain: recorded, cases, ..evaluation(nothing.path(), &chain, Arc::new(DiskFiles)) })
        .0
        .expect("scores");
    assert!(!summary(nothing.path()).contains("Attribution"), "no step ran that anything could be laid at");
}
