//! From a run on disk to the same run, ready to be run again: without its models, which is what `fapo replay` replays,
//! or with them, to run on from steps that are given.

use crate::dataset::Wanted;
use crate::place::Place;
use crate::plan::{self, Opened};
use crate::split_runner::SPLITS;
use crate::{identity, services, variant};
use fapo_core::config::read_config;
use fapo_core::grants::Budget;
use fapo_core::ports::{Definition, Provider};
use fapo_core::tenant::TenantManifest;
use fapo_core::{InputError, digest};
use fapo_engine::evaluate::{Earlier, Evaluation, Granted};
use fapo_engine::files::{DiskFiles, SystemClock};
use fapo_engine::intervene::Diagnosis;
use fapo_engine::judge::{JudgeModel, Judges};
use fapo_engine::replay::RecordedReplies;
use fapo_engine::stop::StopSignal;
use fapo_engine::stored::StoredRun;
use fapo_provider::ResponseCache;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The run of `folder`, ready to be replayed: no provider is connected and no key is read.
///
/// # Errors
/// What the run was made of is no longer there, or is not what it was: named by the dimension of the run's identity.
pub async fn plan(place: &Place, folder: &Path, stored: &StoredRun) -> Result<Evaluation, InputError> {
    Ok(again(place, folder, stored, false).await?.0)
}

/// What it takes to look into the failed cases of a run by replays.
pub struct DiagnosisPlan {
    /// For the engine.
    pub diagnosis: Diagnosis,
    /// Replies of earlier calls.
    pub replies: Option<Arc<ResponseCache>>,
}

/// The failed cases of the run of `folder`, ready to be looked into with its models, for so many paid calls.
///
/// # Errors
/// As [`plan`], a model of the run is another one now, the tenant declares no gold, or a case is marked as one of test.
pub async fn plan_diagnosis(
    place: &Place,
    folder: &Path,
    stored: &StoredRun,
    calls_max: u64,
) -> Result<DiagnosisPlan, InputError> {
    let (run, manifest, replies) = again(place, folder, stored, true).await?;
    let gold = manifest.gold.ok_or_else(|| {
        InputError::new(format!("tenant {}", manifest.id), "declares no gold, so that nothing can be put in its place")
            .hint("say in tenant.toml what its steps should put out: [gold.steps] answer = \"${answer}\" and so on; docs/attribution.md")
    })?;
    let cases = run.cases.all()?;
    if let Some(case) = cases.iter().find(|case| case.split() == Some(SPLITS[2])) {
        let subject = format!("{}, case {:?}", folder.display(), case.case_id);
        return Err(InputError::new(subject, "is one of test, and whoever looks into it has seen it")
            .hint("look into a run on train: what is found there is what a change may be made by"));
    }
    let logs = place.work.join("diagnostics");
    std::fs::create_dir_all(&logs).map_err(|e| crate::place::unwritable(&logs, &e))?;
    let key = digest::of_json(&json!([stored.run_config["fapo"]["identity"], gold]));
    let log = logs.join(format!("{}-{}.jsonl", manifest.id, &key[7..19]));
    let (run, records, cases) = (Arc::new(run), stored.records()?, Arc::new(cases));
    Ok(DiagnosisPlan {
        diagnosis: Diagnosis { run, records, cases, gold, donors: Vec::new(), calls_max, log },
        replies,
    })
}

