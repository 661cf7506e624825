//! Time as the retries see it, so that tests need not wait.

use fapo_core::ports::BoxFuture;
use std::time::{Duration, SystemTime};

/// Waits, and says what time it is (for a `Retry-After` that names a date).
pub trait Sleeper: Send + Sync {
    /// Now, on the wall clock.
    fn now(&self) -> SystemTime;
    /// Comes back after `pause`.
    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()>;
}

/// The real thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSleeper;

impl Sleeper for TokioSleeper {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(pause))
    }
}
