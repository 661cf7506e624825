//! Indexes as their users see them: built from files, opened from folders, compared with a plain reference.

use fapo_core::ports::Index;
use fapo_retrieval::{Bm25Index, HITS_MAX, IndexManifest, IndexSettings, QUERY_TERMS_MAX, build};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

const SETTINGS: IndexSettings = IndexSettings { k1: 0.9, b: 0.4 };

/// A temporary folder with a corpus and the place of its index.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn with(corpus: &str) -> Self {
        let place = Place { dir: tempfile::tempdir().expect("temporary folder") };
        fs::write(place.corpus(), corpus).expect("writable");
        place
    }

    fn corpus(&self) -> PathBuf {
        self.dir.path().join("corpus.jsonl")
    }

    fn index(&self) -> PathBuf {
        self.dir.path().join("index")
    }

    fn build(&self) -> IndexManifest {
        build(&self.corpus(), &self.index(), SETTINGS).expect("a good corpus")
    }

    fn open(&self) -> Bm25Index {
        self.build();
        Bm25Index::open(&self.index()).expect("a good index")
    }
}

fn ids(index: &Bm25Index, query: &str, k: u32) -> Vec<String> {
    index.search(query, k).expect("readable").into_iter().map(|hit| hit.passage_id).collect()
}

/// Numbers that repeat with every run, to invent texts from.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Words end in a digit, so that analysis leaves them alone and the reference needs none.
fn invented(rows: usize) -> Vec<Vec<String>> {
    let mut numbers = Numbers(7);
    (0..rows)
        .map(|_| {
            let length = 1 + numbers.below(12);
            (0..length).map(|_| format!("w{}", numbers.below(1 + numbers.0 % 40))).collect()
        })
        .collect()
}

/// BM25 straight from its formula over all passages.
struct Reference {
    counts: Vec<HashMap<String, f64>>,
    lengths: Vec<f64>,
    repeats: Vec<bool>,
}

impl Reference {
    fn new(passages: &[Vec<String>]) -> Self {
        let mut seen = HashSet::new();
        Reference {
            counts: passages.iter().map(|words| counts(words)).collect(),
            lengths: passages.iter().map(|words| words.len() as f64).collect(),
            repeats: passages.iter().map(|words| !seen.insert(words)).collect(),
        }
    }

    fn best(&self, query: &[String], k: usize) -> Vec<(String, f64)> {
        let n = self.counts.len() as f64;
        let average = self.lengths.iter().sum::<f64>() / n;
        let mut weights: Vec<(&String, f64)> = Vec::new();
        for term in query {
            if let Some(known) = weights.iter_mut().find(|(other, _)| *other == term) {
                known.1 += 1.0;
            } else {
                weights.push((term, 1.0));
            }
        }
        for (term, weight) in &mut weights {
            let holders = self.counts.iter().filter(|counts| counts.contains_key(*term)).count() as f64;
            *weight *= (1.0 + (n - holders + 0.5) / (holders + 0.5)).ln();
        }
        let mut hits = Vec::new();
        for (row, counts) in self.counts.iter().enumerate() {
            let norm = SETTINGS.k1 * (1.0 - SETTINGS.b + SETTINGS.b * self.lengths[row] / average);
            let share = |(term, weight): &(&String, f64)| counts.get(*term).map_or(0.0, |f| weight * f / (f + norm));
            let score: f64 = weights.iter().map(share).sum();
            if score > 0.0 && !self.repeats[row] {
                hits.push(((row + 1).to_string(), score));
            }
        }
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        hits.truncate(k);
        hits
    }
}

fn counts(words: &[String]) -> HashMap<String, f64> {
    let mut counts = HashMap::new();
    words.iter().for_each(|word| *counts.entry(word.clone()).or_default() += 1.0);
    counts
}

#[test]
fn hits_are_those_of_the_formula_ties_included() {
    let passages = invented(700);
    let corpus: String =
        passages.iter().map(|words| format!("{}\n", serde_json::json!({"text": words.join(" ")}))).collect();
    let place = Place::with(&corpus);
    let index = place.open();
    let reference = Reference::new(&passages);
    let mut numbers = Numbers(11);
    let mut ties = 0;
    for _ in 0..150 {
        let query: Vec<String> = (0..1 + numbers.below(5)).map(|_| format!("w{}", numbers.below(40))).collect();
        for k in [1, 7, 100] {
            let expected = reference.best(&query, k);
            let hits = index.search(&query.join(" "), k as u32).expect("readable");
            assert_eq!(
                hits.iter().map(|hit| &hit.passage_id).collect::<Vec<_>>(),
                expected.iter().map(|(id, _)| id).collect::<Vec<_>>(),
                "{query:?}, k {k}"
            );
            for (hit, (_, score)) in hits.iter().zip(&expected) {
                assert!((hit.score - score).abs() < 1e-12, "{query:?}: {} and {score}", hit.score);
            }
            ties += expected.windows(2).filter(|pair| pair[0].1 == pair[1].1).count();
        }
    }
    assert!(ties > 100, "the corpus is meant to have ties, it has {ties}");
}

