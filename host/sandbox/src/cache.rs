//! Compiled code on disk, written only by this host.
//!
//! Loading compiled code is running native code, so a file is used only from a folder that belongs to this
//! user and that nobody else can write to, under a name made of the component's digest and the engine's
//! compatibility hash.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
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

    /// The component, compiled now or earlier.
    pub(crate) fn component(&self, engine: &Engine, digest: &str, bytes: &[u8]) -> wasmtime::Result<Component> {
        let path = self.folder.join(file_name(engine, digest));
        if path.is_file() {
            // SAFETY: the folder is private to this user (checked in `open`) and only `store` below writes to
            // it, with the output of `Engine::precompile_component` of an engine with the same hash.
            if let Ok(component) = unsafe { Component::deserialize_file(engine, &path) } {
                return Ok(component);
            }
        }
        let code = engine.precompile_component(bytes)?;
        // A cache that cannot be written costs time on the next start, nothing else.
        let stored = self.store(&path, &code);
        if stored.is_ok() {
            // SAFETY: as above; the file was written a moment ago.
            return unsafe { Component::deserialize_file(engine, &path) };
        }
        // SAFETY: `code` comes from this engine's own compiler.
        unsafe { Component::deserialize(engine, &code) }
    }

    fn store(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        let temporary = path.with_extension(format!("tmp{}", std::process::id()));
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
