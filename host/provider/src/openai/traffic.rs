//! How fast one route is asked, by all cases together: how many requests are under way, and how many requests and
//! tokens a minute, as the operator bounds them and as the service lets on.
//!
//! The number under way is unbounded until the service is too busy. It then shrinks by three tenths whenever more than
//! a tenth of a round of answers were refusals, and grows by a tenth after a round with fewer: refusals that come by
//! chance slow nothing down. A call that pauses before its retry holds no place, so that a long `Retry-After` stops
//! that call alone.

use super::quota::{Bucket, Quotas};
use crate::sleeper::Sleeper;
use fapo_core::held::Held;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Answers of a round, at least and at most.
const ROUND: (f64, f64) = (8.0, 512.0);
/// Share of refusals in a round above which fewer requests go side by side.
const REFUSED_SHARE: f64 = 0.1;
/// What then is left of their number.
const SHRINK: f64 = 0.7;
/// What it grows by after a round with fewer.
const GROW: f64 = 1.1;

/// Bounds of the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Most requests under way, at least 1; no bound where absent.
    pub concurrency_max: Option<u32>,
    /// Most requests a minute, at least 1.
    pub requests_per_minute: Option<u64>,
    /// Most tokens a minute, at least 1: prompts and replies, estimated before a call and corrected after it.
    pub tokens_per_minute: Option<u64>,
}

/// The traffic of one route.
pub(super) struct Traffic {
    state: Mutex<State>,
    /// A place or some tokens may be free.
    freed: Notify,
    /// Whose turn it is to wait for them: calls go in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    sleeper: Arc<dyn Sleeper>,
}

struct State {
    under_way: usize,
    /// Most requests under way; infinite while nothing bounds it.
    most: f64,
    /// The operator's bound on that.
    concurrency_max: f64,
    round: Round,
    /// Rounds so far; what was sent in an earlier one says nothing about the number that is set now.
    rounds: u64,
    /// The operator's buckets, then the service's.
    requests: [Option<Bucket>; 2],
    tokens: [Option<Bucket>; 2],
}

/// Answers since the number under way was last set.
#[derive(Default)]
struct Round {
    answers: u32,
    refused: u32,
    /// Most that were under way at a time.
    peak: usize,
}

/// How a request ended, as far as traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Answered, whatever the answer.
    Answered,
    /// Refused, or not answered, because the service has too much to do.
    Busy,
}

impl Traffic {
    pub(super) fn new(pace: Pace, sleeper: Arc<dyn Sleeper>) -> Self {
        let now = sleeper.now();
        let concurrency_max = pace.concurrency_max.map_or(f64::INFINITY, f64::from);
        let bucket = |most: Option<u64>| [most.map(|most| Bucket::per_minute(most, now)), None];
        let state = State {
            under_way: 0,
            most: concurrency_max,
            concurrency_max,
            round: Round::default(),
            rounds: 0,
            requests: bucket(pace.requests_per_minute),
            tokens: bucket(pace.tokens_per_minute),
        };
        Traffic { state: Mutex::new(state), freed: Notify::new(), turn: tokio::sync::Mutex::default(), sleeper }
    }

    /// A place for one request of about so many tokens; the wait for it is the case's `held` time.
    pub(super) async fn enter(&self, tokens: u64, held: &Held) -> Place<'_> {
        let tokens = tokens as f64;
        if let Ok(_turn) = self.turn.try_lock()
            && let Entry::Open(place) = self.try_enter(tokens)
        {
            return place;
        }
        let _holding = held.hold();
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            match self.try_enter(tokens) {
                Entry::Open(place) => return place,
                Entry::Full => freed.await,
                Entry::In(pause) => tokio::select! { () = freed => {}, () = self.sleeper.sleep(pause) => {} },
            }
        }
    }

    fn try_enter(&self, tokens: f64) -> Entry<'_> {
        let now = self.sleeper.now();
        let mut state = self.lock();
        if state.under_way as f64 >= state.most {
            return Entry::Full;
        }
        let wait_of = |buckets: &mut [Option<Bucket>; 2], need: f64| {
            buckets.iter_mut().flatten().map(|bucket| bucket.wait(need, now)).max().unwrap_or_default()
        };
        let pause = wait_of(&mut state.requests, 1.0).max(wait_of(&mut state.tokens, tokens));
        if !pause.is_zero() {
            return Entry::In(pause);
        }
        state.requests.iter_mut().flatten().for_each(|bucket| bucket.take(1.0));
        state.tokens.iter_mut().flatten().for_each(|bucket| bucket.take(tokens));
        state.under_way += 1;
        state.round.peak = state.round.peak.max(state.under_way);
        Entry::Open(Place { of: self, tokens, round: state.rounds })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an answer, and after a round of them sets how many go side by side.
    fn learn(&mut self, end: End) {
        self.round.answers += 1;
        self.round.refused += u32::from(end == End::Busy);
        if f64::from(self.round.answers) < self.most.clamp(ROUND.0, ROUND.1) && self.round.refused < ROUND.0 as u32 {
            return;
        }
        let Round { answers, refused, peak } = std::mem::take(&mut self.round);
        self.round.peak = self.under_way;
        self.rounds += 1;
        if f64::from(refused) > REFUSED_SHARE * f64::from(answers) {
            self.most = (self.most.min(peak as f64) * SHRINK).max(1.0);
        } else {
            self.most = (self.most * GROW).max(self.most + 1.0).min(self.concurrency_max);
        }
    }
}

