//! Searches an index: exact BM25, one query term after the other, the rarest first.

use crate::analysis::Analyser;
use crate::layout::{self, Fields};
use crate::manifest::{HINT_BUILD, IndexManifest, IndexSettings};
use crate::stamp::Stamp;
use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::ports::{Hit, Index, ServiceFault};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tantivy::postings::BlockSegmentPostings;
use tantivy::schema::document::{DeserializeError, DocumentDeserialize, DocumentDeserializer};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::store::StoreReader;
use tantivy::{DocId, SegmentReader, Term};

/// Most hits of one search.
pub const HITS_MAX: u32 = 100;
/// Distinct terms of a query that count, the first ones: bounds the work a chain can ask for in one search.
pub const QUERY_TERMS_MAX: usize = 1024;
/// Blocks of passages kept beside the file: none, as they stand in it as they are read.
const STORE_BLOCKS_KEPT: usize = 0;

/// An opened index. Cheap to share; searches run side by side.
pub struct Bm25Index {
    dir: PathBuf,
    manifest: IndexManifest,
    digest: String,
    fields: Fields,
    segment: SegmentReader,
    store: StoreReader,
    analyser: Analyser,
    /// By document, its place in `norms`: few lengths are different, so that what scoring reads stays in the
    /// processor's caches.
    norm_of: Vec<u32>,
    /// Of a length, `k1 * (1 - b + b * length / average length)`.
    norms: Vec<f64>,
    /// By document.
    columns: Vec<Column>,
    /// Taken by a search and given back.
    spare: Mutex<Vec<Scratch>>,
}

/// What a search writes to.
struct Scratch {
    /// By document, zeros between searches.
    scores: Vec<f64>,
    /// Documents whose score is no zero, empty between searches.
    touched: Vec<DocId>,
    /// Documents in question, as the last search left them.
    candidates: Vec<(f64, DocId)>,
}

/// What the order of hits needs of a document.
struct Column {
    rank_of_id: u32,
    is_repeat: bool,
}

/// A document with its score.
#[derive(Clone, Copy)]
struct Scored {
    score: f64,
    rank_of_id: u32,
    document: DocId,
}

impl Scored {
    /// Better first: score descending, then passage id.
    fn order(&self, other: &Scored) -> Ordering {
        other.score.total_cmp(&self.score).then(self.rank_of_id.cmp(&other.rank_of_id))
    }
}

impl std::fmt::Debug for Bm25Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bm25Index").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

impl Bm25Index {
    /// Opens the index in `dir`.
    ///
    /// Reads every file once to compare checksums, so that a folder copied in part is refused here and not in the
    /// middle of a run.
    pub fn open(dir: &Path) -> Result<Self, InputError> {
        let manifest = IndexManifest::read(dir)?;
        Self::load(dir, manifest).map_err(|message| {
            InputError::new(dir.display().to_string(), format!("the files do not fit the manifest: {message}"))
                .hint(HINT_BUILD)
        })
    }

    fn load(dir: &Path, manifest: IndexManifest) -> Result<Self, String> {
        let text = |error: tantivy::TantivyError| error.to_string();
        let index = tantivy::Index::open_in_dir(dir).map_err(text)?;
        let (schema, fields) = layout::schema();
        if index.schema() != schema {
            return Err("other fields than expected".to_owned());
        }
        let broken = index.validate_checksum().map_err(text)?;
        if let Some(file) = broken.iter().min() {
            return Err(format!("{} is damaged", file.display()));
        }
        // Not through tantivy's own reader: it writes a lock file, and an index may lie on a read-only disk.
        let segments = index.searchable_segments().map_err(text)?;
        let [segment] = segments.as_slice() else {
            return Err(format!("{} segments instead of one", segments.len()));
        };
        let segment = SegmentReader::open(segment).map_err(text)?;
        let store = segment.get_store_reader(STORE_BLOCKS_KEPT).map_err(|error| error.to_string())?;
        let Columns { norm_of, norms, columns } = Columns::read(&segment, &manifest)?;
        Ok(Bm25Index {
            dir: dir.to_owned(),
            digest: manifest.digest(),
            manifest,
            fields,
            analyser: Analyser::new(),
            norm_of,
            norms,
            columns,
            spare: Mutex::default(),
            segment,
            store,
        })
    }

