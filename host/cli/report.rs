//! What a run and a case look like to people and to programs.

use super::lines::{CaseDetailLine, FailingStepLine, Line, Mean, RunLine, UsageLine};
use super::printer::Printer;
use fapo_core::attribution::FailureCounts;
use fapo_core::fault::step_name;
use fapo_core::ports::ResourceUse;
use fapo_core::price::Money;
use fapo_core::run::CaseRecord;
use fapo_engine::figures::{FaultCounts, FaultGroup, RunFigures, RunUsage};
use serde_json::{Value, json};

/// Characters shown of a fault's message.
const TEXT_CHARS_MAX: usize = 400;
/// Kinds of fault listed.
const FAULTS_SHOWN_MAX: usize = 10;

/// A run, as far as it has come.
pub(super) struct RunView<'a> {
    pub(super) run_id: &'a str,
    /// Planned cases: the denominator of every mean.
    pub(super) planned: usize,
    /// What its records come to.
    pub(super) figures: &'a RunFigures,
    /// Cases that an earlier start had finished.
    pub(super) resumed: usize,
    pub(super) dir: String,
}

/// Composite over planned cases: one that has not run counts as 0, and there is no interval then.
pub(super) fn composite(figures: &RunFigures, planned: usize) -> Mean {
    let estimate = figures.composite(planned);
    Mean { mean: estimate.map(|e| e.mean), ci: estimate.and_then(|e| e.ci) }
}

/// Prints a run; its line for programs comes last.
pub(super) fn print_run(run: &RunView<'_>, printer: Printer) {
    let (figures, usage) = (run.figures, UsageLine::of(&run.figures.usage));
    let composite = composite(figures, run.planned);
    let mut rows = vec![
        vec!["run".to_string(), run.run_id.to_string()],
        vec!["cases".into(), cases_text(run)],
        vec!["composite".into(), mean_text(composite)],
    ];
    for (name, mean) in figures.metrics(run.planned) {
        rows.push(vec![format!("  {name}"), format!("{mean:.2}")]);
    }
    let retries = match usage.requests.saturating_sub(usage.paid) {
        0 => String::new(),
        n => format!(", {n} retries"),
    };
    let calls = format!("{} ({} paid, {} from the cache{retries})", usage.calls, usage.paid, usage.cached);
    rows.push(vec!["calls".into(), calls]);
    if usage.judge_calls > 0 {
        let off = usage.judge_off_choice;
        rows.push(vec!["judge".into(), format!("{} of the calls, {off} answered off the choices", usage.judge_calls)]);
    }
    rows.push(vec!["tokens".into(), tokens_text(&usage)]);
    rows.extend(cost_text(&usage).map(|text| vec!["cost".into(), text]));
    rows.push(vec!["folder".into(), run.dir.clone()]);
    printer.table(&["", ""], rows);
    print_faults(&figures.faults, printer);
    print_failing_steps(&figures.failures, printer);
    printer.line(&Line::Usage(usage));
    printer.line(&Line::Run(RunLine {
        run_id: run.run_id.into(),
        planned: run.planned as u64,
        completed: figures.completed() as u64,
        errors: figures.errors as u64,
        composite,
        dir: run.dir.clone(),
    }));
}

fn cases_text(run: &RunView<'_>) -> String {
    let (completed, errors) = (run.figures.completed(), run.figures.errors);
    let mut text = format!("{} planned, {completed} completed, {errors} with a fault", run.planned);
    if run.resumed > 0 {
        text.push_str(&format!(", {} of an earlier start", run.resumed));
    }
    text
}

fn mean_text(mean: Mean) -> String {
    match (mean.mean, mean.ci) {
        (Some(m), Some([lo, hi])) => format!("{m:.2}  (95% interval {lo:.1} to {hi:.1})"),
        (Some(m), None) => format!("{m:.2}"),
        (None, _) => "none".into(),
    }
}

fn tokens_text(usage: &UsageLine) -> String {
    let unknown = match usage.calls_without_usage {
        0 => String::new(),
        n => format!(", unknown for {n} calls"),
    };
    format!("{} prompt, {} reply{unknown}", usage.prompt_tokens, usage.completion_tokens)
}

