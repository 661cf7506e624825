//! `fapo index search`: what an index finds.

use super::Exit;
use super::lines::{FoundPassage, Line, SearchLine, SearchesLine};
use super::printer::Printer;
use crate::place::{Place, read_text};
use crate::services;
use fapo_core::InputError;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Search an index as a chain would: passages by exact BM25, best first, equal scores by passage id.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo index search demo \"Who built Harrow Lighthouse?\" --k 3\n\
Example: fapo index search demo --queries questions.jsonl --json")]
pub(super) struct Search {
    /// Name under [indexes] of the operator's file.
    name: String,
    /// Plain words.
    #[arg(required_unless_present = "queries")]
    query: Option<String>,
    /// Many queries: JSONL, an object a line with `query` or `question`, or a case a line.
    #[arg(long, value_name = "FILE", conflicts_with = "query")]
    queries: Option<PathBuf>,
    /// Passages wanted of each.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    k: u32,
}

impl Search {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let operator = place.read_operator()?;
        let source = operator.indexes.get(&self.name).ok_or_else(|| {
            InputError::new(place.operator.display().to_string(), format!("no index is called {:?}", self.name))
                .hint(format!("indexes: {}", operator.indexes.keys().cloned().collect::<Vec<_>>().join(", ")))
        })?;
        let index = services::open_index(place, &self.name, source)?;
        let queries = match (&self.query, &self.queries) {
            (Some(query), _) => vec![query.clone()],
            (None, file) => queries(file.as_deref().unwrap_or_else(|| std::path::Path::new("")))?,
        };
        let mut spent = Duration::ZERO;
        let many = queries.len() > 1;
        let count = queries.len() as u64;
        for query in queries {
            let began = Instant::now();
            let found = index.search(&query, self.k);
            spent += began.elapsed();
            let found = found.map_err(|fault| InputError::new(format!("index {}", self.name), fault.message))?;
            if many {
                printer.text(&format!("\n{query}"));
            }
            let rows = found.iter().enumerate().map(|(at, hit)| {
                let start: String = hit.text.chars().take(80).collect();
                vec![
                    format!("{}", at + 1),
                    format!("{:.3}", hit.score),
                    hit.passage_id.clone(),
                    hit.title.clone(),
                    start,
                ]
            });
            printer.table(&["", "score", "id", "title", "text"], rows.collect());
            let hits = found.into_iter();
            let hits = hits.map(|h| FoundPassage { passage_id: h.passage_id, title: h.title, score: h.score });
            printer.line(&Line::Search(SearchLine { query, hits: hits.collect() }));
        }
        if many {
            printer.text(&format!("\n{count} queries in {:.3} s", spent.as_secs_f64()));
        }
        printer.line(&Line::Searches(SearchesLine { queries: count, seconds: spent.as_secs_f64() }));
        Ok(Exit::Done)
    }
}

fn queries(file: &std::path::Path) -> Result<Vec<String>, InputError> {
    let text = read_text(file)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let row: Value = serde_json::from_str(line).unwrap_or_default();
            let query =
                [&row["query"], &row["question"], &row["context"]["question"]].into_iter().find_map(Value::as_str);
            query.map(str::to_string).ok_or_else(|| {
                InputError::new(format!("{}:{}", file.display(), at + 1), "holds no query")
                    .hint("a line is {\"query\": …} or {\"question\": …}")
            })
        })
        .collect()
}