enum Entry<'a> {
    Open(Place<'a>),
    /// No place is free.
    Full,
    /// A place is free, but no request or no tokens before this has passed.
    In(Duration),
}

/// The place of a request under way.
pub(super) struct Place<'a> {
    of: &'a Traffic,
    tokens: f64,
    round: u64,
}

impl Place<'_> {
    /// The request ended so, with what the service said is left, and the tokens it took where they are known.
    pub(super) fn ended(self, end: End, quotas: Quotas, tokens: Option<u64>) {
        let mut state = self.of.lock();
        if let (Some(used), Some(bucket)) = (tokens, &mut state.tokens[0]) {
            bucket.take(used as f64 - self.tokens);
        }
        if quotas.requests.is_some() {
            state.requests[1] = quotas.requests;
        }
        if quotas.tokens.is_some() {
            state.tokens[1] = quotas.tokens;
        }
        if self.round == state.rounds {
            state.learn(end);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.of.lock().under_way -= 1;
        self.of.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sleeper::TokioSleeper;
    use fapo_core::ports::BoxFuture;
    use futures::FutureExt;
    use std::time::SystemTime;

    fn traffic(pace: Pace) -> Traffic {
        Traffic::new(pace, Arc::new(TokioSleeper))
    }

    fn open(traffic: &Traffic) -> Option<Place<'_>> {
        traffic.enter(1, &Held::default()).now_or_never()
    }

    /// A clock that moves when it is slept on.
    struct Slept(Mutex<Duration>);

    impl Sleeper for Slept {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + *self.0.lock().expect("free")
        }

        fn sleep(&self, pause: Duration) -> BoxFuture<'_, ()> {
            *self.0.lock().expect("free") += pause;
            Box::pin(std::future::ready(()))
        }
    }

    /// `n` rounds of calls side by side, of which the first `refused` of each are too many.
    fn rounds(traffic: &Traffic, n: usize, side_by_side: usize, busy: impl Fn(usize) -> bool) {
        for _ in 0..n {
            let places: Vec<_> = std::iter::from_fn(|| open(traffic)).take(side_by_side).collect();
            for (at, place) in places.into_iter().enumerate() {
                let end = if busy(at) { End::Busy } else { End::Answered };
                place.ended(end, Quotas::default(), None);
            }
        }
    }

    #[test]
    fn a_busy_service_gets_fewer_at_a_time_and_more_again_when_it_answers() {
        let traffic = traffic(Pace::default());
        rounds(&traffic, 3, 100, |_| false);
        assert_eq!(traffic.lock().most, f64::INFINITY, "nothing bounds what is answered");
        // It takes 20 at a time.
        rounds(&traffic, 12, 100, |at| at >= 20);
        let most = traffic.lock().most;
        assert!((14.0..=30.0).contains(&most), "{most}");
        rounds(&traffic, 80, 100, |_| false);
        assert!(traffic.lock().most > 100.0);
    }

    #[test]
    fn refusals_by_chance_slow_nothing_down_and_only_refusals_never_stop_it() {
        let traffic = traffic(Pace::default());
        rounds(&traffic, 20, 64, |at| at % 20 == 0);
        assert_eq!(traffic.lock().most, f64::INFINITY);
        rounds(&traffic, 60, 64, |_| true);
        assert_eq!(traffic.lock().most, 1.0);
        assert!(open(&traffic).is_some(), "one may always ask");
    }

    #[tokio::test]
    async fn places_are_bounded_handed_on_in_order_and_given_back_by_what_is_dropped() {
        let traffic = traffic(Pace { concurrency_max: Some(2), ..Pace::default() });
        let held = Held::default();
        let (first, second) = (open(&traffic).expect("free"), open(&traffic).expect("free"));
        let mut third = Box::pin(traffic.enter(1, &held));
        let mut fourth = Box::pin(traffic.enter(1, &held));
        assert!((&mut third).now_or_never().is_none() && (&mut fourth).now_or_never().is_none());
        drop(first);
        assert!((&mut fourth).now_or_never().is_none(), "it came later");
        let third = third.now_or_never().expect("the place of the first");
        drop((second, third));
        assert!(fourth.now_or_never().is_some());
        assert_eq!(traffic.lock().under_way, 0);
        let gives_up = Box::pin(traffic.enter(1, &held));
        drop(gives_up);
        assert!(open(&traffic).is_some(), "who gives up while it waits takes nothing along");
    }

    #[tokio::test]
    async fn requests_and_tokens_a_minute_are_kept() {
        let clock = Arc::new(Slept(Mutex::default()));
        let theirs = Arc::clone(&clock) as Arc<dyn Sleeper>;
        let pace = Pace { requests_per_minute: Some(60), tokens_per_minute: Some(6_000), ..Pace::default() };
        let traffic = Traffic::new(pace, theirs);
        for _ in 0..70 {
            drop(traffic.enter(10, &Held::default()).await);
        }
        // Ten at once, then one a second.
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
        // A thousand tokens are ten seconds' worth; half of them were not needed.
        traffic.enter(1_000, &Held::default()).await.ended(End::Answered, Quotas::default(), Some(500));
        let before = clock.now();
        traffic.enter(900, &Held::default()).await.ended(End::Answered, Quotas::default(), None);
        let waited = clock.now().duration_since(before).expect("later");
        assert!((3.9..4.1).contains(&waited.as_secs_f64()), "{waited:?}");
    }
}
