//! The WASI that guests see: empty and deterministic.
//!
//! No files, sockets, arguments or environment; a frozen wall clock, a monotonic clock that advances by a fixed
//! step per reading, randomness seeded by the case; stdout and stderr go to small rings. Interfaces that are
//! not linked here are refused when a component is loaded ([`crate::load`]).

use crate::defence::{Defence, Defences};
use crate::ring::StreamRing;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiView};

/// Interfaces linked for guests, without versions: the only WASI a component may import.
pub(crate) const ALLOWED: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The moment at which every guest's wall clock stands: 2026-01-01T00:00:00Z.
const FROZEN_SECONDS: u64 = 1_767_225_600;

struct FrozenClock;

impl HostWallClock for FrozenClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(FROZEN_SECONDS)
    }
}

#[derive(Default)]
struct SteppedClock(AtomicU64);

impl HostMonotonicClock for SteppedClock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

/// A context whose randomness depends on `seed` alone.
pub(crate) fn context(seed: &str, stdout: &StreamRing, stderr: &StreamRing, defences: Defences) -> WasiCtx {
    let bytes: [u8; 32] = Sha256::digest(seed.as_bytes()).into();
    let mut number = [0u8; 16];
    number.copy_from_slice(&bytes[..16]);
    let mut context = WasiCtx::builder();
    context.stdout(stdout.clone()).stderr(stderr.clone()).max_random_size(1 << 16).allow_tcp(false).allow_udp(false);
    if defences.has(Defence::FrozenClock) {
        context.wall_clock(FrozenClock).monotonic_clock(SteppedClock::default());
    }
    if defences.has(Defence::SeededRandom) {
        context
            .secure_random(Deterministic::new(bytes.to_vec()))
            .insecure_random(Deterministic::new(bytes.to_vec()))
            .insecure_random_seed(u128::from_le_bytes(number));
    }
    context.build()
}

/// Links the interfaces of [`ALLOWED`] and no other.
pub(crate) fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::{cli, random};
    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    cli::environment::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::exit::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(linker, T::cli)?;
    random::insecure::add_to_linker::<T, WasiRandom>(linker, |t| t.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<T, WasiRandom>(linker, |t| t.ctx().ctx.random())?;
    Ok(())
}
