//! Where replies are kept: in memory and in a log until a thread has committed them, in a file from then on.

use super::disk::{Batch, Disk};
use super::log::Log;
use fapo_core::ports::ModelReply;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of replies in memory. With a disk they only wait there; when it is this far behind, or there is none, further
/// ones are not kept.
const MEMORY_BYTES_MAX: usize = 256 << 20;
/// A key, and what a map needs for an entry.
const ENTRY_BYTES: usize = 150;
/// How long replies gather before they are committed: a commit by itself costs as much processor time as asking for
/// the reply did.
const GATHERED_FOR: Duration = Duration::from_millis(500);

/// Replies, found by key from the moment they are kept.
pub(super) struct Shelf {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to commit, or nothing more will come.
    changed: Condvar,
    disk: Option<Disk>,
}

#[derive(Default)]
struct State {
    waiting: Batch,
    /// Taken by the writer and not yet committed.
    writing: Arc<Batch>,
    /// Where all of these are written down; none without a disk.
    log: Option<Log>,
    bytes: usize,
    closed: bool,
    lost: usize,
    last_reason: String,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("on_disk", &self.shared.disk.is_some()).finish_non_exhaustive()
    }
}

impl Shelf {
    pub(super) fn in_memory() -> Self {
        Shelf { shared: Arc::new(Shared::new(None, None)), writer: None }
    }

    pub(super) fn on_disk(disk: Disk, log: Log) -> Self {
        let shared = Arc::new(Shared::new(Some(disk), Some(log)));
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("response-cache".to_owned()).spawn(move || theirs.write_all());
        match writer {
            Ok(writer) => Shelf { shared, writer: Some(writer) },
            Err(error) => {
                // What waits stays in memory and is found there.
                shared.lock().last_reason = error.to_string();
                Shelf { shared, writer: None }
            }
        }
    }

    pub(super) fn find(&self, key: &str) -> Option<ModelReply> {
        let state = self.shared.lock();
        if let Some(reply) = state.waiting.get(key).or_else(|| state.writing.get(key)) {
            return serde_json::from_slice(reply).ok();
        }
        drop(state);
        self.shared.disk.as_ref()?.find(key)
    }

    pub(super) fn keep(&self, key: &str, reply: &ModelReply) {
        let reply = serde_json::to_vec(reply).expect("a reply is texts and numbers");
        let bytes = bytes(&reply);
        let mut state = self.shared.lock();
        if state.bytes + bytes > MEMORY_BYTES_MAX {
            state.lose(1, format!("more than {MEMORY_BYTES_MAX} bytes wait in memory"));
            return;
        }
        // Where the disk is full, the reply still waits in memory; that it cannot be committed either is told then.
        let _ = state.log.as_mut().map(|log| log.write(key, &reply));
        state.bytes += bytes;
        if let Some(replaced) = state.waiting.insert(key.to_owned(), reply) {
            state.bytes -= self::bytes(&replaced);
        }
        let first = state.waiting.len() == 1;
        drop(state);
        if first {
            self.shared.changed.notify_one();
        }
    }

    pub(super) fn losses(&self) -> Option<String> {
        let state = self.shared.lock();
        (state.lost > 0).then(|| format!("{} replies could not be kept: {}", state.lost, state.last_reason))
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer lost replies, nothing else; there is no one left to tell.
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn new(disk: Option<Disk>, log: Option<Log>) -> Self {
        Shared { state: Mutex::new(State { log, ..State::default() }), changed: Condvar::new(), disk }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's life. While one batch is committed the next one gathers.
    fn write_all(&self) {
        let Some(disk) = &self.disk else { return };
        while let Some(batch) = self.take() {
            let written = disk.write(&batch);
            let mut state = self.lock();
            state.writing = Arc::default();
            state.bytes -= batch.values().map(|reply| bytes(reply)).sum::<usize>();
            let cleared = state.log.as_mut().map_or(Ok(()), Log::clear_other);
            if let Err(why) = written.and_then(|()| cleared.map_err(|error| error.to_string())) {
                state.lose(batch.len(), why);
            }
        }
    }

    /// What waits, some time after anything does; none when the shelf is closed and all is committed.
    fn take(&self) -> Option<Arc<Batch>> {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathered = self.changed.wait_timeout_while(state, GATHERED_FOR, |state| !state.closed);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            return None;
        }
        state.writing = Arc::new(std::mem::take(&mut state.waiting));
        if let Some(log) = &mut state.log {
            log.turn();
        }
        Some(Arc::clone(&state.writing))
    }
}

impl State {
    fn lose(&mut self, replies: usize, reason: String) {
        self.lost += replies;
        self.last_reason = reason;
    }
}

fn bytes(reply: &[u8]) -> usize {
    reply.len() + ENTRY_BYTES
}
