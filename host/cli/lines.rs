//! What `--json` prints: one object a line on stdout, told apart by `kind`. The schema is published in
//! `schemas/cli-lines.schema.json`; `fapo schema` prints it.

use crate::study::Table;
use fapo_core::attribution::{Attribution, Interventions};
use fapo_core::fault::Fault;
use fapo_core::run::CaseEnd;
use fapo_core::scope::VariantLevel;
use fapo_core::selection::Policy;
use fapo_engine::compare::Effect;
use fapo_engine::counsel::CounselReport;
use fapo_engine::optimize::{Attempt, StopReason, TrialCalls};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// One line.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A case came to its end and is journalled.
    Case(CaseLine),
    /// How far a run is.
    Progress(ProgressLine),
    /// Calls and tokens of a run.
    Usage(UsageLine),
    /// A run: the last line of `eval` and `score`, the first of `show`.
    Run(RunLine),
    /// What `eval --dry-run` would do.
    Plan(PlanLine),
    /// A step whose cases failed, of a run.
    FailingStep(FailingStepLine),
    /// Where the failures of a run lost their answer.
    Attribution(Box<AttributionLine>),
    /// One case in full.
    CaseDetail(CaseDetailLine),
    /// A case that was run again with the replies it got.
    Replay(ReplayLine),
    /// Several runs of one config: the last line of `eval --epochs` and of `noise`.
    Epochs(EpochsLine),
    /// Two runs, paired by case.
    Comparison(ComparisonLine),
    /// An attempt of a trial is decided.
    Attempt(Attempt),
    /// A trial: the last line of `optimize`.
    Trial(Box<TrialLine>),
    /// A report was written.
    Report {
        /// `run`, `trial` or `study`.
        of: String,
        /// Where.
        path: String,
    },
    /// The table of a study: the last line of `study`.
    Study(Table),
    /// What a variant of a trial changes against another.
    Diff(Box<DiffLine>),
    /// Something was checked.
    Check(CheckLine),
    /// A limit on components.
    Limit(LimitLine),
    /// A provider of models.
    Provider(ProviderLine),
    /// The largest use of a limit in a test of a tenant.
    LimitUse(LimitUseLine),
    /// What a tenant requests, what it was granted, and where it was run what it used.
    Capability(CapabilityLine),
    /// A component's passport.
    Component(ComponentLine),
    /// A file or folder was made.
    Created {
        /// Where.
        path: String,
    },
    /// A file or folder was removed.
    Removed {
        /// Where.
        path: String,
    },
    /// An index stands.
    Index(IndexLine),
    /// What an index finds for a query.
    Search(SearchLine),
    /// The last line of `index search`.
    Searches(SearchesLine),
    /// Cases were imported.
    Import(ImportLine),
    /// Something to know that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// The command ended with an error.
    Error {
        /// The culprit.
        subject: String,
        /// Why.
        message: String,
        /// The way out.
        hint: Option<String>,
    },
}

/// See [`Line::Case`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CaseLine {
    /// The case.
    pub case_id: String,
    /// `succeeded` or `failed`.
    pub status: &'static str,
    /// 0..=100; 0 where the case failed.
    pub composite: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl CaseLine {
    /// The line of a case that came to its end.
    pub fn of(end: &CaseEnd) -> Self {
        CaseLine {
            case_id: end.case_id.clone(),
            status: if end.fault.is_some() { "failed" } else { "succeeded" },
            composite: end.composite(),
            fault: end.fault.clone(),
        }
    }
}

/// See [`Line::Progress`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressLine {
    /// The run.
    pub run_id: String,
    /// `running`, `completed`, `degraded`, `failed` or `stopped`.
    pub status: String,
    /// Planned cases.
    pub planned: u64,
    /// Cases at their end.
    pub completed: u64,
    /// Cases with a fault.
    pub errors: u64,
    /// Mean composite over completed cases, faults as 0.
    pub mean: Option<f64>,
}

