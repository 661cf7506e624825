//! What a fresh sandbox costs before a component does anything of its own.

use super::doctor::Checks;
use fapo_core::InputError;
use fapo_core::case::Case;
use fapo_core::fault::Fault;
use fapo_core::ports::{Chain, Definition, Scorer};
use fapo_graph::GraphSpec;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Fresh sandboxes that are timed; the median counts.
const STARTS: usize = 15;
/// Above this a case is told to be slow to start: what a Rust component needs twice over.
const SLOW: Duration = Duration::from_micros(100);

/// Times both roles and says so: a fresh sandbox and its smallest call, the chain's check of an empty definition and the
/// scorer's look at `case`.
///
/// # Errors
/// A component cannot be asked.
pub(super) async fn check(
    subject: &str,
    chain: &dyn Chain,
    scorer: &dyn Scorer,
    case: &Case,
    profile: &Value,
    checks: &mut Checks,
) -> Result<(), InputError> {
    let fault = |role: &str, f: Fault| InputError::new(format!("{subject}, {role} component"), f.message);
    let graph = GraphSpec { nodes: Vec::new(), edges: Vec::new(), output: String::new() };
    let nothing = Definition { graph, prompts: Vec::new(), params: Vec::new() };
    let (mut chains, mut scorers) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        chain.check(&nothing).await.map_err(|f| fault("chain", f))?;
        chains.push(began.elapsed());
        let began = Instant::now();
        scorer.validate(std::slice::from_ref(case), profile).await.map_err(|f| fault("scorer", f))?;
        scorers.push(began.elapsed());
    }
    for (role, mut times) in [("chain", chains), ("scorer", scorers)] {
        times.sort();
        say(&format!("{subject}, {role} component"), times[STARTS / 2], checks);
    }
    Ok(())
}

fn say(subject: &str, cost: Duration, checks: &mut Checks) {
    let message = format!("a case costs {} us before the component's own work", cost.as_micros());
    if cost <= SLOW {
        return checks.ok(subject, &message);
    }
    checks.warning(InputError::new(subject, message).hint(format!(
        "more than {} us: a component of a few hundred kilobytes in Rust starts in less; build with --release, leave \
         out what is not needed, or take the time as the price of the language",
        SLOW.as_micros()
    )));
}
