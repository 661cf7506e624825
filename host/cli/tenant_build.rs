//! `fapo tenant build`: a tenant's Cargo package as one `.wasm`.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use super::tenant_inspect::print_component;
use crate::guests::{self, Shipped};
use crate::place::{Place, read_bytes, unwritable};
use fapo_core::InputError;
use fapo_core::limits::Limits;
use std::path::PathBuf;

/// Build a tenant's Cargo package for the sandbox.
///
/// The package's build scripts run with your rights, outside the sandbox: build only what you trust. The result is
/// one file that holds every role of the tenant; name it in tenant.toml to ship the tenant without its sources.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo tenant build hotpotqa --out hotpotqa.wasm")]
pub(super) struct Build {
    /// The tenant; `stock` for the built-in kinds and metrics, `script` for the node component that runs scripts.
    id: String,
    /// Where the component goes.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Build {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        printer.note(&format!("building {} for wasm32-wasip2", self.id));
        let bytes = match self.id.as_str() {
            "stock" => guests::shipped(Shipped::Stock, &place.root, &place.work)?,
            "script" => guests::shipped(Shipped::Script, &place.root, &place.work)?,
            id => read_bytes(&guests::tenant_crate(&place.root, id)?)?,
        };
        let out = self.out.unwrap_or_else(|| place.work.join("components").join(format!("{}.wasm", self.id)));
        if let Some(parent) = out.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
        }
        std::fs::write(&out, &bytes).map_err(|e| unwritable(&out, &e))?;
        print_component(&out.display().to_string(), &bytes, Limits::default().component_bytes, printer)?;
        printer.line(&Line::Created { path: out.display().to_string() });
        Ok(Exit::Done)
    }
}
