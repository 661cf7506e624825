//! Reads a corpus: one JSON object a line with `text`, and where wanted `id` and `title`.

use fapo_core::InputError;
use serde::Deserialize;
use serde_json::Number;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A line longer than this is a mistake in the file, not a passage.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Ids are printed, compared and journalled with every hit.
const ID_BYTES_MAX: usize = 256;

/// One passage.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The row's `id`, else its line number.
    pub(crate) id: String,
    /// May be empty.
    pub(crate) title: String,
    pub(crate) text: String,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Option<RowId>,
    #[serde(default)]
    title: Option<String>,
    text: String,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`id` is neither a text nor a number")]
enum RowId {
    Text(String),
    Number(Number),
}

/// All passages in the order of the file; blank lines are skipped, other fields ignored.
pub(crate) fn read(path: &Path) -> Result<Vec<Passage>, InputError> {
    let file = File::open(path).map_err(|error| InputError::new(path.display().to_string(), error.to_string()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut passages = Vec::new();
    let mut line_of_id: HashMap<String, u64> = HashMap::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        let at = |message: String| InputError::new(format!("{}:{number}", path.display()), message);
        line.clear();
        let bytes =
            reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(|e| at(e.to_string()))?;
        if bytes == 0 {
            break;
        }
        if bytes as u64 > LINE_BYTES_MAX {
            return Err(at(format!("the line is longer than {LINE_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| at("the line is not UTF-8".to_owned()))?;
        if text.trim().is_empty() {
            continue;
        }
        let passage = passage(text, number).map_err(at)?;
        if let Some(first) = line_of_id.insert(passage.id.clone(), number) {
            return Err(at(format!("the passage id {:?} stands at line {first} too", passage.id)));
        }
        passages.push(passage);
    }
    if passages.is_empty() {
        return Err(InputError::new(path.display().to_string(), "the corpus holds no passage"));
    }
    if u32::try_from(passages.len()).is_err() {
        return Err(InputError::new(path.display().to_string(), format!("more than {} passages", u32::MAX)));
    }
    Ok(passages)
}

fn passage(line: &str, number: u64) -> Result<Passage, String> {
    let row: Row = serde_json::from_str(line).map_err(|error| plain(&error))?;
    let id = match row.id {
        None => number.to_string(),
        Some(RowId::Number(id)) => id.to_string(),
        Some(RowId::Text(id)) => id,
    };
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
        return Err(format!("`id` must be 1 to {ID_BYTES_MAX} bytes without control characters"));
    }
    Ok(Passage { id, title: row.title.unwrap_or_default(), text: row.text })
}

/// serde's words without its `at line 1`, which would contradict the line named before them.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} (column {})", &text[..end], error.column()),
        None => text,
    }
}

/// Digest of ids, titles and texts in order; how the JSON is written does not matter.
pub(crate) fn digest(passages: &[Passage]) -> String {
    let mut hasher = Sha256::new();
    for field in passages.iter().flat_map(|passage| [&passage.id, &passage.title, &passage.text]) {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    format!("sha256:{:x}", hasher.finalize())
}