/// Words as they are spread in real text: a few stand everywhere, most in a handful of passages.
fn spread(count: usize) -> Vec<Vec<String>> {
    let mut numbers = Numbers(29);
    let mut word = move || {
        let (a, b, c) = (numbers.below(1_000), numbers.below(1_000), numbers.below(1_000));
        format!("w{}", a * b / 1_000 * c / 500)
    };
    (0..count).map(|row| (0..20 + row % 30).map(|_| word()).collect()).collect()
}

/// Long queries of rare and frequent words: documents that cannot be among the first are passed over, and nobody sees it.
#[test]
fn what_is_passed_over_could_not_be_among_the_first() {
    let passages = spread(3_000);
    let corpus: String =
        passages.iter().map(|words| format!("{}\n", serde_json::json!({"text": words.join(" ")}))).collect();
    let place = Place::with(&corpus);
    let index = place.open();
    let reference = Reference::new(&passages);
    let mut numbers = Numbers(5);
    for _ in 0..120 {
        let query: Vec<String> = (0..2 + numbers.below(12))
            .map(|_| {
                let words = &passages[numbers.below(3_000) as usize];
                words[numbers.below(words.len() as u64) as usize].clone()
            })
            .collect();
        for k in [1, 7, 50] {
            let expected = reference.best(&query, k);
            let hits = index.search(&query.join(" "), k as u32).expect("readable");
            assert_eq!(hits.len(), expected.len(), "{query:?}");
            let last = expected.last().map_or(0.0, |(_, score)| *score);
            for (hit, (_, score)) in hits.iter().zip(&expected) {
                assert!((hit.score - score).abs() < 1e-9, "{query:?}: {} and {score}", hit.score);
            }
            let above = |id: &str, score: f64| (score > last + 1e-9).then(|| id.to_string());
            let found: HashSet<String> = hits.iter().filter_map(|hit| above(&hit.passage_id, hit.score)).collect();
            let wanted: HashSet<String> = expected.iter().filter_map(|(id, score)| above(id, *score)).collect();
            assert_eq!(found, wanted, "{query:?}, k {k}");
        }
    }
}

#[test]
fn a_hit_carries_the_passage() {
    let place = Place::with(
        r#"{"id": 17, "title": "Skerry Light", "text": "A lighthouse of 1874.", "src": "invented"}
           {"id": "b", "title": null, "text": "Nothing of the kind."}"#,
    );
    let index = place.open();
    assert_eq!(index.passages(), 2);
    let hits = index.search("Lighthouses", 5).expect("readable");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].passage_id, "17");
    assert_eq!(hits[0].title, "Skerry Light");
    assert_eq!(hits[0].text, "A lighthouse of 1874.");
    assert_eq!(ids(&index, "skerry", 5), ["17"], "titles are searched");
    assert_eq!(ids(&index, "title:kind AND *", 5), ["b"], "a query has no operators");
}

#[test]
fn ids_default_to_line_numbers_and_blank_lines_count() {
    let place = Place::with("{\"text\": \"owl\"}\n\n   \n{\"text\": \"owl heron\"}\n");
    assert_eq!(ids(&place.open(), "heron", 5), ["4"]);
}

#[test]
fn ties_go_by_id_as_text() {
    let rows: String = ["9", "10", "b", "a"]
        .iter()
        .map(|id| format!("{{\"id\":\"{id}\",\"text\":\"owl\",\"title\":\"x{id}\"}}\n"))
        .collect();
    // Titles of two characters or more are one term each: all four have the same length but for "x10", also one term.
    assert_eq!(ids(&Place::with(&rows).open(), "owl", 9), ["10", "9", "a", "b"]);
}

