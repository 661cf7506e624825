//! Replies on their way to the file of replies, where a process that is killed leaves them for the next start.
//!
//! Committing a reply costs a hundred times as much as writing it down. So each is written down at once and many are
//! committed together. There are two files, used in turn: while what stands in one is committed, the other takes what
//! comes.

use super::disk::{Batch, own};
use fapo_core::digest;
use std::fs::File;
use std::io::{BufRead, BufReader, Result, Seek, Write};
use std::path::Path;

const FILE_NAMES: [&str; 2] = ["replies.1.log", "replies.2.log"];

/// The two files; the owner of the file of replies alone has them.
pub(super) struct Log {
    files: [File; 2],
    /// Which one is written to.
    at: usize,
}

impl Log {
    /// Opens or makes the files in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let [first, second] = FILE_NAMES.map(|name| own().append(true).open(folder.join(name)));
        Ok(Log { files: [first?, second?], at: 0 })
    }

    /// What an earlier start left. A line that was cut or damaged is no reply: it will be paid again.
    pub(super) fn left(&self) -> Result<Batch> {
        let mut left = Batch::new();
        for mut file in &self.files {
            file.rewind()?;
            for line in BufReader::new(file).split(b'\n') {
                left.extend(entry(&line?));
            }
        }
        Ok(left)
    }

    /// Writes a reply down: it survives the process from then on, a power cut only once it is committed.
    pub(super) fn write(&mut self, key: &str, reply: &[u8]) -> Result<()> {
        let mut line = Vec::with_capacity(2 * key.len() + reply.len() + 3);
        for part in [check(key, reply).as_bytes(), key.as_bytes(), reply] {
            line.extend_from_slice(part);
            line.push(b' ');
        }
        line.pop();
        line.push(b'\n');
        self.files[self.at].write_all(&line)
    }

    /// What comes is written to the other file from now on.
    pub(super) fn turn(&mut self) {
        self.at = 1 - self.at;
    }

    /// Empties the file that is not written to: what stands in it is committed.
    pub(super) fn clear_other(&mut self) -> Result<()> {
        self.files[1 - self.at].set_len(0)
    }

    /// Empties both.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.files.iter().try_for_each(|file| file.set_len(0))
    }
}

/// A damaged byte must not become a wrong reply.
fn check(key: &str, reply: &[u8]) -> String {
    let mut hasher = digest::Hasher::default();
    hasher.update(key.as_bytes());
    hasher.update(reply);
    hasher.finish()
}

fn entry(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (check_read, key, reply) = (parts.next()?, std::str::from_utf8(parts.next()?).ok()?, parts.next()?);
    (check(key, reply).as_bytes() == check_read).then(|| (key.to_owned(), reply.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn log() -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = Log::open(folder.path()).expect("opened");
        (folder, log)
    }

    fn keys(left: &Batch) -> Vec<&str> {
        let mut keys: Vec<&str> = left.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn what_was_not_committed_is_left() {
        let (folder, mut log) = log();
        log.write("a", b"{}").expect("written");
        log.turn();
        log.write("b", b"{\"text\":\"two words\"}").expect("written");
        drop(log);
        let mut log = Log::open(folder.path()).expect("opened");
        let left = log.left().expect("read");
        assert_eq!((keys(&left), left["b"].as_slice()), (vec!["a", "b"], &b"{\"text\":\"two words\"}"[..]));
        log.turn();
        log.clear_other().expect("emptied");
        assert_eq!(keys(&log.left().expect("read")), ["b"]);
        log.clear().expect("emptied");
        assert!(log.left().expect("read").is_empty());
    }

    #[test]
    fn a_line_cut_or_damaged_anywhere_is_no_reply_and_spoils_no_other() {
        let (folder, mut log) = log();
        log.write("a", b"{\"n\":1}").expect("written");
        let path = folder.path().join(FILE_NAMES[0]);
        let first = fs::read(&path).expect("the file");
        log.write("b", b"{\"n\":2}").expect("written");
        let both = fs::read(&path).expect("the file");
        for cut in first.len()..both.len() - 1 {
            fs::write(&path, &both[..cut]).expect("writable");
            assert_eq!(keys(&log.left().expect("read")), ["a"], "cut at {cut}");
        }
        for at in 0..first.len() - 1 {
            let mut bytes = both.clone();
            bytes[at] ^= 0x15;
            fs::write(&path, &bytes).expect("writable");
            assert_eq!(keys(&log.left().expect("read")), ["b"], "damaged at {at}");
        }
    }
}
