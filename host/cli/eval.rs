//! `fapo eval`: evaluate what a config says.

use super::lines::{Line, PlanLine, PlannedNode};
use super::printer::Printer;
use super::report::{RunView, print_run};
use super::{Exit, epochs};
use crate::dataset::Wanted;
use crate::place::Place;
use crate::plan::{EvalOptions, Plan, plan};
use crate::variant::calling_nodes;
use fapo_core::InputError;
use fapo_core::grants::{Budget, ModelRoute};
use fapo_core::ports::Cases;
use fapo_core::price::Money;
use fapo_engine::evaluate::{Earlier, Evaluation, Retry, RunReport};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Evaluate what a config says; the same command again continues, or prints what is finished.
///
/// A run goes to the config's `output_dir` inside the work folder, else to runs/<tenant>-<identity>. Ctrl-C finishes
/// the cases in flight; the same command then goes on. Cases with a fault of the model service are tried again by the
/// same command, faults of the tenant's own code stand.
#[derive(clap::Args, Clone, Default)]
#[command(after_help = "Example: fapo eval --config tenants/demo_qa/configs/validation.json --limit 5\n\n\
A whole config:\n\
{\n  \"tenant_id\": \"demo_qa\",\n  \"provider\": \"scripted\",\n  \"provider_settings\": {\"model\": \"scripted\", \"temperature\": 0.0, \"max_tokens\": 64},\n  \
\"dataset\": {\"path\": \"tenants/demo_qa/datasets/validation.jsonl\"},\n  \
\"chain\": {\"path\": \"tenants/demo_qa/chains/baseline.json\",\n            \"config\": {\"prompt_paths\": {\"generate_answer\": \"tenants/demo_qa/prompts/modules/generate_answer/variant-001.md\"},\n                       \"retrieval_k\": 1}},\n  \
\"scoring_profile\": {\"metric\": \"exact_match\"},\n  \"max_workers\": 8\n}")]
pub(super) struct Eval {
    /// The eval config; a relative path counts from the root.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only the first cases.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only this case; may be given several times.
    #[arg(long, value_name = "CASE_ID")]
    case: Vec<String>,
    /// In place of the config's `output_dir`; counts from the work folder.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<String>,
    /// Start over: forget what the run's folder holds.
    #[arg(long, conflicts_with = "retry")]
    fresh: bool,
    /// Run finished cases again: `errors` (every fault, the tenant's own too), `failed` (every score below 100), or a
    /// case id; may be given several times. Equal calls are still answered from the cache.
    #[arg(long, value_name = "errors|failed|CASE_ID")]
    retry: Vec<String>,
    /// Run the whole this many times with other samples, each in a folder of its own, and sum up by case.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    epochs: u32,
    /// Most paid model calls of the run, over all its starts; it stops there (exit 4), and goes on with more.
    #[arg(long, value_name = "N")]
    calls_max: Option<u64>,
    /// Most tokens of the run, prompts and replies, over all its starts.
    #[arg(long, value_name = "N")]
    tokens_max: Option<u64>,
    /// Most that the run may cost, dollars, over all its starts; needs the operator's file of prices.
    #[arg(long, value_name = "DOLLARS")]
    cost_max: Option<Money>,
    /// Stop beginning cases after this time; the same command goes on.
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
    /// Check everything and show what would be called; call and write nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Eval {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if !self.dry_run {
            self.known_retries(place)?;
            return epochs::run(place, &self.options(), self.epochs, self.minutes, true, printer).await;
        }
        let plan = plan(place, &self.options()).await?;
        print_plan(&plan, printer)?;
        Ok(Exit::Done)
    }

    fn options(&self) -> EvalOptions {
        EvalOptions {
            config: self.config.clone(),
            limit: self.limit,
            case_ids: self.case.clone(),
            scorer: None,
            output_dir: self.output_dir.clone(),
            own_folder: false,
            earlier: match (self.fresh, self.retry.is_empty()) {
                (true, _) => Earlier::Forgotten,
                (false, true) => Earlier::Stand,
                (false, false) => Earlier::Again(self.retry.iter().map(|which| retry(which)).collect()),
            },
            epoch: 0,
            budget: Budget { calls_max: self.calls_max, tokens_max: self.tokens_max, cost_max: self.cost_max },
        }
    }

    /// A case that is to be run again must be one.
    fn known_retries(&self, place: &Place) -> Result<(), InputError> {
        let named = |which: &&String| matches!(retry(which), Retry::Case(_));
        let Some(_) = self.retry.iter().find(named) else { return Ok(()) };
        let opened = crate::plan::open(place, &self.config)?;
        let cases = crate::plan::dataset(&opened, Wanted::default())?;
        let mut unknown: Vec<&String> = self.retry.iter().filter(named).collect();
        for index in 0..cases.count() {
            let case = cases.at(index)?;
            unknown.retain(|id| **id != case.case_id);
        }
        unknown.first().map_or(Ok(()), |id| {
            Err(InputError::new(
                format!("--retry {id}"),
                "is neither `errors`, nor `failed`, nor a case of the dataset",
            )
            .hint(format!("case ids are the `case_id` of the rows of {}", opened.config.dataset.path)))
        })
    }
}

