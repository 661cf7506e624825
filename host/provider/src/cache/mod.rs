//! Replies paid for once: a shelf of replies on disk, and a provider that looks there first.
//!
//! The cache is a saving, never a condition: what is wrong with its file is a note, not the end of a run. That no
//! finished case is paid twice is the journal's promise, not the cache's.

mod cached;
mod disk;
mod flights;
mod log;
mod shelf;

pub use cached::Cached;

use disk::Opened;
use fapo_core::ports::ModelReply;
use flights::Flights;
use shelf::Shelf;
use std::path::Path;

/// Replies by the digest of their call, shared by all providers of a process.
///
/// They outlive the process in a folder; where its bound is reached, the oldest half is forgotten by the next start. A
/// reply is written to a log at once, so that a killed process loses none, and one thread commits what has come
/// together and forces it to the disk, so that a power cut loses some tenths of a second. Dropping the cache commits
/// the rest.
#[derive(Debug)]
pub struct ResponseCache {
    shelf: Shelf,
    flights: Flights,
    note: Option<String>,
}

impl ResponseCache {
    /// Opens the file of replies in `folder`; both are made where missing, for their owner only.
    ///
    /// Where another process has the file, or it cannot be used, replies are kept in memory; a damaged file is set
    /// aside and begun anew. Either way the run goes on, and [`ResponseCache::note`] says what happened.
    pub fn open(folder: &Path) -> Self {
        Self::open_within(folder, disk::BYTES_MAX)
    }

    /// As [`ResponseCache::open`], with another bound on the bytes of its files than 512 MiB. What is kept stays below
    /// it from one start to the next; a single start may reach twice as much before it keeps no more.
    pub fn open_within(folder: &Path, bytes_max: u64) -> Self {
        match disk::open(folder, bytes_max) {
            Ok(Opened { disk, log, note }) => ResponseCache { note, ..Self::with(Shelf::on_disk(disk, log)) },
            Err(why) => {
                let note = format!("{why}; replies of this run are kept in memory only");
                ResponseCache { note: Some(note), ..Self::in_memory() }
            }
        }
    }

    /// A cache that ends with the process.
    pub fn in_memory() -> Self {
        Self::with(Shelf::in_memory())
    }

    fn with(shelf: Shelf) -> Self {
        ResponseCache { shelf, flights: Flights::default(), note: None }
    }

    /// What a person should know about the file, if anything.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// How many replies were paid and returned but could not be kept, with the last reason; none where all were.
    pub fn losses(&self) -> Option<String> {
        self.shelf.losses()
    }

    fn find(&self, key: &str) -> Option<ModelReply> {
        self.shelf.find(key)
    }

    fn keep(&self, key: &str, reply: &ModelReply) {
        self.shelf.keep(key, reply);
    }
}
