//! `fapo optimize`: improve a tenant's chain within its scope contract.

use super::lines::Line;
use super::printer::Printer;
use super::report::{print_case, print_failing_steps};
use super::trial_report::{self, total, word};
use super::{Exit, interventions, live};
use crate::given::Given;
use crate::optimize::{TrialOptions, TrialPlan, plan_trial};
use crate::place::Place;
use crate::split_runner::SPLITS;
use fapo_core::InputError;
use fapo_core::attribution::FailureCounts;
use fapo_core::price::Money;
use fapo_core::run::CaseRecord;
use fapo_core::selection::{PAPER_VARIANTS, Policy};
use fapo_engine::optimize::{Splits, Trial, TrialEvent, TrialReport, optimize};
use fapo_engine::stop::StopSource;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Improve a tenant's chain: attribute the failures of train, change one thing, review it, keep it if validation gains.
///
/// The playbook's scope block (docs/iteration-playbook.md) says how far it may go: prompts first, then parameters, then
/// structure. Of validation and test only totals are used, and test is read once, after the selection. The same command
/// goes on with a trial that was stopped.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo optimize demo_qa --variants 12\n\
Example: fapo optimize demo_qa --provider embedded --prepare --dataset cases.jsonl --index passages.jsonl")]
pub(super) struct Optimize {
    /// The tenant, or its folder.
    tenant: String,
    /// Most variants [default: 25, and 50 with --policy paper].
    #[arg(long, value_name = "N")]
    variants: Option<u32>,
    /// How it keeps and stops: `paired` keeps what gains with confidence and stops where nothing more is to be had, `paper`
    /// is the published protocol.
    #[arg(long, value_name = "paired|paper", default_value = "paired", value_parser = policy)]
    policy: Policy,
    /// In place of the configs' provider.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Build missing indexes and fetch the embedded model first.
    #[arg(long)]
    prepare: bool,
    #[command(flatten)]
    further: Further,
}

/// What a trial may be told beside its tenant.
#[derive(clap::Args)]
pub(super) struct Further {
    /// Config of train [default: tenants/<TENANT>/configs/train.json].
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
    /// Config of validation [default: tenants/<TENANT>/configs/validation.json].
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Config of test [default: tenants/<TENANT>/configs/test.json].
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Cases in place of the tenant's, split in three so that no two splits share a passage: a case a line, or flat
    /// rows with the context's fields and an `answer`.
    #[arg(long, value_name = "FILE")]
    dataset: Option<PathBuf>,
    /// Passages in place of the tenant's, a JSON object a line with `title` and `text`; NAME=FILE where the tenant has
    /// several indexes. Needs --prepare.
    #[arg(long, value_name = "FILE")]
    index: Option<String>,
    /// Name of the trial's folder.
    #[arg(long, value_name = "NAME")]
    trial: Option<String>,
    /// Most paid model calls.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    calls: u64,
    /// Most tokens of the trial, prompts and replies, over all its starts.
    #[arg(long, value_name = "N")]
    tokens_max: Option<u64>,
    /// Most that the trial may cost, dollars, over all its starts; needs the operator's file of prices.
    #[arg(long, value_name = "DOLLARS")]
    cost_max: Option<Money>,
    /// Minutes of this start after which no further variant is begun.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Most paid calls of the replays that look into the failures of the baseline and of each kept variant; they need
    /// [gold] in tenant.toml; 0 for none [default: as many as one run of train makes].
    #[arg(long, value_name = "N")]
    diagnosis_calls: Option<u64>,
    /// Route of the operator's file whose model proposes edits, beside the operators, and tells why cases failed where
    /// texts leave it in doubt.
    #[arg(long, value_name = "ROUTE")]
    proposer: Option<String>,
    /// Route of the operator's file whose model reviews each change, beside the checks.
    #[arg(long, value_name = "ROUTE")]
    reviewer: Option<String>,
    /// Most paid calls of proposer and reviewer.
    #[arg(long, value_name = "N", default_value_t = 100)]
    adviser_calls: u64,
    /// Ablation: deal steps and fixes to the clusters of failures at random, to measure what attribution is worth.
    #[arg(long, value_name = "SEED")]
    deal_clusters: Option<u64>,
}

