//! From a tenant to a trial that is ready to start: its three splits, its scope contract, its examples.

use crate::given::{self, Given};
use crate::place::{Place, read_text};
use crate::plan::{self, Opened};
use crate::split_runner::{SPLITS, Split, SplitRunner};
use crate::tenant_folder::TenantFolder;
use crate::{identity, prepare, services, variant};
use fapo_core::grants::{Budget, ModelRoute, OperatorFile};
use fapo_core::held_out::CASES_MIN;
use fapo_core::limits::Limits;
use fapo_core::ports::{Chain, Provider};
use fapo_core::price::Money;
use fapo_core::review::Leaks;
use fapo_core::scope::ScopeContract;
use fapo_core::selection::{PAPER_CONSTANTS, Policy};
use fapo_core::{InputError, digest};
use fapo_engine::account::Account;
use fapo_engine::counsel::Advisers;
use fapo_engine::files::{DiskFiles, SystemClock};
use fapo_engine::optimize::{Trial, TrialBudget, TrialReport};
use fapo_engine::propose::Example;
use fapo_engine::stop::StopSignal;
use fapo_graph::{Handle, NodeSpec};
use fapo_provider::ResponseCache;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a command line asks of a trial.
#[derive(Clone, Debug, Default)]
pub struct TrialOptions {
    /// The tenant.
    pub tenant: String,
    /// Configs of train, validation and test; count from the root.
    pub configs: [PathBuf; 3],
    /// In place of the configs' `provider`.
    pub provider: Option<String>,
    /// In place of the configs' model; only with a provider.
    pub model: Option<String>,
    /// How it keeps and stops.
    pub policy: Policy,
    /// The n-th trial of the same thing, from 0: it draws other samples.
    pub repeat: u32,
    /// What it may cost together with other trials.
    pub accounts: Vec<Arc<Account>>,
    /// In place of the tenant's cases and passages.
    pub given: Given,
    /// Build missing indexes and fetch the embedded model first.
    pub prepare: bool,
    /// Name of the trial's folder; made of its identity where absent.
    pub name: Option<String>,
    /// Hard caps.
    pub variants_max: u32,
    /// Paid calls.
    pub calls_max: u64,
    /// Tokens of all its runs together.
    pub tokens_max: Option<u64>,
    /// What all its runs together may cost.
    pub cost_max: Option<Money>,
    /// Milliseconds of one start after which no further variant is begun.
    pub wall_ms_max: Option<u64>,
    /// Paid calls of the replays that look into the failures of a variant to beat; as many as one run of train makes
    /// where absent, 0 for none.
    pub diagnosis_calls: Option<u64>,
    /// Route of the operator's file that proposes edits.
    pub proposer: Option<String>,
    /// Route of the operator's file that reviews edits.
    pub reviewer: Option<String>,
    /// Most paid calls of both.
    pub adviser_calls: u64,
    /// Ablation: deal steps and fixes to clusters by this seed.
    pub clusters_dealt_by: Option<u64>,
}

impl TrialPlan {
    /// The report of this very trial, where it has ended before.
    pub fn ended(&self) -> Option<TrialReport> {
        let json = |name: &str| serde_json::from_str::<Value>(&read_text(&self.trial.folder.join(name)).ok()?).ok();
        let same = json("trial.json")?["identity"] == self.trial.identity;
        serde_json::from_value(json("report.json").filter(|_| same)?).ok()
    }
}

/// A trial that could start.
pub struct TrialPlan {
    /// What the loop needs.
    pub trial: Trial,
    /// What evaluates for it.
    pub runner: SplitRunner,
    /// Replies of earlier calls.
    pub replies: Option<Arc<ResponseCache>>,
    /// Limits in force.
    pub limits: Limits,
    /// Things to know that stop nothing.
    pub warnings: Vec<String>,
}

