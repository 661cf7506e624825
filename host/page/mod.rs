//! Reports as pages for a browser: one file each, with everything in it. What a tenant wrote is escaped where it is put
//! in, and the page's own policy lets no browser load or run anything.

mod plot;
mod run;
mod study;
mod trial;

pub use run::run;
pub use study::study;
pub use trial::{Change, TrialFigures, trial};

use askama::Template;
use fapo_core::InputError;
use fapo_core::attribution::Cluster;
use fapo_core::names::shown;
use serde_json::json;

/// Characters of one text of a tenant on a page.
const TEXT_CHARS_MAX: usize = 400;

/// A plot with what it shows.
struct Plot {
    svg: String,
    caption: &'static str,
}

/// A cluster of failures, as pages show it.
struct ClusterRow {
    step: String,
    label: String,
    fix: String,
    level: String,
    confidence: String,
    count: usize,
    gain: String,
    example: String,
}

impl ClusterRow {
    fn of(cluster: &Cluster) -> Self {
        ClusterRow {
            step: cluster.step.clone(),
            label: cluster.label.clone(),
            fix: word(cluster.fix),
            level: cluster.level.map_or("-".into(), |level| level.word().to_string()),
            confidence: word(cluster.confidence),
            count: cluster.count,
            gain: points(cluster.gain),
            example: cut(&cluster.case_ids.join(", ")),
        }
    }
}

/// The word that a unit variant stands for.
fn word(value: impl serde::Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_string()
}

/// Points as `fapo show` prints them.
fn points(value: f64) -> String {
    format!("{value:.2}")
}

/// A 95% interval in words.
fn interval(ci: Option<[f64; 2]>) -> String {
    ci.map_or(String::new(), |[low, high]| format!("95% interval {low:.1} to {high:.1}"))
}

/// The beginning of a text, with control characters made visible.
fn cut(text: &str) -> String {
    let mut short: String = shown(text).chars().take(TEXT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn page(template: &impl Template) -> Result<String, InputError> {
    template.render().map_err(|e| InputError::new("the report's page", e.to_string()))
}