async fn again(
    place: &Place,
    folder: &Path,
    stored: &StoredRun,
    connected: bool,
) -> Result<(Evaluation, TenantManifest, Option<Arc<ResponseCache>>), InputError> {
    let subject = folder.display().to_string();
    if !stored.identity("outputs").is_null() {
        return Err(InputError::new(subject, "scored outputs that were made elsewhere: no chain ran")
            .hint("run `fapo score` again: it calls nothing"));
    }
    let ran = &stored.run_config;
    let config = json!({
        "tenant_id": ran["tenant_id"], "provider": ran["provider"], "provider_settings": ran["provider_settings"],
        "dataset": {"path": ran["dataset_path"]}, "chain": ran["chain"], "scoring_profile": ran["scoring_profile"],
        "max_workers": ran["max_workers"],
    });
    let config = read_config(&format!("{subject}, run_config"), &config.to_string())?;
    let opened = plan::grant(place, config, place.read_operator()?)?;
    let Opened { config, folder: tenant, manifest, operator, grant } = &opened;
    let limit = stored.identity("limit").as_u64().and_then(|limit| usize::try_from(limit).ok());
    let case_ids: Vec<String> = serde_json::from_value(stored.identity("case_ids").clone()).unwrap_or_default();
    let cases = plan::dataset(&opened, Wanted { limit, case_ids: &case_ids })?;
    let workers = plan::workers(config);
    let (chain, scorer) = plan::load(place, &opened, workers, None).await?;
    let definition = match of_trial(folder)? {
        Some(definition) => definition,
        None => {
            let (graph, prompts) = variant::read(tenant, manifest, config)?;
            variant::define(&chain, graph, prompts, config, grant).await?.0
        }
    };
    let silent = |alias: &String| (alias.clone(), Arc::new(RecordedReplies::none()) as Arc<dyn Provider>);
    let recorded = || -> Result<Granted, InputError> {
        Ok(Granted {
            models: grant.models.keys().map(silent).collect(),
            indexes: services::indexes(place, operator, grant)?,
            judges: Judges {
                models: grant
                    .judges
                    .keys()
                    .map(silent)
                    .map(|(alias, provider)| (alias, JudgeModel { provider, calls_max: u64::MAX }))
                    .collect(),
                prompts: if grant.judges.is_empty() { Default::default() } else { services::judge_prompts(tenant)? },
            },
        })
    };
    let (granted, replies) =
        if connected { services::open(place, operator, grant, tenant)? } else { (recorded()?, None) };
    let profile = Value::Object(config.scoring_profile.clone());
    let planned = identity::Planned { dataset: cases.digest(), limit, case_ids: &case_ids };
    let now = identity::of(&chain, &scorer, &definition, &planned, &profile, &granted, grant);
    let changed = changed(stored, &now, connected);
    if !changed.is_empty() {
        return Err(InputError::new(
            subject,
            format!("ran with something other than what is there now: {}", changed.join(", ")),
        )
        .hint("replay with the tenant's files and the operator's file as they were when it ran"));
    }
    let accounts = if connected { services::accounts(place, &manifest.id, grant)? } else { Vec::new() };
    let evaluation = Evaluation {
        tenant_id: manifest.id.clone(),
        cases: Arc::new(cases),
        definition,
        chain: Arc::new(chain),
        scorer: Arc::new(scorer),
        profile,
        granted,
        workers: workers as usize,
        folder: folder.to_path_buf(),
        run_config: stored.run_config.clone(),
        earlier: Earlier::Stand,
        epoch: 0,
        budget: Budget::default(),
        accounts,
        part: None,
        stop: StopSignal::never(),
        files: Arc::new(DiskFiles),
        clock: Arc::new(SystemClock),
    };
    Ok((evaluation, opened.manifest, replies))
}

/// The definition of a trial's variant, where the run is one of a trial's.
fn of_trial(run: &Path) -> Result<Option<Definition>, InputError> {
    let Some(path) = run.parent().map(|variant| variant.join("variant.json")).filter(|path| path.is_file()) else {
        return Ok(None);
    };
    let text = crate::place::read_text(&path)?;
    let read = serde_json::from_str::<Value>(&text).and_then(|v| serde_json::from_value(v["definition"].clone()));
    read.map(Some).map_err(|e| {
        InputError::new(path.display().to_string(), format!("holds no definition: {e}"))
            .hint("the trial's folder was changed; run `fapo optimize` again")
    })
}

/// Dimensions of a run's identity that are not what they were; models only where they are asked again.
fn changed(stored: &StoredRun, now: &Value, connected: bool) -> Vec<String> {
    let of_case = |name: &&String| connected || *name != "models" && *name != "judges";
    let dimensions = now.as_object().into_iter().flatten();
    let mut changed: Vec<String> = dimensions
        .filter(|(name, value)| of_case(name) && stored.identity(name) != *value)
        .map(|(name, _)| name.clone())
        .collect();
    if stored.identity("components") != &now["components"] && !changed.iter().any(|name| name == "components") {
        changed.push("components".into());
    }
    if stored.identity("judges")["prompts"] != now["judges"]["prompts"] {
        changed.push("judge prompts".into());
    }
    changed
}