fn retry(which: &str) -> Retry {
    match which {
        "errors" => Retry::Errors,
        "failed" => Retry::Failed,
        id => Retry::Case(id.into()),
    }
}

/// Prints a run at its end and says how it ended.
pub(super) fn print_end(report: &RunReport, evaluation: &Evaluation, printer: Printer) -> Exit {
    let planned = evaluation.cases.count();
    if report.stopped {
        let left = planned - report.figures.completed();
        printer.note(&format!("stopped: {left} cases are left; the same command goes on"));
    }
    let view = RunView {
        run_id: &report.run_id,
        planned,
        figures: &report.figures,
        resumed: report.resumed,
        dir: evaluation.folder.display().to_string(),
    };
    print_run(&view, printer);
    match (report.stopped, report.figures.errors) {
        (false, 0) => Exit::Done,
        _ if report.figures.spent => Exit::Budget,
        _ => Exit::Partial,
    }
}

fn print_plan(plan: &Plan, printer: Printer) -> Result<(), InputError> {
    for warning in &plan.warnings {
        printer.warning(warning);
    }
    let evaluation = &plan.evaluation;
    let done = fapo_engine::evaluate::finished(evaluation)?;
    let (planned, open) = (evaluation.cases.count(), evaluation.cases.count() - done);
    let nodes: Vec<PlannedNode> = calling_nodes(&evaluation.definition.graph)
        .into_iter()
        .map(|(node, alias)| {
            let route = plan.grant.models.get(&alias).map_or(Value::Null, without_files);
            PlannedNode { node, alias, route }
        })
        .collect();
    printer.text(&format!("{planned} cases planned, {done} finished already, {open} to run"));
    printer.text(&format!(
        "about {} model calls: one a case for each node below, more where a loop repeats one",
        open * nodes.len()
    ));
    let rows = nodes.iter().map(|n| {
        let text = |key: &str| n.route[key].as_str().unwrap_or("-").to_string();
        vec![n.node.clone(), n.alias.clone(), text("provider"), text("origin"), text("model")]
    });
    printer.table(&["node", "alias", "provider", "origin", "model"], rows.collect());
    printer.text(&format!("folder {}", evaluation.folder.display()));
    printer.line(&Line::Plan(PlanLine {
        tenant_id: evaluation.tenant_id.clone(),
        planned: planned as u64,
        completed: done as u64,
        nodes,
        dir: evaluation.folder.display().to_string(),
    }));
    Ok(())
}

/// A route as people may see it: service, model and sampling.
fn without_files(route: &ModelRoute) -> Value {
    json!({
        "provider": route.provider, "origin": route.origin, "model": route.model, "temperature": route.temperature,
        "top_p": route.top_p, "output_tokens_max": route.output_tokens_max,
    })
}