#[test]
fn equal_passages_are_found_once_and_the_first_row_stays() {
    let place = Place::with(
        "{\"id\":\"z\",\"text\":\"owl heron\"}\n{\"id\":\"a\",\"text\":\"owl heron\"}\n{\"id\":\"c\",\"text\":\"heron owl\"}\n",
    );
    let index = place.open();
    assert_eq!(ids(&index, "owl", 9), ["c", "z"]);
    assert_eq!(ids(&index, "owl", 2), ["c", "z"], "a repeat takes no place among the k");
    assert_eq!(index.passages(), 3);
}

#[test]
fn repeated_query_words_count_each_time() {
    let place = Place::with(
        "{\"id\":\"1\",\"text\":\"owl\"}\n{\"id\":\"2\",\"text\":\"heron\"}\n{\"id\":\"3\",\"text\":\"crane\"}\n",
    );
    let index = place.open();
    let once = index.search("owl", 1).expect("readable")[0].score;
    let thrice = index.search("owl owls OWL", 1).expect("readable")[0].score;
    assert!((thrice - 3.0 * once).abs() < 1e-12);
}

#[test]
fn queries_at_their_edges() {
    let rows: String = (0..150).map(|n| format!("{{\"text\":\"owl number{n}\"}}\n")).collect();
    let index = Place::with(&rows).open();
    for nothing in ["", "   ", "the of", "x", "heron", "?!"] {
        assert!(ids(&index, nothing, 7).is_empty(), "{nothing:?}");
    }
    assert_eq!(ids(&index, "owl", 0).len(), 1);
    assert_eq!(ids(&index, "owl", 100).len(), 100);
    assert_eq!(ids(&index, "owl", HITS_MAX + 1).len(), 100);
    let filler = |n: usize| (0..n).map(|n| format!("filler{n} ")).collect::<String>();
    assert_eq!(ids(&index, &(filler(QUERY_TERMS_MAX - 1) + "owl"), 1).len(), 1);
    assert!(ids(&index, &(filler(QUERY_TERMS_MAX) + "owl"), 1).is_empty());
}

#[test]
fn searches_side_by_side_agree() {
    let passages = invented(300);
    let corpus: String =
        passages.iter().map(|words| format!("{}\n", serde_json::json!({"text": words.join(" ")}))).collect();
    let index = Place::with(&corpus).open();
    let expected: Vec<_> = (0..40).map(|n| ids(&index, &format!("w{n} w1"), 9)).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (n, expected) in expected.iter().enumerate() {
                    assert_eq!(&ids(&index, &format!("w{n} w1"), 9), expected);
                }
            });
        }
    });
}

#[test]
fn a_passage_without_terms_is_kept_and_never_found() {
    let index = Place::with("{\"text\":\"\"}\n{\"text\":\"the\"}\n").open();
    assert_eq!(index.passages(), 2);
    assert!(ids(&index, "the owl", 5).is_empty());
}

#[test]
fn bad_rows_are_named_with_their_line() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(4 << 20));
    let long_id = format!("{{\"id\":\"{}\",\"text\":\"x\"}}", "i".repeat(257));
    let table = [
        ("{\"text\":\"a\"}\n{\"title\":\"b\"}", ":2", "missing field `text`"),
        ("\n\n{\"text\":7}", ":3", "invalid type: integer `7`, expected a string"),
        ("{\"text\":\"a\"", ":1", "EOF while parsing"),
        ("{\"text\":\"a\",\"id\":true}", ":1", "`id` is neither a text nor a number"),
        ("{\"text\":\"a\",\"id\":\"\"}", ":1", "1 to 256 bytes"),
        ("{\"text\":\"a\",\"id\":\"x\\ny\"}", ":1", "control characters"),
        (&long_id, ":1", "1 to 256 bytes"),
        (
            "{\"id\":1,\"text\":\"a\"}\n\n{\"id\":\"1\",\"text\":\"b\"}",
            ":3",
            "the passage id \"1\" stands at line 1 too",
        ),
        ("{\"id\":2,\"text\":\"a\"}\n{\"text\":\"b\"}", ":2", "the passage id \"2\" stands at line 1 too"),
        (&long, ":1", "longer than"),
        ("", "corpus.jsonl", "no passage"),
        ("[1]", ":1", "invalid"),
    ];
    for (corpus, line, message) in table {
        let place = Place::with(corpus);
        let error = build(&place.corpus(), &place.index(), SETTINGS).expect_err(message);
        assert!(error.subject.ends_with(line), "{} does not end in {line}", error.subject);
        assert!(error.message.contains(message), "{:?} does not hold {message:?}", error.message);
        assert!(!place.index().exists());
    }
}