    /// Whether it is what [`build`](crate::build()) would make of `corpus` now. Reads the corpus once; the next time
    /// its length and time of change are enough, as long as both are as they were.
    ///
    /// # Errors
    /// The corpus cannot be read.
    pub fn was_built_from(&self, corpus: &Path, settings: IndexSettings) -> Result<bool, InputError> {
        let stamp = Stamp::of(corpus);
        if stamp.is_some() && stamp == Stamp::kept(&self.dir) {
            return Ok(self.manifest.fits(&self.manifest.corpus_digest, settings));
        }
        let found = crate::corpus::digest(&crate::corpus::read(corpus)?);
        if let Some(stamp) = stamp.filter(|_| found == self.manifest.corpus_digest) {
            stamp.keep(&self.dir);
        }
        Ok(self.manifest.fits(&found, settings))
    }

    /// What it was built from.
    pub fn manifest(&self) -> &IndexManifest {
        &self.manifest
    }

    /// Distinct terms in the order of the query, each with its number of occurrences.
    fn query_terms(&self, query: &str) -> Vec<(String, u32)> {
        // Each with its place.
        let mut terms: HashMap<String, (usize, u32)> = HashMap::new();
        self.analyser.clone().each_term(query, &mut |token| {
            if let Some((_, occurrences)) = terms.get_mut(&token.text) {
                *occurrences += 1;
            } else if terms.len() < QUERY_TERMS_MAX {
                terms.insert(token.text.clone(), (terms.len(), 1));
            }
        });
        let mut terms: Vec<_> = terms.into_iter().collect();
        terms.sort_unstable_by_key(|(_, (place, _))| *place);
        terms.into_iter().map(|(term, (_, occurrences))| (term, occurrences)).collect()
    }

    /// The best `k` documents, best first.
    ///
    /// Terms are read from the rarest on. As soon as the terms that are left could not lift a document that holds none
    /// of the earlier ones to the k-th place, they are looked up for the documents still in question alone.
    fn best(&self, query: &str, k: usize) -> std::io::Result<Vec<Scored>> {
        let mut terms = self.postings(query)?;
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        // Dropped where a search does not come to its end, not given back: the scores are not all zeros.
        let Scratch { mut scores, mut touched, mut candidates } = spare.unwrap_or_else(|| Scratch {
            scores: vec![0.0; self.columns.len()],
            touched: Vec::new(),
            candidates: Vec::new(),
        });
        let mut read = 0;
        let mut least = 0.0;
        while read < terms.len() {
            self.add_term(&mut terms[read], &mut scores, &mut touched);
            read += 1;
            let (earlier, left) = (weights(&terms[..read]), at_most(&terms[read..]));
            if read < terms.len() && left < earlier {
                let so_far = touched.iter().map(|document| (scores[*document as usize], *document));
                least = self.kth(so_far, k);
                if left < least {
                    break;
                }
            }
        }
        let taken = touched.drain(..).map(|document| (std::mem::take(&mut scores[document as usize]), document));
        let found = if read == terms.len() {
            self.first(taken, k)
        } else {
            let left = at_most(&terms[read..]);
            candidates.clear();
            candidates.extend(taken.filter(|(score, _)| score + left >= least));
            self.look_up(&mut terms[read..], &mut candidates, least, k);
            self.first(candidates.iter().copied(), k)
        };
        if let Ok(mut spare) = self.spare.lock() {
            spare.push(Scratch { scores, touched, candidates });
        }
        Ok(found)
    }

    /// The query's terms that stand in a passage, those first that weigh most.
    fn postings(&self, query: &str) -> std::io::Result<Vec<TermPostings>> {
        let inverted = self.segment.inverted_index(self.fields.terms).map_err(std::io::Error::other)?;
        let mut found = Vec::new();
        for (term, occurrences) in self.query_terms(query) {
            let term = Term::from_field_text(self.fields.terms, &term);
            if let Some(postings) = inverted.read_block_postings(&term, IndexRecordOption::WithFreqs)? {
                let weight = f64::from(occurrences) * inverse_frequency(self.columns.len(), &postings);
                found.push(TermPostings { weight, postings });
            }
        }
        found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Ok(found)
    }

