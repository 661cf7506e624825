//! `fapo tenant inspect`: what a component is and asks for, without running it.

use super::lines::{ComponentLine, Line};
use super::printer::Printer;
use super::{Exit, capabilities};
use crate::components;
use crate::place::{Place, read_bytes};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::limits::Limits;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Show what a component exports, imports and weighs; nothing of it runs.
#[derive(clap::Args)]
#[command(
    after_help = "Example: fapo tenant inspect third-party-scorer.wasm\n         fapo tenant inspect new.wasm --against old.wasm"
)]
pub(super) struct Inspect {
    /// A .wasm file, or a tenant.
    what: String,
    /// An earlier version of the .wasm file: show what the new one asks for beyond it; exit 1 where there is something.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

/// Why a component imports an interface, for people.
fn why(import: &str) -> &'static str {
    let interface = import.split('@').next().unwrap_or(import);
    match interface.strip_prefix("fapo:tenant/") {
        Some("provider") => "calls models that are granted",
        Some("retrieval") => "searches indexes that are granted",
        Some("nodes") => "calls node components that are granted",
        Some("judge-model") => "asks a judge, where one is granted",
        Some("log") => "writes notes for its author",
        Some(_) => "types only",
        None => "the language's runtime; answered by an empty, deterministic one",
    }
}

impl Inspect {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let bytes_max = Limits::default().component_bytes;
        if self.what.ends_with(".wasm") {
            let bytes = read_bytes(self.what.as_ref())?;
            print_component(&self.what, &bytes, bytes_max, printer)?;
            return match &self.against {
                Some(before) => beyond(&before.display().to_string(), &read_bytes(before)?, &bytes, printer),
                None => Ok(Exit::Done),
            };
        }
        if let Some(file) = &self.against {
            return Err(InputError::new(format!("--against {}", file.display()), "compares .wasm files, not tenants")
                .hint("name the tenant's component file: fapo tenant inspect FILE.wasm --against OLD.wasm"));
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
        if let Some(converter) = manifest.converter.iter().find(|c| ![&manifest.chain, &manifest.scorer].contains(c)) {
            let bytes = components::one(place, &operator, &folder, "converter", &converter.component)?;
            let source = format!("converter ({})", converter.component);
            print_component(&source, &bytes, limits.component_bytes, printer)?;
        }
        capabilities::print(capabilities::requested(&manifest, &operator), printer);
        Ok(Exit::Done)
    }
}

/// Prints what a component exports and imports beyond an earlier version of it.
fn beyond(source: &str, before: &[u8], now: &[u8], printer: Printer) -> Result<Exit, InputError> {
    let read = |bytes: &[u8]| {
        let info = fapo_sandbox::inspect(bytes, Limits::default().component_bytes)
            .map_err(|e| InputError::new(source, e.to_string()).hint(e.hint()))?;
        let roles = info.roles.iter().map(|role| format!("role {}", role.name()));
        Ok::<_, InputError>(roles.chain(info.imports.iter().map(|i| format!("import {i}"))).collect::<BTreeSet<_>>())
    };
    let (before, now) = (read(before)?, read(now)?);
    let more: Vec<String> = now.difference(&before).cloned().collect();
    printer.text("");
    for what in &more {
        printer.text(&format!("asks for more than {source}: {what}"));
        printer.line(&Line::Warning { message: format!("asks for more than {source}: {what}") });
    }
    for what in before.difference(&now) {
        printer.text(&format!("no longer asks for: {what}"));
    }
    if more.is_empty() {
        printer.text(&format!("asks for nothing that {source} did not ask for"));
        return Ok(Exit::Done);
    }
    Ok(Exit::Failed)
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
        ],
    );
    let imports = info.imports.iter().map(|import| vec![import.clone(), why(import).into()]).collect();
    printer.table(&["imports", "why"], imports);
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
