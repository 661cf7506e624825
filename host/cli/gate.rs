//! `fapo gate`: whether a run holds what is asked of it; `fapo eval` asks it of every run whose tenant has a `[gate]`.

use super::Exit;
use super::doctor::Checks;
use super::lines::CheckStatus;
use super::printer::Printer;
use crate::place::Place;
use crate::tenant_folder::{TenantFolder, plain};
use fapo_core::InputError;
use fapo_core::names::is_name;
use fapo_core::tenant::Gate;
use fapo_engine::gate::{GateOutcome, judge};
use fapo_engine::stored::{StoredRun, read_run};
use std::path::{Path, PathBuf};

/// Hold a run against [gate] of its tenant.toml, or against the rules given here; exit 1 where one does not hold.
///
/// A fall below the baseline counts where the 95% interval of the paired difference is below 0; within the noise it is
/// a warning, unless --strict.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo gate fapo-work/runs/my_task-0a1b2c3d4e5f --composite-min 70 --errors-max 0\n\n\
In tenant.toml:\n[gate]\ncomposite_min = 70.0\nerrors_max = 0\nbaseline = \"runs/my_task-5f4e3d2c1b0a\"\ndrop_max = 1.0\nstrict = false")]
pub(super) struct GateRun {
    /// Folder of the run.
    run: PathBuf,
    /// Least mean composite over planned cases.
    #[arg(long, value_name = "0..100")]
    composite_min: Option<f64>,
    /// Most cases with a fault.
    #[arg(long, value_name = "N")]
    errors_max: Option<u64>,
    /// Folder of a run that this one must not fall behind.
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// Most that the mean may fall behind it.
    #[arg(long, value_name = "POINTS")]
    drop_max: Option<f64>,
    /// A fall counts even where it may be noise.
    #[arg(long)]
    strict: bool,
}

impl GateRun {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let run = read_run(&self.run)?;
        let tenant = run.run_config["tenant_id"].as_str().unwrap_or_default();
        let of_tenant = match is_name(tenant) && place.tenant(tenant).is_dir() {
            true => TenantFolder::open(&place.root, tenant)?.manifest()?.gate,
            false => None,
        };
        let declared = of_tenant.unwrap_or_default();
        let baseline = match (&self.baseline, &declared.baseline) {
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(named)) => Some(in_work(place, named)?),
            (None, None) => None,
        };
        let gate = Gate {
            composite_min: self.composite_min.or(declared.composite_min),
            errors_max: self.errors_max.or(declared.errors_max),
            drop_max: self.drop_max.unwrap_or(declared.drop_max),
            strict: self.strict || declared.strict,
            baseline: declared.baseline,
        };
        if gate.composite_min.is_none() && gate.errors_max.is_none() && baseline.is_none() {
            return Err(InputError::new(self.run.display().to_string(), "there is no rule to hold it against").hint(
                "give --composite-min, --errors-max or --baseline, or write [gate] in the tenant's tenant.toml",
            ));
        }
        check(&gate, &self.run, &run, baseline.as_deref(), printer)
    }
}

/// The gate of a tenant over a run that has just ended; nothing where it has none.
///
/// # Errors
/// The baseline is no run, or cannot be compared.
pub(super) fn after_run(
    place: &Place,
    gate: Option<&Gate>,
    folder: &Path,
    printer: Printer,
) -> Result<Exit, InputError> {
    let Some(gate) = gate else { return Ok(Exit::Done) };
    let baseline = gate.baseline.as_ref().map(|named| in_work(place, named)).transpose()?;
    check(gate, folder, &read_run(folder)?, baseline.as_deref(), printer)
}

fn check(
    gate: &Gate,
    folder: &Path,
    run: &StoredRun,
    baseline: Option<&Path>,
    printer: Printer,
) -> Result<Exit, InputError> {
    let baseline = baseline.map(read_run).transpose()?;
    let mut checks = Checks::new(printer);
    for rule in judge(gate, run, baseline.as_ref())? {
        let subject = format!("gate {}, {}", rule.rule, folder.display());
        let (status, hint) = match rule.outcome {
            GateOutcome::Holds => (CheckStatus::Ok, None),
            GateOutcome::Doubtful => (CheckStatus::Warning, Some("more cases or --epochs make it surer")),
            GateOutcome::Fails => (CheckStatus::Error, Some("`fapo attribute` and `fapo compare` say where it went")),
        };
        checks.add(status, &subject, &rule.message, hint.map(str::to_string));
    }
    Ok(checks.exit())
}

/// A folder that a tenant named; it counts from the work folder and cannot leave it.
fn in_work(place: &Place, named: &str) -> Result<PathBuf, InputError> {
    let inner = plain(named).ok_or_else(|| {
        InputError::new("tenant.toml, gate.baseline", format!("{named:?} leaves the work folder"))
            .hint("name the folder of a run as it stands in the work folder, without `..` and without a leading `/`")
    })?;
    Ok(place.work.join(inner))
}