/// None where no price is known, or every call is free.
fn cost_text(usage: &UsageLine) -> Option<String> {
    let amount = |dollars: Option<f64>| dollars.and_then(Money::dollars);
    let (paid, saved) = (amount(usage.cost), amount(usage.saved));
    if [paid, saved].into_iter().flatten().all(|amount| amount == Money::default()) {
        return None;
    }
    let paid = paid.map_or_else(|| "unknown".into(), |paid| paid.to_string());
    let estimated = if usage.calls_without_usage > 0 { ", in part from estimated tokens" } else { "" };
    let saved = saved.filter(|saved| *saved > Money::default());
    Some(format!(
        "{paid}{}{estimated}",
        saved.map_or_else(String::new, |saved| format!(", {saved} saved by the cache"))
    ))
}

impl UsageLine {
    pub(super) fn of(usage: &RunUsage) -> Self {
        UsageLine {
            calls: usage.calls,
            judge_calls: usage.judge_calls,
            judge_off_choice: usage.judge_off_choice,
            paid: usage.paid,
            cached: usage.cached,
            requests: usage.requests,
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            calls_without_usage: usage.calls_without_usage,
            cost: usage.cost.map(Money::in_dollars),
            saved: usage.saved.map(Money::in_dollars),
        }
    }
}

/// Faults with their numbers; equal messages are one row. Hints follow, each once.
fn print_faults(faults: &FaultCounts, printer: Printer) {
    let groups = faults.groups();
    if groups.len() == 0 {
        return;
    }
    printer.text("");
    let more = groups.len().saturating_sub(FAULTS_SHOWN_MAX) + faults.beyond();
    for FaultGroup { what, message, cases, first } in groups.take(FAULTS_SHOWN_MAX) {
        let several = if cases == 1 { String::new() } else { format!(" and {} more", cases - 1) };
        printer.text(&format!(" fault of case {first}{several} ({what}): {}", cut(message)));
    }
    if more > 0 {
        printer.text(&format!(" and {more} further kinds of fault"));
    }
    for hint in faults.hints() {
        printer.text(&format!(" hint: {hint}"));
    }
}

/// Steps with the cases that failed there, the largest group first.
pub(super) fn print_failing_steps(failures: &FailureCounts, printer: Printer) {
    let steps = failures.steps();
    if steps.is_empty() {
        return;
    }
    printer.text("");
    let rows = steps.iter().map(|group| {
        vec![group.step.clone(), group.cases.to_string(), group.cause.why().into(), group.case_ids.join(", ")]
    });
    printer.table(&["failing step", "cases", "why", "for example"], rows.collect());
    for group in steps {
        printer.line(&Line::FailingStep(FailingStepLine {
            step: group.step,
            why: group.cause.why().into(),
            cases: group.cases as u64,
            case_ids: group.case_ids,
        }));
    }
}

