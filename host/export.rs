//! A run as other tools read it: JUnit for CI, CSV for tables, Markdown for a pull request. What a tenant wrote is made
//! harmless for the form it goes into.

use fapo_core::InputError;
use fapo_core::fault::step_name;
use fapo_core::names::shown;
use fapo_core::ports::Cases;
use fapo_core::run::{CaseRecord, PASSED};
use fapo_engine::compare::Comparison;
use fapo_engine::stored::StoredRun;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// Case ids in a list of a pull request.
const IDS_SHOWN_MAX: usize = 20;
/// Characters of a tenant's text in a pull request.
const TEXT_CHARS_MAX: usize = 200;

/// JUnit's XML: a case below 100 is a failure, one with a fault an error, and so is each that did not run.
///
/// # Errors
/// The run's journal is damaged.
pub fn junit(run: &StoredRun) -> Result<String, InputError> {
    let tenant = text_of(run, "tenant_id");
    let mut suite = TestSuite::new(text_of(run, "run_id"));
    for record in run.each()? {
        let record = record?;
        let seconds: f64 = record.steps.iter().map(|timed| timed.seconds).sum();
        let mut case = TestCase::new(record.case_id.clone(), status(&record));
        case.set_classname(format!("{tenant}.{}", record.task_type));
        case.set_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        case.set_system_out(record.output_text);
        suite.add_test_case(case);
    }
    for n in run.completed()..run.planned {
        let mut ended = TestCaseStatus::non_success(NonSuccessKind::Error);
        ended.set_type("not_run").set_message("planned and not run; the same command goes on");
        suite.add_test_case(TestCase::new(format!("not run {}", n + 1 - run.completed()), ended));
    }
    let mut report = Report::new("fapo");
    report.add_test_suite(suite);
    Ok(report.to_string().unwrap_or_default())
}

fn status(record: &CaseRecord) -> TestCaseStatus {
    if let Some(fault) = &record.fault {
        let mut error = TestCaseStatus::non_success(NonSuccessKind::Error);
        let at = fault.step.as_ref().map_or(String::new(), |step| format!(" (step {step})"));
        error.set_type(word(&fault.kind)).set_message(format!("{}{at}", fault.message));
        return error;
    }
    if record.composite() >= PASSED {
        return TestCaseStatus::success();
    }
    let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
    let parts = record.score.iter().flat_map(|score| score.breakdown());
    let parts: Vec<String> = parts.map(|(name, value)| format!("{name} {value:.2}")).collect();
    failure.set_type("score").set_message(format!("composite {:.2}; {}", record.composite(), parts.join(", ")));
    failure
}

/// CSV with a header, a row a case in dataset order. No cell is a formula to a spreadsheet.
///
/// # Errors
/// The run's journal is damaged.
pub fn csv(run: &StoredRun) -> Result<String, InputError> {
    let metrics = run.figures(None)?.metrics(run.planned);
    let head = ["case_id", "task_type", "status", "composite_score"].into_iter().map(str::to_string);
    let head = head.chain(metrics.iter().map(|(name, _)| cell(name)));
    let tail = ["fault_phase", "fault_kind", "fault_message", "calls", "seconds", "output_text"].map(str::to_string);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |row: Vec<String>| writer.write_record(row).is_ok();
    write(head.chain(tail).collect());
    for record in run.each()? {
        let record = record?;
        let metric = |(name, _): &(String, f64)| {
            let found = record.score.iter().flat_map(|score| score.breakdown()).find(|(n, _)| n == name);
            found.map_or(String::new(), |(_, value)| value.to_string())
        };
        let fault = record.fault.as_ref();
        let seconds: f64 = record.steps.iter().map(|timed| timed.seconds).sum();
        let mut row = vec![
            cell(&record.case_id),
            cell(&record.task_type),
            if fault.is_some() { "failed" } else { "succeeded" }.into(),
            record.composite().to_string(),
        ];
        row.extend(metrics.iter().map(metric));
        row.extend([
            fault.map_or(String::new(), |fault| word(&fault.phase)),
            fault.map_or(String::new(), |fault| word(&fault.kind)),
            fault.map_or(String::new(), |fault| cell(&fault.message)),
            record.calls.len().to_string(),
            format!("{seconds:.3}"),
            cell(&record.output_text),
        ]);
        write(row);
    }
    Ok(String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default())
}

/// A tenant's text as a cell: a spreadsheet takes one that begins like a formula for a text.
fn cell(text: &str) -> String {
    let formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠');
    let first = text.chars().next().is_some_and(formula) || text.trim_start().starts_with(formula);
    if first { format!("'{text}") } else { text.to_string() }
}

