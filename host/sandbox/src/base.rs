//! What every role's store holds: the virtual WASI, the meters, the log.

use crate::beside::Beside;
use crate::defence::{Defence, Defences};
use crate::ring::{LogRing, StreamRing};
use crate::virtual_wasi;
use fapo_core::fault::FaultKind;
use fapo_core::held::Held;
use fapo_core::limits::Limits;
use fapo_core::ports::{NodesUsed, ResourceUse, WallTime};
use std::future::Future;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView};

/// A limit that was passed, as the error that ends the store.
#[derive(Debug, thiserror::Error)]
#[error("limit {limit} passed: {message}")]
pub(crate) struct LimitPassed {
    /// Name in the table of limits.
    pub(crate) limit: &'static str,
    /// What the guest did.
    pub(crate) message: String,
    /// How the case is told about it.
    pub(crate) kind: FaultKind,
}

/// State common to the roles.
pub(crate) struct Base {
    wasi: WasiCtx,
    table: ResourceTable,
    /// Limits in force.
    pub(crate) limits: Limits,
    /// Defences in force.
    pub(crate) defences: Defences,
    /// What the guest wrote to stdout.
    stdout: StreamRing,
    /// What the guest wrote to stderr.
    pub(crate) stderr: StreamRing,
    /// Wall time so far; of the guest's share everything but what is waited for.
    pub(crate) wall: WallTime,
    began: Instant,
    /// What the host does for the guest's calls.
    pub(crate) beside: Beside,
    /// Log lines.
    pub(crate) log: LogRing,
    /// Name of the limit that refused the guest memory or table elements.
    pub(crate) growth_refused: Option<&'static str>,
    /// Epoch ticks of guest time in the current call.
    pub(crate) ticks: u64,
    memory_bytes: u64,
    memory_bytes_peak: u64,
    host_calls: u64,
    judge_calls: u64,
    traffic_bytes: u64,
    /// Calls answered `denied`.
    pub(crate) denials: Vec<String>,
}

