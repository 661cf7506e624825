//! The `fapo` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    fapo::cli::run(std::env::args_os())
}