/// Plans a trial.
///
/// # Errors
/// Anything wrong with the tenant, its configs or its playbook; the three configs must differ in their cases only.
pub async fn plan_trial(place: &Place, options: &TrialOptions, say: &dyn Fn(&str)) -> Result<TrialPlan, InputError> {
    let opened = options.configs.each_ref().map(|path| open(place, path, options));
    let [train, validation, test] = opened;
    let (train, validation, test) = (train?, validation?, test?);
    for (name, other) in [("validation", &validation), ("test", &test)] {
        same_chain(&train, other, name)?;
    }
    let Opened { config, folder, manifest, operator, grant } = &train;
    let (graph, prompts) = variant::read(folder, manifest, config)?;
    let splits = splits([&train, &validation, &test], &options.given)?;
    large_enough(&splits)?;
    if options.prepare {
        prepare::granted(place, operator, grant, say)?;
    }
    let routes = adviser_routes(place, operator, options)?;
    let (granted, advising, replies) = services::open_with(place, operator, grant, folder, &routes)?;
    let (chain, scorer) = plan::load(place, &train, plan::workers(config), None).await?;
    let (baseline, problems) = variant::define(&chain, graph, prompts, config, grant).await?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let catalogue = chain
        .describe()
        .await
        .map_err(|f| InputError::new(format!("tenant {}, chain component", manifest.id), f.message))?;
    let mut leaks = Leaks::default();
    splits.iter().for_each(|split| leaks.add(&split.cases));
    let playbook = format!("tenants/{}/docs/iteration-playbook.md", manifest.id);
    let (scope, playbook) = match folder.has(&playbook) {
        true => {
            let text = folder.text("docs", &playbook)?;
            (ScopeContract::from_playbook(&playbook, &text)?, text)
        }
        false => (ScopeContract::default(), String::new()),
    };
    let scope = fixed_by(options.policy, scope);
    let profile = Value::Object(config.scoring_profile.clone());
    let (examples, warnings) = examples(folder, &leaks)?;
    let budget = TrialBudget {
        variants_max: options.variants_max,
        calls_max: options.calls_max,
        wall_ms_max: options.wall_ms_max,
    };
    let mut trial_identity = json!({
        "tenant": manifest.id, "scope": scope, "budget": budget,
        "splits": splits.each_ref().map(|split| split.digest.clone()),
        "baseline": identity::of(&chain, &scorer, &baseline, &identity::Planned::default(), &profile, &granted, grant),
    });
    if options.policy != Policy::default() {
        trial_identity["policy"] = options.policy.word().into();
    }
    if options.repeat > 0 {
        trial_identity["repeat"] = options.repeat.into();
    }
    let asks = |node: &&NodeSpec| node.handles.iter().any(|handle| matches!(handle, Handle::Model(_)));
    let of_train = (baseline.graph.nodes.iter().filter(asks).count() * splits[0].cases.len()) as u64;
    let diagnosis_calls = options.diagnosis_calls.unwrap_or(of_train);
    if let Some(gold) = manifest.gold.as_ref().filter(|_| diagnosis_calls > 0) {
        trial_identity["diagnosis"] = json!({"calls": diagnosis_calls, "gold": gold});
    }
    if !routes.is_empty() {
        let of = |((role, _), provider): (&(&str, ModelRoute), &Arc<dyn Provider>)| json!([role, provider.identity()]);
        let named: Vec<Value> = routes.iter().zip(&advising).map(of).collect();
        trial_identity["advisers"] = json!({"calls": options.adviser_calls, "models": named, "playbook": playbook});
    }
    if let Some(seed) = options.clusters_dealt_by {
        trial_identity["clusters_dealt_by"] = seed.into();
    }
    let key = digest::of_json(&trial_identity);
    let name = options.name.clone().unwrap_or_else(|| format!("{}-{}", manifest.id, &key[7..19]));
    let folder_of_trial = plan::run_folder(place, &manifest.id, Some(&format!("trials/{name}")), &key)?;
    let of_trial =
        Budget { calls_max: Some(options.calls_max), tokens_max: options.tokens_max, cost_max: options.cost_max };
    services::check_prices(&manifest.id, &granted, &[of_trial, grant.budget, grant.total])?;
    let mut accounts = services::accounts(place, &manifest.id, grant)?;
    accounts.extend(options.accounts.iter().cloned());
    let counted = folder_of_trial.join("spent.json");
    accounts.push(Arc::new(Account::open(&counted, "this trial", "--calls, --tokens-max or --cost-max", of_trial)?));
    let adviser = |role: &str| routes.iter().position(|(name, _)| *name == role).map(|at| Arc::clone(&advising[at]));
    let advisers = Advisers {
        proposer: adviser(PROPOSER),
        reviewer: adviser(REVIEWER),
        calls_max: options.adviser_calls,
        accounts: accounts.clone(),
        playbook,
    };
    let trial = Trial {
        tenant_id: manifest.id.clone(),
        folder: folder_of_trial,
        identity: trial_identity,
        scope,
        catalogue,
        baseline,
        train: splits[0].cases.to_vec(),
        held_out_cases: splits[1].cases.len() + splits[2].cases.len(),
        examples,
        leaks,
        advisers,
        budget,
        policy: options.policy,
        clusters_dealt_by: options.clusters_dealt_by,
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
        epoch: options.repeat,
        gold: manifest.gold.clone(),
        diagnosis_calls,
        calls: Mutex::default(),
        accounts,
        ledger: place.work.join("test-ledger.jsonl"),
        spent: Default::default(),
        stop: StopSignal::never(),
        watch: Box::new(|_| {}),
    };
    Ok(TrialPlan { trial, runner, replies, limits: train.grant.limits, warnings })
}

