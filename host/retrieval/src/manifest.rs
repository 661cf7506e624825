//! What an index is made of: enough to tell whether two indexes answer alike.

use crate::analysis;
use fapo_core::{InputError, digest};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the manifest in an index's folder.
pub(crate) const FILE_NAME: &str = "manifest.json";
/// Raised with every change of the files.
pub(crate) const FORMAT: u32 = 2;

/// How scores are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexSettings {
    /// How slowly repeats of a term stop counting; 0 and more.
    pub k1: f64,
    /// How much long passages are held back; 0..=1.
    pub b: f64,
}

impl Default for IndexSettings {
    /// `k1` 0.9 and `b` 0.4, as the original.
    fn default() -> Self {
        IndexSettings { k1: 0.9, b: 0.4 }
    }
}

impl IndexSettings {
    pub(crate) fn check(self) -> Result<(), InputError> {
        if !(self.k1.is_finite() && self.k1 >= 0.0) {
            return Err(InputError::new("k1", format!("{} is not a number from 0 up", self.k1)));
        }
        if !(0.0..=1.0).contains(&self.b) {
            return Err(InputError::new("b", format!("{} is not within 0 and 1", self.b)));
        }
        Ok(())
    }
}

/// The content of `manifest.json`. Holds no names or times: equal corpora with equal settings have equal manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexManifest {
    /// Version of the files' layout.
    pub format: u32,
    /// How texts become terms.
    pub analyser: String,
    /// Version of the analysis.
    pub analyser_version: u32,
    /// Rows of the corpus.
    pub passages: u64,
    /// See [`IndexSettings`].
    pub k1: f64,
    /// See [`IndexSettings`].
    pub b: f64,
    /// Mean number of terms in a passage.
    pub average_length: f64,
    /// Over ids, titles and texts in order.
    pub corpus_digest: String,
}

impl IndexManifest {
    /// Identity of the index: over everything above.
    pub fn digest(&self) -> String {
        digest::of_json(&serde_json::to_value(self).expect("numbers and texts are valid JSON"))
    }

    /// Whether an index of this corpus with these settings would be this one.
    pub(crate) fn fits(&self, corpus_digest: &str, settings: IndexSettings) -> bool {
        self.is_readable() && self.corpus_digest == corpus_digest && (self.k1, self.b) == (settings.k1, settings.b)
    }

    fn is_readable(&self) -> bool {
        self.format == FORMAT && self.analyser == analysis::NAME && self.analyser_version == analysis::VERSION
    }

    /// The manifest of an index that this build can search.
    pub(crate) fn read(dir: &Path) -> Result<Self, InputError> {
        let path = dir.join(FILE_NAME);
        let subject = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                InputError::new(dir.display().to_string(), "there is no index here").hint(HINT_BUILD)
            }
            _ => InputError::new(subject.clone(), error.to_string()),
        })?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| InputError::new(subject.clone(), error.to_string()).hint(HINT_BUILD))?;
        // The version first: fields of another one would only mislead.
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let found = format.map_or("no format".to_owned(), |format| format!("format {format}"));
            let message = format!("the index has {found}, this program reads format {FORMAT}");
            return Err(InputError::new(subject, message).hint(HINT_BUILD));
        }
        let manifest: IndexManifest = serde_json::from_value(value)
            .map_err(|error| InputError::new(subject.clone(), error.to_string()).hint(HINT_BUILD))?;
        if !manifest.is_readable() {
            let IndexManifest { analyser, analyser_version, .. } = manifest;
            let message = format!(
                "the index was analysed by {analyser} {analyser_version}, this program has {} {}",
                analysis::NAME,
                analysis::VERSION
            );
            return Err(InputError::new(subject, message).hint(HINT_BUILD));
        }
        Ok(manifest)
    }
}

/// The way out of most errors with an index.
pub(crate) const HINT_BUILD: &str = "build it with `fapo index build`";
