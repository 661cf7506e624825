//! Texts of the splits as digests, so that a proposal can be searched for them without their being handed around.

use crate::case::Case;
use crate::digest;
use std::collections::{BTreeMap, BTreeSet};

/// Words in a row that count as a copied text.
const WORDS: usize = 7;
/// Characters an answer needs before its words alone mean anything: `yes`, `no` and single digits stand everywhere.
const ANSWER_CHARS_MIN: usize = 4;

/// An answer that so many cases of a split share is a label of the task and no secret of a case.
pub const LABEL_TIMES: usize = 3;

/// What must not stand in a variant.
#[derive(Clone, Debug, Default)]
pub struct Leaks {
    /// Digest of words in a row, to the split they are from.
    texts: BTreeMap<u64, &'static str>,
    /// Digest of an answer, by its number of words.
    answers: BTreeMap<usize, BTreeMap<u64, &'static str>>,
}

impl Leaks {
    /// Adds a split's contexts, labels and metadata. `split` is its name in messages.
    pub fn add(&mut self, split: &'static str, cases: &[Case]) {
        for case in cases {
            let values = case.expected.values().chain(case.metadata.values());
            let texts = values.filter_map(|value| value.as_str());
            for text in texts.chain(case.context.iter().map(|(_, value)| value.as_str())) {
                for row in words(text).windows(WORDS) {
                    self.texts.insert(hash(row), split);
                }
            }
            if let Some(answer) = case.expected_answer() {
                let row = words(answer);
                let times = cases.iter().filter(|other| other.expected_answer() == Some(answer)).count();
                if times < LABEL_TIMES && row.iter().map(|word| word.chars().count()).sum::<usize>() >= ANSWER_CHARS_MIN
                {
                    self.answers.entry(row.len()).or_default().insert(hash(&row), split);
                }
            }
        }
    }

    /// Splits whose texts stand in `added` and not in `before`.
    pub(super) fn texts_in(&self, added: &str, before: &str) -> BTreeSet<&'static str> {
        let old: BTreeSet<u64> = words(before).windows(WORDS).map(hash).collect();
        let new = words(added);
        new.windows(WORDS).map(hash).filter(|h| !old.contains(h)).filter_map(|h| self.texts.get(&h).copied()).collect()
    }

    /// Splits whose answers stand in `added` and not in `before`.
    pub(super) fn answers_in(&self, added: &str, before: &str) -> BTreeSet<&'static str> {
        let (new, old) = (words(added), words(before));
        let mut found = BTreeSet::new();
        for (length, answers) in &self.answers {
            let before: BTreeSet<u64> = old.windows(*length).map(hash).collect();
            let fresh = new.windows(*length).map(hash).filter(|h| !before.contains(h));
            found.extend(fresh.filter_map(|h| answers.get(&h).copied()));
        }
        found
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn hash(row: &[String]) -> u64 {
    let hex = digest::of_bytes(row.join(" ").as_bytes());
    u64::from_str_radix(&hex["sha256:".len()..][..16], 16).expect("a digest is hex")
}