impl Base {
    /// A fresh state; `seed` decides the guest's randomness.
    pub(crate) fn new(seed: &str, limits: Limits, defences: Defences) -> Self {
        let bounded = defences.has(Defence::StreamRing);
        let (stdout, stderr) = (StreamRing::new(bounded), StreamRing::new(bounded));
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(limits.handles).unwrap_or(usize::MAX));
        Base {
            wasi: virtual_wasi::context(seed, &stdout, &stderr, defences),
            table,
            limits,
            defences,
            stdout,
            stderr,
            wall: WallTime::default(),
            began: Instant::now(),
            beside: Beside::default(),
            log: LogRing::default(),
            growth_refused: None,
            ticks: 0,
            memory_bytes: 0,
            memory_bytes_peak: 0,
            host_calls: 0,
            judge_calls: 0,
            traffic_bytes: 0,
            denials: Vec::new(),
        }
    }

    pub(crate) fn wasi_view(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }

    /// Fuel of one case.
    pub(crate) fn fuel_units(&self) -> u64 {
        if self.defences.has(Defence::Fuel) { self.limits.fuel_units } else { u64::MAX }
    }

    /// Counts `n` calls into the host that carry `bytes`.
    pub(crate) fn count_calls(&mut self, n: usize, bytes: usize) -> wasmtime::Result<()> {
        let passed = |limit: &'static str, message: String| {
            Err(wasmtime::Error::new(LimitPassed { limit, message, kind: FaultKind::LimitExceeded }))
        };
        self.host_calls += n as u64;
        self.traffic_bytes += bytes as u64;
        if self.host_calls > self.limits.host_calls && self.defences.has(Defence::HostCalls) {
            return passed("host_calls", format!("more than {} host calls in one case", self.limits.host_calls));
        }
        if self.traffic_bytes > self.limits.traffic_bytes && self.defences.has(Defence::Traffic) {
            let most = self.limits.traffic_bytes;
            return passed("traffic_bytes", format!("more than {most} bytes in the host calls of one case"));
        }
        Ok(())
    }

    /// Counts `n` model calls of a judge.
    pub(crate) fn count_judge_calls(&mut self, n: usize) -> wasmtime::Result<()> {
        self.judge_calls += n as u64;
        if self.judge_calls <= self.limits.judge_calls {
            return Ok(());
        }
        Err(wasmtime::Error::new(LimitPassed {
            limit: "judge_calls",
            message: format!("more than {} calls of a judge in one case", self.limits.judge_calls),
            kind: FaultKind::LimitExceeded,
        }))
    }

    /// Handles that may be open at one time.
    pub(crate) fn handles_max(&self) -> usize {
        let bounded = self.defences.has(Defence::Handles);
        if bounded { usize::try_from(self.limits.handles).unwrap_or(usize::MAX) } else { usize::MAX }
    }

    /// Holds one call to `call_bytes`.
    pub(crate) fn check_call_bytes(&self, bytes: usize) -> wasmtime::Result<()> {
        if bytes as u64 <= self.limits.call_bytes || !self.defences.has(Defence::CallBytes) {
            return Ok(());
        }
        Err(wasmtime::Error::new(LimitPassed {
            limit: "call_bytes",
            message: format!("one call of {bytes} bytes; the limit is {}", self.limits.call_bytes),
            kind: FaultKind::LimitExceeded,
        }))
    }

    /// The longest that one host call may take.
    pub(crate) fn host_call_wall(&self) -> Duration {
        let guarded = self.defences.has(Defence::HostCallWall);
        Duration::from_millis(if guarded { self.limits.host_call_wall_ms } else { u64::MAX >> 20 })
    }

    /// Has a host call done off the guest's stack, and ended where it works for longer than it may.
    pub(crate) async fn done<T: Send + 'static>(
        &mut self,
        held: &Held,
        call: impl Future<Output = T> + Send + 'static,
    ) -> wasmtime::Result<T> {
        let (wall, held) = (self.host_call_wall(), held.clone());
        self.beside.done(async move { in_time(wall, &held, call).await }).await
    }

    /// The same for model calls: counts how long they worked and how long they were held.
    pub(crate) async fn served<T: Send + 'static>(
        &mut self,
        held: &Held,
        call: impl Future<Output = T> + Send + 'static,
    ) -> wasmtime::Result<T> {
        let (began, held_before) = (Instant::now(), held.total());
        let answer = self.done(held, call).await;
        let limiter = (held.total() - held_before).as_secs_f64();
        self.wall.limiter += limiter;
        self.wall.provider += (began.elapsed().as_secs_f64() - limiter).max(0.0);
        answer
    }

    /// Notes a call that the role may not make.
    pub(crate) fn deny(&mut self, what: &str) {
        if self.denials.len() < 16 {
            self.denials.push(what.to_string());
        }
    }

    /// What was used so far; `fuel` is what the store has left.
    pub(crate) fn used(&mut self, fuel_left: u64) -> ResourceUse {
        let (log, log_lines_lost) = self.log.take();
        let waited = self.wall.provider + self.wall.limiter + self.wall.retrieval + self.wall.nodes;
        self.wall.guest = (self.began.elapsed().as_secs_f64() - waited).max(0.0);
        let WallTime { guest, provider, limiter, retrieval, nodes, .. } = &mut self.wall;
        for part in [guest, provider, limiter, retrieval, nodes] {
            *part = to_micros(*part);
        }
        ResourceUse {
            fuel: self.fuel_units().saturating_sub(fuel_left),
            traffic_bytes: self.traffic_bytes,
            stream_bytes_lost: self.stdout.lost() + self.stderr.lost(),
            wall: self.wall,
            nodes: NodesUsed::default(),
            memory_bytes_peak: self.memory_bytes_peak,
            host_calls: self.host_calls,
            denials: std::mem::take(&mut self.denials),
            log,
            log_lines_lost,
        }
    }

    /// A line of the guest's log.
    pub(crate) fn write_log(&mut self, level: &str, message: &str) {
        let bounded = self.defences.has(Defence::LogRing);
        let bytes_max = if bounded { self.limits.log_bytes as usize } else { usize::MAX };
        let cut = message.floor_char_boundary(message.len().min(4 << 10));
        self.log.push(format!("{level}: {}", &message[..cut]), bytes_max);
    }
}

