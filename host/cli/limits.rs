//! `fapo limits`: every limit on a component, and what is in force for a tenant.

use super::Exit;
use super::lines::{LimitLine, Line};
use super::printer::Printer;
use crate::place::Place;
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::limits::{LIMITS, LimitRow, Limits};

/// Show the limits on components: defaults, the most an operator can set, and those of a tenant.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo limits demo_qa")]
pub(super) struct LimitsTable {
    /// A tenant: show what is in force for it.
    tenant: Option<String>,
    /// Print the page `docs/limits.md`.
    #[arg(long, conflicts_with = "tenant")]
    markdown: bool,
}

impl LimitsTable {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if self.markdown {
            Printer::new(false).text(page().trim_end());
            return Ok(Exit::Done);
        }
        let in_force = self.tenant.as_deref().map(|id| in_force(place, id)).transpose()?;
        let value = |row: &LimitRow| in_force.and_then(|limits| limits.get(row.name));
        let rows = LIMITS.iter().map(|row| {
            let value = value(row).map_or("-".into(), |v| v.to_string());
            vec![row.name.into(), row.default.to_string(), row.maximum.to_string(), value, row.summary.trim().into()]
        });
        printer.table(&["limit", "default", "maximum", "in force", "counts"], rows.collect());
        for row in LIMITS {
            printer.line(&Line::Limit(LimitLine {
                name: row.name.into(),
                summary: row.summary.trim().into(),
                default: row.default,
                maximum: row.maximum,
                in_force: value(row),
            }));
        }
        Ok(Exit::Done)
    }
}

fn in_force(place: &Place, tenant: &str) -> Result<Limits, InputError> {
    let manifest = TenantFolder::open(&place.root, tenant)?.manifest()?;
    Limits::effective(&place.read_operator()?.limits, &manifest.requests.limits, tenant)
}

/// The page of the docs.
fn page() -> String {
    let mut page = String::from(
        "# Limits on components\n\n\
         Printed by `fapo limits --markdown`. A tenant may ask for less under `[requests.limits]` of its `tenant.toml`; \
         the operator's file sets others under `[limits]`, up to the maximum. Each case and role has them anew. What \
         passes a limit is a fault of its case and counts as 0, but for the limits by the clock: those say nothing \
         about the component and are tried again.\n\n\
         | limit | default | maximum | counts |\n|---|---|---|---|\n",
    );
    for row in LIMITS {
        page.push_str(&format!("| `{}` | {} | {} | {} |\n", row.name, row.default, row.maximum, row.summary.trim()));
    }
    page
}
