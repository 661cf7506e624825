//! `fapo noise`: the same config against itself.

use super::Exit;
use super::epochs;
use super::printer::Printer;
use crate::place::Place;
use crate::plan::EvalOptions;
use fapo_core::InputError;
use std::path::PathBuf;

/// Run a config several times and say which difference between two runs of it is chance alone.
///
/// Each repeat draws other samples: it is never answered by the replies of another one, and has a run folder of its
/// own. A variant that gains less than the noise has shown nothing; more cases make the noise smaller.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo noise --config tenants/demo_qa/configs/validation.json --repeats 3")]
pub(super) struct Noise {
    /// The eval config; a relative path counts from the root.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Runs of it.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=100))]
    repeats: u32,
    /// Only the first cases.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Where the runs go, counted from the work folder [default: runs/<tenant>-<identity> and -epoch-<n> beside it].
    #[arg(long, value_name = "DIR")]
    output_dir: Option<String>,
}

impl Noise {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let options = EvalOptions {
            config: self.config,
            limit: self.limit,
            output_dir: self.output_dir,
            own_folder: true,
            ..EvalOptions::default()
        };
        // What is measured here is chance: no gate is asked.
        epochs::run(place, &options, self.repeats, None, false, printer).await
    }
}
