//! Builds guest components with cargo for `wasm32-wasip2`.

use fapo_core::InputError;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables of an outer cargo that must not steer the inner one.
const OUTER: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"];

/// Builds a guest package of the workspace at `root` and returns its component.
///
/// # Errors
/// cargo or the wasm target is missing, or the package does not compile; cargo's own words go to stderr.
pub fn build(root: &Path, package: &str) -> Result<PathBuf, InputError> {
    let target = root.join("target/guests");
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let steers = name.starts_with("CARGO_") && name != "CARGO_HOME" && !name.starts_with("CARGO_NET");
        if steers || OUTER.contains(&name.as_str()) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--target", "wasm32-wasip2", "--profile", "guest", "--package", package])
        .arg("--target-dir")
        .arg(&target)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let subject = format!("guest {package}");
    let status = cargo.status().map_err(|e| {
        InputError::new(&subject, format!("cargo cannot be started: {e}")).hint("install Rust, which brings cargo")
    })?;
    if !status.success() {
        return Err(InputError::new(&subject, "does not compile for wasm32-wasip2")
            .hint("cargo's message stands above; a missing target is installed by `rustup target add wasm32-wasip2`"));
    }
    Ok(target.join("wasm32-wasip2/guest").join(format!("{}.wasm", package.replace('-', "_"))))
}

/// Installs the wasm target where rustup has it not yet.
///
/// # Errors
/// rustup is missing or refuses.
pub fn install_target() -> Result<(), InputError> {
    let hint = "install the target by hand: rustup target add wasm32-wasip2";
    let run = Command::new("rustup")
        .args(["target", "add", "wasm32-wasip2"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            Err(InputError::new("rustup target add wasm32-wasip2", format!("ended with {status}")).hint(hint))
        }
        Err(e) => Err(InputError::new("rustup", e.to_string()).hint(hint)),
    }
}
