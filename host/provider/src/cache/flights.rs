//! Single flight: of equal calls at the same time one is made, and all get what it came to.

use fapo_core::ports::{ModelReply, ProviderError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

type Flight = OnceCell<Result<ModelReply, ProviderError>>;

/// Calls under way, by key; at most as many as there are callers.
#[derive(Debug, Default)]
pub(super) struct Flights {
    open: Mutex<HashMap<String, Arc<Flight>>>,
}

impl Flights {
    /// What an equal call under way comes to, or else `answer`. Where the call that was made is dropped before its
    /// end, the next one in line makes its own.
    pub(super) async fn join(
        &self,
        key: &str,
        answer: impl Future<Output = Result<ModelReply, ProviderError>>,
    ) -> Result<ModelReply, ProviderError> {
        let seat = Seat { flights: self, key, flight: Some(self.board(key)) };
        let flight = seat.flight.as_ref().expect("only the drop takes it");
        flight.get_or_init(|| answer).await.clone()
    }

    fn board(&self, key: &str) -> Arc<Flight> {
        Arc::clone(self.lock().entry(key.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Flight>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller's share in a flight; the last one to leave closes it, however it leaves.
struct Seat<'a> {
    flights: &'a Flights,
    key: &'a str,
    flight: Option<Arc<Flight>>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut open = self.flights.lock();
        // Under the lock, as boarding is, so that the count below is exact.
        self.flight = None;
        if open.get(self.key).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            open.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::ports::{ContentFault, FinishReason};
    use futures::FutureExt;
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    fn reply(text: &str) -> ModelReply {
        ModelReply {
            text: text.to_owned(),
            finish: FinishReason::Stop,
            usage: None,
            model_served: None,
            fingerprint: None,
            cached: false,
            attempts: 1,
        }
    }

    #[tokio::test]
    async fn equal_calls_make_one_and_share_even_its_failure() {
        let flights = Flights::default();
        let made = AtomicU32::new(0);
        let fails = || async {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(ContentFault::ContextTooLong.into())
        };
        let outcomes = futures::future::join_all((0..5).map(|_| flights.join("a", fails()))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(flights.lock().is_empty());
        assert_eq!(flights.join("a", ready(Ok(reply("later")))).await.expect("a new flight").text, "later");
    }

    #[tokio::test]
    async fn a_dropped_call_hands_over_to_the_next_in_line() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join("a", pending()));
        assert!((&mut first).now_or_never().is_none());
        let mut second = Box::pin(flights.join("a", ready(Ok(reply("second")))));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert_eq!(second.await.expect("its own").text, "second");
        assert!(flights.lock().is_empty());
    }
}
