//! `fapo demo`: `optimize` with its arguments filled in, and nothing else.

use super::Exit;
use super::optimize::{Further, Optimize};
use super::printer::Printer;
use crate::place::Place;
use fapo_core::InputError;

/// Improve the tenant `demo_qa` on the model inside the program: no key, no server.
///
/// The same as `fapo optimize demo_qa --prepare --provider embedded --variants 8`. The first run builds the stock
/// component and the index and fetches the model (94 MB).
#[derive(clap::Args)]
#[command(after_help = "Example: fapo demo\nExample: fapo demo --dataset cases.jsonl --index passages.jsonl")]
pub(super) struct Demo {
    /// Most variants.
    #[arg(long, value_name = "N", default_value_t = 8)]
    variants: u32,
    /// The model service: `scripted` answers from a file and needs no model.
    #[arg(long, value_name = "NAME", default_value = "embedded")]
    provider: String,
    #[command(flatten)]
    further: Further,
}

const TENANT: &str = "demo_qa";

impl Demo {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if !place.tenant(TENANT).is_dir() {
            return Err(InputError::new(place.tenant(TENANT).display().to_string(), "is not there")
                .hint("run the demo from a checkout's root; elsewhere begin with `fapo tenant new my_task`"));
        }
        Optimize::of(TENANT, self.variants, self.provider, self.further).run(place, printer).await
    }
}