impl wasmtime::ResourceLimiter for Base {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes + (desired - current) as u64;
        if total > self.limits.memory_bytes && self.defences.has(Defence::Memory) {
            self.growth_refused = Some("memory_bytes");
            return Ok(false);
        }
        self.memory_bytes = total;
        self.memory_bytes_peak = self.memory_bytes_peak.max(total);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired as u64 > self.limits.table_elements {
            self.growth_refused = Some("table_elements");
            return Ok(false);
        }
        Ok(true)
    }
}

/// The error of a host call that the contract forbids.
pub(crate) fn invalid_call(message: String) -> wasmtime::Error {
    wasmtime::Error::new(LimitPassed { limit: "steps", message, kind: FaultKind::InvalidResult })
}

/// Seconds to the microsecond.
pub(crate) fn to_micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

/// Shortest time between two looks at a call that is held.
const HELD_LOOK: Duration = Duration::from_millis(5);

/// Works for longer than it may.
pub(crate) struct Overdue;

/// `call`, ended where it works for longer than `wall`; what it is `held` for is no work. A large future is best handed
/// over pinned: by itself it would stand in memory twice.
pub(crate) async fn within<T>(wall: Duration, held: &Held, call: impl Future<Output = T>) -> Result<T, Overdue> {
    let (began, held_before) = (Instant::now(), held.total());
    let mut call = std::pin::pin!(call);
    let mut left = wall;
    loop {
        if let Ok(answer) = tokio::time::timeout(left, &mut call).await {
            return Ok(answer);
        }
        let worked = began.elapsed().saturating_sub(held.total() - held_before);
        if worked >= wall {
            return Err(Overdue);
        }
        left = (wall - worked).max(HELD_LOOK);
    }
}

/// A host call, ended where it works for longer than `wall`.
pub(crate) async fn in_time<T>(wall: Duration, held: &Held, call: impl Future<Output = T>) -> wasmtime::Result<T> {
    within(wall, held, call).await.map_err(|Overdue| {
        wasmtime::Error::new(LimitPassed {
            limit: "host_call_wall_ms",
            message: format!("one host call took longer than {} ms", wall.as_millis()),
            kind: FaultKind::TimedOut,
        })
    })
}

/// A role's state: a [`Base`] and what only that role has.
pub(crate) trait HasBase: Send + 'static {
    /// The common part.
    fn base(&mut self) -> &mut Base;
}

/// Gives a role's state its WASI view and its `log`.
macro_rules! with_base {
    ($state:ty) => {
        impl crate::base::HasBase for $state {
            fn base(&mut self) -> &mut crate::base::Base {
                &mut self.base
            }
        }

        impl wasmtime_wasi::WasiView for $state {
            fn ctx(&mut self) -> wasmtime_wasi::WasiCtxView<'_> {
                self.base.wasi_view()
            }
        }

        impl crate::bindings::fapo::tenant::log::Host for $state {
            async fn write(
                &mut self,
                level: crate::bindings::fapo::tenant::log::Level,
                message: String,
            ) -> wasmtime::Result<()> {
                self.base.count_calls(1, message.len())?;
                self.base.write_log(crate::convert::level(level), &message);
                Ok(())
            }
        }

        impl crate::bindings::fapo::tenant::types::Host for $state {}
        impl crate::bindings::fapo::tenant::graph::Host for $state {}
        impl crate::bindings::fapo::tenant::node_types::Host for $state {}
    };
}
pub(crate) use with_base;

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};
    use std::task::Poll;

    #[tokio::test]
    async fn what_a_case_is_held_for_is_no_work() {
        let wall = Duration::from_millis(1);
        let held = Held::default();
        let mut holding = None;
        let mut polls = 0;
        // Held from its first poll to its fifth: each look at it is a time of `wall` that has passed.
        let call = poll_fn(|_| {
            polls += 1;
            holding.get_or_insert_with(|| held.hold());
            if polls == 5 { Poll::Ready("answered") } else { Poll::Pending }
        });
        assert!(matches!(within(wall, &held, call).await, Ok("answered")));
        drop(holding);
        assert!(within(wall, &held, pending::<()>()).await.is_err(), "what was held before does not count");
        let error = in_time(wall, &held, pending::<()>()).await.expect_err("it works for too long");
        assert!(error.to_string().contains("one host call took longer than 1 ms"), "{error}");
    }
}
