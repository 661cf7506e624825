//! From a config file to a run: reads, checks, grants, loads, evaluates.

use crate::guests;
use fapo_core::case::read_dataset;
use fapo_core::config::{EvalConfig, new_run_id, read_config};
use fapo_core::grants::{Grant, OperatorFile, read_operator_file};
use fapo_core::ports::{Chain, Definition, Index, Provider, Scorer};
use fapo_core::run::CaseRecord;
use fapo_core::tenant::{COMPONENT_STOCK, TemplateStyle, TenantManifest, read_manifest};
use fapo_core::{InputError, digest};
use fapo_engine::evaluate::{Evaluation, Granted, RunReport, evaluate};
use fapo_graph::check::check;
use fapo_graph::{GraphSpec, PromptNames, ungranted};
use fapo_retrieval::{Bm25Index, IndexSettings};
use fapo_sandbox::{Sandbox, SandboxError, SandboxSettings};
use fapo_template::{Cut, Prompt, parse};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Longest file of a tenant that is read, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// What a command line asks of an evaluation.
pub struct EvalOptions {
    /// Repository root: paths of configs start here.
    pub root: PathBuf,
    /// The eval config.
    pub config: PathBuf,
    /// The operator's file.
    pub operator: PathBuf,
    /// Where runs, indexes and caches go.
    pub work: PathBuf,
    /// Only the first cases.
    pub limit: Option<usize>,
    /// A component in place of the one that `[scorer]` of tenant.toml names.
    pub scorer: Option<PathBuf>,
}

/// A run with where it is.
pub struct Evaluated {
    /// Id, records and resumed cases.
    pub report: RunReport,
    /// Folder of the run.
    pub folder: PathBuf,
}

/// Evaluates what a config says.
///
/// # Errors
/// Anything wrong with what people wrote, named with its file and the way out. Faults of cases are not errors.
pub async fn eval(options: &EvalOptions, progress: &(dyn Fn(&CaseRecord) + Sync)) -> Result<Evaluated, InputError> {
    let config = read_config(&shown(&options.config), &read(&options.config)?)?;
    let folder = options.root.join("tenants").join(&config.tenant_id);
    let tenant = Tenant { root: &options.root, id: &config.tenant_id };
    let manifest_path = folder.join("tenant.toml");
    let manifest = read_manifest(&shown(&manifest_path), &config.tenant_id, &read(&manifest_path)?)?;
    let operator = read_operator_file(&shown(&options.operator), &read(&options.operator)?)?;
    let grant = operator.grant(&shown(&options.operator), &manifest, &config)?;

    let dataset = read_dataset(&config.dataset.path, &tenant.text("dataset.path", &config.dataset.path)?)?;
    let mut cases = dataset.cases;
    cases.truncate(options.limit.unwrap_or(usize::MAX).max(1));
    let graph: GraphSpec = serde_json::from_str(&tenant.text("chain.path", &config.chain.path)?).map_err(|e| {
        InputError::new(format!("{}:{}", config.chain.path, e.line()), e.to_string())
            .hint("a graph is nodes, edges and output")
    })?;
    let prompts = prompts(&tenant, &config, &manifest)?;

    let workers = config.max_workers.unwrap_or(1).clamp(1, 512);
    let sandbox = Sandbox::new(&SandboxSettings {
        instances_max: workers * 2,
        compiled_cache: options.work.join("cache/compiled"),
    })
    .map_err(|e| sandbox_error("sandbox", &e))?;
    let subject = |role: &str| format!("tenant {}, {role} component", manifest.id);
    let (chain_bytes, scorer_bytes) = components(options, &tenant, &manifest)?;
    let chain = sandbox.chain(chain_bytes, grant.limits).await.map_err(|e| sandbox_error(&subject("chain"), &e))?;
    let scorer = sandbox.scorer(scorer_bytes, grant.limits).await.map_err(|e| sandbox_error(&subject("scorer"), &e))?;
    let definition = definition(&chain, graph, prompts, &config, &grant).await?;
    let granted = services(options, &operator, &grant)?;

    let profile = Value::Object(config.scoring_profile.clone());
    let identity = identity(&chain, &scorer, &definition, &dataset.digest, &profile, &granted, options.limit, &grant);
    let key = digest::of_json(&identity);
    let run_folder = options.work.join(match &config.output_dir {
        Some(dir) => inside(dir).ok_or_else(|| leaves("output_dir", dir, &manifest.id))?,
        None => PathBuf::from("runs").join(format!("{}-{}", manifest.id, &key[7..19])),
    });
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let run_id = config.run_id.clone().unwrap_or_else(|| new_run_id(&manifest.id, seconds));
    let run = Evaluation {
        tenant_id: manifest.id.clone(),
        cases,
        definition,
        chain: Arc::new(chain),
        scorer: Arc::new(scorer),
        profile,
        granted,
        workers: workers as usize,
        folder: run_folder.clone(),
        run_config: json!({
            "run_id": run_id, "tenant_id": manifest.id, "provider": config.provider,
            "provider_settings": config.provider_settings, "dataset_path": config.dataset.path,
            "scoring_profile": config.scoring_profile, "max_workers": config.max_workers, "chain": config.chain,
            "identity": key, "fapo": {"identity": identity},
        }),
    };
    let report = evaluate(&run, progress).await?;
    Ok(Evaluated { report, folder: run_folder })
}

