//! Builds guest components with cargo for `wasm32-wasip2`, where no built one is at hand.

use crate::place::unwritable;
use crate::sources;
use fapo_core::InputError;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables of an outer cargo that must not steer the inner one.
const OUTER: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"];

/// Heap that a guest begins with, bytes: what most need for a case, because asking for more costs a sandbox system calls.
const HEAP: (&str, &str) = ("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", "-Clink-arg=--initial-heap=786432");

/// A component that is shipped with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipped {
    /// The chain and the scorer of tenants without code.
    Stock,
    /// The node component that runs scripts.
    Script,
}

impl Shipped {
    /// Its package.
    fn package(self) -> &'static str {
        match self {
            Shipped::Stock => "stock",
            Shipped::Script => "script",
        }
    }

    /// Its bytes in builds with the feature `carry-stock`; others build it on first use.
    fn carried(self) -> Option<&'static [u8]> {
        #[cfg(feature = "carry-stock")]
        return Some(match self {
            Shipped::Stock => include_bytes!(env!("FAPO_STOCK_WASM")),
            Shipped::Script => include_bytes!(env!("FAPO_SCRIPT_WASM")),
        });
        #[cfg(not(feature = "carry-stock"))]
        None
    }
}

/// Bytes of a component that is shipped with the program: carried, else built from the checkout at `root`, else from
/// the sources that the program carries, under `work`.
///
/// # Errors
/// It has to be built, and cargo or the wasm target is missing.
pub fn shipped(what: Shipped, root: &Path, work: &Path) -> Result<Vec<u8>, InputError> {
    if let Some(bytes) = what.carried() {
        return Ok(bytes.to_vec());
    }
    let package = what.package();
    let checkout = root.join("tenants").join(package);
    let (folder, target) = if checkout.join("Cargo.toml").is_file() {
        (checkout, root.join("target/guests"))
    } else {
        let home = work.join("cache").join(format!("sources-{}", env!("CARGO_PKG_VERSION")));
        sources::write(&home)?;
        (home.join("tenants").join(package), home.join("target"))
    };
    let path = build(&folder, package, &target, lock_of(root))?;
    std::fs::read(&path).map_err(|e| unwritable(&path, &e))
}

/// Builds the Cargo package of a tenant.
///
/// # Errors
/// There is none, or it does not compile.
pub fn tenant_crate(root: &Path, id: &str) -> Result<PathBuf, InputError> {
    let folder = root.join("tenants").join(id);
    if !folder.join("Cargo.toml").is_file() {
        return Err(InputError::new(format!("tenant {id}"), "has no Cargo.toml, so there is nothing to build")
            .hint("name \"stock\" or a .wasm file as `component`, or make a package: `fapo tenant new <id> --rust`"));
    }
    // A package that is a workspace of its own has its own lock file, or none yet.
    let own = std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"));
    build(&folder, id, &root.join("target/guests"), lock_of(if own { &folder } else { root }))
}

/// Whether cargo may change the lock file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It stands and holds.
    Kept,
    /// There is none yet, or it holds more than is built.
    Free,
}

fn lock_of(root: &Path) -> Lock {
    if root.join("Cargo.lock").is_file() { Lock::Kept } else { Lock::Free }
}

/// Builds the guest package whose manifest stands in `folder` and returns its component.
///
/// # Errors
/// cargo or the wasm target is missing, or the package does not compile; cargo's own words go to stderr.
pub fn build(folder: &Path, package: &str, target: &Path, lock: Lock) -> Result<PathBuf, InputError> {
    install_target()?;
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let steers = name.starts_with("CARGO_") && name != "CARGO_HOME" && !name.starts_with("CARGO_NET");
        if steers || OUTER.contains(&name.as_str()) {
            cargo.env_remove(name);
        }
    }
    let target = std::path::absolute(target).map_err(|e| unwritable(target, &e))?;
    cargo
        .current_dir(folder)
        .env(HEAP.0, HEAP.1)
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "guest", "--package", package])
        .arg("--target-dir")
        .arg(&target)
        .args((lock == Lock::Kept).then_some("--locked"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let subject = format!("guest {package}");
    let status = cargo.status().map_err(|e| {
        InputError::new(&subject, format!("cargo cannot be started: {e}"))
            .hint("install Rust, which brings cargo; or name a built .wasm file as `component`")
    })?;
    if !status.success() {
        return Err(
            InputError::new(&subject, "does not compile for wasm32-wasip2").hint("cargo's message stands above")
        );
    }
    Ok(target.join("wasm32-wasip2/guest").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Installs the wasm target where it is missing and rustup is there to do it.
fn install_target() -> Result<(), InputError> {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stderr(Stdio::null());
    };
    let mut ask = Command::new("rustc");
    quiet(ask.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]));
    let there = ask.output().is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir());
    if there {
        return Ok(());
    }
    let mut add = Command::new("rustup");
    quiet(add.args(["target", "add", "wasm32-wasip2"]).stdout(Stdio::null()));
    match add.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(InputError::new("rustup target add wasm32-wasip2", format!("ended with {status}"))),
        Err(e) => Err(InputError::new("rustup", e.to_string())),
    }
    .map_err(|e: InputError| e.hint("install the target by hand: rustup target add wasm32-wasip2"))
}
