//! How a run is asked to end early: no new case begins, those in flight come to their end.

use tokio::sync::watch;

/// Asks runs to end early.
#[derive(Clone, Debug)]
pub struct StopSource(watch::Sender<bool>);

/// What a run listens to.
#[derive(Clone, Debug)]
pub struct StopSignal(Option<watch::Receiver<bool>>);

impl StopSource {
    /// A source that has not asked yet.
    pub fn new() -> Self {
        StopSource(watch::Sender::new(false))
    }

    /// A signal of this source.
    pub fn signal(&self) -> StopSignal {
        StopSignal(Some(self.0.subscribe()))
    }

    /// Asks every run that listens to end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Default for StopSource {
    fn default() -> Self {
        StopSource::new()
    }
}

impl StopSignal {
    /// A signal that never comes.
    pub fn never() -> Self {
        StopSignal(None)
    }

    /// Whether the run was asked to end.
    pub fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|asked| *asked.borrow())
    }
}
