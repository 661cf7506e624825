//! The longest run of words that two texts share and a third does not have.

/// Words of a text that are looked at; a reply is short, and the work grows with the product of both lengths.
const TEXT_WORDS_MAX: usize = 1_000;
/// Words of the source that are looked at.
const SOURCE_WORDS_MAX: usize = 20_000;

/// The longest run of words of `text` that stands in `source` and, as a whole, not in `exclude`; the first of equals.
///
/// Words are compared in lower case and without punctuation at their ends. The run is returned as `text` writes it,
/// without punctuation at its ends. A short answer cut out of a wordy one: "It was built by Mara Quill." against a
/// passage that names her and a question that does not.
pub fn span(text: &str, source: &str, exclude: &str) -> Option<String> {
    let words: Vec<(&str, String)> = words(text).take(TEXT_WORDS_MAX).collect();
    let standing = longest_from(&words, source);
    let excluded = longest_from(&words, exclude);
    let mut best = (0, 0);
    for (start, &length) in standing.iter().enumerate() {
        // A run that is excluded as a whole has no part that is not.
        if length > best.1 && excluded[start] < length {
            best = (start, length);
        }
    }
    let (start, length) = best;
    if length == 0 {
        return None;
    }
    let run: Vec<&str> = words[start..start + length].iter().map(|(word, _)| *word).collect();
    Some(bare(&run.join(" ")).to_string())
}

/// For each word, how many words from it on stand side by side somewhere in `other`.
fn longest_from(words: &[(&str, String)], other: &str) -> Vec<usize> {
    let other: Vec<String> = self::words(other).take(SOURCE_WORDS_MAX).map(|(_, plain)| plain).collect();
    let mut longest = vec![0; words.len()];
    let mut below = vec![0; other.len() + 1];
    for (start, (_, word)) in words.iter().enumerate().rev() {
        let mut row = vec![0; other.len() + 1];
        for (position, plain) in other.iter().enumerate() {
            if plain == word {
                row[position] = below[position + 1] + 1;
                longest[start] = longest[start].max(row[position]);
            }
        }
        below = row;
    }
    longest
}

fn words(text: &str) -> impl Iterator<Item = (&str, String)> {
    text.split_whitespace().map(|word| (word, bare(word).to_lowercase())).filter(|(_, plain)| !plain.is_empty())
}

fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, source: &str, exclude: &str, expect: Option<&str>) {
        assert_eq!(span(text, source, exclude).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn the_longest_shared_run_that_is_not_excluded() {
        let source = "Harrow Lighthouse stands on Tarn Island. It was built in 1874 by the engineer Mara Quill.";
        check("The answer is **Mara Quill**.", source, "Who built Harrow Lighthouse?", Some("Mara Quill"));
        check("Harrow Lighthouse: 1874", source, "When was Harrow Lighthouse built?", Some("1874"));
        check("harrow lighthouse", source, "Who built Harrow Lighthouse?", None);
        check("nobody knows", source, "", None);
        check("", source, "", None);
        check("on Tarn, on Tarn Island", source, "", Some("on Tarn Island"));
    }

    #[test]
    fn the_first_of_equals_wins_and_its_spelling_stays() {
        check("mara or Quill", "Quill and Mara", "", Some("mara"));
        check("MARA   quill!", "mara quill", "", Some("MARA quill"));
    }
}
