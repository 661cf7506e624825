//! `fapo tenant check`: everything that can be known of a tenant before a run.

use super::doctor::Checks;
use super::printer::Printer;
use super::{Exit, start_cost, tenant_layout, tenant_test};
use crate::dataset::ContextKeys;
use crate::place::Place;
use crate::plan::{self, Opened};
use crate::tenant_folder::TenantFolder;
use crate::{import, services, variant};
use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::config::{EvalConfig, ProviderSettings};
use fapo_core::gold::GoldSpec;
use fapo_core::grants::{OperatorFile, TASK_ALIAS};
use fapo_core::ports::{FinishedCase, Scorer};
use fapo_graph::GraphSpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Check a tenant: its configs, cases, graph, prompts, grants, components, docs and scope, and its scripted cases against
/// tests/expected.jsonl. No model service is called.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo tenant check demo_qa")]
pub(super) struct Check {
    /// The tenant.
    id: String,
}

/// Cases that a scorer is tried on.
const SAMPLE: usize = 5;

impl Check {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let folder = TenantFolder::open(&place.root, &self.id)?;
        folder.manifest()?;
        let mut checks = Checks::new(printer);
        checks.ok(&format!("tenants/{}/tenant.toml", self.id), "reads");
        let configs: Vec<String> = folder.list("configs").into_iter().filter(|n| n.ends_with(".json")).collect();
        if configs.is_empty() {
            checks.error(
                InputError::new(format!("tenants/{}/configs", self.id), "holds no config")
                    .hint("add one JSON file a split; `fapo tenant new` shows their shape"),
            );
        }
        let mut datasets = BTreeMap::new();
        for name in configs {
            let path = PathBuf::from(format!("tenants/{}/configs/{name}", self.id));
            config(place, &path, &mut datasets, &mut checks).await;
        }
        leaks(&datasets, &mut checks);
        match import::reads(place, &place.read_operator()?, &folder).await {
            Ok(Some(reads)) => {
                checks.ok(&format!("tenant {}, converter component", self.id), &format!("reads {reads}"))
            }
            Ok(None) => {}
            Err(e) => checks.error(e),
        }
        tenant_layout::check(&folder, &mut checks);
        tenant_test::fixture(place, &folder, &mut checks).await;
        Ok(checks.exit())
    }
}

/// Checks one config with all it names; each fault is a line, none ends the check.
async fn config(place: &Place, path: &Path, datasets: &mut BTreeMap<String, Vec<Case>>, checks: &mut Checks) {
    let subject = path.display().to_string();
    let opened = match plan::open(place, path) {
        Ok(opened) => opened,
        Err(e) => match plan::open_with(place, path, with_granted_model) {
            Ok(opened) => {
                checks.warning(InputError { subject: format!("{subject}: {}", e.subject), ..e });
                opened
            }
            Err(_) => return checks.error(e),
        },
    };
    match whole(place, &opened, datasets, checks).await {
        Ok((problems, warnings)) => {
            if problems.is_empty() {
                checks.ok(&subject, "cases, graph, prompts, grants and components fit together");
            }
            problems.into_iter().for_each(|e| checks.error(e));
            for message in warnings {
                checks.warning(InputError::new(&subject, message));
            }
        }
        Err(e) => checks.error(e),
    }
}

/// Puts a model that the tenant is granted in the place of the config's: one that nobody granted stops a run here, and
/// says nothing about the rest of the config.
fn with_granted_model(config: &mut EvalConfig, operator: &mut OperatorFile) -> Result<(), InputError> {
    let granted = operator.tenants.get(&config.tenant_id).and_then(|grant| grant.models.get(TASK_ALIAS)?.first());
    if let Some(route) = granted.and_then(|name| operator.models.get(name)) {
        config.provider.clone_from(&route.provider);
        config.provider_settings = ProviderSettings { model: route.model.clone(), ..ProviderSettings::default() };
    }
    Ok(())
}

