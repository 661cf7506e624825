//! When a corpus was last seen to be the one an index was built from: reading a large one takes seconds.

use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name of the stamp in an index's folder.
const FILE_NAME: &str = "corpus-seen.json";
/// A file that changed less than this ago may change again without another time.
const SETTLED: Duration = Duration::from_secs(2);

/// Length and time of change of a file that has settled.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    path: String,
    bytes: u64,
    modified_ns: u64,
}

impl Stamp {
    /// Of a file as it is now; none where it changed just now, or cannot be asked.
    pub(crate) fn of(corpus: &Path) -> Option<Stamp> {
        let path = corpus.canonicalize().ok()?;
        let about = path.metadata().ok()?;
        let modified = about.modified().ok()?;
        let settled = SystemTime::now().duration_since(modified).is_ok_and(|age| age > SETTLED);
        let modified_ns = u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
        settled.then(|| Stamp { path: path.display().to_string(), bytes: about.len(), modified_ns })
    }

    /// The one that an index's folder keeps.
    pub(crate) fn kept(dir: &Path) -> Option<Stamp> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE_NAME)).ok()?).ok()
    }

    /// Keeps it in an index's folder; one on a read-only disk is read again each time.
    pub(crate) fn keep(&self, dir: &Path) {
        let text = serde_json::to_vec(self).expect("texts and numbers");
        let _ = std::fs::write(dir.join(FILE_NAME), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_or_has_not_settled_is_read_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let corpus = dir.path().join("corpus.jsonl");
        let at = |age_s: u64| {
            let file = std::fs::File::options().append(true).create(true).open(&corpus).expect("a file");
            file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).expect("set");
        };
        std::fs::write(&corpus, "a").expect("written");
        assert_eq!(Stamp::of(&corpus), None, "just now");
        at(100);
        let stamp = Stamp::of(&corpus).expect("settled");
        stamp.keep(dir.path());
        assert_eq!(Stamp::kept(dir.path()).as_ref(), Some(&stamp));
        at(50);
        assert_ne!(Stamp::of(&corpus), Some(stamp), "another time");
        assert_eq!(Stamp::kept(&dir.path().join("none")), None);
    }
}
