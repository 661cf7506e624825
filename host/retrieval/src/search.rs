//! Searches an index: exact BM25, a window of documents after the other, in each the rarest query terms first.

use crate::analysis::Analyser;
use crate::layout::{self, Fields};
use crate::manifest::{HINT_BUILD, IndexManifest, IndexSettings};
use crate::stamp::Stamp;
use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::ports::{Hit, Index, ServiceFault};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
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
/// Documents of the first window: few, so that it is soon known what a hit must come to. Each is twice as long as the
/// one before.
const WINDOW_FIRST: DocId = 1 << 10;
/// Documents of the longest window.
const WINDOW_MAX: DocId = 1 << 14;
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

/// What a search writes to, a window at a time.
struct Scratch {
    /// By place in the window, zeros between windows.
    scores: Vec<f64>,
    /// A bit for each place whose score is no zero: read from the first on, they are in order.
    touched: Vec<u64>,
    /// Documents in question with their scores so far.
    candidates: Vec<(f64, DocId)>,
}

impl Scratch {
    fn new() -> Self {
        let window = WINDOW_MAX as usize;
        Scratch { scores: vec![0.0; window], touched: vec![0; window / u64::BITS as usize], candidates: Vec::new() }
    }
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

/// The first `k` of the documents seen so far, best first.
struct Best {
    k: usize,
    found: Vec<Scored>,
}

impl Best {
    /// What a document must come to, or 0 where there is room: a little less than the last one's score, as sums of the
    /// same numbers in another order differ in their last bits.
    fn least(&self) -> f64 {
        self.found.get(self.k - 1).map_or(0.0, |last| last.score * (1.0 - 1e-9))
    }

    /// Most documents are told from the first ones by their score alone, and their column, seldom at hand, is not read.
    fn offer(&mut self, score: f64, document: DocId, columns: &[Column]) {
        if self.found.get(self.k - 1).is_some_and(|last| score < last.score) {
            return;
        }
        let column = &columns[document as usize];
        if column.is_repeat {
            return;
        }
        let one = Scored { score, rank_of_id: column.rank_of_id, document };
        let at = self.found.partition_point(|other| other.order(&one) == Ordering::Less);
        self.found.insert(at, one);
        self.found.truncate(self.k);
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
    /// Documents are looked at in windows that the processor's caches hold. In each, the terms that weigh most are
    /// read; what is left of the terms could not lift a document that holds none of those to the k-th place, so it is
    /// looked up for the documents still in question alone.
    fn best(&self, query: &str, k: usize) -> std::io::Result<Vec<Scored>> {
        let mut terms = self.postings(query)?;
        let mut best = Best { k, found: Vec::with_capacity(k + 1) };
        if terms.is_empty() {
            return Ok(best.found);
        }
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        // Dropped where a search does not come to its end, not given back: the scores are not all zeros.
        let mut scratch = spare.unwrap_or_else(Scratch::new);
        let documents = self.columns.len() as DocId;
        let (mut start, mut length) = (0, WINDOW_FIRST);
        while start < documents {
            let end = documents.min(start + length);
            self.look_through(start..end, &mut terms, &mut scratch, &mut best);
            start = end;
            length = WINDOW_MAX.min(length * 2);
        }
        if let Ok(mut spare) = self.spare.lock() {
            spare.push(scratch);
        }
        Ok(best.found)
    }

    /// Finds what of one window belongs to the best.
    fn look_through(&self, window: Range<DocId>, terms: &mut [TermPostings], scratch: &mut Scratch, best: &mut Best) {
        let Scratch { scores, touched, candidates } = scratch;
        let least = best.least();
        // All terms, until k documents are found. Those after them can add less than `left`.
        let (mut read, mut left) = (terms.len(), 0.0);
        while read > 1 && left + terms[read - 1].weight < least {
            read -= 1;
            left += terms[read].weight;
        }
        let (read, rest) = terms.split_at_mut(read);
        for term in read {
            self.add_term(term, &window, scores, touched);
        }
        candidates.clear();
        for (block, touched) in touched.iter_mut().enumerate() {
            while *touched != 0 {
                let place = block as DocId * u64::BITS + touched.trailing_zeros();
                *touched &= *touched - 1;
                let score = std::mem::take(&mut scores[place as usize]);
                if score + left >= least {
                    candidates.push((score, window.start + place));
                }
            }
        }
        for term in rest {
            self.look_up(term, candidates);
            left -= term.weight;
            candidates.retain(|(score, _)| score + left >= least);
        }
        for &(score, document) in &*candidates {
            best.offer(score, document, &self.columns);
        }
    }

    /// The query's terms that stand in a passage, those first that weigh most.
    fn postings(&self, query: &str) -> std::io::Result<Vec<TermPostings>> {
        let inverted = self.segment.inverted_index(self.fields.terms).map_err(std::io::Error::other)?;
        let mut found = Vec::new();
        for (term, occurrences) in self.query_terms(query) {
            let term = Term::from_field_text(self.fields.terms, &term);
            if let Some(postings) = inverted.read_block_postings(&term, IndexRecordOption::WithFreqs)? {
                let weight = f64::from(occurrences) * inverse_frequency(self.columns.len(), &postings);
                found.push(TermPostings { weight, postings, next: 0 });
            }
        }
        found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Ok(found)
    }

    /// Adds one term's share to the scores of all documents of a window that hold it.
    fn add_term(&self, term: &mut TermPostings, window: &Range<DocId>, scores: &mut [f64], touched: &mut [u64]) {
        let TermPostings { weight, postings, next } = term;
        while postings.block_len() > 0 {
            let (documents, counts) = (&postings.docs()[*next..], &postings.freqs()[*next..]);
            let inside = documents.partition_point(|document| *document < window.end);
            for (&document, &count) in documents[..inside].iter().zip(counts) {
                let place = document - window.start;
                touched[(place / u64::BITS) as usize] |= 1 << (place % u64::BITS);
                scores[place as usize] += *weight * self.share(document, count);
            }
            if inside < documents.len() {
                *next += inside;
                break;
            }
            postings.advance();
            *next = 0;
        }
    }

    /// Adds the share of a term to documents in question, which are in order.
    fn look_up(&self, term: &mut TermPostings, candidates: &mut [(f64, DocId)]) {
        let TermPostings { weight, postings, .. } = term;
        for (score, document) in candidates {
            let place = postings.seek(*document);
            if postings.docs().get(place) == Some(document) {
                *score += *weight * self.share(*document, postings.freq(place));
            }
        }
    }

    /// What a term's weight counts for in a document that holds it `count` times: below 1.
    fn share(&self, document: DocId, count: u32) -> f64 {
        let count = f64::from(count);
        count / (count + self.norms[self.norm_of[document as usize] as usize])
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
    /// Of the block at hand, the first document that no window has come to.
    next: usize,
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
