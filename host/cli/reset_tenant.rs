//! `fapo reset-tenant`: forget what was run for a tenant.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use crate::place::{Place, unwritable};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use std::path::PathBuf;

/// Remove a tenant's runs from the work folder. Its own folder, the indexes and the caches stay.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo reset-tenant demo_qa --yes")]
pub(super) struct ResetTenant {
    /// The tenant.
    id: String,
    /// Really remove; without it only what would be removed is shown.
    #[arg(long)]
    yes: bool,
}

impl ResetTenant {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let folder = TenantFolder::open(&place.root, &self.id)?;
        let found = runs(place, folder.id());
        if found.is_empty() {
            printer.text(&format!("tenant {} has no runs in {}", self.id, place.work.display()));
        }
        for path in found {
            if self.yes {
                std::fs::remove_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
                printer.text(&format!("removed {}", path.display()));
                printer.line(&Line::Removed { path: path.display().to_string() });
            } else {
                printer.text(&format!("would remove {} (give --yes)", path.display()));
            }
        }
        Ok(Exit::Done)
    }
}

/// Folders of a tenant's runs: those named after it, and those its configs place below `tenants/<id>`.
fn runs(place: &Place, id: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let placed = place.work.join("tenants").join(id);
    if placed.is_dir() {
        found.push(placed);
    }
    // `<id>-<12 hex digits>`: the tenant `a` does not own the runs of the tenant `a-b`.
    let of_tenant = |name: &str| {
        name.strip_prefix(id)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|key| key.len() == 12 && key.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let runs = std::fs::read_dir(place.work.join("runs")).into_iter().flatten().flatten();
    found.extend(runs.filter(|e| e.file_name().to_str().is_some_and(of_tenant)).map(|e| e.path()));
    found.sort();
    found
}
