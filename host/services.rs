//! Granted routes and indexes, opened.

use crate::place::{Place, read_text, unwritable};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::grants::{Budget, Grant, IndexSource, ModelRoute, OperatorFile};
use fapo_core::judge::JudgePrompts;
use fapo_core::ports::{Index, Provider};
use fapo_core::price::{PriceList, read_prices};
use fapo_engine::account::Account;
use fapo_engine::evaluate::Granted;
use fapo_engine::judge::JudgeModel;
use fapo_provider::{Cached, ProviderKind, Recorded, ResponseCache, RouteSources, SecretString, connect};
use fapo_retrieval::{Bm25Index, IndexSettings};
use fapo_template::{Cut, parse};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// Opens what a tenant was granted. Calls that cost money or seconds are answered from the response cache where an
/// equal call was answered before.
///
/// # Errors
/// A key variable is unset, a rules file is wrong, an index is missing or was built from another text.
pub fn open(
    place: &Place,
    operator: &OperatorFile,
    grant: &Grant,
    folder: &TenantFolder,
) -> Result<(Granted, Option<Arc<ResponseCache>>), InputError> {
    let (granted, _, replies) = open_with(place, operator, grant, folder, &[])?;
    Ok((granted, replies))
}

/// Models of further routes, in their order.
pub type Further = Vec<Arc<dyn Provider>>;

/// As [`open`], with routes that the person at the keyboard uses beside the tenant's, each with what it is for.
///
/// # Errors
/// As there.
pub fn open_with(
    place: &Place,
    operator: &OperatorFile,
    grant: &Grant,
    folder: &TenantFolder,
    further: &[(&str, ModelRoute)],
) -> Result<(Granted, Further, Option<Arc<ResponseCache>>), InputError> {
    let prices = prices(place, operator)?;
    let sources = RouteSources {
        price: &|provider, model| prices.of(provider, model),
        text: &|file| read_text(&place.root.join(file)),
        key: &|variable| std::env::var(variable).ok().map(SecretString::from),
        variables: &|begin| {
            let named =
                |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
            std::env::vars_os().filter_map(named).filter(|(name, _)| name.starts_with(begin)).collect()
        },
        jitter_seed: std::process::id().into(),
        model_folder: &place.models,
    };
    let mut granted = Granted::default();
    let mut replies: Option<Arc<ResponseCache>> = None;
    let mut connected = |alias: &str, route: &ModelRoute| -> Result<Arc<dyn Provider>, InputError> {
        let mut provider = connect(alias, route, &sources)?;
        if ProviderKind::named(&route.provider)?.costly {
            let cache = replies.get_or_insert_with(|| Arc::new(ResponseCache::open(&place.work.join("cache/replies"))));
            provider = Arc::new(Cached::new(provider, Arc::clone(cache)));
        }
        match &route.record {
            Some(cassette) => recorded(place, provider, cassette),
            None => Ok(provider),
        }
    };
    for (alias, route) in &grant.models {
        granted.models.insert(alias.clone(), connected(alias, route)?);
    }
    for (alias, (route, calls_max)) in &grant.judges {
        let provider = connected(alias, route)?;
        granted.judges.models.insert(alias.clone(), JudgeModel { provider, calls_max: *calls_max });
    }
    if !grant.judges.is_empty() {
        granted.judges.prompts = judge_prompts(folder)?;
    }
    granted.indexes = indexes(place, operator, grant)?;
    let further = further.iter().map(|(name, route)| connected(name, route)).collect::<Result<Vec<_>, _>>()?;
    Ok((granted, further, replies))
}

/// A provider whose replies are written to a cassette, which counts from the root.
fn recorded(place: &Place, provider: Arc<dyn Provider>, cassette: &str) -> Result<Arc<dyn Provider>, InputError> {
    let path = place.root.join(cassette);
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|error| unwritable(&path, &error))?;
    Ok(Arc::new(Recorded::new(provider, &path.display().to_string(), &read_text(&path)?, file)?))
}

/// The operator's prices; none where it names no file.
///
/// # Errors
/// The file is missing or wrong; named with its line.
pub fn prices(place: &Place, operator: &OperatorFile) -> Result<PriceList, InputError> {
    let Some(file) = &operator.prices else { return Ok(PriceList::default()) };
    let path = place.root.join(file);
    read_prices(&path.display().to_string(), &read_text(&path)?)
}

