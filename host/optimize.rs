//! From a tenant to a trial that is ready to start: its three splits, its scope contract, its examples.

use crate::place::{Place, unwritable};
use crate::plan::{self, Opened};
use crate::tenant_folder::TenantFolder;
use crate::{identity, services, variant};
use fapo_core::case::Case;
use fapo_core::grants::Grant;
use fapo_core::held_out::HeldOut;
use fapo_core::ports::{BoxFuture, Chain, Scorer};
use fapo_core::review::Leaks;
use fapo_core::run::CaseRecord;
use fapo_core::scope::ScopeContract;
use fapo_core::variant::ReviewedVariant;
use fapo_core::{InputError, digest};
use fapo_engine::evaluate::{Evaluation, Granted, evaluate};
use fapo_engine::files::{DiskFiles, SystemClock};
use fapo_engine::optimize::{Splits, Trial, TrialBudget};
use fapo_engine::propose::Example;
use fapo_engine::stop::StopSignal;
use fapo_provider::ResponseCache;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a command line asks of a trial.
#[derive(Clone, Debug, Default)]
pub struct TrialOptions {
    /// The tenant.
    pub tenant: String,
    /// Configs of train, validation and test; count from the root.
    pub configs: [PathBuf; 3],
    /// In place of the configs' `provider`.
    pub provider: Option<String>,
    /// Name of the trial's folder; made of its identity where absent.
    pub name: Option<String>,
    /// Hard caps.
    pub variants_max: u32,
    /// Paid calls.
    pub calls_max: u64,
}

/// Names of the splits, in the order of [`TrialOptions::configs`].
pub const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// A trial that could start.
pub struct TrialPlan {
    /// What the loop needs.
    pub trial: Trial,
    /// What evaluates for it.
    pub runner: SplitRunner,
    /// Replies of earlier calls.
    pub replies: Option<Arc<ResponseCache>>,
}

/// One split with how it is run.
struct Split {
    cases: Vec<Case>,
    digest: String,
    config: Value,
}

/// Evaluates variants on the tenant's splits.
pub struct SplitRunner {
    tenant_id: String,
    splits: [Split; 3],
    chain: Arc<dyn Chain>,
    scorer: Arc<dyn Scorer>,
    profile: Value,
    granted: Granted,
    grant: Grant,
    workers: usize,
    paid: AtomicU64,
    ledger: PathBuf,
    /// Asks the trial to end early.
    pub stop: StopSignal,
}

/// Plans a trial.
///
/// # Errors
/// Anything wrong with the tenant, its configs or its playbook; the three configs must differ in their cases only.
pub async fn plan_trial(place: &Place, options: &TrialOptions) -> Result<TrialPlan, InputError> {
    let opened = options.configs.each_ref().map(|path| open(place, path, options.provider.as_deref()));
    let [train, validation, test] = opened;
    let (train, validation, test) = (train?, validation?, test?);
    for (name, other) in [("validation", &validation), ("test", &test)] {
        same_chain(&train, other, name)?;
    }
    let Opened { config, folder, manifest, operator, grant } = &train;
    let (graph, prompts) = variant::read(folder, manifest, config)?;
    let (granted, replies) = services::open(place, operator, grant)?;
    let (chain, scorer) = plan::load(place, &train, plan::workers(config), None).await?;
    let (baseline, problems) = variant::define(&chain, graph, prompts, config, grant).await?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let catalogue = chain
        .describe()
        .await
        .map_err(|f| InputError::new(format!("tenant {}, chain component", manifest.id), f.message))?;
    let split = |opened: &Opened| -> Result<Split, InputError> {
        let (cases, digest) = plan::cases(opened)?;
        Ok(Split { cases, digest, config: json!(opened.config) })
    };
    let splits = [split(&train)?, split(&validation)?, split(&test)?];
    let mut leaks = Leaks::default();
    for (name, split) in SPLITS.into_iter().zip(&splits) {
        leaks.add(name, &split.cases);
    }
    let playbook = format!("tenants/{}/docs/iteration-playbook.md", manifest.id);
    let scope = match folder.has(&playbook) {
        true => ScopeContract::from_playbook(&playbook, &folder.text("docs", &playbook)?)?,
        false => ScopeContract::default(),
    };
    let profile = Value::Object(config.scoring_profile.clone());
    let budget = TrialBudget { variants_max: options.variants_max, calls_max: options.calls_max };
    let trial_identity = json!({
        "tenant": manifest.id, "scope": scope, "budget": budget,
        "splits": splits.each_ref().map(|split| split.digest.clone()),
        "baseline": identity::of(&chain, &scorer, &baseline, &identity::Planned::default(), &profile, &granted, grant),
    });
    let key = digest::of_json(&trial_identity);
    let name = options.name.clone().unwrap_or_else(|| format!("{}-{}", manifest.id, &key[7..19]));
    let folder_of_trial = plan::run_folder(place, &manifest.id, Some(&format!("trials/{name}")), &key)?;
    let trial = Trial {
        tenant_id: manifest.id.clone(),
        folder: folder_of_trial,
        identity: trial_identity,
        scope,
        catalogue,
        baseline,
        train: splits[0].cases.clone(),
        held_out_cases: splits[1].cases.len() + splits[2].cases.len(),
        examples: examples(folder)?,
        leaks,
        budget,
        files: Arc::new(DiskFiles),
        clock: Arc::new(SystemClock),
    };
    let runner = SplitRunner {
        tenant_id: manifest.id.clone(),
        splits,
        chain: Arc::new(chain),
        scorer: Arc::new(scorer),
        profile,
        granted,
        grant: grant.clone(),
        workers: plan::workers(config) as usize,
        paid: AtomicU64::new(0),
        ledger: place.work.join("test-ledger.jsonl"),
        stop: StopSignal::never(),
    };
    Ok(TrialPlan { trial, runner, replies })
}

