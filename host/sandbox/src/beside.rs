//! What the host does for a guest's call, kept off the guest's stack: a future that is polled there would take a dozen
//! pages of every stack, and each guest that waits has one.

use fapo_core::ports::BoxFuture;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::oneshot;

/// The place of a call under way. Clones are the same place: the guest's store has one, who runs the guest another.
#[derive(Clone, Default)]
pub(crate) struct Beside(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Beside {
    /// On the guest's stack: has `call` done by whoever runs the guest [`with`](Self::with) this place, and waits for it.
    pub(crate) async fn done<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        let (send, answer) = oneshot::channel();
        *self.place() = Some(Box::pin(async move {
            // Where nobody waits any more, nobody needs it.
            let _ = send.send(call.await);
        }));
        match answer.await {
            Ok(answer) => answer,
            // The call was dropped with the guest.
            Err(_) => pending().await,
        }
    }

    /// Runs a guest and, beside it, what it calls; both end together. While a call is under way the guest waits for
    /// nothing else and is left alone: a look at it would be a change of stacks.
    pub(crate) async fn with<T>(&self, guest: impl Future<Output = T>) -> T {
        let mut guest = pin!(guest);
        poll_fn(|context| {
            loop {
                let under_way = self.place().take();
                if let Some(mut call) = under_way
                    && call.as_mut().poll(context).is_pending()
                {
                    *self.place() = Some(call);
                    return Poll::Pending;
                }
                if let Poll::Ready(ended) = guest.as_mut().poll(context) {
                    *self.place() = None;
                    return Poll::Ready(ended);
                }
                if self.place().is_none() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn place(&self) -> MutexGuard<'_, Option<BoxFuture<'static, ()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::poll_immediate;
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    #[tokio::test]
    async fn calls_are_done_one_after_the_other() {
        let beside = Beside::default();
        let guest = async {
            let mut sum = 0;
            for n in 0..5 {
                sum += beside
                    .done(async move {
                        yield_now().await;
                        n
                    })
                    .await;
            }
            sum
        };
        assert_eq!(beside.with(guest).await, 10);
    }

    #[tokio::test]
    async fn a_call_ends_with_its_guest() {
        for guest_gives_up in [true, false] {
            let beside = Beside::default();
            let (send, mut ended) = oneshot::channel::<()>();
            let call = beside.done(async move {
                let _send = send;
                pending::<()>().await
            });
            if guest_gives_up {
                assert!(beside.with(async { poll_immediate(call).await.is_none() }).await);
            } else {
                assert!(timeout(Duration::from_millis(1), beside.with(call)).await.is_err());
                // The store, which has the place as well, goes with the guest.
                drop(beside);
            }
            assert!(ended.try_recv().is_err_and(|why| why == oneshot::error::TryRecvError::Closed));
        }
    }

    #[tokio::test]
    async fn a_panic_of_the_host_reaches_who_runs_the_guest() {
        let beside = Beside::default();
        let guest = beside.done(async { panic!("as the test wants") });
        assert!(AssertUnwindSafe(beside.with::<()>(guest)).catch_unwind().await.is_err());
    }
}
