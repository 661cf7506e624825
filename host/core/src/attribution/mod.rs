//! Where a failed case lost its answer, and what could mend it.

mod cluster;
mod fix;
mod locate;

pub use cluster::{Cluster, clusters};
pub use fix::Fix;
pub use locate::{FailingStep, Loss, failing_steps, locate};
