//! Exact BM25 over a read-only index: the only crate that names tantivy.
//!
//! tantivy keeps texts, postings and exact lengths on disk and maps them into memory; the scores are ours, because
//! tantivy fixes `k1` and `b` and rounds lengths, which changes the hits of most queries against the `bm25s` that the
//! original uses. An index is [built](build) once from a JSONL corpus, then [opened](Bm25Index::open) by any number
//! of processes. What is not here: adding to an index (build another), vectors, and who may search what.

mod analysis;
mod build;
mod corpus;
mod layout;
mod manifest;
mod search;
mod stamp;

pub use build::build;
pub use manifest::{IndexManifest, IndexSettings};
pub use search::{Bm25Index, HITS_MAX, QUERY_TERMS_MAX};
