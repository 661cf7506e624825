//! From a config file to a run that is ready to start: reads, checks, grants, loads. Nothing is written for the run
//! and no case is begun here.

use crate::dataset::{DatasetFile, Wanted};
use crate::guests::{self, Shipped};
use crate::place::{Place, read_text};
use crate::tenant_folder::{TenantFolder, plain};
use crate::{components, identity, services, variant};
use fapo_core::case::{Case, read_dataset};
use fapo_core::config::{EvalConfig, new_run_id, read_config};
use fapo_core::grants::{Budget, COMPONENT_SCRIPT, Grant, OperatorFile};
use fapo_core::ports::Cases;
use fapo_core::tenant::{Gate, TenantManifest};
use fapo_core::{InputError, digest};
use fapo_engine::evaluate::{Earlier, Evaluation};
use fapo_engine::files::{BoundedFiles, SystemClock};
use fapo_engine::stop::StopSignal;
use fapo_provider::ResponseCache;
use fapo_sandbox::{ChainComponent, NodeMay, Sandbox, SandboxError, SandboxSettings, ScorerComponent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most cases at one time.
const WORKERS_MAX: u32 = 10_000;

/// Memory maps of a case in flight (measured: 8.2 to 8.6), and those that the process has anyway.
const MAPS_OF_CASE: u32 = 9;
const MAPS_OF_PROCESS: u32 = 5_000;
/// What Linux allows a process by default.
const MAPS_DEFAULT: u32 = 65_530;

/// Sandboxes at one time, at least, and as many of node components: interventions look into so many cases side by side,
/// whatever the config says, and one that waits for its sandbox must not wait until its time is over.
const INSTANCES_MIN: u32 = 8;

/// What a command line asks of an evaluation.
#[derive(Clone, Debug, Default)]
pub struct EvalOptions {
    /// The eval config; counts from the root where relative.
    pub config: PathBuf,
    /// Only the first cases.
    pub limit: Option<usize>,
    /// Only these cases; all where empty.
    pub case_ids: Vec<String>,
    /// A component in place of the one that `[scorer]` of tenant.toml names.
    pub scorer: Option<PathBuf>,
    /// In place of the config's `output_dir`.
    pub output_dir: Option<String>,
    /// Leave the config's `output_dir` alone: a folder named after the run's identity.
    pub own_folder: bool,
    /// What becomes of the cases that the run's folder holds already.
    pub earlier: Earlier,
    /// The n-th run of the same config, from 0: it draws other samples, in a folder of its own.
    pub epoch: u32,
    /// Most that the run may cost, where that is less than the operator allows.
    pub budget: Budget,
}

/// A run that could start.
pub struct Plan {
    /// Everything the engine needs.
    pub evaluation: Evaluation,
    /// Routes and limits.
    pub grant: Grant,
    /// Replies of earlier calls; None where no granted model is costly. Written out when the last handle goes.
    pub replies: Option<Arc<ResponseCache>>,
    /// What the run must hold once it has ended.
    pub gate: Option<Gate>,
    /// Things to know that stop nothing.
    pub warnings: Vec<String>,
}

/// A tenant with one of its configs, read and granted; nothing of it has run.
pub struct Opened {
    /// The config.
    pub config: EvalConfig,
    /// The folder.
    pub folder: TenantFolder,
    /// `tenant.toml`.
    pub manifest: TenantManifest,
    /// The operator's file.
    pub operator: OperatorFile,
    /// What the tenant gets.
    pub grant: Grant,
}

/// Reads a config, its tenant and the operator's file.
///
/// # Errors
/// One of them is wrong, or the tenant asks for more than it is granted.
pub fn open(place: &Place, config: &Path) -> Result<Opened, InputError> {
    open_with(place, config, |_, _| Ok(()))
}

/// As [`open`], with config and operator's file changed by the person at the keyboard before anything is granted.
///
/// # Errors
/// As there, and those of `change`.
pub fn open_with(
    place: &Place,
    config: &Path,
    change: impl FnOnce(&mut EvalConfig, &mut OperatorFile) -> Result<(), InputError>,
) -> Result<Opened, InputError> {
    let path = place.root.join(config);
    let mut config = read_config(&path.display().to_string(), &read_text(&path)?)?;
    let mut operator = place.read_operator()?;
    change(&mut config, &mut operator)?;
    grant(place, config, operator)
}

/// As [`open`], for a config that was read elsewhere.
///
/// # Errors
/// As there.
pub fn grant(place: &Place, config: EvalConfig, operator: OperatorFile) -> Result<Opened, InputError> {
    let folder = TenantFolder::open(&place.root, &config.tenant_id)?;
    let manifest = folder.manifest()?;
    let grant = operator.grant(&place.operator.display().to_string(), &manifest, &config)?;
    Ok(Opened { config, folder, manifest, operator, grant })
}

/// Reads a tenant's dataset as a whole, and its digest.
///
/// # Errors
/// It is missing or a row is wrong; named with its line.
pub fn cases(opened: &Opened) -> Result<(Vec<Case>, String), InputError> {
    let path = &opened.config.dataset.path;
    let dataset = read_dataset(path, &opened.folder.text("dataset.path", path)?)?;
    Ok((dataset.cases, dataset.digest))
}

/// A tenant's planned cases, read from where they stand.
///
/// # Errors
/// The dataset is missing, a row is wrong, or a wanted case is not in it.
pub fn dataset(opened: &Opened, wanted: Wanted<'_>) -> Result<DatasetFile, InputError> {
    DatasetFile::open(&opened.folder, "dataset.path", &opened.config.dataset.path, wanted)
}

/// Compiles a tenant's components for `workers` cases at one time.
///
/// # Errors
/// One is refused or does not compile.
pub async fn load(
    place: &Place,
    opened: &Opened,
    workers: u32,
    scorer: Option<&Path>,
) -> Result<(ChainComponent, ScorerComponent), InputError> {
    let nodes = if opened.grant.components.is_empty() { 0 } else { workers.max(INSTANCES_MIN) };
    let sandbox = sandbox(place, workers, nodes)?;
    let subject = |role: &str| format!("tenant {}, {role} component", opened.manifest.id);
    let (chain, mut scorer_bytes) = components::both(place, &opened.operator, &opened.folder, &opened.manifest)?;
    if let Some(path) = scorer {
        scorer_bytes = crate::place::read_bytes(path)?.into();
    }
    let limits = opened.grant.limits;
    let chain = sandbox.chain(chain, limits).await.map_err(|e| sandbox_error(&subject("chain"), &e))?;
    let mut nodes = BTreeMap::new();
    for (name, component) in &opened.grant.components {
        let source = &opened.operator.components[component];
        let bytes = match source.file.as_str() {
            COMPONENT_SCRIPT => guests::shipped(Shipped::Script, &place.root, &place.work)?,
            file => crate::place::read_bytes(&place.root.join(file))?,
        };
        let named = |names: &[String]| names.iter().cloned().collect();
        let may = NodeMay { models: named(&source.models), indexes: named(&source.indexes) };
        let subject = format!("node component {component}, {}", source.file);
        let node = sandbox.node(bytes.into(), limits, may).await.map_err(|e| sandbox_error(&subject, &e))?;
        nodes.insert(name.clone(), node);
    }
    let chain = chain.with_nodes(nodes);
    let scorer = sandbox.scorer(scorer_bytes, limits).await.map_err(|e| sandbox_error(&subject("scorer"), &e))?;
    Ok((chain, scorer))
}

/// A sandbox for `workers` cases at one time, each of which has one instance at a time, its chain's or its scorer's; and
/// for as many `nodes`.
///
/// # Errors
/// The machine does not give what it needs.
pub fn sandbox(place: &Place, workers: u32, nodes: u32) -> Result<Sandbox, InputError> {
    let settings = SandboxSettings {
        instances_max: workers.max(INSTANCES_MIN),
        nodes_max: nodes,
        compiled_cache: place.work.join("cache/compiled"),
        compiler: place.compiler.clone(),
    };
    Sandbox::new(&settings).map_err(|e| sandbox_error("sandbox", &e))
}

/// A sandbox's refusal, laid at `subject`.
pub fn sandbox_error(subject: &str, e: &SandboxError) -> InputError {
    let error = InputError::new(subject, e.to_string());
    match e.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Cases at one time: what the config asks for, as far as the system goes along.
pub fn workers(config: &EvalConfig) -> u32 {
    let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| text.trim().parse().ok());
    config.max_workers.unwrap_or(1).clamp(1, WORKERS_MAX.min(workers_of(maps.unwrap_or(MAPS_DEFAULT))))
}

/// Cases at one time that fit into so many memory maps of a process.
fn workers_of(maps: u32) -> u32 {
    (maps.saturating_sub(MAPS_OF_PROCESS) / MAPS_OF_CASE).max(1)
}

/// Plans what a config says.
///
/// # Errors
/// Anything wrong with what people wrote, named with its file and the way out.
pub async fn plan(place: &Place, options: &EvalOptions) -> Result<Plan, InputError> {
    let opened = open(place, &options.config)?;
    let Opened { config, folder, manifest, operator, grant } = &opened;
    let cases = dataset(&opened, Wanted { limit: options.limit, case_ids: &options.case_ids })?;
    let (graph, prompts) = variant::read(folder, manifest, config)?;
    let (granted, replies) = services::open(place, operator, grant, folder)?;
    let workers = workers(config);
    let (chain, scorer) = load(place, &opened, workers, options.scorer.as_deref()).await?;
    let (definition, problems) = variant::define(&chain, graph, prompts, config, grant).await?;
    let more = problems.len().saturating_sub(1);
    if let Some(mut problem) = problems.into_iter().next() {
        if more > 0 {
            problem.message.push_str(&format!(" (and {more} more: fapo tenant check {})", manifest.id));
        }
        return Err(problem);
    }
    let mut warnings = variant::missing_context(&definition, cases.keys());
    warnings.extend(replies.as_ref().and_then(|cache| cache.note()).map(str::to_string));
    if let Some(asked) = config.max_workers.filter(|asked| *asked > workers) {
        warnings.push(format!(
            "{workers} cases run at one time, not the {asked} of `max_workers`: at most {WORKERS_MAX}, and on this system as many as vm.max_map_count lets a process have memory for"
        ));
    }
    let profile = Value::Object(config.scoring_profile.clone());
    let planned = identity::Planned { dataset: cases.digest(), limit: options.limit, case_ids: &options.case_ids };
    let mut identity = identity::of(&chain, &scorer, &definition, &planned, &profile, &granted, grant);
    let first = digest::of_json(&identity);
    if options.epoch > 0 {
        identity["epoch"] = options.epoch.into();
    }
    let key = digest::of_json(&identity);
    let of_config = config.output_dir.as_ref().filter(|_| !options.own_folder);
    let folder = run_folder(place, &manifest.id, options.output_dir.as_ref().or(of_config), &first)?;
    let folder = of_epoch(folder, options.epoch);
    let run_config = json!({
        "run_id": config.run_id.clone().unwrap_or_else(|| fresh_run_id(&manifest.id)),
        "tenant_id": manifest.id, "provider": config.provider,
        "provider_settings": config.provider_settings, "dataset_path": config.dataset.path,
        "scoring_profile": config.scoring_profile, "max_workers": config.max_workers, "chain": config.chain,
        "fapo": {"planned": cases.count(), "identity_digest": key, "identity": identity},
    });
    let budget = opened.grant.budget.within(options.budget);
    services::check_prices(&manifest.id, &granted, &[budget, opened.grant.total])?;
    let evaluation = Evaluation {
        tenant_id: manifest.id.clone(),
        cases: Arc::new(cases),
        definition,
        chain: Arc::new(chain),
        scorer: Arc::new(scorer),
        profile,
        granted,
        workers: workers as usize,
        folder,
        run_config,
        earlier: options.earlier.clone(),
        epoch: options.epoch,
        budget,
        accounts: services::accounts(place, &manifest.id, &opened.grant)?,
        part: None,
        stop: StopSignal::never(),
        files: Arc::new(BoundedFiles { bytes_max: opened.grant.limits.run_bytes }),
        clock: Arc::new(SystemClock),
    };
    Ok(Plan { gate: opened.manifest.gate, grant: opened.grant, evaluation, warnings, replies })
}

/// The folder of the n-th run of a config beside that of the first.
fn of_epoch(first: PathBuf, epoch: u32) -> PathBuf {
    if epoch == 0 {
        return first;
    }
    let mut name = first.into_os_string();
    name.push(format!("-epoch-{}", epoch + 1));
    name.into()
}

/// The run's folder in the work folder: the config's `output_dir`, else one named after the run's identity.
///
/// # Errors
/// `output_dir` leaves the work folder.
pub fn run_folder(place: &Place, tenant: &str, dir: Option<&String>, key: &str) -> Result<PathBuf, InputError> {
    let inner = match dir {
        None => Path::new("runs").join(format!("{tenant}-{}", &key[7..19])),
        Some(dir) => plain(dir).map(Path::to_path_buf).ok_or_else(|| {
            InputError::new(format!("tenant {tenant}, field `output_dir`"), format!("{dir:?} leaves the work folder"))
                .hint("name a folder without `..` and without a leading `/`; it counts from the work folder")
        })?,
    };
    Ok(place.work.join(inner))
}

/// An id for a run that starts now.
pub fn fresh_run_id(tenant: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    new_run_id(tenant, now.map_or(0, |d| d.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_cases_run_at_one_time_than_the_system_has_memory_maps_for() {
        assert_eq!(workers_of(MAPS_DEFAULT), 6_725);
        assert!(workers_of(262_144) > WORKERS_MAX);
        assert_eq!(workers_of(100), 1);
    }
}
