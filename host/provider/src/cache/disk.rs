//! The files of replies: opened, set aside when damaged, read, written. There are two, a young one that replies are
//! written to and an old one that is only read: where the young one is full when it is opened, it becomes the old one,
//! and what was the old one is forgotten. So the cache stays below its bound and keeps what it got last.

use super::log::Log;
use fapo_core::ports::ModelReply;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadOnlyTable, ReadableDatabase, StorageError, TableDefinition};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the file within its folder.
const FILE_NAME: &str = "replies.redb";
/// Digest of a call to its reply as JSON. A change of the reply's fields takes a new name.
const REPLIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("replies-1");
/// redb's own pages in memory.
const PAGES_BYTES_MAX: usize = 32 << 20;
/// The old file.
const OLD_NAME: &str = "replies.old.redb";
/// Both files together: some 130,000 replies of 4 kB. Opening checks them whole (measured: 2 ms a MB), so this bounds
/// that to about a second.
pub(super) const BYTES_MAX: u64 = 512 << 20;

/// Replies as JSON, by key, on their way to the file.
pub(super) type Batch = HashMap<String, Vec<u8>>;

/// The open files of replies; their owner alone has them.
pub(super) struct Disk {
    young: Replies,
    old: Option<Replies>,
    /// Most bytes of each of the two.
    bytes_max: u64,
}

struct Replies {
    database: Database,
    /// What was last committed, as far as somebody has asked: to open it costs as much as to look into it.
    read: Mutex<Option<Arc<Read>>>,
    /// The same file, to ask for its length.
    file: File,
}

type Read = ReadOnlyTable<&'static str, &'static [u8]>;

/// The files of a cache and what is known of them.
pub(super) struct Opened {
    pub(super) disk: Disk,
    pub(super) log: Log,
    /// Says that a damaged file was set aside.
    pub(super) note: Option<String>,
}

/// Opens the files of `folder`, which together stay below `bytes_max`, and commits what a killed start left in the log.
/// An error is a whole sentence.
pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<Opened, String> {
    let (disk, note) = open_files(folder, bytes_max)?;
    let said = |error: &dyn std::fmt::Display| {
        format!("the logs {}/replies.*.log cannot be used: {error}; delete them to begin new ones", folder.display())
    };
    let mut log = Log::open(folder).map_err(|error| said(&error))?;
    let left = log.left().map_err(|error| said(&error))?;
    if !left.is_empty() {
        disk.write(&left).map_err(|error| said(&error))?;
    }
    log.clear().map_err(|error| said(&error))?;
    Ok(Opened { disk, log, note })
}

fn open_files(folder: &Path, bytes_max: u64) -> Result<(Disk, Option<String>), String> {
    let (mut young, note) = open_young(folder)?;
    let (path, old_path) = (folder.join(FILE_NAME), folder.join(OLD_NAME));
    let bytes_max = bytes_max / 2;
    let is_full = young.file.metadata().is_ok_and(|about| about.len() > bytes_max);
    if is_full {
        drop(young);
        std::fs::rename(&path, &old_path).map_err(|error| format!("{}: {error}", path.display()))?;
        young = open_young(folder)?.0;
    }
    let old = if old_path.exists() { database(&old_path).ok() } else { None };
    if old.is_none() {
        // Damaged, or not there: its replies will be paid again.
        let _ = std::fs::remove_file(&old_path);
    }
    Ok((Disk { young, old, bytes_max }, note))
}

fn open_young(folder: &Path) -> Result<(Replies, Option<String>), String> {
    let path = folder.join(FILE_NAME);
    let said = |error: &dyn std::fmt::Display| format!("the response cache {} cannot be used: {error}", path.display());
    make_folder(folder).map_err(|error| said(&error))?;
    match database(&path) {
        Ok(replies) => Ok((replies, None)),
        Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch) => {
            Err(format!("the response cache {} is in use by another process", path.display()))
        }
        Err(error) if is_damage(&error) => {
            let aside = folder.join(format!("{FILE_NAME}.damaged"));
            std::fs::rename(&path, &aside).map_err(|error| said(&error))?;
            let note = format!(
                "the response cache {} was damaged ({error}); it is now {}, and a new one was begun",
                path.display(),
                aside.display()
            );
            database(&path).map(|replies| (replies, Some(note))).map_err(|error| said(&error))
        }
        Err(error) => Err(said(&error)),
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// How the cache opens its files: made where missing, for their owner only.
pub(super) fn own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn database(path: &Path) -> Result<Replies, DatabaseError> {
    let file = own().open(path)?;
    let length = file.try_clone()?;
    let database = Database::builder()
        .set_cache_size(PAGES_BYTES_MAX)
        // Without it, redb trusts what it reads, and a damaged page may be a panic in the middle of a run.
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file)?)?;
    Ok(Replies { database, read: Mutex::default(), file: length })
}

fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        DatabaseError::Storage(StorageError::Corrupted(_))
        | DatabaseError::UpgradeRequired(_)
        | DatabaseError::RepairAborted => true,
        _ => false,
    }
}

impl Disk {
    /// The kept reply. One that cannot be read is no reply: it will be paid again and replaced.
    pub(super) fn find(&self, key: &str) -> Option<ModelReply> {
        self.young.find(key).or_else(|| self.old.as_ref()?.find(key))
    }

    /// Writes a batch and forces it to the disk.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), String> {
        let length = self.young.file.metadata().map_err(|error| error.to_string())?.len();
        if length > self.bytes_max.saturating_mul(2) {
            return Err("the file of replies is full; the next start begins a new one".to_owned());
        }
        self.young.commit(batch).map_err(|error| error.to_string())
    }
}

impl Replies {
    fn find(&self, key: &str) -> Option<ModelReply> {
        let bytes = self.read()?.get(key).ok()??;
        serde_json::from_slice(bytes.value()).ok()
    }

    /// None for a file without replies, which has no table.
    fn read(&self) -> Option<Arc<Read>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_none() {
            *read = Some(Arc::new(self.database.begin_read().ok()?.open_table(REPLIES).ok()?));
        }
        read.clone()
    }

    fn commit(&self, batch: &Batch) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(REPLIES)?;
            for (key, reply) in batch {
                table.insert(key.as_str(), reply.as_slice())?;
            }
        }
        let committed = transaction.commit();
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(committed?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::ports::FinishReason;

    #[test]
    fn what_is_committed_is_found_by_those_who_looked_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let Opened { disk, .. } = open(folder.path(), BYTES_MAX).expect("opens");
        let reply = |text: &str| ModelReply {
            text: text.to_owned(),
            finish: FinishReason::Stop,
            usage: None,
            model_served: None,
            fingerprint: None,
            cached: false,
            attempts: 1,
        };
        for key in ["a", "b", "c"] {
            assert_eq!(disk.find(key), None);
            let bytes = serde_json::to_vec(&reply(key)).expect("JSON");
            disk.write(&Batch::from([(key.to_owned(), bytes)])).expect("commits");
            assert_eq!(disk.find(key).map(|found| found.text).as_deref(), Some(key));
        }
        assert!(disk.find("a").is_some(), "and so is what was committed before");
    }
}
