//! What replays found, for people.

use super::printer::Printer;
use super::trial_report::word;
use fapo_core::attribution::{Ceiling, Interventions};
use fapo_core::stats::Estimate;

/// A gain with its interval.
fn gain(found: &Estimate) -> [String; 2] {
    let interval = found.ci.map_or("not known".into(), |[low, high]| format!("{low:.2} to {high:.2}"));
    [format!("{:.2}", found.mean), interval]
}

fn rows<T>(ceilings: &[Ceiling<T>], name: impl Fn(&T) -> String) -> Vec<Vec<String>> {
    let row = |ceiling: &Ceiling<T>| {
        let [mean, interval] = gain(&ceiling.gain);
        vec![name(&ceiling.of), ceiling.cases.to_string(), mean, interval]
    };
    ceilings.iter().map(row).collect()
}

/// Ceilings by step and by level; with `cases` each case that was looked into.
pub(super) fn print(found: &Interventions, cases: bool, printer: Printer) {
    printer.text(&format!(
        "\nreplays looked into {} of {} failed cases: {} replays, {} paid calls, {} from the cache{}",
        found.located.len(),
        found.failed,
        found.replays,
        found.calls_paid,
        found.calls_cached,
        if found.budget_ended { "; the calls allowed are used up, more go on" } else { "" }
    ));
    if found.located.is_empty() {
        return;
    }
    printer.text(&format!(
        "no step is to blame for {}; points are of the mean over all {} cases\n",
        found.unattributed, found.planned
    ));
    printer.table(
        &["mending the step", "restores cases", "could gain", "95% interval"],
        rows(&found.steps, String::clone),
    );
    printer.text("");
    let levels = rows(&found.levels, |level| level.word().to_string());
    printer.table(&["changes up to level", "restore cases", "could gain", "95% interval"], levels);
    if !cases {
        return;
    }
    let row = |one: &fapo_core::attribution::Located| {
        let blamed: Vec<String> = one.blamed.iter().map(|b| format!("{} ({})", b.step, word(b.seen_by))).collect();
        let why = one.unattributed.map_or(String::new(), word);
        let score = |points: f64| format!("{points:.2}");
        vec![
            one.case_id.clone(),
            blamed.join(", "),
            why,
            score(one.recorded),
            score(one.restored),
            one.replays.to_string(),
        ]
    };
    printer.text("");
    let head = ["case", "blamed", "none, because", "recorded", "with gold", "replays"];
    printer.table(&head, found.located.iter().map(row).collect());
}