/// Markdown for a pull request: the run's numbers, the comparison with a baseline where there is one, the steps that
/// lost cases.
///
/// # Errors
/// The run's journal is damaged.
pub fn markdown(
    run: &StoredRun,
    cases: Option<&dyn Cases>,
    against: Option<&Comparison>,
) -> Result<String, InputError> {
    let (figures, planned) = (run.figures(cases)?, run.planned);
    let (completed, errors) = (figures.completed(), figures.errors);
    let composite = figures.composite(planned);
    let interval = composite.and_then(|e| e.ci).map_or(String::new(), |[lo, hi]| format!(" (95% {lo:.1} to {hi:.1})"));
    let mut text = format!("### {}\n\n| | |\n|---|---|\n", code(text_of(run, "tenant_id")));
    let mut row = |name: &str, value: String| text.push_str(&format!("| {name} | {value} |\n"));
    row("composite", format!("**{:.2}**{interval}", composite.map_or(0.0, |e| e.mean)));
    row("cases", format!("{planned} planned, {completed} completed, {errors} with a fault"));
    for (name, mean) in figures.metrics(planned) {
        row(&code(&name), format!("{mean:.2}"));
    }
    row("run", code(text_of(run, "run_id")));
    if let Some(found) = against {
        text.push_str(&comparison(found));
    }
    let steps = figures.failures.steps();
    if !steps.is_empty() {
        text.push_str("\n| failing step | cases | why | for example |\n|---|---|---|---|\n");
        for group in steps {
            let ids: Vec<String> = group.case_ids.iter().take(3).map(|id| code(id)).collect();
            let (count, why) = (group.cases, group.cause.why());
            text.push_str(&format!("| {} | {count} | {why} | {} |\n", code(&group.step), ids.join(", ")));
        }
    }
    if errors > 0 {
        text.push_str("\n| case | fault | step |\n|---|---|---|\n");
    }
    let mut shown = 0;
    for record in run.each()? {
        let record = record?;
        let Some(fault) = &record.fault else { continue };
        let step = fault.step.clone().or_else(|| record.steps.last().map(|timed| step_name(&timed.step.id)));
        let step = step.map_or(String::new(), |step| code(&step));
        text.push_str(&format!("| {} | {} | {step} |\n", code(&record.case_id), code(&fault.message)));
        shown += 1;
        if shown == IDS_SHOWN_MAX.min(errors) {
            break;
        }
    }
    Ok(text)
}

fn comparison(found: &Comparison) -> String {
    let ids = |ids: &[String]| {
        let shown: Vec<String> = ids.iter().take(IDS_SHOWN_MAX).map(|id| code(id)).collect();
        let more = if ids.len() > shown.len() { ", …" } else { "" };
        format!("{} {}{more}", ids.len(), shown.join(", "))
    };
    let interval = found.difference.and_then(|d| d.ci);
    let interval = interval.map_or(String::new(), |[lo, hi]| format!(" (95% {lo:+.2} to {hi:+.2})"));
    let mut text = format!(
        "\n| against the baseline | {} pairs |\n|---|---|\n| difference | **{:+.2}**{interval} |\n| sign test, McNemar | p {:.4}, p {:.4} |\n| fixed | {} |\n| broken | {} |\n",
        found.pairs,
        found.mean_b - found.mean_a,
        found.sign_p,
        found.mcnemar_p,
        ids(&found.fixed),
        ids(&found.broken)
    );
    for effect in &found.effects {
        let name = effect.what.replace('_', " ");
        text.push_str(&format!("| {name} a case | {:.3}, then {:.3} |\n", effect.mean_a, effect.mean_b));
    }
    text
}

/// A tenant's text as code in a cell of a table: no markup, no mention, no link, one line.
fn code(text: &str) -> String {
    let line: String = shown(text).replace(['\n', '\t'], " ").chars().take(TEXT_CHARS_MAX).collect();
    let longest = line.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // A bar ends the cell even inside code, unless it is escaped.
    let line = line.replace('|', "\\|");
    match (line.trim().is_empty(), longest) {
        (true, _) => String::new(),
        (false, 0) => format!("{fence}{line}{fence}"),
        (false, _) => format!("{fence} {line} {fence}"),
    }
}

fn text_of<'a>(run: &'a StoredRun, field: &str) -> &'a str {
    run.run_config[field].as_str().unwrap_or_default()
}

/// A name of an enumeration as JSON has it.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_string)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "＝1", "\r=1"] {
            assert_eq!(cell(text), format!("'{text}"), "{text:?}");
        }
        for text in ["", "a=b", "1-2", "mail@host", "'=1"] {
            assert_eq!(cell(text), text);
        }
    }

    #[test]
    fn a_text_in_a_pull_request_is_code_whatever_it_holds() {
        assert_eq!(code("a|b\nc"), "`a\\|b c`");
        assert_eq!(code("`x`` @all"), "``` `x`` @all ```");
        assert_eq!(code("\u{1b}[31m"), format!("`{}`", shown("\u{1b}[31m")));
        assert_eq!(code(" "), "");
    }
}