/// The scope of a trial by a policy: the paper's constants stand, whatever the playbook says.
fn fixed_by(policy: Policy, mut scope: ScopeContract) -> ScopeContract {
    if policy == Policy::Paper {
        let more = PAPER_CONSTANTS.iter().filter(|name| !scope.constants.iter().any(|c| c == *name));
        let more: Vec<String> = more.map(|name| (*name).to_string()).collect();
        scope.constants.extend(more);
    }
    scope
}

/// What a route is used for.
const PROPOSER: &str = "proposer";
const REVIEWER: &str = "reviewer";

/// The routes of the operator's file that the person names as advisers.
fn adviser_routes(
    place: &Place,
    operator: &OperatorFile,
    options: &TrialOptions,
) -> Result<Vec<(&'static str, ModelRoute)>, InputError> {
    let mut routes = Vec::new();
    for (role, name) in [(PROPOSER, &options.proposer), (REVIEWER, &options.reviewer)] {
        let Some(name) = name else { continue };
        let route = operator.models.get(name).ok_or_else(|| {
            let known: Vec<&str> = operator.models.keys().map(String::as_str).collect();
            let file = place.operator.display();
            InputError::new(format!("--{role} {name:?}"), format!("{file} has no such route"))
                .hint(format!("routes are the names under [models]: {}", known.join(", ")))
        })?;
        routes.push((role, route.clone()));
    }
    Ok(routes)
}

fn open(place: &Place, config: &Path, options: &TrialOptions) -> Result<Opened, InputError> {
    plan::open_with(place, config, |config, operator| {
        if let Some(provider) = &options.provider {
            config.provider.clone_from(provider);
            // The config's model is one of the provider it names.
            config.provider_settings.model.clone_from(&options.model);
        }
        options.given.grant(&config.tenant_id, operator)
    })
}

fn own(opened: &Opened) -> Result<Split, InputError> {
    let (cases, digest) = plan::cases(opened)?;
    Ok(Split { cases: Arc::new(cases), digest, config: json!(opened.config) })
}

/// Train, validation and test: the tenant's own, or those that are given.
fn splits(opened: [&Opened; 3], given: &Given) -> Result<[Split; 3], InputError> {
    let [train, validation, test] = opened;
    let found = [own(train)?, own(validation)?, own(test)?];
    let Some(file) = &given.dataset else {
        return Ok(found);
    };
    let mut config = found.each_ref().map(|split| split.config.clone()).into_iter();
    Ok(given::splits(file, &found[0].cases)?.map(|(cases, digest)| {
        let mut config = config.next().expect("a config a split");
        config["dataset"]["path"] = file.display().to_string().into();
        Split { cases: Arc::new(cases), digest, config }
    }))
}

/// Said before anything is spent.
fn large_enough(splits: &[Split; 3]) -> Result<(), InputError> {
    let Some((name, split)) = SPLITS.into_iter().zip(splits).skip(1).find(|(_, split)| split.cases.len() < CASES_MIN)
    else {
        return Ok(());
    };
    Err(InputError::new(format!("split {name}"), format!("has {} cases", split.cases.len())).hint(format!(
        "a held-out split needs at least {CASES_MIN}: below, its mean tells too much of its rows; one file for all three splits needs {}",
        3 * CASES_MIN
    )))
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

/// Worked examples of the tenant, every `examples/*.jsonl`, without those that hold words or answers of a split: the
/// review would stop whatever shows one, and who proposes must not learn of it.
fn examples(folder: &TenantFolder, leaks: &Leaks) -> Result<(Vec<Example>, Vec<String>), InputError> {
    let mut examples = Vec::new();
    for name in folder.list("examples").into_iter().filter(|name| name.ends_with(".jsonl")) {
        let path = format!("tenants/{}/examples/{name}", folder.id());
        examples.extend(Example::read(&path, &folder.text("examples", &path)?)?);
    }
    let all = examples.len();
    examples.retain(|example| !leaks.hold(&example.text()));
    let warning = (examples.len() < all).then(|| {
        format!(
            "{} of {all} worked examples share words or answers with a split and are left out",
            all - examples.len()
        )
    });
    Ok((examples, warning.into_iter().collect()))
}