struct Tenant<'a> {
    root: &'a Path,
    id: &'a str,
}

impl Tenant<'_> {
    /// A file of this tenant. Its path must stay inside the tenant's folder, links followed.
    fn bytes(&self, field: &str, path: &str) -> Result<Vec<u8>, InputError> {
        let home = Path::new("tenants").join(self.id);
        let relative = inside(path).filter(|p| p.starts_with(&home)).ok_or_else(|| leaves(field, path, self.id))?;
        let subject = format!("field `{field}`, {path}");
        let missing = |e: std::io::Error| {
            InputError::new(&subject, e.to_string())
                .hint("paths count from the repository root; correct the field or make the file")
        };
        let real = self.root.join(relative).canonicalize().map_err(missing)?;
        let home = self.root.join(home).canonicalize().map_err(missing)?;
        if !real.starts_with(home) {
            return Err(leaves(field, path, self.id));
        }
        let meta = std::fs::metadata(&real).map_err(missing)?;
        if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
            return Err(InputError::new(&subject, format!("is no regular file of at most {FILE_BYTES_MAX} bytes")));
        }
        std::fs::read(&real).map_err(missing)
    }

    fn text(&self, field: &str, path: &str) -> Result<String, InputError> {
        let bytes = self.bytes(field, path)?;
        String::from_utf8(bytes).map_err(|_| InputError::new(format!("field `{field}`, {path}"), "is not UTF-8"))
    }
}

/// A relative path without `..`, or nothing.
fn inside(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    (plain && path.components().next().is_some()).then(|| path.to_path_buf())
}

fn leaves(field: &str, path: &str, tenant: &str) -> InputError {
    InputError::new(format!("tenant {tenant}, field `{field}`"), format!("{path:?} leaves the tenant's folder"))
        .hint(format!("name a file under tenants/{tenant}/, without `..` and without links that lead out"))
}

