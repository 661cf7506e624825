//! Where a failed case lost its answer.

mod locate;

pub use locate::{FailingStep, Loss, failing_steps, locate};
