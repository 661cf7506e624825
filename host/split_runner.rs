//! Evaluates variants on a tenant's three splits, and notes who read test.

use crate::place::unwritable;
use crate::{identity, plan};
use fapo_core::attribution::Interventions;
use fapo_core::case::Case;
use fapo_core::gold::GoldSpec;
use fapo_core::grants::Grant;
use fapo_core::held_out::HeldOut;
use fapo_core::ports::{BoxFuture, Cases, Chain, Scorer};
use fapo_core::run::CaseRecord;
use fapo_core::variant::ReviewedVariant;
use fapo_core::{InputError, digest};
use fapo_engine::account::Account;
use fapo_engine::evaluate::{Earlier, Evaluation, Granted, RunEvent, evaluate_keeping};
use fapo_engine::files::{BoundedFiles, SystemClock};
use fapo_engine::intervene::{self, Diagnosis};
use fapo_engine::optimize::{Splits, TrialCalls};
use fapo_engine::stop::StopSignal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of the splits, in their order everywhere.
pub const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// What a variant's replays on failed cases of train are called beside its splits.
const REPLAYS: &str = "replays of train";

/// How far the run of a variant on a split is.
#[derive(Clone, Copy, Debug)]
pub struct SplitProgress<'a> {
    /// Number of the variant, as its folder has it.
    pub variant: &'a str,
    /// The split, or `replays of train`.
    pub split: &'static str,
    /// Cases at their end.
    pub completed: usize,
    /// Cases of this run: all, the part it is of, or those that failed.
    pub planned: usize,
}

/// One split with how it is run.
pub(crate) struct Split {
    pub(crate) cases: Arc<Vec<Case>>,
    /// Digest of its rows.
    pub(crate) digest: String,
    /// The eval config it comes from.
    pub(crate) config: Value,
}

/// Evaluates variants on the tenant's splits.
pub struct SplitRunner {
    pub(crate) tenant_id: String,
    pub(crate) splits: [Split; 3],
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) scorer: Arc<dyn Scorer>,
    pub(crate) profile: Value,
    pub(crate) granted: Granted,
    pub(crate) grant: Grant,
    pub(crate) workers: usize,
    /// The n-th trial of the same thing, from 0: its equal calls are other samples.
    pub(crate) epoch: u32,
    /// What the tenant's steps should put out.
    pub(crate) gold: Option<GoldSpec>,
    /// Most paid calls of the replays of one variant; 0 for none.
    pub(crate) diagnosis_calls: u64,
    /// Calls of each run and of each variant's replays, by where they are kept.
    pub(crate) calls: Mutex<BTreeMap<PathBuf, TrialCalls>>,
    pub(crate) ledger: PathBuf,
    /// What the runs may cost together.
    pub(crate) accounts: Vec<Arc<Account>>,
    /// Set where a case could not be run because a budget was spent.
    pub(crate) spent: AtomicBool,
    /// Asks the trial to end early.
    pub stop: StopSignal,
    /// Hears of each case that comes to its end.
    pub watch: Box<dyn Fn(&SplitProgress<'_>) + Send + Sync>,
}

