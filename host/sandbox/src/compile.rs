//! Compiling in a process of its own.
//!
//! A hostile component can make a compiler take hours or all memory (wasmtime does not count that as a fault of its
//! own). So the host hands the bytes to a child: the same program, told to compile. The child limits its own
//! processor time and memory before it reads a byte; the host waits for a bounded time.

use crate::engine;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wasmtime::Engine;

/// What a compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time, seconds.
    pub cpu_seconds: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

/// How often the host looks whether the child has ended.
const POLL: Duration = Duration::from_millis(2);
/// Wall time a child gets for each second of its processor time: it may share the machine.
const WALL_PER_CPU: u32 = 4;

/// Threads that compile one component, at most: their stacks count as memory.
const THREADS_MAX: usize = 8;

/// Hidden command of the program that compiles; its two arguments are the limits.
pub const COMPILE_COMMAND: &str = "compile-component";
/// How the child ends where the fault is the machine's, not the component's.
pub const COMPILE_SET_UP_EXIT: u8 = 71;
/// Environment of the child. Its allocator takes memory as it needs it: a gigabyte taken beforehand, as it does
/// elsewhere, would count as used and leave nothing of a smaller limit.
const CHILD_ENV: [(&str, &str); 1] = [("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// What the child does: limits itself, reads a component, writes its compiled code.
///
/// # Errors
/// See [`NotCompiled`].
pub fn compile_here(
    limits: CompileLimits,
    component: &mut impl Read,
    code: &mut impl Write,
) -> Result<(), NotCompiled> {
    fn set_up(e: impl std::fmt::Display) -> NotCompiled {
        NotCompiled::SetUp(e.to_string())
    }
    fn refused(e: wasmtime::Error) -> NotCompiled {
        NotCompiled::Refused(format!("{e:#}"))
    }
    // Before the limits, so that a thread that cannot be had is the machine's fault.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(set_up)?;
    limit_this_process(limits).map_err(set_up)?;
    let mut bytes = Vec::new();
    component.read_to_end(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => NotCompiled::Refused(error.to_string()),
        _ => set_up(error),
    })?;
    let engine = Engine::new(&engine::compiler_config()).map_err(refused)?;
    let compiled = engine.precompile_component(&bytes).map_err(refused)?;
    code.write_all(&compiled).and_then(|()| code.flush()).map_err(set_up)
}

#[cfg(unix)]
fn limit_this_process(limits: CompileLimits) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let rows = [
        (Resource::Cpu, limits.cpu_seconds),
        // Private writable memory; what is only reserved does not count.
        (Resource::Data, limits.memory_bytes),
        (Resource::Core, 0),
    ];
    for (resource, value) in rows {
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).map_err(|e| e.to_string())?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process(_: CompileLimits) -> Result<(), String> {
    Ok(())
}

/// Why a component did not compile.
#[derive(Debug, thiserror::Error)]
pub enum NotCompiled {
    /// The component's own fault: the same bytes will fail again.
    #[error("{0}")]
    Refused(String),
    /// The machine's.
    #[error("{0}")]
    SetUp(String),
}

/// Compiles in a child of `program`.
pub(crate) fn compile_apart(program: &Path, limits: CompileLimits, bytes: &[u8]) -> Result<Vec<u8>, NotCompiled> {
    let set_up = |e: std::io::Error| NotCompiled::SetUp(format!("{}: {e}", program.display()));
    let mut child = Command::new(program)
        .args([COMPILE_COMMAND, &limits.cpu_seconds.to_string(), &limits.memory_bytes.to_string()])
        .env_clear()
        .envs(CHILD_ENV)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(set_up)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (status, code, said) = std::thread::scope(|scope| {
        // A child that dies early closes the pipe; its exit says why.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(bytes)));
        let code = scope.spawn(move || read_all(stdout));
        let said = scope.spawn(move || read_all(stderr.map(|pipe| pipe.take(64 << 10))));
        let status = wait(&mut child, Duration::from_secs(limits.cpu_seconds) * WALL_PER_CPU);
        (status, code.join().unwrap_or_default(), said.join().unwrap_or_default())
    });
    match status.map_err(set_up)? {
        None => Err(NotCompiled::SetUp(format!(
            "compiling took longer than {WALL_PER_CPU} times compile_cpu_seconds = {} by the clock",
            limits.cpu_seconds
        ))),
        Some(status) if status.success() => Ok(code),
        Some(status) => Err(fault(status, String::from_utf8_lossy(&said).trim(), limits)),
    }
}

/// Whose fault it is that the child ended so.
fn fault(status: ExitStatus, said: &str, limits: CompileLimits) -> NotCompiled {
    if status.code() == Some(COMPILE_SET_UP_EXIT.into()) {
        NotCompiled::SetUp(last_words(said))
    } else {
        NotCompiled::Refused(why(status, said, limits))
    }
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What a child that was killed had not written is missed by nobody.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    bytes
}

/// The child's end; `None` where it had to be killed after `longest`.
fn wait(child: &mut Child, longest: Duration) -> std::io::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > longest {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// What the standard library, the compiler and the system say where there is no more memory.
const NO_MEMORY: [&str; 4] = ["memory allocation", "annot allocate", "failed to allocate", "out of memory"];

fn why(status: ExitStatus, said: &str, limits: CompileLimits) -> String {
    if NO_MEMORY.iter().any(|words| said.contains(words)) {
        return format!("limit compile_memory_bytes passed: more than {} bytes", limits.memory_bytes);
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        // SIGXCPU at the soft limit, SIGKILL at the hard one.
        if signal == 24 || signal == 9 {
            return format!("limit compile_cpu_seconds passed: more than {} s of processor time", limits.cpu_seconds);
        }
        return format!("the compiler ended by signal {signal}: {}", last_words(said));
    }
    let _ = status;
    last_words(said)
}

fn last_words(said: &str) -> String {
    let start = said.ceil_char_boundary(said.len().saturating_sub(600));
    said[start..].trim().to_string()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn what_the_machine_lacks_is_not_laid_at_the_component() {
        let limits = CompileLimits { cpu_seconds: 3, memory_bytes: 1_000 };
        let set_up = ExitStatus::from_raw(i32::from(COMPILE_SET_UP_EXIT) << 8);
        assert!(matches!(fault(set_up, "no threads", limits), NotCompiled::SetUp(why) if why == "no threads"));
        for (status, said, told) in [
            (2 << 8, "unknown opcode", "unknown opcode"),
            (2 << 8, "failed to allocate 64 bytes", "limit compile_memory_bytes passed: more than 1000 bytes"),
            (6, "memory allocation of 64 bytes failed", "limit compile_memory_bytes passed: more than 1000 bytes"),
            (24, "", "limit compile_cpu_seconds passed: more than 3 s of processor time"),
            (9, "", "limit compile_cpu_seconds passed: more than 3 s of processor time"),
            (11, "", "the compiler ended by signal 11: "),
        ] {
            let refused = fault(ExitStatus::from_raw(status), said, limits);
            assert!(matches!(&refused, NotCompiled::Refused(why) if why == told), "{refused:?}");
        }
    }
}
