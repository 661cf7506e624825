//! A tenant's folder: every file of a tenant is read through here, and none outside it can be.
//!
//! The folder is opened once as a capability; a path that leaves it, by `..`, as an absolute path or through a link,
//! fails in the operating system's own walk and not in a comparison of names made before it.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use fapo_core::InputError;
use fapo_core::tenant::{TenantManifest, read_manifest};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// Longest file of a tenant that is read, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// An open tenant folder.
pub struct TenantFolder {
    id: String,
    dir: Dir,
    manifest_path: String,
}

impl TenantFolder {
    /// Opens `<root>/tenants/<id>`.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open(root: &Path, id: &str) -> Result<Self, InputError> {
        let path = root.join("tenants").join(id);
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(|e| {
            InputError::new(format!("tenant {id}, {}", path.display()), e.to_string()).hint(format!(
                "run from the repository's root or name it with --root; `fapo tenant new {id}` makes a tenant"
            ))
        })?;
        Ok(TenantFolder { id: id.into(), dir, manifest_path: format!("tenants/{id}/tenant.toml") })
    }

    /// The tenant's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads `tenant.toml`.
    ///
    /// # Errors
    /// It is missing or wrong; named with its line.
    pub fn manifest(&self) -> Result<TenantManifest, InputError> {
        read_manifest(&self.manifest_path, &self.id, &self.text("tenant.toml", &self.manifest_path)?)
    }

    /// Whether the tenant has a file. `path` counts from the repository's root.
    pub fn has(&self, path: &str) -> bool {
        self.inside(path).is_some_and(|inner| self.dir.is_file(inner))
    }

    /// Names of the files in one of the tenant's folders, sorted; empty where there is no such folder.
    pub fn list(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = self.dir.read_dir(folder) else {
            return Vec::new();
        };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// A file of this tenant, open for reading. `path` counts from the repository's root; `field` is where it was named.
    ///
    /// # Errors
    /// It leaves the folder, is missing, no regular file, or larger than `bytes_max`.
    pub fn file(&self, field: &str, path: &str, bytes_max: u64) -> Result<File, InputError> {
        let subject = self.subject(field, path);
        let inner = self.inside(path).ok_or_else(|| self.leaves(field, path))?;
        let wrong = |e: std::io::Error| match e.kind() {
            // What cap-std answers where a link or `..` leads out of the folder.
            ErrorKind::PermissionDenied if e.raw_os_error().is_none() => self.leaves(field, path),
            _ => InputError::new(&subject, e.to_string())
                .hint("paths count from the repository's root; correct the field or make the file"),
        };
        let unfit = || {
            InputError::new(&subject, format!("is no regular file of at most {bytes_max} bytes"))
                .hint("put a plain file in its place")
        };
        // Before opening, because opening a pipe would wait for its other end; after, because a name may be swapped.
        if !self.dir.metadata(&inner).map_err(wrong)?.is_file() {
            return Err(unfit());
        }
        let file = self.dir.open(&inner).map_err(wrong)?;
        let meta = file.metadata().map_err(wrong)?;
        if !meta.is_file() || meta.len() > bytes_max {
            return Err(unfit());
        }
        Ok(file.into_std())
    }

    /// Bytes of a file of this tenant, as [`file`](Self::file) opens it.
    ///
    /// # Errors
    /// As there, for files of up to 256 MiB.
    pub fn bytes(&self, field: &str, path: &str) -> Result<Vec<u8>, InputError> {
        let mut bytes = Vec::new();
        let read = self.file(field, path, FILE_BYTES_MAX)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|e| InputError::new(self.subject(field, path), e.to_string()))?;
        Ok(bytes)
    }

    fn subject(&self, field: &str, path: &str) -> String {
        format!("tenant {}, field `{field}`, {path}", self.id)
    }

    /// As [`bytes`](Self::bytes), for UTF-8 text.
    ///
    /// # Errors
    /// As there, and where the file is not UTF-8.
    pub fn text(&self, field: &str, path: &str) -> Result<String, InputError> {
        String::from_utf8(self.bytes(field, path)?).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            InputError::new(self.subject(field, path), format!("is not UTF-8 at byte {at}"))
                .hint("save the file as UTF-8")
        })
    }

    /// `path` without its `tenants/<id>/`, where it is plain and begins so.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let inner = plain(path)?.strip_prefix(Path::new("tenants").join(&self.id)).ok()?.to_path_buf();
        (!inner.as_os_str().is_empty()).then_some(inner)
    }

    fn leaves(&self, field: &str, path: &str) -> InputError {
        InputError::new(format!("tenant {}, field `{field}`", self.id), format!("{path:?} leaves the tenant's folder"))
            .hint(format!("name a file under tenants/{}/, without `..` and without links that lead out", self.id))
    }
}

/// A relative path without `..`, `.` or a root; nothing else.
pub fn plain(path: &str) -> Option<&Path> {
    let path = Path::new(path);
    let named = path.components().all(|c| matches!(c, Component::Normal(_)));
    (named && path.components().next().is_some()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_up_to_its_bound() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("tenants/t")).expect("made");
        std::fs::write(root.path().join("tenants/t/rows.jsonl"), "eleven byte").expect("written");
        let folder = TenantFolder::open(root.path(), "t").expect("opens");
        let open = |bytes_max| folder.file("dataset.path", "tenants/t/rows.jsonl", bytes_max);
        assert!(open(11).is_ok());
        let error = open(10).expect_err("larger").to_string();
        assert!(error.contains("is no regular file of at most 10 bytes"), "{error}");
    }

    #[test]
    fn plain_paths_only() {
        for good in ["a", "a/b.json", "tenants/x/a b"] {
            assert!(plain(good).is_some(), "{good}");
        }
        for bad in ["", "/a", "../a", "a/../b", "./a", ".."] {
            assert!(plain(bad).is_none(), "{bad}");
        }
    }
}