    /// Adds one term's share to the scores of all documents that hold it.
    fn add_term(&self, term: &mut TermPostings, scores: &mut [f64], touched: &mut Vec<DocId>) {
        let TermPostings { weight, postings } = term;
        while postings.block_len() > 0 {
            for (&document, &count) in postings.docs().iter().zip(postings.freqs()) {
                let score = &mut scores[document as usize];
                if *score == 0.0 {
                    touched.push(document);
                }
                *score += *weight * self.share(document, count);
            }
            postings.advance();
        }
    }

    /// Adds the shares of further terms to documents in question. Those that cannot come to `least` any more, a score
    /// that k documents have, drop out.
    fn look_up(&self, terms: &mut [TermPostings], candidates: &mut Vec<(f64, DocId)>, mut least: f64, k: usize) {
        candidates.retain(|(_, document)| !self.columns[*document as usize].is_repeat);
        // Stable: it sees that the list is made of a few runs in order, one a term.
        candidates.sort_by_key(|(_, document)| *document);
        for at in 0..terms.len() {
            let left = at_most(&terms[at..]);
            candidates.retain(|(score, _)| score + left >= least);
            let TermPostings { weight, postings } = &mut terms[at];
            for (score, document) in candidates.iter_mut() {
                let place = postings.seek(*document);
                if postings.docs().get(place) == Some(document) {
                    *score += *weight * self.share(*document, postings.freq(place));
                }
            }
            least = self.kth(candidates.iter().copied(), k);
        }
    }

    /// What a term's weight counts for in a document that holds it `count` times: below 1.
    fn share(&self, document: DocId, count: u32) -> f64 {
        let count = f64::from(count);
        count / (count + self.norms[self.norm_of[document as usize] as usize])
    }

    /// The k-th largest score of documents that are no repeats, 0 where there are fewer.
    fn kth(&self, scored: impl Iterator<Item = (f64, DocId)>, k: usize) -> f64 {
        let mut first: Vec<f64> = Vec::with_capacity(k + 1);
        for (score, document) in scored {
            // Few get as far as their column, which is seldom at hand.
            if (first.len() < k || score > first[k - 1]) && !self.columns[document as usize].is_repeat {
                let at = first.partition_point(|other| *other >= score);
                first.insert(at, score);
                first.truncate(k);
            }
        }
        first.get(k - 1).copied().unwrap_or(0.0)
    }

    /// The first `k` of scored documents; most are told from them by their score alone.
    fn first(&self, scored: impl Iterator<Item = (f64, DocId)>, k: usize) -> Vec<Scored> {
        let mut found: Vec<Scored> = Vec::with_capacity(k + 1);
        for (score, document) in scored {
            if found.len() == k && score < found[k - 1].score {
                continue;
            }
            let column = &self.columns[document as usize];
            if column.is_repeat {
                continue;
            }
            let one = Scored { score, rank_of_id: column.rank_of_id, document };
            let at = found.partition_point(|other| other.order(&one) == Ordering::Less);
            if at < k {
                found.insert(at, one);
                found.truncate(k);
            }
        }
        found
    }

    fn hit(&self, found: Scored) -> tantivy::Result<Hit> {
        let Kept(mut kept) = self.store.get(found.document)?;
        let mut text = |field| kept.iter_mut().find(|(of, _)| *of == field).map(|(_, text)| std::mem::take(text));
        let Fields { id, title, text: body, .. } = self.fields;
        let [passage_id, title, text] = [id, title, body].map(|field| text(field).unwrap_or_default());
        Ok(Hit { passage_id, title, text, score: found.score })
    }
}

/// What is kept of a passage: texts alone.
struct Kept(Vec<(Field, String)>);

impl DocumentDeserialize for Kept {
    fn deserialize<'de, D: DocumentDeserializer<'de>>(mut kept: D) -> Result<Self, DeserializeError> {
        let mut texts = Vec::with_capacity(kept.size_hint());
        while let Some(text) = kept.next_field()? {
            texts.push(text);
        }
        Ok(Kept(texts))
    }
}

