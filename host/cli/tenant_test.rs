//! `fapo tenant test`: a tenant's cases with scripted replies, and whether their scores are what they were.

use super::doctor::Checks;
use super::lines::{CapabilityKind, CapabilityLine, LimitUseLine, Line};
use super::printer::Printer;
use super::report::counted;
use super::{Exit, capabilities, start_cost};
use crate::place::{Place, read_text, unwritable};
use crate::plan::{self, EvalOptions, Plan};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::config::read_config;
use fapo_core::fault::FaultKind;
use fapo_core::limits::Limits;
use fapo_core::ports::RunFiles;
use fapo_core::run::CaseRecord;
use fapo_engine::evaluate::{Earlier, Evaluation, evaluate_keeping};
use fapo_engine::files::DiskFiles;
use fapo_graph::Handle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run a tenant's cases with scripted replies and hold the scores against tests/expected.jsonl of the tenant.
///
/// Every config whose models are all `scripted` is run in a folder of its own that is removed again. Also shown: what
/// the tenant requested beside what it used, the largest share of each limit, and what a fresh sandbox costs a case.
/// Exit 1 where a score is another one, or a case has a fault that is not expected.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo tenant test demo_qa\n         fapo tenant test demo_qa --update")]
pub(super) struct Test {
    /// The tenant.
    id: String,
    /// Write the scores as the ones to expect.
    #[arg(long)]
    update: bool,
}

/// Provider whose replies stand in a file of the tenant.
const SCRIPTED: &str = "scripted";
/// Differences that are listed.
const SHOWN_MAX: usize = 10;
/// Share of a limit from which on it is worth a word, percent.
const NEAR_PERCENT: u64 = 80;

/// What a case is expected to score: a row of `tests/expected.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Name of the config's file without its ending.
    config: String,
    case_id: String,
    composite_score: f64,
    score_breakdown: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<FaultKind>,
}

impl Expected {
    fn of(config: &str, record: &CaseRecord) -> Self {
        let parts = record.score.iter().flat_map(|score| score.breakdown());
        Expected {
            config: config.into(),
            case_id: record.case_id.clone(),
            composite_score: record.composite(),
            score_breakdown: parts.map(|(name, value)| (name.clone(), json!(value))).collect(),
            fault: record.fault.as_ref().map(|fault| fault.kind),
        }
    }

    fn says(&self) -> String {
        match self.fault {
            Some(kind) => format!("a fault ({})", json!(kind).as_str().unwrap_or_default()),
            None => format!("{} {}", self.composite_score, json!(self.score_breakdown)),
        }
    }
}

impl Test {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let folder = TenantFolder::open(&place.root, &self.id)?;
        let (manifest, operator) = (folder.manifest()?, place.read_operator()?);
        let mut checks = Checks::new(printer);
        let (mut rows, mut used) = (Vec::new(), Used::default());
        let mut limits = Limits::default();
        let Configs { scripted, others } = configs(place, &folder)?;
        for (path, provider) in others {
            checks.ok(&path.display().to_string(), &format!("not run: it asks the provider {provider}"));
        }
        for (name, path) in scripted {
            let opened = plan::open(place, &path)?;
            let (ran, records) = run(place, &self.id, &name, &path).await?;
            if rows.is_empty() {
                let subject = format!("tenant {}", self.id);
                start_cost::check(
                    &subject,
                    ran.chain.as_ref(),
                    ran.scorer.as_ref(),
                    &*ran.cases.at(0)?,
                    &ran.profile,
                    &mut checks,
                )
                .await?;
            }
            limits = opened.grant.limits;
            used.add(&ran, &records);
            rows.extend(records.iter().map(|record| Expected::of(&name, record)));
        }
        let path = format!("tenants/{}/tests/expected.jsonl", self.id);
        if self.update {
            write(place, &path, &rows)?;
            printer.text(&format!("made {path}: {} cases", rows.len()));
            printer.line(&Line::Created { path });
        } else {
            compare(&folder, &path, &rows, &mut checks)?;
        }
        let mut lines = capabilities::requested(&manifest, &operator);
        for line in &mut lines {
            let calls = used.calls(line);
            line.calls = Some(calls);
            if calls == 0 {
                let what = format!("{} {} is requested and was never used", line.capability.word(), line.name);
                checks.warning(
                    InputError::new(format!("tenant {}", self.id), what)
                        .hint("take it out of [requests] of tenant.toml, or add a case that needs it"),
                );
            }
        }
        used.print_limits(&limits, &mut checks, printer);
        capabilities::print(lines, printer);
        Ok(checks.exit())
    }
}

