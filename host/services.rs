//! Granted routes and indexes, opened.

use crate::place::{Place, read_text};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::grants::{Grant, IndexSource, ModelRoute, OperatorFile};
use fapo_core::judge::JudgePrompts;
use fapo_core::ports::{Index, Provider};
use fapo_engine::evaluate::Granted;
use fapo_engine::judge::JudgeModel;
use fapo_provider::{Cached, ProviderKind, ResponseCache, RouteSources, SecretString, connect};
use fapo_retrieval::{Bm25Index, IndexSettings};
use fapo_template::{Cut, parse};
use std::collections::BTreeMap;
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
    let sources = RouteSources {
        text: &|file| read_text(&place.root.join(file)),
        key: &|variable| std::env::var(variable).ok().map(SecretString::from),
        jitter_seed: std::process::id().into(),
        model_folder: &place.models,
    };
    let mut granted = Granted::default();
    let mut replies: Option<Arc<ResponseCache>> = None;
    let mut connected = |alias: &str, route: &ModelRoute| -> Result<Arc<dyn Provider>, InputError> {
        let provider = connect(alias, route, &sources)?;
        if !ProviderKind::named(&route.provider)?.costly {
            return Ok(provider);
        }
        let cache = replies.get_or_insert_with(|| Arc::new(ResponseCache::open(&place.work.join("cache/replies"))));
        Ok(Arc::new(Cached::new(provider, Arc::clone(cache))))
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
    Ok((granted, replies))
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
fn open_index(place: &Place, name: &str, source: &IndexSource) -> Result<Arc<dyn Index>, InputError> {
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
