//! Where things are: the repository, the operator's file, the work folder.

use fapo_core::InputError;
use fapo_core::grants::{OperatorFile, read_operator_file};
use std::path::{Path, PathBuf};

/// Name of the operator's file.
const OPERATOR_FILE: &str = "fapo.toml";

/// The three places a command works with.
#[derive(Clone, Debug)]
pub struct Place {
    /// Repository root: holds `tenants/`; paths inside configs count from here.
    pub root: PathBuf,
    /// The operator's file.
    pub operator: PathBuf,
    /// Where runs, indexes and caches go; a tenant's folder is never written by a run.
    pub work: PathBuf,
    /// Where the embedded model's file is kept, for every repository of the user.
    pub models: PathBuf,
    /// Program that compiles components in a process of its own: this one, where it is `fapo`.
    pub compiler: Option<PathBuf>,
}

/// The user's own folders, where the system has them.
#[derive(Clone, Debug, Default)]
pub struct UserFolders {
    /// Configuration.
    pub config: Option<PathBuf>,
    /// What can be fetched again.
    pub cache: Option<PathBuf>,
}

impl Place {
    /// A place. Without `operator` it is `fapo.toml` in the root, else `fapo/fapo.toml` in the user's configuration
    /// folder; models are kept in the user's cache folder, else in the work folder.
    pub fn new(root: PathBuf, operator: Option<PathBuf>, work: PathBuf, user: UserFolders) -> Self {
        // So that messages say `tenants/…` and not `./tenants/…`.
        let root = if root == Path::new(".") { PathBuf::new() } else { root };
        let in_root = root.join(OPERATOR_FILE);
        let of_user = user.config.map(|folder| folder.join("fapo").join(OPERATOR_FILE));
        let found = match of_user {
            Some(path) if !in_root.exists() && path.exists() => path,
            _ => in_root,
        };
        let models = user.cache.map_or_else(|| work.join("cache"), |folder| folder.join("fapo")).join("models");
        Place { operator: operator.unwrap_or(found), root, work, models, compiler: None }
    }

    /// Reads the operator's file.
    ///
    /// # Errors
    /// It is missing or wrong; named with its line.
    pub fn read_operator(&self) -> Result<OperatorFile, InputError> {
        read_operator_file(&self.operator.display().to_string(), &read_text(&self.operator)?)
    }

    /// Folder of a tenant.
    pub fn tenant(&self, id: &str) -> PathBuf {
        self.root.join("tenants").join(id)
    }

    /// Folder of an index, by the operator's name.
    pub fn index(&self, name: &str) -> PathBuf {
        self.work.join("indexes").join(name)
    }
}

/// Reads a file that the person at the keyboard named; a tenant's files are read through
/// [`TenantFolder`](crate::tenant_folder::TenantFolder) instead.
///
/// # Errors
/// It cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, InputError> {
    std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

/// As [`read_text`], for bytes.
///
/// # Errors
/// It cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, InputError> {
    std::fs::read(path).map_err(|e| unreadable(path, &e))
}

/// The error of a file that cannot be read.
pub fn unreadable(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string()).hint("correct the path, or make the file")
}

/// The error of a file that cannot be written.
pub fn unwritable(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command")
}