/// Runs the scripted configs of a tenant that has expected scores, and holds them against those. What keeps them from
/// running, an index that is not built for one, is a warning.
pub(super) async fn fixture(place: &Place, folder: &TenantFolder, checks: &mut Checks) {
    let path = format!("tenants/{}/tests/expected.jsonl", folder.id());
    if !folder.has(&path) {
        return;
    }
    let ran = async {
        let mut rows = Vec::new();
        for (name, config) in configs(place, folder)?.scripted {
            let (_, records) = run(place, folder.id(), &name, &config).await?;
            rows.extend(records.iter().map(|record| Expected::of(&name, record)));
        }
        Ok(rows)
    };
    let held = match ran.await {
        Ok(rows) => compare(folder, &path, &rows, checks),
        Err(e) => Err(e),
    };
    if let Err(e) = held {
        checks.warning(InputError { message: format!("not run: {}: {}", e.subject, e.message), subject: path, ..e });
    }
}

/// Configs of a tenant.
struct Configs {
    /// Those that can be run without a model, by name.
    scripted: Vec<(String, PathBuf)>,
    /// The others, with the provider that they ask.
    others: Vec<(PathBuf, String)>,
}

fn configs(place: &Place, folder: &TenantFolder) -> Result<Configs, InputError> {
    let mut configs = Configs { scripted: Vec::new(), others: Vec::new() };
    for file in folder.list("configs") {
        let Some(name) = file.strip_suffix(".json") else { continue };
        let path = PathBuf::from(format!("tenants/{}/configs/{file}", folder.id()));
        match asked(place, &path)? {
            None => configs.scripted.push((name.to_string(), path)),
            Some(provider) => configs.others.push((path, provider)),
        }
    }
    if configs.scripted.is_empty() {
        return Err(InputError::new(format!("tenants/{}/configs", folder.id()), "no config is scripted").hint(
            "add one with \"provider\": \"scripted\", and let the operator's file grant a route of this provider",
        ));
    }
    Ok(configs)
}

/// The first provider of a config that is more than a file of replies.
fn asked(place: &Place, config: &Path) -> Result<Option<String>, InputError> {
    let path = place.root.join(config);
    let provider = read_config(&path.display().to_string(), &read_text(&path)?)?.provider;
    if provider != SCRIPTED {
        return Ok(Some(provider));
    }
    let grant = plan::open(place, config)?.grant;
    let mut routes = grant.models.values().chain(grant.judges.values().map(|(route, _)| route));
    Ok(routes.find(|route| route.provider != SCRIPTED).map(|route| route.provider.clone()))
}

/// Runs one config in a folder that is gone afterwards.
async fn run(
    place: &Place,
    tenant: &str,
    name: &str,
    config: &Path,
) -> Result<(Arc<Evaluation>, Vec<CaseRecord>), InputError> {
    let options = EvalOptions {
        config: config.to_path_buf(),
        earlier: Earlier::Forgotten,
        output_dir: Some(format!("tests/{tenant}/{name}")),
        ..EvalOptions::default()
    };
    let Plan { evaluation, .. } = plan::plan(place, &options).await?;
    let evaluation = Arc::new(evaluation);
    let ended = evaluate_keeping(&evaluation, &|_| {}).await;
    // The next test would clear it as well.
    let _ = std::fs::remove_dir_all(&evaluation.folder);
    Ok((evaluation, ended?.1))
}

fn write(place: &Place, path: &str, rows: &[Expected]) -> Result<(), InputError> {
    let full = place.root.join(path);
    let text: String = rows.iter().map(|row| format!("{}\n", json!(row))).collect();
    let made = full.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| DiskFiles.replace(&full, text.as_bytes())).map_err(|e| unwritable(&full, &e))
}

