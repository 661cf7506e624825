//! `fapo doctor`: is this machine ready, and if not, what mends it.

use super::Exit;
use super::lines::{CheckLine, CheckStatus, Line};
use super::printer::Printer;
use crate::place::{Place, unwritable};
use crate::plan::sandbox;
use fapo_core::InputError;
use fapo_core::grants::OperatorFile;
use std::process::Command;

/// Look at this machine: toolchain, sandbox, work folder, operator's file, keys, indexes.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo doctor")]
pub(super) struct Doctor {}

/// Prints checks and counts the errors.
pub(super) struct Checks {
    printer: Printer,
    errors: usize,
}

impl Checks {
    pub(super) fn new(printer: Printer) -> Self {
        Checks { printer, errors: 0 }
    }

    pub(super) fn add(&mut self, status: CheckStatus, subject: &str, message: &str, hint: Option<String>) {
        let word = match status {
            CheckStatus::Ok => "ok     ",
            CheckStatus::Warning => "warning",
            CheckStatus::Error => "error  ",
        };
        self.printer.text(&format!("{word}  {subject}: {message}"));
        if let Some(hint) = &hint {
            self.printer.text(&format!("         hint: {hint}"));
        }
        self.errors += usize::from(status == CheckStatus::Error);
        self.printer.line(&Line::Check(CheckLine { subject: subject.into(), status, message: message.into(), hint }));
    }

    pub(super) fn ok(&mut self, subject: &str, message: &str) {
        self.add(CheckStatus::Ok, subject, message, None);
    }

    pub(super) fn warning(&mut self, e: InputError) {
        self.add(CheckStatus::Warning, &e.subject, &e.message, e.hint);
    }

    pub(super) fn error(&mut self, e: InputError) {
        self.add(CheckStatus::Error, &e.subject, &e.message, e.hint);
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Failed where one check is an error.
    pub(super) fn exit(self) -> Exit {
        if self.errors > 0 { Exit::Failed } else { Exit::Done }
    }
}

impl Doctor {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let mut checks = Checks::new(printer);
        checks.ok("fapo", env!("CARGO_PKG_VERSION"));
        toolchain(&mut checks);
        match sandbox(place, 1, 0) {
            Ok(_) => checks.ok("sandbox", "starts"),
            Err(e) => checks.error(e),
        }
        match writable(place) {
            Ok(()) => checks.ok(&format!("work folder {}", place.work.display()), "can be written"),
            Err(e) => checks.error(e),
        }
        match place.read_operator() {
            Ok(operator) => {
                checks.ok(&place.operator.display().to_string(), "reads");
                granted(place, &operator, &mut checks);
            }
            Err(e) => checks.error(e),
        }
        Ok(checks.exit())
    }
}

fn toolchain(checks: &mut Checks) {
    let mut ask = Command::new("rustc");
    match ask.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]).output() {
        Ok(out) if std::path::Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir() => {
            checks.ok("wasm32-wasip2", "installed: tenants' own packages can be built");
        }
        Ok(_) => checks.warning(
            InputError::new("wasm32-wasip2", "not installed; it is installed when a component has to be built")
                .hint("rustup target add wasm32-wasip2"),
        ),
        Err(_) => checks.warning(
            InputError::new("rustc", "not found: only built .wasm files can be used")
                .hint("install Rust to build components here"),
        ),
    }
}

fn writable(place: &Place) -> Result<(), InputError> {
    std::fs::create_dir_all(&place.work).map_err(|e| unwritable(&place.work, &e))?;
    let probe = place.work.join(".doctor");
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(|e| unwritable(&probe, &e))
}

fn granted(place: &Place, operator: &OperatorFile, checks: &mut Checks) {
    for (name, route) in &operator.models {
        let subject = format!("model {name}");
        match &route.key_env {
            Some(variable) if std::env::var_os(variable).is_none_or(|v| v.is_empty()) => checks.warning(
                InputError::new(subject, format!("the variable {variable} is not set, so it cannot be called"))
                    .hint(format!("export {variable}=<key>")),
            ),
            Some(variable) => checks.ok(&subject, &format!("{}, key in {variable}", route.provider)),
            None => checks.ok(&subject, &route.provider),
        }
    }
    for name in operator.indexes.keys() {
        match fapo_retrieval::Bm25Index::open(&place.index(name)) {
            Ok(index) => checks.ok(&format!("index {name}"), &format!("{} passages", index.manifest().passages)),
            Err(e) => checks
                .warning(InputError::new(format!("index {name}"), e.message).hint(format!("fapo index build {name}"))),
        }
    }
    for tenant in operator.tenants.keys() {
        if !place.tenant(tenant).is_dir() {
            checks.warning(
                InputError::new(
                    place.operator.display().to_string(),
                    format!("grants to {tenant}, which is no tenant here"),
                )
                .hint(format!("take [tenants.{tenant}] out, or `fapo tenant new {tenant}`")),
            );
        }
    }
}
