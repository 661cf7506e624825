//! The real file system and the real clock behind the ports.

use fapo_core::ports::{Clock, RunFiles, WriteOut};
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

/// Bytes of a file that is put out piece by piece that go to the system in one call.
const WRITTEN_AT_ONCE: usize = 64 << 10;

/// Files on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl RunFiles for DiskFiles {
    fn append(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
    }

    fn sync(&self, path: &Path) -> Result<()> {
        File::open(path)?.sync_data()
    }

    /// Writes beside the file and renames: no power cut leaves half of it.
    fn replace_with(&self, path: &Path, write: &mut WriteOut<'_>) -> Result<()> {
        let temporary = beside(path)?;
        let mut out = BufWriter::with_capacity(WRITTEN_AT_ONCE, File::create(&temporary)?);
        write(&mut out)?;
        out.into_inner()?.sync_data()?;
        fs::rename(&temporary, path)
    }

    fn truncate(&self, path: &Path, length: u64) -> Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(length)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Files on disk, of which none is appended to beyond a size.
#[derive(Clone, Copy, Debug)]
pub struct BoundedFiles {
    /// The limit `run_bytes`.
    pub bytes_max: u64,
}

impl RunFiles for BoundedFiles {
    fn append(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let before = fs::metadata(path).map_or(0, |meta| meta.len());
        if before + bytes.len() as u64 > self.bytes_max {
            let why = format!(
                "limit run_bytes passed: more than {} bytes; raise it under [limits] of the operator's file",
                self.bytes_max
            );
            return Err(Error::new(ErrorKind::QuotaExceeded, why));
        }
        DiskFiles.append(path, bytes)
    }

    fn sync(&self, path: &Path) -> Result<()> {
        DiskFiles.sync(path)
    }

    fn replace_with(&self, path: &Path, write: &mut WriteOut<'_>) -> Result<()> {
        DiskFiles.replace_with(path, write)
    }

    fn truncate(&self, path: &Path, length: u64) -> Result<()> {
        DiskFiles.truncate(path, length)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        DiskFiles.remove(path)
    }
}

/// `<name>.tmp` in the same folder.
fn beside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::other("the path names no file"))?;
    Ok(path.with_file_name(format!("{}.tmp", name.to_string_lossy())))
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}