/// Most variants of a trial where nobody says another number.
const VARIANTS: u32 = 25;

/// A policy by its word.
fn policy(word: &str) -> Result<Policy, String> {
    [Policy::Paired, Policy::Paper]
        .into_iter()
        .find(|policy| policy.word() == word)
        .ok_or_else(|| "choose paired or paper".into())
}

const MINUTE_MS: u64 = 60_000;

impl Optimize {
    /// A tenant with a preset for the four arguments of its own.
    pub(super) fn of(tenant: &str, variants: u32, provider: String, further: Further) -> Self {
        Optimize {
            tenant: tenant.into(),
            variants: Some(variants),
            policy: Policy::Paired,
            provider: Some(provider),
            prepare: true,
            further,
        }
    }

    fn options(self) -> TrialOptions {
        let further = self.further;
        // A folder as completion gives it.
        let tenant = self.tenant.trim_end_matches('/').trim_start_matches("tenants/").to_string();
        let config = |given: Option<PathBuf>, split: &str| {
            given.unwrap_or_else(|| format!("tenants/{tenant}/configs/{split}.json").into())
        };
        TrialOptions {
            configs: [
                config(further.train, SPLITS[0]),
                config(further.validation, SPLITS[1]),
                config(further.test, SPLITS[2]),
            ],
            tenant,
            provider: self.provider,
            given: Given { dataset: further.dataset, index: further.index },
            prepare: self.prepare,
            name: further.trial,
            variants_max: self.variants.unwrap_or(if self.policy == Policy::Paper { PAPER_VARIANTS } else { VARIANTS }),
            model: None,
            policy: self.policy,
            repeat: 0,
            accounts: Vec::new(),
            calls_max: further.calls,
            tokens_max: further.tokens_max,
            cost_max: further.cost_max,
            wall_ms_max: further.minutes.map(|minutes| minutes.saturating_mul(MINUTE_MS)),
            diagnosis_calls: further.diagnosis_calls,
            proposer: further.proposer,
            reviewer: further.reviewer,
            adviser_calls: further.adviser_calls,
            clusters_dealt_by: further.deal_clusters,
        }
    }

    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if self.prepare {
            printer.note("making ready what the tenant is granted; the first time the stock component takes a minute");
        }
        let mut planned = plan_trial(place, &self.options(), &|what| printer.note(what)).await?;
        planned.warnings.iter().for_each(|warning| printer.warning(warning));
        let limits = json!(planned.limits);
        let policy = planned.trial.policy;
        let ended =
            run_trial(&mut planned, printer, &|event, trial| show(event, trial, &limits, policy, printer)).await?;
        let report = match ended {
            Ended::Whole(report) => report,
            Ended::Early(exit) => return Ok(exit),
        };
        trial_report::print(&report, planned.runner.calls(), &planned.trial.folder, printer);
        Ok(Exit::Done)
    }
}

/// How a start of a trial ended.
pub(super) enum Ended {
    /// At its end.
    Whole(Box<TrialReport>),
    /// Stopped, or its budget is spent: the same command goes on.
    Early(Exit),
}