#[test]
fn bad_bytes_and_missing_files_are_named() {
    let place = Place::with("");
    fs::write(place.corpus(), b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}\n").expect("writable");
    let error = build(&place.corpus(), &place.index(), SETTINGS).expect_err("not UTF-8");
    assert!(error.to_string().ends_with("corpus.jsonl:2: the line is not UTF-8"), "{error}");
    let error = build(Path::new("/nowhere/corpus.jsonl"), &place.index(), SETTINGS).expect_err("missing");
    assert!(error.to_string().starts_with("/nowhere/corpus.jsonl: "), "{error}");
}

#[test]
fn settings_are_checked() {
    let place = Place::with("{\"text\":\"owl\"}");
    for (k1, b, good) in
        [(0.0, 0.0, true), (9.0, 1.0, true), (-0.1, 0.4, false), (f64::NAN, 0.4, false), (0.9, 1.01, false)]
    {
        assert_eq!(build(&place.corpus(), &place.index(), IndexSettings { k1, b }).is_ok(), good, "{k1} {b}");
    }
}

#[test]
fn the_digest_follows_the_content_and_nothing_else() {
    let base = Place::with("{\"id\":1,\"title\":\"t\",\"text\":\"owl\"}\n").build();
    let digest = base.digest();
    assert!(digest.starts_with("sha256:"));
    let same = [
        "{\"text\":\"owl\",\"title\":\"t\",\"id\":\"1\",\"src\":9}",
        "\n\n{\"id\": 1, \"title\": \"t\", \"text\": \"\\u006fwl\"}",
    ];
    for corpus in same {
        assert_eq!(Place::with(corpus).build().digest(), digest, "{corpus}");
    }
    let other = [
        "{\"id\":1,\"title\":\"t\",\"text\":\"owls\"}",
        "{\"id\":2,\"title\":\"t\",\"text\":\"owl\"}",
        "{\"id\":1,\"title\":\"to\",\"text\":\"wl\"}",
    ];
    for corpus in other {
        assert_ne!(Place::with(corpus).build().digest(), digest, "{corpus}");
    }
    let place = Place::with("{\"id\":1,\"title\":\"t\",\"text\":\"owl\"}\n");
    let settings = IndexSettings { k1: 1.2, ..SETTINGS };
    assert_ne!(build(&place.corpus(), &place.index(), settings).expect("good").digest(), digest);
    assert_eq!(Bm25Index::open(&place.index()).expect("good").manifest().k1, 1.2);
}

/// Names of all files in a folder, which hold tantivy's random segment id.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn an_equal_index_stays_and_another_is_replaced_whole() {
    let place = Place::with("{\"text\":\"owl\"}");
    place.build();
    let first = names(&place.index());
    place.build();
    assert_eq!(names(&place.index()), first);
    fs::write(place.corpus(), "{\"text\":\"heron\"}").expect("writable");
    let index = place.open();
    assert_eq!(ids(&index, "heron", 1), ["1"]);
    assert!(ids(&index, "owl", 1).is_empty());
    assert!(
        names(&place.index())
            .iter()
            .all(|name| name == "manifest.json" || !first.contains(name) || !name.contains('-'))
    );
    assert_eq!(names(place.dir.path()), ["corpus.jsonl", "index"], "nothing is left beside it");
}

#[test]
fn a_damaged_index_is_built_again() {
    let place = Place::with("{\"text\":\"owl\"}");
    place.build();
    let store = names(&place.index()).into_iter().find(|name| name.ends_with(".store")).expect("a store");
    fs::remove_file(place.index().join(store)).expect("removable");
    assert!(Bm25Index::open(&place.index()).is_err());
    assert_eq!(ids(&place.open(), "owl", 1), ["1"]);
}

#[test]
fn a_folder_with_other_things_is_refused() {
    let place = Place::with("{\"text\":\"owl\"}");
    fs::create_dir(place.index()).expect("writable");
    place.build();
    fs::remove_file(place.index().join("manifest.json")).expect("removable");
    for manifest in [None, Some("{}"), Some("not json")] {
        manifest.into_iter().for_each(|text| fs::write(place.index().join("manifest.json"), text).expect("writable"));
        let error = build(&place.corpus(), &place.index(), SETTINGS).expect_err("no index");
        assert!(error.message.contains("other things"), "{error}");
        assert!(error.hint.is_some());
    }
}

