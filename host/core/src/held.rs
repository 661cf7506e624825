//! Time in which a case was kept from working: it waited for a place or for tokens at a service, or for the pause
//! between two requests. A case's deadlines do not count it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What one case was held for so far. Clones are the same clock, and any two are equal: being held is no part of what
/// a call asks for.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Calls that are held now.
    calls: u32,
    /// Since when at least one is.
    since: Option<Instant>,
    /// Of earlier times.
    total: Duration,
}

impl PartialEq for Held {
    fn eq(&self, _: &Held) -> bool {
        true
    }
}

impl Eq for Held {}

impl Held {
    /// Begins a time in which a call of the case is held; dropping it ends it.
    #[must_use]
    pub fn hold(&self) -> Holding<'_> {
        let mut state = self.lock();
        state.calls += 1;
        state.since.get_or_insert_with(Instant::now);
        Holding(self)
    }

    /// How long at least one call of the case was held, what is going on included.
    pub fn total(&self) -> Duration {
        let state = self.lock();
        state.total + state.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time in which a call is held.
#[derive(Debug)]
pub struct Holding<'a>(&'a Held);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.calls -= 1;
        if state.calls == 0
            && let Some(since) = state.since.take()
        {
            state.total += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_are_held_together_count_once() {
        let held = Held::default();
        assert_eq!(held.total(), Duration::ZERO);
        let (first, second) = (held.hold(), held.hold());
        let since = held.lock().since.expect("one began");
        drop(first);
        assert_eq!(held.lock().since, Some(since), "the other still is");
        assert!(held.total() <= since.elapsed());
        drop(second);
        let total = held.total();
        assert!(held.lock().since.is_none() && total <= since.elapsed());
        assert_eq!(held.clone().total(), total, "a clone is the same clock");
        assert_eq!(held.total(), total, "and it stands");
    }
}
