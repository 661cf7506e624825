//! Labels and contained answers.

use super::answer::{Metric, normalise};
use super::text::is_word;

/// A label as it is compared: trimmed, lower case, without quotes and punctuation around it.
pub fn bare_label(text: &str) -> String {
    text.trim_matches(|c: char| !is_word(c)).to_lowercase()
}

/// The one label of a list that a prediction names: itself, or the only one that stands in it as whole words.
/// `None` where it names none, or more than one.
pub fn label_of<'a>(prediction: &str, labels: &'a [String]) -> Option<&'a str> {
    let bare = bare_label(prediction);
    if let Some(label) = labels.iter().find(|label| bare_label(label) == bare) {
        return Some(label);
    }
    let lower = prediction.to_lowercase();
    let mut named = labels.iter().filter(|label| stands_in(&lower, &bare_label(label)));
    match (named.next(), named.next()) {
        (Some(label), None) => Some(label),
        _ => None,
    }
}

/// Whether the words of the gold answer stand side by side in the prediction, both normalised.
pub fn contains(prediction: &str, gold: &str, metric: Metric) -> bool {
    let (prediction, gold) = (normalise(prediction, metric), normalise(gold, metric));
    !gold.is_empty() && format!(" {prediction} ").contains(&format!(" {gold} "))
}

fn stands_in(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_names_one_label() {
        let labels = ["positive", "negative", "not sure"].map(String::from);
        for (prediction, expect) in [
            ("Positive.", Some("positive")),
            ("\"NOT SURE\"", Some("not sure")),
            ("I would say negative", Some("negative")),
            ("positive or negative", None),
            ("positively", None),
            ("", None),
        ] {
            assert_eq!(label_of(prediction, &labels), expect, "{prediction:?}");
        }
    }

    #[test]
    fn words_are_contained_whole() {
        for (prediction, gold, expect) in [
            ("It was the engineer Mara Quill!", "Mara Quill", true),
            ("Mara Quillon", "Mara Quill", false),
            ("anything", "the", false),
        ] {
            assert_eq!(contains(prediction, gold, Metric::Gepa), expect, "{prediction:?}");
        }
    }
}
