//! Compiled code on disk, written only by this host.
//!
//! Loading compiled code is running native code, so a file is used only from a folder that belongs to this
//! user and that nobody else can write to, under a name made of the component's digest and the engine's
//! compatibility hash.

use crate::compile::{CompileLimits, NotCompiled, compile_apart};
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCache {
    folder: PathBuf,
}

impl CompiledCache {
    /// Opens the folder, made with mode 0700 where missing.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        check_private(folder)?;
        Ok(CompiledCache { folder: folder.to_path_buf() })
    }

    /// The component, compiled now or earlier: by `program` in a process of its own, else here. What the compiler
    /// refused once is refused again without another try, until the limits change.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
        program: Option<&Path>,
        limits: CompileLimits,
    ) -> wasmtime::Result<Component> {
        let path = self.folder.join(file_name(engine, digest));
        let refused = path.with_extension(format!("refused-{}-{}", limits.cpu_seconds, limits.memory_bytes));
        if let Ok(why) = fs::read_to_string(&refused) {
            return Err(wasmtime::Error::msg(format!(
                "{why} (tried before; delete {} to try again)",
                refused.display()
            )));
        }
        if path.is_file() {
            // SAFETY: the folder is private to this user (checked in `open`) and only `store` below writes to
            // it, with what this program's compiler made for an engine with the same hash.
            if let Ok(component) = unsafe { Component::deserialize_file(engine, &path) } {
                return Ok(component);
            }
        }
        let compiled = match program {
            Some(program) => compile_apart(program, limits, bytes),
            None => engine.precompile_component(bytes).map_err(|e| NotCompiled::Refused(format!("{e:#}"))),
        };
        let code = match compiled {
            Ok(code) => code,
            Err(NotCompiled::SetUp(why)) => return Err(wasmtime::Error::msg(why)),
            Err(NotCompiled::Refused(why)) => {
                // As for compiled code: a cache that cannot be written costs time only.
                let _ = self.store(&refused, why.as_bytes());
                return Err(wasmtime::Error::msg(why));
            }
        };
        // A cache that cannot be written costs time on the next start, nothing else.
        let stored = self.store(&path, &code);
        if stored.is_ok() {
            // SAFETY: as above; the file was written a moment ago.
            return unsafe { Component::deserialize_file(engine, &path) };
        }
        // SAFETY: `code` comes from this program's own compiler.
        unsafe { Component::deserialize(engine, &code) }
    }

    fn store(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        static STORED: AtomicU64 = AtomicU64::new(0);
        let nth = STORED.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("tmp{}-{nth}", std::process::id()));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(code)?;
        drop(file);
        fs::rename(&temporary, path)
    }
}

fn file_name(engine: &Engine, digest: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", digest.trim_start_matches("sha256:"), hasher.finish())
}

#[cfg(unix)]
fn check_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::symlink_metadata(folder)?;
    if !meta.is_dir() || meta.mode() & 0o022 != 0 {
        return Err(std::io::Error::other(format!(
            "{} must be a folder that only its owner can write to (chmod 700)",
            folder.display()
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_others_can_write_to_is_refused() {
        let dir = std::env::temp_dir().join(format!("fapo-cache-{}", std::process::id()));
        assert!(CompiledCache::open(&dir).is_ok());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("chmod");
        assert!(CompiledCache::open(&dir).is_err());
        fs::remove_dir_all(&dir).expect("removed");
    }
}
