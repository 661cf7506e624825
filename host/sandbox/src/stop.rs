//! Why a store came to its end, told as a fault with the guest's last words and readable frames.

use crate::base::{Base, LimitPassed};
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::ports::ServiceFault;
use wasmtime::{Trap, WasmBacktrace};

/// Bytes of the guest's stderr that a fault carries.
const STDERR_TAIL_BYTES: usize = 600;
/// The way out of every limit.
const HINT_LIMIT: &str = "let the component do less, or raise the limit under [limits] of the operator's file";
/// The way out of a trap.
const HINT_TRAP: &str =
    "mend the component where its frames point; `cargo test` in the tenant's folder runs it natively";
/// Frames that a fault carries.
const FRAMES_MAX: usize = 4;

/// A service fault on its way through the guest.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ServiceEnd(pub(crate) ServiceFault);

/// The guest ran for longer than its wall-clock guard.
#[derive(Debug, thiserror::Error)]
#[error("the call ran longer than call_wall_ms = {0}")]
pub(crate) struct CallTooLong(pub(crate) u64);

/// The fault behind the error that ended a store.
pub(crate) fn fault(phase: Phase, error: &wasmtime::Error, base: &Base) -> Fault {
    if let Some(ServiceEnd(service)) = error.downcast_ref::<ServiceEnd>() {
        return Fault {
            hint: service.hint.clone(),
            ..Fault::new(Phase::Provider, service.kind, service.message.clone())
        };
    }
    if let Some(passed) = error.downcast_ref::<LimitPassed>() {
        return Fault::new(phase, passed.kind, passed.to_string()).hint(HINT_LIMIT);
    }
    if let Some(long) = error.downcast_ref::<CallTooLong>() {
        return Fault::new(phase, FaultKind::TimedOut, long.to_string());
    }
    let (kind, why) = reason(error, base);
    let mut message = why;
    let said = base.stderr.tail(STDERR_TAIL_BYTES);
    if !said.is_empty() {
        message.push_str("; stderr: ");
        message.push_str(&said);
    }
    let frames = frames(error);
    if !frames.is_empty() {
        message.push_str("; in ");
        message.push_str(&frames.join(" < "));
    }
    let fault = Fault::new(phase, kind, message);
    let of_limit = matches!(kind, FaultKind::FuelExhausted | FaultKind::MemoryExceeded | FaultKind::LimitExceeded);
    fault.hint(if of_limit { HINT_LIMIT } else { HINT_TRAP })
}

fn reason(error: &wasmtime::Error, base: &Base) -> (FaultKind, String) {
    let trap = error.downcast_ref::<Trap>().copied();
    let refused = base.growth_refused;
    match (trap, refused) {
        (Some(Trap::OutOfFuel), _) => {
            (FaultKind::FuelExhausted, format!("limit fuel_units passed: {} units used up", base.limits.fuel_units))
        }
        (Some(Trap::StackOverflow), _) => (FaultKind::StackExceeded, "the guest's stack overflowed".to_string()),
        (_, Some(limit)) => {
            let value = base.limits.get(limit).unwrap_or_default();
            (FaultKind::MemoryExceeded, format!("limit {limit} passed: the guest asked for more than {value}"))
        }
        // A guest keeps large locals on a stack of its own in linear memory, and that one ends at address 0.
        (Some(Trap::MemoryOutOfBounds), None) => (
            FaultKind::Trapped,
            "the guest reached outside its memory (a stack that grew too deep does so)".to_string(),
        ),
        (Some(Trap::UnreachableCodeReached), None) => (FaultKind::Trapped, "the guest panicked".to_string()),
        (Some(trap), None) => (FaultKind::Trapped, format!("the guest trapped: {trap}")),
        (None, None) if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() => {
            (FaultKind::Trapped, "the guest called exit".to_string())
        }
        (None, None) => {
            let cause = error.root_cause().to_string();
            // wasmtime meters what it copies out of a guest and has no type for the end of it.
            if cause.contains("fuel allocated for hostcalls") {
                let why =
                    format!("limit call_bytes passed: one call carried more than {} bytes", base.limits.call_bytes);
                return (FaultKind::LimitExceeded, why);
            }
            if cause.contains("handle limit exceeded") || cause.contains("no free keys") {
                let why = format!("limit handles passed: more than {} open at one time", base.limits.handles);
                return (FaultKind::LimitExceeded, why);
            }
            (FaultKind::Trapped, format!("the guest was stopped: {cause}"))
        }
    }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let plain = |name: &str| {
        !["panic", "rust_begin_unwind", "abort", "std::", "core::", "alloc::", "__rust"]
            .iter()
            .any(|noise| name.contains(noise))
    };
    trace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| rustc_demangle::demangle(name).to_string())
        .map(|name| strip_hash(&name))
        .filter(|name| plain(name))
        .take(FRAMES_MAX)
        .collect()
}

fn strip_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((head, tail)) if tail.len() == 16 && tail.bytes().all(|b| b.is_ascii_hexdigit()) => head.to_string(),
        _ => name.to_string(),
    }
}
