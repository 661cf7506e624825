//! Granted routes and indexes, opened.

use crate::place::{Place, read_text};
use fapo_core::InputError;
use fapo_core::grants::{Grant, IndexSource, OperatorFile};
use fapo_core::ports::Index;
use fapo_engine::evaluate::Granted;
use fapo_provider::{Cached, ProviderKind, ResponseCache, RouteSources, SecretString, connect};
use fapo_retrieval::{Bm25Index, IndexSettings};
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
) -> Result<(Granted, Option<Arc<ResponseCache>>), InputError> {
    let sources = RouteSources {
        text: &|file| read_text(&place.root.join(file)),
        key: &|variable| std::env::var(variable).ok().map(SecretString::from),
        jitter_seed: std::process::id().into(),
        model_folder: &place.models,
    };
    let mut granted = Granted::default();
    let mut replies: Option<Arc<ResponseCache>> = None;
    for (alias, route) in &grant.models {
        let mut provider = connect(alias, route, &sources)?;
        if ProviderKind::named(&route.provider)?.costly {
            let cache = replies.get_or_insert_with(|| Arc::new(ResponseCache::open(&place.work.join("cache/replies"))));
            provider = Arc::new(Cached::new(provider, Arc::clone(cache)));
        }
        granted.models.insert(alias.clone(), provider);
    }
    for (name, index) in &grant.indexes {
        granted.indexes.insert(name.clone(), open_index(place, index, &operator.indexes[index])?);
    }
    Ok((granted, replies))
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