/// A term of a query with the documents that hold it.
struct TermPostings {
    /// Most that it can add to a score: its share of it is below 1.
    weight: f64,
    postings: BlockSegmentPostings,
}

fn weights(terms: &[TermPostings]) -> f64 {
    terms.iter().map(|term| term.weight).sum()
}

/// What terms can add to a score: a little more than the sum, which rounding may have made too small.
fn at_most(terms: &[TermPostings]) -> f64 {
    weights(terms) * (1.0 + 1e-9)
}

/// Lucene's: never negative, and above 0 for a term that stands everywhere.
fn inverse_frequency(documents: usize, postings: &BlockSegmentPostings) -> f64 {
    let (documents, holders) = (documents as f64, f64::from(postings.doc_freq()));
    (1.0 + (documents - holders + 0.5) / (holders + 0.5)).ln()
}

/// What is read of every document when an index is opened.
struct Columns {
    norm_of: Vec<u32>,
    norms: Vec<f64>,
    columns: Vec<Column>,
}

impl Columns {
    fn read(segment: &SegmentReader, manifest: &IndexManifest) -> Result<Self, String> {
        let passages = u64::from(segment.num_docs());
        if passages != manifest.passages || segment.max_doc() != segment.num_docs() {
            return Err(format!("{passages} passages instead of {}", manifest.passages));
        }
        let text = |error: tantivy::TantivyError| error.to_string();
        let fast = segment.fast_fields();
        let lengths = fast.u64(layout::LENGTH).map_err(text)?;
        let ranks = fast.u64(layout::RANK_OF_ID).map_err(text)?;
        let repeats = fast.bool(layout::IS_REPEAT).map_err(text)?;
        let mut terms_total = 0;
        let documents = segment.num_docs() as usize;
        let mut all = Columns {
            norm_of: Vec::with_capacity(documents),
            norms: Vec::new(),
            columns: Vec::with_capacity(documents),
        };
        let mut place: HashMap<u64, u32> = HashMap::new();
        for document in 0..segment.num_docs() {
            let missing = || format!("passage {document} has no length or place");
            let length = lengths.first(document).ok_or_else(missing)?;
            terms_total += length;
            all.norm_of.push(*place.entry(length).or_insert_with(|| {
                let share = manifest.b * length as f64 / manifest.average_length;
                all.norms.push(manifest.k1 * (1.0 - manifest.b + share));
                (all.norms.len() - 1) as u32
            }));
            all.columns.push(Column {
                rank_of_id: ranks.first(document).and_then(|rank| u32::try_from(rank).ok()).ok_or_else(missing)?,
                is_repeat: repeats.first(document).ok_or_else(missing)?,
            });
        }
        let average_length = terms_total as f64 / passages as f64;
        // The last bit of a number may be lost on its way through JSON.
        if (average_length - manifest.average_length).abs() > 1e-9 * average_length.max(1.0) {
            return Err(format!("a mean length of {average_length} instead of {}", manifest.average_length));
        }
        Ok(all)
    }
}

impl Index for Bm25Index {
    fn digest(&self) -> &str {
        &self.digest
    }

    fn passages(&self) -> u64 {
        self.manifest.passages
    }

    /// Hits by score, then passage id in the order of its bytes ("10" before "9").
    ///
    /// The query is plain words: no operators. A repeated word counts as often as it stands there; distinct terms
    /// after the [`QUERY_TERMS_MAX`]th are not looked at. `k` below 1 counts as 1, above [`HITS_MAX`] as that. Of
    /// passages with equal title and text only the first of the corpus is found. Only passages that share a term
    /// with the query are hits, so there may be fewer than `k`.
    fn search(&self, query: &str, k: u32) -> Result<Vec<Hit>, ServiceFault> {
        let fault = |message: String| ServiceFault {
            kind: FaultKind::Internal,
            message: format!("the index cannot be read: {message}"),
            hint: Some(HINT_BUILD.to_owned()),
        };
        let k = k.clamp(1, HITS_MAX) as usize;
        let found = self.best(query, k).map_err(|error| fault(error.to_string()))?;
        found.into_iter().map(|one| self.hit(one)).collect::<Result<_, _>>().map_err(|error| fault(error.to_string()))
    }
}