/// See [`Line::Usage`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsageLine {
    /// Model calls.
    pub calls: u64,
    /// Calls that a service was asked for.
    pub paid: u64,
    /// Calls answered from the response cache.
    pub cached: u64,
    /// Requests sent for the paid calls, retries among them.
    pub requests: u64,
    /// Those of the calls that a scorer asked of its judge.
    pub judge_calls: u64,
    /// Judges' replies that were none of the allowed choices.
    pub judge_off_choice: u64,
    /// Tokens of prompts, where the service counted them.
    pub prompt_tokens: u64,
    /// Tokens of replies, where the service counted them.
    pub completion_tokens: u64,
    /// Calls whose tokens are unknown.
    pub calls_without_usage: u64,
    /// What the paid calls cost, dollars; null where the price of one is unknown.
    pub cost: Option<f64>,
    /// What the calls answered from the cache would have cost, dollars; null where the price of one is unknown.
    pub saved: Option<f64>,
}

/// A mean with its interval.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Mean {
    /// 0..=100; null without cases.
    pub mean: Option<f64>,
    /// 95% interval; null for fewer than two cases.
    pub ci: Option<[f64; 2]>,
}

/// See [`Line::Run`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunLine {
    /// The run.
    pub run_id: String,
    /// Planned cases: the denominator.
    pub planned: u64,
    /// Cases at their end, in this start or an earlier one.
    pub completed: u64,
    /// Cases with a fault; each counts as 0.
    pub errors: u64,
    /// Mean composite over planned cases.
    pub composite: Mean,
    /// Folder of the run.
    pub dir: String,
}

/// See [`Line::Plan`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanLine {
    /// The tenant.
    pub tenant_id: String,
    /// Planned cases.
    pub planned: u64,
    /// Cases that the run's folder already holds.
    pub completed: u64,
    /// Nodes that call a model, with the alias each calls.
    pub nodes: Vec<PlannedNode>,
    /// Folder of the run.
    pub dir: String,
}

/// A node that calls a model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlannedNode {
    /// The node.
    pub node: String,
    /// Its model alias.
    pub alias: String,
    /// What the alias stands for; never a key.
    pub route: Value,
}

/// See [`Line::FailingStep`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct FailingStepLine {
    /// The step, or the phase where no step is known.
    pub step: String,
    /// Why.
    pub why: String,
    /// Cases.
    pub cases: u64,
    /// Up to five of them.
    pub case_ids: Vec<String>,
}

/// See [`Line::Attribution`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttributionLine {
    /// The run.
    pub run_id: String,
    /// Clusters, findings, the original's result, and how many cases they are of.
    #[serde(flatten)]
    pub attribution: Attribution,
    /// What replays found, where they were asked for; clusters and findings are then corrected by them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interventions: Option<Interventions>,
}

/// See [`Line::CaseDetail`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CaseDetailLine {
    /// The row of `results.jsonl`.
    pub result: Value,
    /// Steps: outputs, diagnostics, seconds.
    pub steps: Value,
    /// Model calls: the prompt as rendered, the reply, tokens.
    pub calls: Value,
    /// Share of each limit that was used, by role.
    pub limits: Value,
}

/// See [`Line::Replay`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayLine {
    /// The case.
    pub case_id: String,
    /// How it came out.
    pub status: ReplayStatus,
    /// Everything that is not as it was recorded, in the order in which it happened.
    pub differences: Vec<ReplayDifference>,
    /// Why it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a replayed case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayStatus {
    /// As it was recorded, to the last unit of fuel.
    Same,
    /// Otherwise.
    Different,
    /// It cannot be run again from its record.
    LeftOut,
}

/// One fact of a case that is not as it was recorded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplayDifference {
    /// A call, a search, a step, the score, …
    pub what: String,
    /// Null where there was none.
    pub recorded: Value,
    /// Null where there is none.
    pub replayed: Value,
}

/// See [`Line::Epochs`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct EpochsLine {
    /// Runs.
    pub epochs: u64,
    /// Cases of each.
    pub cases: u64,
    /// Mean composite of each run.
    pub means: Vec<f64>,
    /// Mean over all; its interval counts a case as one, however often it ran.
    pub composite: Mean,
    /// Differences of two such runs up to this are what chance alone makes in 95 of 100 pairs; null for one case.
    pub smallest_difference: Option<f64>,
    /// Cases whose score is not the same in every run.
    pub unsteady: Vec<String>,
}