fn open(place: &Place, config: &Path, provider: Option<&str>) -> Result<Opened, InputError> {
    plan::open_with(place, config, |config| {
        if let Some(provider) = provider {
            config.provider = provider.to_string();
            // The config's model is one of the provider it names.
            config.provider_settings.model = None;
        }
    })
}

/// The splits of a trial are run alike.
fn same_chain(train: &Opened, other: &Opened, split: &str) -> Result<(), InputError> {
    let (a, b) = (&train.config, &other.config);
    let differ = [
        ("tenant_id", a.tenant_id != b.tenant_id),
        ("chain", a.chain != b.chain),
        ("scoring_profile", a.scoring_profile != b.scoring_profile),
        ("provider", a.provider != b.provider),
        ("provider_settings", a.provider_settings != b.provider_settings),
    ];
    let fields: Vec<&str> = differ.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    if fields.is_empty() && a.dataset == b.dataset {
        return Err(InputError::new(
            format!("config of {split}"),
            format!("{} is the dataset of train", a.dataset.path),
        )
        .hint("each split needs cases of its own"));
    }
    if fields.is_empty() {
        return Ok(());
    }
    Err(InputError::new(
        format!("config of {split}"),
        format!("differs from the config of train in {}", fields.join(", ")),
    )
    .hint("the configs of a trial differ in `dataset`, `run_id` and `output_dir` only"))
}

/// Worked examples of the tenant: every `examples/*.jsonl`.
fn examples(folder: &TenantFolder) -> Result<Vec<Example>, InputError> {
    let mut examples = Vec::new();
    for name in folder.list("examples").into_iter().filter(|name| name.ends_with(".jsonl")) {
        let path = format!("tenants/{}/examples/{name}", folder.id());
        examples.extend(Example::read(&path, &folder.text("examples", &path)?)?);
    }
    Ok(examples)
}

impl SplitRunner {
    async fn run(&self, at: usize, variant: &ReviewedVariant, folder: &Path) -> Result<Vec<CaseRecord>, InputError> {
        let split = &self.splits[at];
        let definition = variant.definition();
        let planned = identity::Planned { dataset: &split.digest, limit: None, case_ids: &[] };
        let identity = identity::of(
            self.chain.as_ref(),
            self.scorer.as_ref(),
            definition,
            &planned,
            &self.profile,
            &self.granted,
            &self.grant,
        );
        let evaluation = Evaluation {
            tenant_id: self.tenant_id.clone(),
            run_config: json!({
                "run_id": plan::fresh_run_id(&self.tenant_id), "tenant_id": self.tenant_id,
                "provider": split.config["provider"], "provider_settings": split.config["provider_settings"],
                "dataset_path": split.config["dataset"]["path"], "scoring_profile": self.profile,
                "max_workers": self.workers, "chain": split.config["chain"],
                "fapo": {"planned": split.cases.len(), "identity_digest": digest::of_json(&identity), "identity": identity},
            }),
            cases: split.cases.clone(),
            definition: definition.clone(),
            chain: Arc::clone(&self.chain),
            scorer: Arc::clone(&self.scorer),
            profile: self.profile.clone(),
            granted: self.granted.clone(),
            workers: self.workers,
            folder: folder.join(SPLITS[at]),
            fresh: false,
            stop: self.stop.clone(),
            files: Arc::new(DiskFiles),
            clock: Arc::new(SystemClock),
        };
        let report = evaluate(&Arc::new(evaluation), &|_| {}).await?;
        let name = format!("split {}", SPLITS[at]);
        if report.stopped {
            return Err(InputError::new(name, "was stopped").hint("the same command goes on"));
        }
        // An outage says nothing about a variant: it ends the trial and no score is made of it.
        if let Some(fault) = report.records.iter().filter_map(|r| r.fault.as_ref()).find(|f| f.is_infrastructure()) {
            let message = format!("cases could not be run: {}", fault.message);
            let hint = fault.hint.as_deref().unwrap_or("look into it; the same command goes on");
            return Err(InputError::new(name, message).hint(hint));
        }
        let paid: u64 = report.records.iter().map(CaseRecord::paid_calls).sum();
        self.paid.fetch_add(paid, Ordering::Relaxed);
        Ok(report.records)
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
    ) -> BoxFuture<'a, Result<Vec<CaseRecord>, InputError>> {
        Box::pin(self.run(0, variant, folder))
    }

    fn validation<'a>(
        &'a self,
        variant: &'a ReviewedVariant,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<HeldOut, InputError>> {
        Box::pin(async move {
            let records = self.run(1, variant, folder).await?;
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
            let records = self.run(2, variant, folder).await?;
            HeldOut::new(SPLITS[2], self.splits[2].cases.len(), &records)
        })
    }

    fn paid_calls(&self) -> u64 {
        self.paid.load(Ordering::Relaxed)
    }
}
