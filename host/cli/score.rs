//! `fapo score`: score outputs that were made elsewhere.

use super::eval::print_end;
use super::printer::Printer;
use super::{Exit, live};
use crate::place::{Place, read_text, unreadable};
use crate::plan::{fresh_run_id, sandbox, sandbox_error};
use crate::tenant_folder::TenantFolder;
use crate::{components, import};
use fapo_core::case::{Case, read_dataset};
use fapo_core::grants::{Budget, OperatorFile};
use fapo_core::limits::Limits;
use fapo_core::ports::{Chain, Scorer};
use fapo_core::{InputError, digest};
use fapo_engine::evaluate::{Earlier, Evaluation, Granted};
use fapo_engine::files::{DiskFiles, SystemClock};
use fapo_engine::recorded::RecordedOutputs;
use fapo_engine::stop::StopSignal;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Score recorded outputs with a tenant's scorer; no chain runs and no model is called.
///
/// Outputs are JSONL rows of `case_id`, `output_text` and, where wanted, `step_outputs` (node to text). A case without
/// a row counts as 0. The output folder gets the artefacts of a run, and the same command again continues.
#[derive(clap::Args)]
#[command(
    after_help = "Example: fapo score --tenant tenants/demo_qa --cases tenants/demo_qa/datasets/validation.jsonl \\\n\
         --outputs outputs.jsonl --output-dir scored --profile '{\"metric\": \"token_f1\"}'"
)]
pub(super) struct ScoreOutputs {
    /// Folder of the tenant whose scorer is used.
    #[arg(long, value_name = "DIR")]
    tenant: PathBuf,
    /// Cases: unified rows, or files that `fapo data import` reads for this tenant; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    cases: Vec<PathBuf>,
    /// Recorded outputs.
    #[arg(long, value_name = "FILE")]
    outputs: PathBuf,
    /// Where the artefacts go.
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// The scorer's settings, as a config's `scoring_profile`.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    profile: String,
    /// Cases at one time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=512))]
    max_workers: u32,
    /// Start over: forget what the output folder holds.
    #[arg(long)]
    fresh: bool,
}

impl ScoreOutputs {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let folder = open(place, &self.tenant)?;
        let manifest = folder.manifest()?;
        let operator = place.read_operator()?;
        let limits = Limits::effective(&operator.limits, &manifest.requests.limits, &manifest.id)?;
        let profile: Map<String, Value> = serde_json::from_str(&self.profile)
            .map_err(|e| InputError::new("--profile", e.to_string()).hint("give one JSON object"))?;
        let profile = Value::Object(profile);
        let (cases, dataset) = cases(place, &operator, &folder, &self.cases).await?;
        let ids: HashSet<&str> = cases.iter().map(|case| case.case_id.as_str()).collect();
        let file = self.outputs.display().to_string();
        let recorded = RecordedOutputs::read(&file, &read_text(&self.outputs)?, |id| ids.contains(id))?;
        let bytes = components::one(place, &operator, &folder, "scorer", &manifest.scorer.component)?;
        let scorer = sandbox(place, self.max_workers, 0)?
            .scorer(bytes, limits)
            .await
            .map_err(|e| sandbox_error(&format!("tenant {}, scorer component", manifest.id), &e))?;
        let identity = json!({
            "outputs": recorded.digest(), "scorer": scorer.digest(), "dataset": dataset,
            "profile": digest::of_json(&profile), "limits": limits,
        });
        let evaluation = Evaluation {
            run_config: json!({
                "run_id": fresh_run_id(&manifest.id), "tenant_id": manifest.id, "provider": "recorded",
                "provider_settings": {}, "dataset_path": import::files(&self.cases),
                "scoring_profile": profile, "max_workers": self.max_workers,
                "chain": {"path": file, "fn": "recorded", "config": {}},
                "fapo": {"planned": cases.len(), "identity_digest": digest::of_json(&identity), "identity": identity},
            }),
            tenant_id: manifest.id,
            cases: Arc::new(cases),
            definition: RecordedOutputs::definition(),
            chain: Arc::new(recorded),
            scorer: Arc::new(scorer),
            profile,
            granted: Granted::default(),
            workers: self.max_workers as usize,
            folder: self.output_dir,
            earlier: if self.fresh { Earlier::Forgotten } else { Earlier::Stand },
            epoch: 0,
            budget: Budget::default(),
            accounts: Vec::new(),
            part: None,
            stop: StopSignal::never(),
            files: Arc::new(DiskFiles),
            clock: Arc::new(SystemClock),
        };
        let (report, evaluation) = live::run(evaluation, None, printer).await?;
        Ok(print_end(&report, &evaluation, printer))
    }
}

/// The tenant whose folder a person named: a path to it, or its id.
fn open(place: &Place, named: &Path) -> Result<TenantFolder, InputError> {
    let id = named.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let there = place.tenant(id);
    let same = named == Path::new(id) || named.canonicalize().is_ok_and(|p| there.canonicalize().is_ok_and(|t| t == p));
    if !id.is_empty() && named.is_dir() && !same {
        return Err(InputError::new(named.display().to_string(), format!("is no tenant of {}", place.root.display()))
            .hint("a tenant is a folder below tenants/ of the root; name the root with --root"));
    }
    TenantFolder::open(&place.root, id)
}

/// Unified cases of one file, or a publisher's files through the tenant's converter.
async fn cases(
    place: &Place,
    operator: &OperatorFile,
    folder: &TenantFolder,
    paths: &[PathBuf],
) -> Result<(Vec<Case>, String), InputError> {
    if let ([path], converts) = (paths, folder.manifest()?.converter.is_some()) {
        let first = first_line(path)?;
        if !converts || serde_json::from_str::<Value>(&first).is_ok_and(|row| row["expected"].is_object()) {
            let dataset = read_dataset(&path.display().to_string(), &read_text(path)?)?;
            return Ok((dataset.cases, dataset.digest));
        }
    }
    import::cases(place, operator, folder, paths).await
}

/// The first line that is not blank.
fn first_line(path: &Path) -> Result<String, InputError> {
    let mut lines = BufReader::new(std::fs::File::open(path).map_err(|e| unreadable(path, &e))?).lines();
    match lines.find(|line| !line.as_ref().is_ok_and(|line| line.trim().is_empty())) {
        Some(line) => line.map_err(|e| unreadable(path, &e)),
        None => Ok(String::new()),
    }
}
