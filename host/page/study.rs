//! The page of a study.

use super::{page, plot};
use crate::study::{HEAD, Row, Table};
use askama::Template;
use fapo_core::InputError;

#[derive(Template)]
#[template(path = "study.html")]
struct Page {
    study: String,
    planned: u32,
    plot: String,
    head: [&'static str; 9],
    rows: Vec<Vec<String>>,
    sentences: Vec<String>,
}

/// The page of a study's table.
///
/// # Errors
/// The plot cannot be drawn.
pub fn study(table: &Table) -> Result<String, InputError> {
    let pair = |row: &Row| plot::Pair {
        name: format!("{}, {}, {}", row.of.tenant, row.of.model, row.of.policy.word()),
        baseline: (row.baseline_test.mean, row.baseline_test.sd.unwrap_or_default()),
        selected: (row.selected_test.mean, row.selected_test.sd.unwrap_or_default()),
    };
    page(&Page {
        study: table.study.clone(),
        planned: table.planned,
        plot: plot::pairs(&table.rows.iter().map(pair).collect::<Vec<_>>())?,
        head: HEAD,
        rows: table.cells(),
        sentences: table.sentences(),
    })
}
