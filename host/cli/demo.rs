//! `fapo demo`: everything from nothing, with no key and no server.

use super::eval::{self, Eval};
use super::optimize::Optimize;
use super::printer::Printer;
use super::{Exit, index_build};
use crate::place::Place;
use fapo_core::InputError;

/// Build the components and the index, evaluate the tenant `demo_qa` with scripted replies, show a failed case, and
/// improve the tenant's chain: `eval` and `optimize` with their arguments filled in.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo demo")]
pub(super) struct Demo {}

const TENANT: &str = "demo_qa";
const CONFIG: &str = "tenants/demo_qa/configs/train.json";

impl Demo {
    pub(super) async fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        if !place.root.join(CONFIG).is_file() {
            return Err(InputError::new(place.root.join(CONFIG).display().to_string(), "is not there")
                .hint("run the demo from a checkout's root; elsewhere begin with `fapo tenant new my_task`"));
        }
        printer.note("building the index, and on the first run the stock component (about a minute)");
        index_build::Build::of(vec!["demo".into()]).run(place, printer)?;
        let ended = eval::evaluate(&Eval::of(CONFIG), place, printer).await?;
        if let Some(record) = ended.report.records.iter().find(|r| r.fault.is_none() && r.composite() < 100.0) {
            printer.text("\nThe first failed case in full:\n");
            super::report::print_case(record, &ended.limits, printer);
            printer.text(&format!("\nother cases: fapo show {} --case <case id>", ended.dir.display()));
        }
        if ended.exit != Exit::Done {
            return Ok(ended.exit);
        }
        printer.text(&format!("\nImproving the chain (fapo optimize {TENANT}):\n"));
        Optimize::of(TENANT).run(place, printer).await
    }
}
