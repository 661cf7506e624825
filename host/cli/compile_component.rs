//! `fapo compile-component`: the child that compiles a component under limits of its own. Not for people.

use super::EXIT_INPUT;
use super::printer::Printer;
use fapo_core::InputError;
use fapo_sandbox::{COMPILE_SET_UP_EXIT, CompileLimits, NotCompiled, compile_here};
use std::process::ExitCode;

/// Compile the component on stdin to stdout, within limits of this process.
#[derive(clap::Args)]
pub(super) struct CompileComponent {
    /// Processor time, seconds.
    cpu_seconds: u64,
    /// Memory, bytes.
    memory_bytes: u64,
}

impl CompileComponent {
    pub(super) fn run(&self, printer: Printer) -> ExitCode {
        let limits = CompileLimits { cpu_seconds: self.cpu_seconds, memory_bytes: self.memory_bytes };
        match compile_here(limits, &mut std::io::stdin().lock(), &mut std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                printer.error(&InputError::new("component", why.to_string()));
                ExitCode::from(match why {
                    NotCompiled::Refused(_) => EXIT_INPUT,
                    NotCompiled::SetUp(_) => COMPILE_SET_UP_EXIT,
                })
            }
        }
    }
}
