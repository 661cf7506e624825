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
    /// Digests of words in a row.
    texts: BTreeSet<u64>,
    /// Digests of answers, by their number of words.
    answers: BTreeMap<usize, BTreeSet<u64>>,
}

impl Leaks {
    /// Adds a split's contexts, labels and metadata.
    pub fn add(&mut self, cases: &[Case]) {
        for case in cases {
            let values = case.expected.values().chain(case.metadata.values());
            let texts = values.filter_map(|value| value.as_str());
            for text in texts.chain(case.context.iter().map(|(_, value)| value.as_str())) {
                for row in words(text).windows(WORDS) {
                    self.texts.insert(hash(row));
                }
            }
            if let Some(answer) = case.expected_answer() {
                let row = words(answer);
                let times = cases.iter().filter(|other| other.expected_answer() == Some(answer)).count();
                if times < LABEL_TIMES && row.iter().map(|word| word.chars().count()).sum::<usize>() >= ANSWER_CHARS_MIN
                {
                    self.answers.entry(row.len()).or_default().insert(hash(&row));
                }
            }
        }
    }

    /// Whether a text holds words or answers of a split, so that no variant may show it.
    pub fn hold(&self, text: &str) -> bool {
        self.texts_in(text, "") || self.answers_in(text, "")
    }

    /// Whether words of a split stand in `added` and not in `before`.
    pub(super) fn texts_in(&self, added: &str, before: &str) -> bool {
        let old: BTreeSet<u64> = words(before).windows(WORDS).map(hash).collect();
        words(added).windows(WORDS).map(hash).any(|row| self.texts.contains(&row) && !old.contains(&row))
    }

    /// Whether answers of a split stand in `added` and not in `before`.
    pub(super) fn answers_in(&self, added: &str, before: &str) -> bool {
        let (new, old) = (words(added), words(before));
        self.answers.iter().any(|(length, answers)| {
            let before: BTreeSet<u64> = old.windows(*length).map(hash).collect();
            new.windows(*length).map(hash).any(|row| answers.contains(&row) && !before.contains(&row))
        })
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn hash(row: &[String]) -> u64 {
    let hex = digest::of_bytes(row.join(" ").as_bytes());
    u64::from_str_radix(&hex["sha256:".len()..][..16], 16).expect("a digest is hex")
}
