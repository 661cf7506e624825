//! What a run needs before it can start: its indexes built, the embedded model's file fetched.

use crate::place::{Place, unwritable};
use crate::services::{corpus, settings};
use fapo_core::InputError;
use fapo_core::grants::{Grant, OperatorFile};
use fapo_retrieval::IndexManifest;

/// Builds an index of the operator's file; one that fits already is left as it is.
///
/// # Errors
/// There is no such index, a passage is wrong (named with its line), or it cannot be written.
pub fn index(place: &Place, operator: &OperatorFile, name: &str) -> Result<IndexManifest, InputError> {
    let source = operator.indexes.get(name).ok_or_else(|| {
        InputError::new(place.operator.display().to_string(), format!("no index is called {name:?}"))
            .hint(format!("add a table: [indexes.{name}] corpus = \"<file>.jsonl\""))
    })?;
    let parent = place.work.join("indexes");
    std::fs::create_dir_all(&parent).map_err(|e| unwritable(&parent, &e))?;
    fapo_retrieval::build(&corpus(place, source), &place.index(name), settings(source)).map_err(|e| {
        let hint = "a passage is a line {\"id\": …, \"title\": …, \"text\": …}; id and title may be missing";
        if e.hint.is_none() { e.hint(hint) } else { e }
    })
}

/// Makes ready what a tenant is granted: builds its indexes and fetches the embedded model, where a route names it and
/// its file is not there. `say` hears what takes time.
///
/// # Errors
/// An index cannot be built, or the model cannot be had.
pub fn granted(place: &Place, operator: &OperatorFile, grant: &Grant, say: &dyn Fn(&str)) -> Result<(), InputError> {
    for name in grant.indexes.values() {
        index(place, operator, name)?;
    }
    #[cfg(feature = "embedded")]
    if grant.models.values().any(|route| route.provider == "embedded" && route.model.is_none()) {
        model(place, say)?;
    }
    #[cfg(not(feature = "embedded"))]
    let _ = say;
    Ok(())
}

/// The embedded model's file: kept already, or fetched now.
///
/// # Errors
/// It cannot be had.
#[cfg(feature = "embedded")]
pub fn model(place: &Place, say: &dyn Fn(&str)) -> Result<std::path::PathBuf, InputError> {
    use fapo_provider::embedded::weights;
    if let Some(path) = weights::find(&place.models) {
        return Ok(path);
    }
    say(&format!("fetching {} once (94 MB)", weights::NAME));
    weights::pull(&place.models, None)
}
