//! The file of replies: opened, set aside when damaged, read, written.

use fapo_core::ports::ModelReply;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// Name of the file within its folder.
const FILE_NAME: &str = "replies.redb";
/// Digest of a call to its reply as JSON. A change of the reply's fields takes a new name.
const REPLIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("replies-1");
/// redb's own pages in memory.
const PAGES_BYTES_MAX: usize = 32 << 20;
/// A longer file gets no more replies: some 130,000 of 4 kB. Opening checks the whole file (measured: 2 ms a MB), so
/// this bounds that to about a second.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// Replies with their keys, on their way to the file.
pub(super) type Batch = HashMap<String, Arc<ModelReply>>;

/// An open file of replies; its owner alone has it.
pub(super) struct Disk {
    database: Database,
    /// The same file, to ask for its length.
    file: File,
}

/// Opens the file of `folder`, and says if a damaged one was set aside. An error is a whole sentence.
pub(super) fn open(folder: &Path) -> Result<(Disk, Option<String>), String> {
    let path = folder.join(FILE_NAME);
    let said = |error: &dyn std::fmt::Display| format!("the response cache {} cannot be used: {error}", path.display());
    make_folder(folder).map_err(|error| said(&error))?;
    match database(&path) {
        Ok(disk) => Ok((disk, None)),
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
            database(&path).map(|disk| (disk, Some(note))).map_err(|error| said(&error))
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

fn database(path: &Path) -> Result<Disk, DatabaseError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let length = file.try_clone()?;
    let database = Database::builder()
        .set_cache_size(PAGES_BYTES_MAX)
        // Without it, redb trusts what it reads, and a damaged page may be a panic in the middle of a run.
        .set_check_integrity_on_open(true)
        .create_with_backend(FileBackend::new(file)?)?;
    Ok(Disk { database, file: length })
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
        // A file without replies has no table.
        let table = self.database.begin_read().ok()?.open_table(REPLIES).ok()?;
        let bytes = table.get(key).ok()??;
        serde_json::from_slice(bytes.value()).ok()
    }

    /// Writes a batch and forces it to the disk.
    pub(super) fn write(&self, batch: &Batch) -> Result<(), String> {
        let length = self.file.metadata().map_err(|error| error.to_string())?.len();
        if length > FILE_BYTES_MAX {
            return Err(format!("its file has reached {FILE_BYTES_MAX} bytes: delete it to begin a new one"));
        }
        self.commit(batch).map_err(|error| error.to_string())
    }

    fn commit(&self, batch: &Batch) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(REPLIES)?;
            for (key, reply) in batch {
                let json = serde_json::to_vec(&**reply).expect("a reply is texts and numbers");
                table.insert(key.as_str(), json.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }
}