async fn whole(
    place: &Place,
    opened: &Opened,
    datasets: &mut BTreeMap<String, Vec<Case>>,
    checks: &mut Checks,
) -> Result<(Vec<InputError>, Vec<String>), InputError> {
    let Opened { config, folder, manifest, operator, grant } = opened;
    let (cases, _) = plan::cases(opened)?;
    let (graph, prompts) = variant::read(folder, manifest, config)?;
    let (chain, scorer) = plan::load(place, opened, 1, None).await?;
    let (definition, mut problems) = variant::define(&chain, graph, prompts, config, grant).await?;
    let profile = Value::Object(config.scoring_profile.clone());
    let subject = format!("tenant {}, scorer", manifest.id);
    let refused = scorer.validate(&cases, &profile).await.map_err(|f| InputError::new(&subject, f.message))?;
    problems.extend(refused.into_iter().map(|(at, why)| {
        InputError::new(format!("{}, case {:?}", config.dataset.path, cases[at].case_id), why)
            .hint("the scorer does not accept the row; mend it or the scoring_profile")
    }));
    if grant.judges.is_empty() {
        problems.extend(unsteady(&scorer, &subject, &cases, &profile).await);
    }
    if datasets.is_empty() {
        let subject = format!("tenant {}", manifest.id);
        start_cost::check(&subject, &chain, &scorer, &cases[0], &profile, checks).await?;
    }
    let mut warnings = variant::missing_context(&definition, &ContextKeys::of(&cases));
    warnings.extend(gold_of_nobody(manifest.gold.as_ref(), &definition.graph));
    // A missing key or index stops a run and not the tenant's correctness.
    if let Err(e) = services::open(place, operator, grant, folder) {
        warnings.push(format!("{e}{}", e.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"))));
    }
    datasets.insert(config.dataset.path.clone(), cases);
    Ok((problems, warnings))
}

/// Steps that `[gold]` names and the graph does not have.
fn gold_of_nobody(gold: Option<&GoldSpec>, graph: &GraphSpec) -> Option<String> {
    let has = |name: &&String| graph.nodes.iter().any(|node| node.name == **name);
    let steps = gold.into_iter().flat_map(|gold| gold.steps.keys());
    let nobody: Vec<&str> = steps.filter(|name| !has(name)).map(String::as_str).collect();
    (!nobody.is_empty()).then(|| {
        format!(
            "[gold.steps] of tenant.toml names {}, which this chain does not have: replays leave it out",
            nobody.join(", ")
        )
    })
}

/// Scores a sample twice, where no judge has to be asked for it, with the right answer as output and with none: a
/// scorer that says another thing the second time is no scorer.
async fn unsteady(scorer: &dyn Scorer, subject: &str, cases: &[Case], profile: &Value) -> Option<InputError> {
    for case in cases.iter().take(SAMPLE) {
        for output_text in [case.expected_answer().unwrap_or_default(), ""] {
            let finished = FinishedCase { case, steps: &[], searches: &[], output_text };
            let (first, second) =
                (scorer.score(finished, profile, None).await, scorer.score(finished, profile, None).await);
            if first.result != second.result {
                return Some(
                    InputError::new(
                        format!("{subject}, case {:?}", case.case_id),
                        format!("scored twice, it said {:?} and {:?}", first.result, second.result),
                    )
                    .hint("a score may depend on the case, the output and the profile alone: no clock, no randomness"),
                );
            }
        }
    }
    None
}

/// Case ids and contexts that stand in two splits.
fn leaks(datasets: &BTreeMap<String, Vec<Case>>, checks: &mut Checks) {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for (path, cases) in datasets {
        for case in cases {
            for key in [format!("case_id {:?}", case.case_id), format!("the context of case {:?}", case.case_id)]
                .into_iter()
                .zip([case.case_id.clone(), format!("{:?}", case.context)])
            {
                let (shown, value) = key;
                if let Some(other) = seen.insert(value, path)
                    && other != path
                {
                    checks.error(
                        InputError::new(path, format!("{shown} stands in {other} as well"))
                            .hint("splits must share no case: take it out of one of them"),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::fault::Fault;
    use fapo_core::ports::{BoxFuture, JudgeServices, ResourceUse, ScoreOutcome};
    use fapo_core::score::{RawScore, Score};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Says another number each time, or always the same.
    struct Scores {
        by: u32,
        said: AtomicU32,
    }

    impl Scorer for Scores {
        fn digest(&self) -> &str {
            "sha256:0"
        }

        fn validate<'a>(&'a self, _: &'a [Case], _: &'a Value) -> BoxFuture<'a, Result<Vec<(usize, String)>, Fault>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn score<'a>(
            &'a self,
            _: FinishedCase<'a>,
            _: &'a Value,
            _: Option<Arc<dyn JudgeServices>>,
        ) -> BoxFuture<'a, ScoreOutcome> {
            let composite = f64::from(self.said.fetch_add(self.by, Ordering::Relaxed));
            let raw = RawScore { composite, breakdown: Vec::new(), feedback: String::new(), diagnostics: Vec::new() };
            let result = Ok(Score::checked(raw).expect("a score"));
            Box::pin(async { ScoreOutcome { result, used: ResourceUse::default() } })
        }
    }

    #[tokio::test]
    async fn a_scorer_that_changes_its_mind_is_found_out() {
        let row = r#"{"case_id": "a", "task_type": "t", "context": {}, "expected": {"answer": "x"}, "metadata": {}}"#;
        let cases = fapo_core::case::read_dataset("d.jsonl", row).expect("a case").cases;
        let check = async |by: u32| {
            let scorer = Scores { by, said: AtomicU32::new(1) };
            unsteady(&scorer, "tenant t, scorer", &cases, &Value::Null).await
        };
        assert!(check(0).await.is_none());
        let found = check(1).await.expect("found out").to_string();
        assert!(found.contains("case \"a\"") && found.contains("scored twice"), "{found}");
    }
}