/// See [`Line::Comparison`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComparisonLine {
    /// Pairs.
    pub cases: u64,
    /// Mean of the first run over the pairs.
    pub mean_a: f64,
    /// Mean of the second run over the pairs.
    pub mean_b: f64,
    /// Paired difference, second minus first.
    pub difference: Mean,
    /// Its 95% bootstrap interval; null for fewer than two pairs.
    pub bootstrap: Option<[f64; 2]>,
    /// Two-sided exact p of a sign test over the cases that changed.
    pub sign_p: f64,
    /// Cases that failed in the first run and pass in the second.
    pub to_passed: u64,
    /// Cases that passed in the first run and fail in the second.
    pub to_failed: u64,
    /// McNemar's exact p over those two.
    pub mcnemar_p: f64,
    /// What a case costs in both runs.
    pub effects: Vec<EffectLine>,
    /// Cases that the second run scores higher.
    pub fixed: Vec<String>,
    /// Cases that the second run scores lower.
    pub broken: Vec<String>,
    /// Cases with equal scores.
    pub same: u64,
    /// Cases of only one run: they are left out of the pairs.
    pub unpaired: Vec<String>,
}

/// A cost of a case in two runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EffectLine {
    /// `calls`, `prompt_tokens`, `completion_tokens`, `dollars` or `seconds`, each a case.
    pub what: String,
    /// Mean of the first run over the pairs for which both runs know it.
    pub mean_a: f64,
    /// Mean of the second run over them.
    pub mean_b: f64,
    /// Paired difference, second minus first.
    pub difference: Mean,
}

impl EffectLine {
    /// The line of an effect.
    pub fn of(effect: &Effect) -> Self {
        EffectLine {
            what: effect.what.into(),
            mean_a: effect.mean_a,
            mean_b: effect.mean_b,
            difference: Mean { mean: Some(effect.difference.mean), ci: effect.difference.ci },
        }
    }
}

/// See [`Line::Trial`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct TrialLine {
    /// How it kept and stopped.
    pub policy: Policy,
    /// Variant `v000`.
    pub baseline: SelectedLine,
    /// The variant that validation chose.
    pub selected: SelectedLine,
    /// Paired difference on test, selected minus baseline.
    pub difference: Mean,
    /// In their order.
    pub attempts: Vec<Attempt>,
    /// Calls of the whole trial.
    pub calls: TrialCalls,
    /// What it had of models that advise it; null where it had none.
    pub counsel: Option<CounselReport>,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// Folder of the trial.
    pub dir: String,
}

/// A variant on test.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SelectedLine {
    /// `v000` is the baseline.
    pub variant: String,
    /// Deepest level of its changes; null for the baseline.
    pub level: Option<VariantLevel>,
    /// Its totals on test.
    pub test: TestLine,
}

/// Totals of a split.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestLine {
    /// Mean composite over planned cases.
    pub mean: f64,
    /// 95% interval.
    pub ci: Option<[f64; 2]>,
    /// Planned cases.
    pub n: u64,
}

/// See [`Line::Diff`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct DiffLine {
    /// The first variant.
    pub a: String,
    /// The second variant.
    pub b: String,
    /// Prompts that differ.
    pub prompts: Vec<PromptDiff>,
    /// Parameters that differ.
    pub params: Vec<ParamDiff>,
    /// How the graphs differ.
    pub graph: GraphDiff,
    /// Cases of train that the second variant scores otherwise; null where one of them was not run.
    pub train: Option<Flips>,
}

/// A prompt that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PromptDiff {
    /// The prompt's module.
    pub module: String,
    /// Unified diff of its text.
    pub diff: String,
}

/// A parameter that differs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ParamDiff {
    /// Its name.
    pub name: String,
    /// Its value in the first variant; null where it has none.
    pub a: Option<Value>,
    /// Its value in the second variant; null where it has none.
    pub b: Option<Value>,
}

/// How two graphs differ; edges are written `source -> target`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct GraphDiff {
    /// Nodes of the second only.
    pub nodes_added: Vec<String>,
    /// Nodes of the first only.
    pub nodes_removed: Vec<String>,
    /// Nodes of both that are not equal.
    pub nodes_changed: Vec<String>,
    /// Edges of the second only.
    pub edges_added: Vec<String>,
    /// Edges of the first only.
    pub edges_removed: Vec<String>,
    /// The node that gives the answer, of the first and of the second.
    pub output: [String; 2],
}

