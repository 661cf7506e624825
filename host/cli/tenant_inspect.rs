//! `fapo tenant inspect`: what a component is and asks for, without running it.

use super::Exit;
use super::lines::{ComponentLine, Line};
use super::printer::Printer;
use crate::components;
use crate::place::{Place, read_bytes};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::limits::Limits;

/// Show what a component exports, imports and weighs; nothing of it runs.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo tenant inspect third-party-scorer.wasm")]
pub(super) struct Inspect {
    /// A .wasm file, or a tenant.
    what: String,
}

impl Inspect {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if self.what.ends_with(".wasm") {
            let bytes = read_bytes(self.what.as_ref())?;
            print_component(&self.what, &bytes, Limits::default().component_bytes, printer)?;
            return Ok(Exit::Done);
        }
        let folder = TenantFolder::open(&place.root, &self.what)?;
        let manifest = folder.manifest()?;
        let operator = place.read_operator()?;
        let limits = Limits::effective(&operator.limits, &manifest.requests.limits, &manifest.id)?;
        let (chain, scorer) = components::both(place, &operator, &folder, &manifest)?;
        print_component(&format!("chain ({})", manifest.chain.component), &chain, limits.component_bytes, printer)?;
        if manifest.scorer != manifest.chain {
            let source = format!("scorer ({})", manifest.scorer.component);
            print_component(&source, &scorer, limits.component_bytes, printer)?;
        }
        let none = Default::default();
        let granted = operator.tenants.get(&manifest.id).unwrap_or(&none);
        let row = |kind: &str, name: &String, given: Option<String>| {
            vec![kind.to_string(), name.clone(), given.unwrap_or_else(|| "not granted".into())]
        };
        let models = manifest.requests.models.iter();
        let indexes = manifest.requests.indexes.iter();
        let components = manifest.requests.components.iter();
        let rows: Vec<Vec<String>> = models
            .map(|name| row("model", name, granted.models.get(name).map(|routes| routes.join(", "))))
            .chain(indexes.map(|name| row("index", name, granted.indexes.get(name).cloned())))
            .chain(components.map(|name| row("component", name, granted.components.get(name).cloned())))
            .collect();
        if !rows.is_empty() {
            printer.text("");
            printer.table(&["requests", "name", "granted"], rows);
        }
        Ok(Exit::Done)
    }
}

/// Prints the passport of a component.
///
/// # Errors
/// The component is refused.
pub(super) fn print_component(source: &str, bytes: &[u8], bytes_max: u64, printer: Printer) -> Result<(), InputError> {
    let info =
        fapo_sandbox::inspect(bytes, bytes_max).map_err(|e| InputError::new(source, e.to_string()).hint(e.hint()))?;
    let roles: Vec<String> = info.roles.iter().map(|role| role.name().to_string()).collect();
    printer.table(
        &["component", source],
        vec![
            vec!["digest".into(), info.digest.clone()],
            vec!["size".into(), format!("{} bytes", info.bytes)],
            vec!["roles".into(), roles.join(", ")],
            vec!["sdk".into(), info.sdk.clone().unwrap_or_else(|| "not stamped".into())],
            vec!["imports".into(), info.imports.join("\n")],
        ],
    );
    printer.line(&Line::Component(ComponentLine {
        source: source.into(),
        digest: info.digest,
        bytes: info.bytes as u64,
        roles,
        imports: info.imports,
        sdk: info.sdk,
    }));
    Ok(())
}