#[test]
fn what_cannot_be_searched_is_refused_at_open() {
    let place = Place::with("{\"text\":\"owl\"}");
    let error = Bm25Index::open(&place.index()).expect_err("missing");
    assert_eq!(error.message, "there is no index here");
    assert!(error.hint.expect("a hint").contains("fapo index build"));

    place.build();
    let path = place.index().join("manifest.json");
    let good = fs::read_to_string(&path).expect("readable");
    let table: [(&str, &str, &str); 6] = [
        ("\"format\": 2", "\"format\": 3", "the index has format 3, this program reads format 2"),
        ("\"format\": 2,", "", "no format"),
        ("\"analyser_version\": 1", "\"analyser_version\": 9", "was analysed by"),
        ("\"passages\": 1", "\"passages\": 2", "1 passages instead of 2"),
        ("\"average_length\": 1.0", "\"average_length\": 2.0", "a mean length of 1 instead of 2"),
        ("\"k1\"", "\"k2\"", "unknown field `k2`"),
    ];
    for (from, to, message) in table {
        assert!(good.contains(from), "{from}");
        fs::write(&path, good.replace(from, to)).expect("writable");
        let error = Bm25Index::open(&place.index()).expect_err(message);
        assert!(error.message.contains(message), "{:?} does not hold {message:?}", error.message);
    }
}

#[test]
fn a_changed_byte_is_found_at_open() {
    let place = Place::with("{\"text\":\"owl\"}");
    place.build();
    let file = names(&place.index()).into_iter().find(|name| name.ends_with(".store")).expect("a store");
    let path = place.index().join(&file);
    let mut bytes = fs::read(&path).expect("readable");
    bytes[2] ^= 0xff;
    fs::write(&path, bytes).expect("writable");
    let error = Bm25Index::open(&place.index()).expect_err("damaged");
    assert!(error.message.contains(&format!("{file} is damaged")), "{error}");
}

/// The shared data folder, where this checkout has one.
fn data_file(name: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("FAPO_DATA_DIR").map_or(default, PathBuf::from).join(name);
    path.exists().then_some(path)
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so, and the speed is worth a look")]
fn recall_on_the_wikipedia_corpus_is_that_of_bm25s() {
    let (Some(corpus), Some(cases)) =
        (data_file("wiki_corpus/wiki_corpus.jsonl"), data_file("hotpotqa/cases_unified.jsonl"))
    else {
        eprintln!("skipped: no wiki_corpus and hotpotqa below FAPO_DATA_DIR");
        return;
    };
    let place = Place::with("");
    let started = std::time::Instant::now();
    let manifest = build(&corpus, &place.index(), SETTINGS).expect("a good corpus");
    let built = started.elapsed();
    let index = Bm25Index::open(&place.index()).expect("a good index");
    let opened = started.elapsed() - built;
    assert_eq!(manifest.passages, 15_700);

    let cases = fs::read_to_string(cases).expect("readable");
    let cases: Vec<serde_json::Value> = cases.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(cases.len(), 798);
    let mut recall: HashMap<u32, (usize, usize)> = HashMap::new();
    let mut searching = std::time::Duration::ZERO;
    for k in [7, 10] {
        for case in &cases {
            let question = case["question"].as_str().expect("a question");
            let started = std::time::Instant::now();
            let hits = index.search(question, k).expect("readable");
            searching += started.elapsed();
            let gold: Vec<&str> = case["supporting_facts"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(|fact| fact[0].as_str())
                .collect();
            let found = |title: &&str| hits.iter().any(|hit| hit.title == **title);
            let (any, all) = recall.entry(k).or_default();
            *any += usize::from(gold.iter().any(&found));
            *all += usize::from(gold.iter().all(found));
        }
    }
    let shares = |k| (recall[&k].0 as f64 / 798.0, recall[&k].1 as f64 / 798.0);
    eprintln!(
        "build {built:.2?}, open {opened:.2?}, a search {:.0?}; k=7 {:.3?}, k=10 {:.3?}",
        searching / 1596,
        shares(7),
        shares(10)
    );
    for (k, any, all) in [(7, 0.977, 0.559), (10, 0.986, 0.667)] {
        let (any_found, all_found) = shares(k);
        assert!((any_found - any).abs() < 0.001, "k {k}: any gold {any_found}, bm25s {any}");
        assert!((all_found - all).abs() < 0.001, "k {k}: all gold {all_found}, bm25s {all}");
    }
}