fn read(path: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(path)
        .map_err(|e| InputError::new(shown(path), e.to_string()).hint("correct the path, or make the file"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn sandbox_error(subject: &str, e: &SandboxError) -> InputError {
    let error = InputError::new(subject, e.to_string());
    match e.hint() {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn prompts(tenant: &Tenant<'_>, config: &EvalConfig, manifest: &TenantManifest) -> Result<Vec<Prompt>, InputError> {
    let cut = match manifest.template {
        Some(TemplateStyle::Original) => Cut::Original,
        None => Cut::Trailing,
    };
    let one = |(module, path): (&String, &String)| {
        let text = tenant.text(&format!("chain.config.prompt_paths.{module}"), path)?;
        parse(module, &text, cut)
            .map_err(|e| InputError::new(format!("{path}:{}", e.line()), e.to_string()).hint(e.hint()))
    };
    config.chain.config.prompt_paths.iter().map(one).collect()
}

type Bytes = Arc<[u8]>;

fn components(
    options: &EvalOptions,
    tenant: &Tenant<'_>,
    manifest: &TenantManifest,
) -> Result<(Bytes, Bytes), InputError> {
    let load = |role: &str, name: &str| -> Result<Bytes, InputError> {
        if name == COMPONENT_STOCK {
            let path = guests::build(&options.root, "stock")?;
            let bytes = std::fs::read(&path).map_err(|e| InputError::new(shown(&path), e.to_string()))?;
            return Ok(bytes.into());
        }
        if !name.ends_with(".wasm") {
            return Err(InputError::new(
                format!("tenant {}, {role}.component", manifest.id),
                format!("{name:?} is neither \"stock\" nor a .wasm file"),
            )
            .hint("build the tenant's crate for wasm32-wasip2 and name the .wasm file inside the tenant's folder"));
        }
        Ok(tenant.bytes(&format!("{role}.component"), name)?.into())
    };
    let chain = load("chain", &manifest.chain.component)?;
    let scorer = match &options.scorer {
        Some(path) => std::fs::read(path).map_err(|e| InputError::new(shown(path), e.to_string()))?.into(),
        None if manifest.scorer == manifest.chain => Arc::clone(&chain),
        None => load("scorer", &manifest.scorer.component)?,
    };
    Ok((chain, scorer))
}

async fn definition(
    chain: &dyn Chain,
    graph: GraphSpec,
    prompts: Vec<Prompt>,
    config: &EvalConfig,
    grant: &Grant,
) -> Result<Definition, InputError> {
    let subject = &config.chain.path;
    let catalogue =
        chain.describe().await.map_err(|f| InputError::new(format!("chain of {}", config.tenant_id), f.message))?;
    let value = |name: &String, default: &Value| config.chain.config.rest.get(name).unwrap_or(default).clone();
    let params: Vec<(String, Value)> =
        catalogue.parameters.iter().map(|p| (p.name.clone(), value(&p.name, &p.default))).collect();
    let names: Vec<PromptNames> = prompts
        .iter()
        .map(|p| PromptNames { name: p.name.clone(), placeholders: p.placeholders().map(str::to_string).collect() })
        .collect();
    if let Some(problem) = check(&graph, &catalogue, &params, &names).into_iter().next() {
        let error = InputError::new(format!("{subject}, {}", problem.subject), problem.message);
        return Err(InputError { hint: problem.hint, ..error });
    }
    let models: BTreeSet<String> = grant.models.keys().cloned().collect();
    let indexes: BTreeSet<String> = grant.indexes.keys().cloned().collect();
    if let Some(handle) = ungranted(&graph, &models, &indexes, &BTreeSet::new()).into_iter().next() {
        return Err(InputError::new(subject, format!("{handle:?} is not granted to this tenant"))
            .hint("request it in tenant.toml, [requests], and let the operator grant it"));
    }
    let definition = Definition { graph, prompts, params };
    let problems = chain.check(&definition).await.map_err(|f| InputError::new(subject, f.message))?;
    match problems.into_iter().next() {
        Some(problem) => Err(InputError::new(format!("{subject}, {}", problem.subject), problem.message)),
        None => Ok(definition),
    }
}

fn services(options: &EvalOptions, operator: &OperatorFile, grant: &Grant) -> Result<Granted, InputError> {
    let mut granted = Granted::default();
    for (alias, route) in &grant.models {
        if route.provider != "scripted" {
            return Err(InputError::new(
                format!("model alias {alias}"),
                format!("provider {:?} is not in this version", route.provider),
            )
            .hint("providers: scripted"));
        }
        let rules = route.rules.as_deref().ok_or_else(|| {
            InputError::new(format!("model alias {alias}"), "a scripted route needs `rules`")
                .hint("add rules = \"<file>\" to its table")
        })?;
        let script = fapo_provider::Scripted::from_rules(rules, &read(&options.root.join(rules))?)?;
        granted.models.insert(alias.clone(), Arc::new(script) as Arc<dyn Provider>);
    }
    for (name, index) in &grant.indexes {
        let source = &operator.indexes[index];
        let folder = options.work.join("indexes").join(index);
        std::fs::create_dir_all(options.work.join("indexes"))
            .map_err(|e| InputError::new(shown(&folder), e.to_string()))?;
        fapo_retrieval::build(
            &options.root.join(&source.corpus),
            &folder,
            IndexSettings { k1: source.k1, b: source.b },
        )?;
        granted.indexes.insert(name.clone(), Arc::new(Bm25Index::open(&folder)?) as Arc<dyn Index>);
    }
    Ok(granted)
}

#[expect(clippy::too_many_arguments, reason = "each is one dimension of the identity; a struct would name them twice")]
fn identity(
    chain: &dyn Chain,
    scorer: &dyn Scorer,
    definition: &Definition,
    dataset: &str,
    profile: &Value,
    granted: &Granted,
    limit: Option<usize>,
    grant: &Grant,
) -> Value {
    let models: serde_json::Map<String, Value> =
        granted.models.iter().map(|(alias, p)| (alias.clone(), p.identity())).collect();
    let indexes: serde_json::Map<String, Value> =
        granted.indexes.iter().map(|(name, i)| (name.clone(), i.digest().into())).collect();
    json!({
        "chain": chain.digest(), "scorer": scorer.digest(),
        "graph": digest::of_json(&json!(definition.graph)),
        "prompts": digest::of_json(&json!(definition.prompts)),
        "params": digest::of_json(&json!(definition.params)),
        "dataset": dataset, "limit": limit, "profile": digest::of_json(profile),
        "models": models, "indexes": indexes, "limits": grant.limits,
    })
}
