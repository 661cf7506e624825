//! Makes an index folder from a corpus, as a whole or not at all.

use crate::analysis::{self, Analyser};
use crate::corpus::{self, Passage};
use crate::layout;
use crate::manifest::{self, IndexManifest, IndexSettings};
use crate::search::Bm25Index;
use fapo_core::InputError;
use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tantivy::schema::TantivyDocument;
use tantivy::store::Compressor;
use tantivy::tokenizer::PreTokenizedString;
use tantivy::{Index, SingleSegmentIndexWriter};

/// Where the writer's hash table starts; it grows with the corpus, since one segment is never cut in two.
const WRITER_BYTES_START: usize = 64 << 20;

/// Builds the index of `corpus` (JSONL) in the folder `out`.
///
/// A row is an object with `text`, and where wanted `title` and `id` (text or number, else the line number); other
/// fields are ignored. What is indexed is `title | text`. The folder appears whole: it is written beside `out` and
/// renamed. An index of the same content that stands there already is left as it is, another index is replaced, and
/// anything that is no index is refused. The corpus is held in memory meanwhile.
pub fn build(corpus: &Path, out: &Path, settings: IndexSettings) -> Result<IndexManifest, InputError> {
    settings.check()?;
    let passages = corpus::read(corpus)?;
    let corpus_digest = corpus::digest(&passages);
    let standing = Standing::of(out)?;
    if let Standing::Index = standing
        && let Ok(index) = Bm25Index::open(out)
        && index.manifest().fits(&corpus_digest, settings)
    {
        return Ok(index.manifest().clone());
    }

    let io = |error: std::io::Error| InputError::new(out.display().to_string(), error.to_string());
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io)?;
    let scratch = Scratch::beside(out).map_err(io)?;
    let fresh = scratch.path.join("new");
    fs::create_dir(&fresh).map_err(io)?;
    let average_length = write_passages(&fresh, &passages)
        .map_err(|error| InputError::new(out.display().to_string(), format!("cannot write the index: {error}")))?;
    let manifest = IndexManifest {
        format: manifest::FORMAT,
        analyser: analysis::NAME.to_owned(),
        analyser_version: analysis::VERSION,
        passages: passages.len() as u64,
        k1: settings.k1,
        b: settings.b,
        average_length,
        corpus_digest,
    };
    write_manifest(&fresh, &manifest).map_err(io)?;
    put_in_place(&fresh, out, &standing, &scratch).map_err(io)?;
    Ok(manifest)
}

/// Bytes of passages that are kept in one piece: to read one passage, as much is copied.
const STORE_BLOCK_BYTES: usize = 1 << 10;

/// What stands where the index shall go.
enum Standing {
    Nothing,
    Empty,
    Index,
}

impl Standing {
    fn of(out: &Path) -> Result<Self, InputError> {
        let mut entries = match fs::read_dir(out) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Standing::Nothing);
            }
            Err(error) => {
                return Err(InputError::new(out.display().to_string(), error.to_string()));
            }
        };
        if entries.next().is_none() {
            return Ok(Standing::Empty);
        }
        let is_index = fs::read(out.join(manifest::FILE_NAME))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
            .is_some_and(|manifest| manifest.get("analyser").is_some() && manifest.get("corpus_digest").is_some());
        if is_index {
            return Ok(Standing::Index);
        }
        Err(InputError::new(out.display().to_string(), "the folder holds other things than an index")
            .hint("name a folder that is missing or empty"))
    }
}

/// A hidden folder beside `out`, on the same file system; gone when dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn beside(out: &Path) -> std::io::Result<Self> {
        let name = out.file_name().ok_or_else(|| std::io::Error::other("the path names no folder"))?;
        let path = out.with_file_name(format!(".{}.building-{}", name.to_string_lossy(), std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing to be done about a failure here: the folder is hidden and the next build removes it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn put_in_place(fresh: &Path, out: &Path, standing: &Standing, scratch: &Scratch) -> std::io::Result<()> {
    match standing {
        Standing::Nothing => fs::rename(fresh, out),
        Standing::Empty => {
            fs::remove_dir(out)?;
            fs::rename(fresh, out)
        }
        Standing::Index => {
            let old = scratch.path.join("old");
            fs::rename(out, &old)?;
            fs::rename(fresh, out).or_else(|error| {
                fs::rename(&old, out)?;
                Err(error)
            })
        }
    }
}

fn write_manifest(dir: &Path, manifest: &IndexManifest) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(manifest)?;
    text.push('\n');
    let mut file = fs::File::create(dir.join(manifest::FILE_NAME))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Writes one segment with all passages in order; returns their mean length.
fn write_passages(dir: &Path, passages: &[Passage]) -> tantivy::Result<f64> {
    let (schema, fields) = layout::schema();
    // As they are: inflating a passage costs more than its search, and a process would keep what is inflated.
    let settings = tantivy::IndexSettings {
        docstore_compression: Compressor::None,
        docstore_blocksize: STORE_BLOCK_BYTES,
        ..tantivy::IndexSettings::default()
    };
    let mut writer: SingleSegmentIndexWriter = Index::builder()
        .schema(schema)
        .settings(settings)
        .single_segment_index_writer(tantivy::directory::MmapDirectory::open(dir)?, WRITER_BYTES_START)?;
    let ranks = ranks_of_ids(passages);
    let mut analyser = Analyser::new();
    let mut seen = HashSet::with_capacity(passages.len());
    let mut terms_total = 0_u64;
    for (passage, rank) in passages.iter().zip(ranks) {
        let indexed = analysis::indexed_text(&passage.title, &passage.text);
        let tokens = analyser.terms(&indexed);
        let length = tokens.len() as u64;
        terms_total += length;
        let mut document = TantivyDocument::default();
        document.add_text(fields.id, &passage.id);
        document.add_text(fields.title, &passage.title);
        document.add_text(fields.text, &passage.text);
        document.add_pre_tokenized_text(fields.terms, PreTokenizedString { text: String::new(), tokens });
        document.add_u64(fields.length, length);
        document.add_u64(fields.rank_of_id, rank);
        document.add_bool(fields.is_repeat, !seen.insert(indexed));
        writer.add_document(document)?;
    }
    writer.finalize()?;
    Ok(terms_total as f64 / passages.len() as f64)
}

/// For each passage the place of its id among all ids in the order of their bytes.
fn ranks_of_ids(passages: &[Passage]) -> Vec<u64> {
    let mut rows: Vec<usize> = (0..passages.len()).collect();
    rows.sort_unstable_by(|&a, &b| passages[a].id.cmp(&passages[b].id));
    let mut ranks = vec![0; passages.len()];
    for (rank, row) in rows.into_iter().enumerate() {
        ranks[row] = rank as u64;
    }
    ranks
}