/// Holds the scores against those that are expected; each difference is an error that names its case.
fn compare(folder: &TenantFolder, path: &str, rows: &[Expected], checks: &mut Checks) -> Result<(), InputError> {
    let update = format!("if the new scores are right: fapo tenant test {} --update", folder.id());
    if !folder.has(path) {
        checks.warning(
            InputError::new(path, "missing: no score is held against anything")
                .hint(format!("fapo tenant test {} --update", folder.id())),
        );
        return Ok(());
    }
    let mut expected: BTreeMap<(String, String), Expected> = BTreeMap::new();
    for (at, line) in folder.text("tests", path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Expected = serde_json::from_str(line)
            .map_err(|e| InputError::new(format!("{path}:{}", at + 1), e.to_string()).hint(&update))?;
        expected.insert((row.config.clone(), row.case_id.clone()), row);
    }
    let mut differences = Vec::new();
    for row in rows {
        match expected.remove(&(row.config.clone(), row.case_id.clone())) {
            Some(was) if was == *row => {}
            Some(was) => differences.push((row, format!("scored {}, expected {}", row.says(), was.says()))),
            None => differences.push((row, format!("scored {}, expected nothing", row.says()))),
        }
    }
    let gone: Vec<Expected> = expected.into_values().collect();
    differences.extend(gone.iter().map(|row| (row, format!("was not run, expected {}", row.says()))));
    for (row, what) in differences.iter().take(SHOWN_MAX) {
        let subject = format!("{path}, config {}, case {:?}", row.config, row.case_id);
        checks.error(InputError::new(subject, what.clone()).hint(&update));
    }
    if differences.len() > SHOWN_MAX {
        let more = format!("and {} further cases differ", differences.len() - SHOWN_MAX);
        checks.error(InputError::new(path, more).hint(&update));
    }
    if differences.is_empty() {
        checks.ok(path, &format!("all {} cases score as expected", rows.len()));
    }
    Ok(())
}

/// What was called and how near a limit came, over all runs of a test.
#[derive(Default)]
struct Used {
    calls: BTreeMap<(&'static str, String), u64>,
    /// By role and limit: the most, and the case that needed it.
    most: BTreeMap<(&'static str, &'static str), (u64, String)>,
}

impl Used {
    fn add(&mut self, ran: &Evaluation, records: &[CaseRecord]) {
        let mut count = |kind: CapabilityKind, name: &str| {
            *self.calls.entry((kind.word(), name.to_string())).or_default() += 1;
        };
        for record in records {
            record.calls.iter().for_each(|call| count(CapabilityKind::Model, &call.model));
            record.searches.iter().for_each(|search| count(CapabilityKind::Index, &search.index));
            record.judge_calls.iter().for_each(|judged| count(CapabilityKind::Judge, &judged.call.model));
            for timed in &record.steps {
                let node = ran.definition.graph.nodes.iter().find(|node| node.name == timed.step.id.node);
                for handle in node.iter().flat_map(|node| &node.handles) {
                    if let Handle::Component(name) = handle {
                        count(CapabilityKind::Component, name);
                    }
                }
            }
        }
        for record in records {
            for (role, limit, used) in counted(record) {
                let most = self.most.entry((role, limit)).or_default();
                if used >= most.0 {
                    *most = (used, record.case_id.clone());
                }
            }
        }
    }

    fn calls(&self, line: &CapabilityLine) -> u64 {
        self.calls.get(&(line.capability.word(), line.name.clone())).copied().unwrap_or_default()
    }

    fn print_limits(&self, limits: &Limits, checks: &mut Checks, printer: Printer) {
        let mut rows = Vec::new();
        for ((role, name), (used, case_id)) in &self.most {
            let limit = limits.get(name).unwrap_or_default().max(1);
            let share = format!("{:.2}% of {limit}", 100.0 * *used as f64 / limit as f64);
            if used.saturating_mul(100) >= limit.saturating_mul(NEAR_PERCENT) {
                checks.warning(
                    InputError::new(format!("{role}, case {case_id:?}"), format!("used {share} for {name}"))
                        .hint(format!("ask for more under [requests.limits] {name} of tenant.toml, or use less")),
                );
            }
            rows.push(vec![(*role).to_string(), (*name).to_string(), used.to_string(), share, case_id.clone()]);
            printer.line(&Line::LimitUse(LimitUseLine {
                role: (*role).into(),
                name: (*name).into(),
                used: *used,
                limit,
                case_id: case_id.clone(),
            }));
        }
        printer.text("");
        printer.table(&["role", "limit", "most used", "share", "case"], rows);
    }
}