fn cut(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(TEXT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Prints a case in full: steps, prompts as rendered, passages, limits used.
pub(super) fn print_case(record: &CaseRecord, limits: &Value, printer: Printer) {
    let indent = |text: &str| text.replace('\n', "\n    ");
    printer.text(&format!("case {}  composite {:.2}", record.case_id, record.composite()));
    if let Some(fault) = &record.fault {
        let step = fault.step.as_ref().map_or(String::new(), |step| format!(", step {step}"));
        printer.text(&format!("fault ({:?}{step}): {}", fault.phase, indent(&fault.message)));
    }
    for timed in &record.steps {
        let id = step_name(&timed.step.id);
        printer.text(&format!("\nstep {id}  ({:.3} s)", timed.seconds));
        for call in record.calls.iter().filter(|call| call.id == timed.step.id) {
            for message in call.messages.iter() {
                printer.text(&format!("  {}:\n    {}", message.role.heading(), indent(&message.content)));
            }
            match (&call.reply, &call.fault) {
                (Some(reply), _) => printer.text(&format!("  reply ({}):\n    {}", call.model, indent(reply))),
                (None, fault) => {
                    printer.text(&format!("  no reply ({}): {}", call.model, fault.as_deref().unwrap_or("unknown")));
                }
            }
        }
        for search in record.searches.iter().filter(|search| search.id == timed.step.id) {
            printer.text(&format!("  search in {}: {}", search.index, indent(&search.query)));
            for (rank, (id, title)) in search.hits.iter().enumerate() {
                printer.text(&format!("    {}. {title} ({id})", rank + 1));
            }
        }
        for output in &timed.step.outputs {
            printer.text(&format!("  {} =\n    {}", output.name, indent(&output.value)));
        }
        for note in &timed.step.diagnostics {
            printer.text(&format!("  note: {note}"));
        }
    }
    printer.text(&format!("\noutput: {}", indent(&record.output_text)));
    if let Some(score) = &record.score {
        let parts: Vec<String> = score.breakdown().iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        printer.text(&format!("score:  {:.2}  {}", score.composite(), parts.join(", ")));
        if !score.feedback.is_empty() {
            printer.text(&format!("scorer: {}", indent(&score.feedback)));
        }
    }
    let used = limits_used(record, limits);
    print_limits(&used, printer);
    print_logs(record, printer);
    printer.line(&Line::CaseDetail(CaseDetailLine {
        result: json!(record.result_row()),
        steps: json!(record.steps),
        calls: json!(record.calls),
        limits: used,
    }));
}

fn print_logs(record: &CaseRecord, printer: Printer) {
    for (role, used) in [("chain", &record.chain_use), ("scorer", &record.scorer_use)] {
        for line in &used.log {
            printer.text(&format!("log of the {role}: {line}"));
        }
        if used.log_lines_lost > 0 {
            printer.text(&format!("log of the {role}: {} lines did not fit", used.log_lines_lost));
        }
        let wall = used.wall;
        printer.text(&format!(
            "time of the {role}: {:.3} s in the component, {:.3} s queued, {:.3} s in model calls, {:.3} s held by the limits of services, {:.3} s in searches, {:.3} s in node components",
            wall.guest, wall.queue, wall.provider, wall.limiter, wall.retrieval, wall.nodes
        ));
        if used.stream_bytes_lost > 0 {
            printer.text(&format!("stdout and stderr of the {role}: {} bytes did not fit", used.stream_bytes_lost));
        }
        for denial in &used.denials {
            printer.text(&format!("denied to the {role}: {denial}"));
        }
    }
}

/// What a case used of each limit that is counted, as (role, limit, used).
pub(super) fn counted(record: &CaseRecord) -> Vec<(&'static str, &'static str, u64)> {
    let of = |role, used: &ResourceUse| {
        let counts = [
            ("fuel_units", used.fuel),
            ("memory_bytes", used.memory_bytes_peak),
            ("host_calls", used.host_calls),
            ("traffic_bytes", used.traffic_bytes),
        ];
        counts.map(|(name, used)| (role, name, used))
    };
    let mut rows = of("chain", &record.chain_use).to_vec();
    rows.push(("chain", "steps", record.steps.len() as u64));
    rows.extend(of("scorer", &record.scorer_use));
    if !record.judge_calls.is_empty() {
        rows.push(("scorer", "judge_calls", record.judge_calls.len() as u64));
    }
    rows
}

/// The same as `{"chain": {"fuel_units": {"used", "limit"}}}`.
fn limits_used(record: &CaseRecord, limits: &Value) -> Value {
    let mut roles = json!({"chain": {}, "scorer": {}});
    for (role, name, used) in counted(record) {
        roles[role][name] = json!({"used": used, "limit": limits[name]});
    }
    roles
}

fn print_limits(used: &Value, printer: Printer) {
    let mut rows = Vec::new();
    for role in ["chain", "scorer"] {
        for (name, row) in used[role].as_object().into_iter().flatten() {
            let (n, limit) = (row["used"].as_u64().unwrap_or_default(), row["limit"].as_u64());
            let share =
                limit.map_or("no limit".into(), |l| format!("{:.2}% of {l}", 100.0 * n as f64 / l.max(1) as f64));
            rows.push(vec![role.to_string(), name.clone(), n.to_string(), share]);
        }
    }
    printer.text("");
    printer.table(&["role", "limit", "used", "share"], rows);
}
