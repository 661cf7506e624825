//! `fapo index build`: an index from the text that the operator's file names.

use super::Exit;
use super::lines::{IndexLine, Line};
use super::printer::Printer;
use crate::place::{Place, unwritable};
use crate::services::{corpus, settings};
use fapo_core::InputError;

/// Build an index from its text; one that fits already is left as it is.
///
/// The text is a JSONL file: an object a line with `text`, and where wanted `title` and `id`. The operator's file
/// says where it is: `[indexes.<name>] corpus = "<file>"`, with `k1` and `b` where they differ from 0.9 and 0.4.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo index build demo")]
pub(super) struct Build {
    /// Names under [indexes] of the operator's file; all of them where none is given.
    names: Vec<String>,
}

impl Build {
    /// All indexes, or the named ones.
    pub(super) fn of(names: Vec<String>) -> Self {
        Build { names }
    }

    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let operator = place.read_operator()?;
        let names = if self.names.is_empty() { operator.indexes.keys().cloned().collect() } else { self.names };
        for name in names {
            let source = operator.indexes.get(&name).ok_or_else(|| {
                InputError::new(place.operator.display().to_string(), format!("no index is called {name:?}"))
                    .hint(format!("add a table: [indexes.{name}] corpus = \"<file>.jsonl\""))
            })?;
            let dir = place.index(&name);
            let parent = place.work.join("indexes");
            std::fs::create_dir_all(&parent).map_err(|e| unwritable(&parent, &e))?;
            let manifest = fapo_retrieval::build(&corpus(place, source), &dir, settings(source)).map_err(|e| {
                let hint = "a passage is a line {\"id\": …, \"title\": …, \"text\": …}; id and title may be missing";
                if e.hint.is_none() { e.hint(hint) } else { e }
            })?;
            printer.text(&format!("index {name}: {} passages, {}", manifest.passages, dir.display()));
            printer.line(&Line::Index(IndexLine {
                name,
                passages: manifest.passages,
                digest: manifest.digest(),
                dir: dir.display().to_string(),
            }));
        }
        Ok(Exit::Done)
    }
}