impl SplitRunner {
    /// Whether a run ended because a budget was spent: the same command goes on once it is raised.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Relaxed)
    }

    /// The run of a variant on a split.
    fn evaluation(
        &self,
        at: usize,
        variant: &ReviewedVariant,
        folder: &Path,
        part: Option<&BTreeSet<String>>,
    ) -> Evaluation {
        let split = &self.splits[at];
        let definition = variant.definition();
        let planned = identity::Planned { dataset: &split.digest, limit: None, case_ids: &[] };
        let mut identity = identity::of(
            self.chain.as_ref(),
            self.scorer.as_ref(),
            definition,
            &planned,
            &self.profile,
            &self.granted,
            &self.grant,
        );
        if self.epoch > 0 {
            identity["epoch"] = self.epoch.into();
        }
        Evaluation {
            tenant_id: self.tenant_id.clone(),
            run_config: json!({
                "run_id": plan::fresh_run_id(&self.tenant_id), "tenant_id": self.tenant_id,
                "provider": split.config["provider"], "provider_settings": split.config["provider_settings"],
                "dataset_path": split.config["dataset"]["path"], "scoring_profile": self.profile,
                "max_workers": self.workers, "chain": split.config["chain"],
                "fapo": {"planned": split.cases.len(), "identity_digest": digest::of_json(&identity), "identity": identity},
            }),
            cases: Arc::clone(&split.cases) as Arc<dyn Cases>,
            definition: definition.clone(),
            chain: Arc::clone(&self.chain),
            scorer: Arc::clone(&self.scorer),
            profile: self.profile.clone(),
            granted: self.granted.clone(),
            workers: self.workers,
            folder: folder.join(SPLITS[at]),
            earlier: Earlier::Stand,
            epoch: self.epoch,
            budget: self.grant.budget,
            accounts: self.accounts.clone(),
            part: part.cloned(),
            stop: self.stop.clone(),
            files: Arc::new(BoundedFiles { bytes_max: self.grant.limits.run_bytes }),
            clock: Arc::new(SystemClock),
        }
    }

    async fn run(
        &self,
        at: usize,
        variant: &ReviewedVariant,
        folder: &Path,
        part: Option<&BTreeSet<String>>,
    ) -> Result<Vec<CaseRecord>, InputError> {
        let evaluation = self.evaluation(at, variant, folder, part);
        let (run_folder, planned) =
            (evaluation.folder.clone(), part.map_or(self.splits[at].cases.len(), BTreeSet::len));
        let variant = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let completed = AtomicUsize::new(0);
        let observe = |event: &RunEvent<'_>| {
            let more = usize::from(!matches!(event, RunEvent::Started { .. }));
            let completed = completed.fetch_add(more, Ordering::Relaxed) + more;
            (self.watch)(&SplitProgress { variant, split: SPLITS[at], completed, planned });
        };
        let (report, records) = evaluate_keeping(&Arc::new(evaluation), &observe).await?;
        // A run of all takes over what a run of a part paid for.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(run_folder, TrialCalls::of(&records));
        let name = format!("split {}", SPLITS[at]);
        // An outage says nothing about a variant: it ends the trial and no score is made of it.
        if let Some(fault) = records.iter().filter_map(|r| r.fault.as_ref()).find(|f| f.is_infrastructure()) {
            self.spent.fetch_or(fault.kind.is_spent(), Ordering::Relaxed);
            let message = format!("cases could not be run: {}", fault.message);
            let hint = fault.hint.as_deref().unwrap_or("look into it; the same command goes on");
            return Err(InputError::new(name, message).hint(hint));
        }
        if report.stopped && (part.is_none() || self.stop.is_set()) {
            return Err(InputError::new(name, "was stopped").hint("the same command goes on"));
        }
        Ok(records)
    }

    /// Notes that the split marked test was read.
    fn note_test(&self, folder: &Path) -> Result<(), InputError> {
        use std::io::Write;
        let failed = |e: std::io::Error| unwritable(&self.ledger, &e);
        let line = json!({"dataset": self.splits[2].digest, "tenant_id": self.tenant_id, "read_by": folder.display().to_string(),
                          "at": fapo_core::ports::Clock::now(&SystemClock).to_string()});
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.ledger).map_err(failed)?;
        writeln!(file, "{line}").map_err(failed)
    }
}

impl Splits for SplitRunner {
    fn train<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
        part: Option<&'a BTreeSet<String>>,
    ) -> BoxFuture<'a, Result<Vec<CaseRecord>, InputError>> {
        Box::pin(self.run(0, variant, folder, part))
    }

    fn validation<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<HeldOut, InputError>> {
        Box::pin(async move {
            let records = self.run(1, variant, folder, None).await?;
            HeldOut::new(SPLITS[1], self.splits[1].cases.len(), &records)
        })
    }

    fn test<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<HeldOut, InputError>> {
        Box::pin(async move {
            self.note_test(folder)?;
            let records = self.run(2, variant, folder, None).await?;
            HeldOut::new(SPLITS[2], self.splits[2].cases.len(), &records)
        })
    }

    fn diagnose<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
        records: &'a [CaseRecord],
        donors: Vec<CaseRecord>,
    ) -> BoxFuture<'a, Result<Option<Interventions>, InputError>> {
        Box::pin(async move {
            let Some(gold) = self.gold.clone().filter(|_| self.diagnosis_calls > 0) else { return Ok(None) };
            let run = Arc::new(self.evaluation(0, variant, folder, None));
            let (log, calls_max) = (folder.join(intervene::REPLAYS), self.diagnosis_calls);
            let diagnosis = Diagnosis {
                run,
                records: records.to_vec(),
                cases: Arc::clone(&self.splits[0].cases),
                gold,
                donors,
                calls_max,
                log: log.clone(),
            };
            let variant = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let observe = |completed: usize, planned: usize| {
                (self.watch)(&SplitProgress { variant, split: REPLAYS, completed, planned });
            };
            let found = intervene::intervene(&diagnosis, &observe).await?;
            let calls = TrialCalls { paid: found.calls_paid, cached: found.calls_cached };
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(log, calls);
            Ok(Some(found))
        })
    }

    fn calls(&self) -> TrialCalls {
        let runs = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = TrialCalls::default();
        runs.values().for_each(|run| sum += *run);
        sum
    }
}