/// Runs a planned trial, or goes on with it, with a bar of its runs; an interrupt lets the cases in flight end.
pub(super) async fn run_trial(
    planned: &mut TrialPlan,
    printer: Printer,
    watch: &(dyn Fn(&TrialEvent<'_>, &Trial) + Sync),
) -> Result<Ended, InputError> {
    let TrialPlan { trial, runner, replies, .. } = planned;
    let bar = live::split_bar(printer);
    if let Some(bar) = bar.clone() {
        runner.watch = Box::new(move |progress| live::show_split(&bar, progress));
    }
    let source = StopSource::new();
    runner.stop = source.signal();
    let stopping = runner.stop.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            printer.note("stopping: the cases in flight come to their end; the same command goes on");
            source.stop();
        }
    });
    let ended = optimize(trial, runner, &|event| {
        let event = || watch(&event, trial);
        bar.as_ref().map_or_else(event, |bar| bar.suspend(event));
    })
    .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    interrupt.abort();
    if let Some(losses) = replies.as_ref().and_then(|cache| cache.losses()) {
        printer.warning(&losses);
    }
    let early = match (runner.is_spent(), stopping.is_set()) {
        (true, _) => Some(Exit::Budget),
        (false, true) => Some(Exit::Partial),
        (false, false) => None,
    };
    match (ended, early) {
        (Err(e), Some(exit)) => {
            if exit == Exit::Budget {
                printer.error(&e);
            } else {
                printer.note(&e.to_string());
            }
            Ok(Ended::Early(exit))
        }
        (ended, _) => ended.map(|report| Ended::Whole(Box::new(report))),
    }
}

/// What happens, as it happens.
fn show(event: &TrialEvent<'_>, trial: &Trial, limits: &Value, policy: Policy, printer: Printer) {
    match event {
        TrialEvent::Scope(scope) => {
            let levels: Vec<&str> = scope.levels.iter().map(|level| level.word()).collect();
            let open = if levels.is_empty() { "nothing".into() } else { levels.join(", ") };
            let most = scope.variants_max.map_or("any".into(), |n| n.to_string());
            printer.text(&format!("scope     {open} open, at most {most} variants"));
        }
        TrialEvent::Baseline(records, train, validation) => {
            printer.text(&format!("v000      baseline: train {train:.2}, validation {}", total(validation)));
            show_failures(records, trial, limits, printer);
            printer.text(rule(policy));
        }
        TrialEvent::Diagnosed(seen) => interventions::print(seen, false, printer),
        TrialEvent::Escalation(to) => {
            let ceiling = to.ceiling.map_or(String::new(), |gain| {
                let interval = gain.ci.map_or(String::new(), |[low, high]| format!(", {low:.2} to {high:.2}"));
                format!(", replays say it could gain {:.2}{interval}", gain.mean)
            });
            printer.text(&format!(
                "          the {} level is opened: {} was left by {}, the scope contract permits it, {:.0}% of the failures lie there or above{ceiling}",
                to.to.word(),
                to.from.word(),
                to.exhaustion_reason,
                100.0 * to.addressable_share
            ));
        }
        TrialEvent::Attempt(attempt) => {
            let (name, operator) = (&attempt.variant, &attempt.operator);
            printer.text(&format!("{name}      {} {operator}: {}", word(attempt.outcome), attempt.hypothesis));
            printer.text(&format!("          {}", attempt.why));
            printer.line(&Line::Attempt((*attempt).clone()));
        }
        TrialEvent::Exhausted(left) => printer.text(&format!(
            "          the {} level is left after {} variants: {}",
            left.level.word(),
            left.variants_tried,
            match left.exhaustion_reason.as_str() {
                "plateau" => "three in a row brought nothing",
                "resolved" => "no failure is left",
                _ => "nothing of it is left that could gain a case",
            }
        )),
    }
}

/// Where the baseline loses, and one of its failed cases in full.
fn show_failures(records: &[CaseRecord], trial: &Trial, limits: &Value, printer: Printer) {
    print_failing_steps(&FailureCounts::of(&trial.train, records), printer);
    if let Some(record) = records.iter().find(|r| r.fault.is_none() && r.composite() < 100.0) {
        printer.text("\nthe first failed case of train in full:\n");
        print_case(record, limits, printer);
    }
}

/// The rule that keeps a change.
fn rule(policy: Policy) -> &'static str {
    match policy {
        Policy::Paired => {
            "\nA change is tried on failed cases of train first, then on all of train, then on validation; it is kept\n\
             if validation gains at least one case and its paired difference is above 0 at one-sided 90%.\n"
        }
        Policy::Paper => "\nA change is run on all of train and of validation; it is kept if validation improves.\n",
    }
}
