//! `tenant.toml`: which components a tenant has and what it requests.

use crate::gold::GoldSpec;
use crate::input_error::InputError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tenant's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantManifest {
    /// The folder's name.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub title: String,
    /// `original`: prompt files are cut at their first `Assistant:` line, as the original cuts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStyle>,
    /// Chain component.
    pub chain: ComponentRef,
    /// Scorer component.
    pub scorer: ComponentRef,
    /// Component that reads the publisher's files, where the tenant has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converter: Option<ComponentRef>,
    /// Capabilities asked for.
    #[serde(default)]
    pub requests: Requests,
    /// What a finished run must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What its steps would put out if they did all they could: for diagnostic replays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<GoldSpec>,
}

/// What a finished run must hold; a rule that is absent asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Least mean composite over planned cases, 0..=100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite_min: Option<f64>,
    /// Most cases with a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors_max: Option<u64>,
    /// Folder of a run that this one must not fall behind, in the work folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Most that the mean may fall behind it, points of the composite.
    pub drop_max: f64,
    /// A fall counts even where the 95% interval of the paired difference holds 0.
    pub strict: bool,
}

/// How prompt files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateStyle {
    /// Cut at the first `Assistant:` line.
    Original,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentRef {
    /// `stock` (shipped with the program), `crate` (built from the tenant's own Cargo package), or a `.wasm`
    /// file inside the tenant's folder.
    pub component: String,
}

/// Component of a tenant that is built from its own Cargo package.
pub const COMPONENT_CRATE: &str = "crate";

/// Component that is shipped with the program.
pub const COMPONENT_STOCK: &str = "stock";

/// What a tenant asks for; it gets the part that the operator grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// Logical model aliases.
    pub models: Vec<String>,
    /// Index names.
    pub indexes: Vec<String>,
    /// Node components by name.
    pub components: Vec<String>,
    /// Aliases of models that the scorer may ask as judges; a chain cannot reach them.
    pub judges: Vec<String>,
    /// Limits by name.
    pub limits: BTreeMap<String, u64>,
}

/// Reads a manifest. `file` names it in errors, `folder` is the tenant folder's name.
///
/// # Errors
/// Names the file and line; the id must be the folder's name and every requested name a valid one.
pub fn read_manifest(file: &str, folder: &str, text: &str) -> Result<TenantManifest, InputError> {
    let manifest: TenantManifest = read_toml(file, text)?;
    if manifest.id != folder {
        return Err(InputError::new(format!("{file}, id"), format!("{:?} is not the folder's name", manifest.id))
            .hint(format!("write id = {folder:?}")));
    }
    for name in manifest
        .requests
        .models
        .iter()
        .chain(&manifest.requests.indexes)
        .chain(&manifest.requests.judges)
        .chain([&manifest.id])
    {
        if !crate::names::is_name(name) {
            return Err(InputError::new(file, format!("{name:?} is no name"))
                .hint("names are lower-case ASCII letters, digits, _ and -, at most 64"));
        }
    }
    if let Some(gold) = &manifest.gold {
        gold.check(file, &manifest.requests.indexes)?;
    }
    Ok(manifest)
}

/// Reads a TOML file into a type; errors carry the file and the line.
///
/// # Errors
/// Whatever is wrong with the text, at its line.
pub fn read_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, InputError> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        InputError::new(format!("{file}:{line}"), e.message().trim().replace('\n', ", "))
            .hint("correct the line; unknown fields are refused so that a typing error cannot pass unseen")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "id = \"demo_qa\"\n[chain]\ncomponent = \"stock\"\n[scorer]\ncomponent = \"stock\"\n[requests]\nmodels = [\"task\"]\n";

    #[test]
    fn a_manifest_reads() {
        let m = read_manifest("tenant.toml", "demo_qa", GOOD).expect("reads");
        assert_eq!(m.requests.models, ["task"]);
    }

    #[test]
    fn faults_name_the_line() {
        let e = read_manifest("tenant.toml", "demo_qa", &GOOD.replace("models", "modles")).expect_err("typo");
        assert!(e.to_string().starts_with("tenant.toml:7: unknown field `modles`"), "{e}");
        let e = read_manifest("tenant.toml", "other", GOOD).expect_err("folder");
        assert!(e.to_string().contains("not the folder's name"), "{e}");
        assert!(read_manifest("t", "demo_qa", &GOOD.replace("task", "Task!")).is_err());
    }
}