/// Cases that a second variant scores otherwise than a first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Flips {
    /// Cases that both were run on.
    pub cases: u64,
    /// Scored higher by the second.
    pub fixed: Vec<String>,
    /// Scored lower by the second.
    pub broken: Vec<String>,
    /// Scored equally.
    pub same: u64,
}

/// See [`Line::Check`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckLine {
    /// What was looked at.
    pub subject: String,
    /// `ok`, `warning` or `error`.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// The way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Nothing to do.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Does not work.
    Error,
}

/// See [`Line::Limit`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct LimitLine {
    /// Its name in `tenant.toml` and `fapo.toml`; the unit stands last.
    pub name: String,
    /// What is counted.
    pub summary: String,
    /// Value where nobody says otherwise.
    pub default: u64,
    /// Most an operator can set.
    pub maximum: u64,
    /// Value in force for the tenant that was named.
    pub in_force: Option<u64>,
}

/// See [`Line::Provider`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderLine {
    /// What the `provider` of a route says.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// Settings that its route may have.
    pub settings: Vec<SettingLine>,
}

/// A setting of a route.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SettingLine {
    /// Its key in the operator's file.
    pub name: String,
    /// What it means, with unit and default.
    pub summary: String,
}

/// See [`Line::LimitUse`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct LimitUseLine {
    /// `chain` or `scorer`.
    pub role: String,
    /// Name of the limit.
    pub name: String,
    /// Most that one case used.
    pub used: u64,
    /// The limit in force.
    pub limit: u64,
    /// That case.
    pub case_id: String,
}

/// See [`Line::Capability`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct CapabilityLine {
    /// What kind.
    pub capability: CapabilityKind,
    /// The tenant's name for it.
    pub name: String,
    /// What the operator's file gives for it; null where nothing.
    pub granted: Option<String>,
    /// Calls of it; null where nothing was run.
    pub calls: Option<u64>,
}

/// What a tenant can request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapabilityKind {
    /// A model alias.
    Model,
    /// An index.
    Index,
    /// A node component.
    Component,
    /// A model that the scorer may ask.
    Judge,
}

impl CapabilityKind {
    /// Its name in the schema.
    pub fn word(self) -> &'static str {
        match self {
            CapabilityKind::Model => "model",
            CapabilityKind::Index => "index",
            CapabilityKind::Component => "component",
            CapabilityKind::Judge => "judge",
        }
    }
}

/// See [`Line::Component`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ComponentLine {
    /// Where it came from.
    pub source: String,
    /// `sha256:` of its bytes.
    pub digest: String,
    /// Size.
    pub bytes: u64,
    /// `chain`, `node`, `scorer`, `converter`.
    pub roles: Vec<String>,
    /// Everything it imports.
    pub imports: Vec<String>,
    /// SDK version, where stamped.
    pub sdk: Option<String>,
}

/// See [`Line::Search`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchLine {
    /// The query.
    pub query: String,
    /// Best first.
    pub hits: Vec<FoundPassage>,
}

/// A passage that was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundPassage {
    /// Its id in the corpus.
    pub passage_id: String,
    /// Its title, may be empty.
    pub title: String,
    /// Higher is better; comparable within one search only.
    pub score: f64,
}

/// See [`Line::Searches`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct SearchesLine {
    /// Queries searched.
    pub queries: u64,
    /// Wall time of the searches alone.
    pub seconds: f64,
}

/// See [`Line::Index`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct IndexLine {
    /// The operator's name.
    pub name: String,
    /// Passages in it.
    pub passages: u64,
    /// Over text and settings.
    pub digest: String,
    /// Where it stands.
    pub dir: String,
}

/// See [`Line::Import`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportLine {
    /// Cases written, by split.
    pub files: Vec<ImportedFile>,
    /// Files that are, byte for byte, the known ones of their names.
    pub verified: Vec<String>,
    /// Cases whose inputs stand in another split too.
    pub leaks: u64,
    /// Passages written, where the file brings texts and they were asked for.
    pub passages: Option<u64>,
    /// Where the passages went.
    pub corpus: Option<String>,
}

/// Cases of a split.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportedFile {
    /// `train`, `validation` or `test`; `all` without splits.
    pub split: String,
    /// Cases written.
    pub cases: u64,
    /// Where.
    pub path: String,
}

/// The published schema of a line.
pub fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(Line)).expect("a schema is JSON")
}