/// What a tenant's runs may cost together, where the operator bounds it.
///
/// # Errors
/// The file that counts it cannot be used.
pub fn accounts(place: &Place, tenant: &str, grant: &Grant) -> Result<Vec<Arc<Account>>, InputError> {
    if grant.total == Budget::default() {
        return Ok(Vec::new());
    }
    let path = place.work.join("spent").join(format!("{tenant}.json"));
    let account = Account::open(
        &path,
        &format!("tenant {tenant}"),
        &format!("[tenants.{tenant}.total] of the operator's file"),
        grant.total,
    )?;
    Ok(vec![Arc::new(account)])
}

/// A bound on cost needs the price of every model that may be called.
///
/// # Errors
/// One is unknown.
pub fn check_prices(tenant: &str, granted: &Granted, budgets: &[Budget]) -> Result<(), InputError> {
    if budgets.iter().all(|budget| budget.cost_max.is_none()) {
        return Ok(());
    }
    let judges = granted.judges.models.iter().map(|(alias, judge)| (alias, &judge.provider));
    for (alias, provider) in granted.models.iter().chain(judges) {
        if provider.price().is_none() {
            let identity = provider.identity();
            let (kind, model) = (&identity["provider"], &identity["model"]);
            return Err(InputError::new(
                format!("tenant {tenant}, model alias {alias}"),
                format!("its cost is bounded, but no price is known for {model} of provider {kind}"),
            )
            .hint(format!(
                "name a file in the operator's file, prices = \"prices.toml\", and write into it: dated = <the day>, then {kind}.{model} = {{ prompt = <dollars a million tokens>, reply = <dollars a million tokens> }}"
            )));
        }
    }
    Ok(())
}

/// Opens the indexes that a tenant was granted, by its own names.
///
/// # Errors
/// One is missing or was built from another text.
pub fn indexes(
    place: &Place,
    operator: &OperatorFile,
    grant: &Grant,
) -> Result<BTreeMap<String, Arc<dyn Index>>, InputError> {
    let open =
        |(name, index): (&String, &String)| Ok((name.clone(), open_index(place, index, &operator.indexes[index])?));
    grant.indexes.iter().map(open).collect()
}

/// A tenant's judge prompts, `prompts/judges/<name>.md`. No variant changes them: they are the scorer's.
///
/// # Errors
/// One does not parse; named with its line.
pub fn judge_prompts(folder: &TenantFolder) -> Result<JudgePrompts, InputError> {
    let mut prompts = JudgePrompts::new();
    for file in folder.list("prompts/judges") {
        let Some(name) = file.strip_suffix(".md") else { continue };
        let path = format!("tenants/{}/prompts/judges/{file}", folder.id());
        let text = folder.text("judge prompt", &path)?;
        let prompt = parse(name, &text, Cut::Trailing)
            .map_err(|e| InputError::new(format!("{path}:{}", e.line()), e.to_string()).hint(e.hint()))?;
        prompts.insert(name.to_string(), prompt);
    }
    Ok(prompts)
}

/// Opens an index and holds it against the corpus and the settings of the operator's file.
///
/// # Errors
/// It is missing or was built from another text.
pub fn open_index(place: &Place, name: &str, source: &IndexSource) -> Result<Arc<dyn Index>, InputError> {
    let hint = format!("build it: fapo index build {name}");
    let index = Bm25Index::open(&place.index(name)).map_err(|e| e.hint(&hint))?;
    if !index.was_built_from(&corpus(place, source), settings(source))? {
        return Err(InputError::new(
            format!("index {name}, {}", place.index(name).display()),
            format!("was built from another text or with other settings than {} names", place.operator.display()),
        )
        .hint(hint));
    }
    Ok(Arc::new(index))
}

/// Where an index's text is.
pub fn corpus(place: &Place, source: &IndexSource) -> PathBuf {
    place.root.join(&source.corpus)
}

/// Settings of an index.
pub fn settings(source: &IndexSource) -> IndexSettings {
    IndexSettings { k1: source.k1, b: source.b }
}
