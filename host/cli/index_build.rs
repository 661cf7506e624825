//! `fapo index build`: an index from the text that the operator's file names.

use super::Exit;
use super::lines::{IndexLine, Line};
use super::printer::Printer;
use crate::place::Place;
use crate::prepare;
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
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let operator = place.read_operator()?;
        let names = if self.names.is_empty() { operator.indexes.keys().cloned().collect() } else { self.names };
        for name in names {
            let manifest = prepare::index(place, &operator, &name)?;
            let dir = place.index(&name);
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
