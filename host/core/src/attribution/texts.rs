//! Words of texts, compared without letter case and punctuation.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Phrases by which a reply gives up or declines, as words.
const GIVES_UP: [&str; 22] = [
    "do not know",
    "don't know",
    "not known",
    "unknown",
    "cannot tell",
    "can't tell",
    "cannot answer",
    "can't answer",
    "cannot determine",
    "cannot be determined",
    "not mentioned",
    "do not mention",
    "does not mention",
    "no information",
    "not enough information",
    "insufficient information",
    "not specified",
    "not stated",
    "not sure",
    "unable to",
    "cannot help",
    "can't help",
];

/// Words that carry no content of an answer.
const STOP_WORDS: [&str; 22] = [
    "a", "an", "the", "of", "in", "on", "at", "to", "by", "for", "and", "or", "is", "was", "are", "were", "it", "that",
    "this", "with", "from", "as",
];

/// Numbers that answers often spell out.
const NUMBERS: [&str; 13] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// Answers of a word that stands in many texts: seeing it in one proves nothing.
const COMMON: [&str; 5] = ["yes", "no", "true", "false", "none"];

/// The words of a text, lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    // Most words are of ASCII letters, whose case costs a fraction of what other letters' costs.
    let lower = |word: &str| if word.is_ascii() { word.to_ascii_lowercase() } else { word.to_lowercase() };
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(lower).collect()
}

/// The words of a long text, in one piece of memory.
pub(super) struct Words {
    lower: String,
    places: Vec<(usize, usize)>,
}

impl Words {
    /// As [`words`] finds them.
    pub(super) fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Words::of_ascii(text);
        }
        let mut words = Words { lower: String::with_capacity(text.len()), places: Vec::with_capacity(text.len() / 6) };
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let start = words.lower.len();
            if word.is_ascii() {
                words.lower.extend(word.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
            } else {
                words.lower.push_str(&word.to_lowercase());
            }
            words.places.push((start, words.lower.len()));
        }
        words
    }

    /// The same at a fraction of the cost.
    fn of_ascii(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let mut places = Vec::with_capacity(text.len() / 5);
        let mut start = None;
        for (at, byte) in lower.bytes().enumerate() {
            match (byte.is_ascii_alphanumeric(), start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    places.push((from, at));
                    start = None;
                }
                _ => {}
            }
        }
        places.extend(start.map(|from| (from, lower.len())));
        Words { lower, places }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.places.len()).map(|at| self.at(at))
    }
}

/// Words in their order, however they are kept.
pub(super) trait WordList {
    fn count(&self) -> usize;
    fn at(&self, at: usize) -> &str;
}

impl WordList for Words {
    fn count(&self) -> usize {
        self.places.len()
    }

    fn at(&self, at: usize) -> &str {
        let (start, end) = self.places[at];
        &self.lower[start..end]
    }
}

impl WordList for [String] {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, at: usize) -> &str {
        &self[at]
    }
}

/// Where in the text the words stand, side by side.
fn places<'a>(text: &'a (impl WordList + ?Sized), wanted: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    let last = (text.count() + 1).saturating_sub(wanted.len().max(1));
    let stands = |at: usize| wanted.iter().enumerate().all(|(n, word)| text.at(at + n) == word);
    (0..last).filter(move |at| !wanted.is_empty() && stands(*at))
}

/// Whether the words stand in the text, side by side.
pub(super) fn holds(text: &(impl WordList + ?Sized), wanted: &[String]) -> bool {
    places(text, wanted).next().is_some()
}

/// As [`holds`], for a text whose words nobody has looked at: the first of the words is searched for in the text as it
/// stands. Words with letters beyond ASCII change their case by what stands beside them, and the sign of Kelvin is a `k`
/// in lower case: then the text is cut into words.
pub(super) fn text_holds(text: &str, wanted: &[String]) -> bool {
    let [first, further @ ..] = wanted else { return false };
    if !text.is_ascii() && (text.contains('\u{212a}') || !wanted.iter().all(|word| word.is_ascii())) {
        return holds(&Words::of(text), wanted);
    }
    let lower = text.to_ascii_lowercase();
    let begins = |at: usize| !lower[..at].ends_with(char::is_alphanumeric);
    let ends = |at: usize| !lower[at..].starts_with(char::is_alphanumeric);
    let follows = |at: usize, word: &String| {
        let start = at + lower[at..].find(char::is_alphanumeric)?;
        let end = start + word.len();
        (lower[start..].starts_with(word) && ends(end)).then_some(end)
    };
    memchr::memmem::find_iter(lower.as_bytes(), first.as_bytes()).any(|at| {
        let end = at + first.len();
        begins(at) && ends(end) && further.iter().try_fold(end, follows).is_some()
    })
}

/// Whether the words are one word that stands in many texts.
pub(super) fn is_common(answer: &[String]) -> bool {
    matches!(answer, [word] if COMMON.contains(&word.as_str()))
}

/// Whether an output states the answer; a common one must stand first or last, and a denied one is not stated.
pub(super) fn states(output: &(impl WordList + ?Sized), answer: &[String]) -> bool {
    if is_common(answer) {
        let n = output.count();
        return n > 0 && (output.at(0) == answer[0] || output.at(n - 1) == answer[0]);
    }
    places(output, answer).any(|at| at == 0 || output.at(at - 1) != "not")
}

/// Whether an output says nearly what the answer says: more than half of the words that count, no other number.
pub(super) fn nearly(output: &[String], answer: &[String]) -> bool {
    if is_common(answer) || holds(output, answer) && !states(output, answer) {
        return false;
    }
    let (said, wanted) = (comparable(output), comparable(answer));
    let numbers = |words: &[String]| -> Vec<String> {
        words.iter().filter(|word| word.contains(|c: char| c.is_ascii_digit())).cloned().collect()
    };
    let (numbers_said, numbers_wanted) = (numbers(&said), numbers(&wanted));
    if !numbers_wanted.is_empty() && !numbers_said.iter().any(|number| numbers_wanted.contains(number)) {
        return false;
    }
    let shared = said.iter().filter(|word| wanted.iter().any(|other| same_stem(word, other))).count();
    // F1 of the two lists, over one half.
    4 * shared > said.len() + wanted.len()
}

/// Whether a text gives up or declines.
pub(super) fn gives_up(text: &(impl WordList + ?Sized)) -> bool {
    // By their first word: most words of a text begin none of them.
    static PHRASES: LazyLock<HashMap<String, Vec<Vec<String>>>> = LazyLock::new(|| {
        let mut phrases: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for phrase in GIVES_UP.map(words) {
            phrases.entry(phrase[0].clone()).or_default().push(phrase);
        }
        phrases
    });
    let stands = |at: usize, phrase: &Vec<String>| {
        at + phrase.len() <= text.count() && phrase.iter().enumerate().all(|(n, word)| text.at(at + n) == word)
    };
    let begins = |at: usize| PHRASES.get(text.at(at)).is_some_and(|some| some.iter().any(|phrase| stands(at, phrase)));
    (0..text.count()).any(begins)
}

/// The words that count.
pub(super) fn content(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !STOP_WORDS.contains(&word.as_str())).cloned().collect()
}

/// The words that count; numbers as digits.
fn comparable(words: &[String]) -> Vec<String> {
    let digits = |word: String| NUMBERS.iter().position(|number| **number == *word).map_or(word, |n| n.to_string());
    content(words).into_iter().map(digits).collect()
}

/// Whether two words differ by an ending of at most two letters.
fn same_stem(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short == long || short.len() >= 4 && long.starts_with(short) && long.len() - short.len() <= 2
}

/// The first characters of a text on one line, at most so many.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // Enough for that many characters, however long the text is.
        if line.len() > 4 * chars_max {
            break;
        }
    }
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_long_text_are_those_of_a_short_one() {
        for text in ["", "  ", "One", "one, TWO_three 4th\t- x", "end.", "Çelik's \u{130}zmir no. 9", "a\u{300}b"] {
            assert_eq!(Words::of(text).iter().collect::<Vec<_>>(), words(text), "{text:?}");
        }
    }

    #[test]
    fn a_text_is_seen_to_hold_what_its_words_hold() {
        let texts = [
            "",
            "Mara Quill",
            "MARA, quill!",
            "quill mara",
            "Maras Quill",
            "Mara Quills",
            "a mara-mara quill",
            "quillquill quill",
            "Mara",
            "Mara -- ",
            "Mara Quill — \u{130}",
            "é Mara—Quill",
            "éMara Quill",
            "Mara Quillé",
            "maraé quill",
            "mara — é quill",
            "Mara Quil\u{301}l, 27 \u{212a}, \u{212a}orn",
        ];
        for text in texts {
            for wanted in ["Mara Quill", "quill", "mara mara quill", "nobody", "é", "27 k", "korn", "quil", ""] {
                let wanted = words(wanted);
                assert_eq!(text_holds(text, &wanted), holds(&Words::of(text), &wanted), "{text:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn a_stated_answer_is_not_a_denied_one() {
        for (output, answer, stated) in [
            ("It was Mara  QUILL.", "Mara Quill", true),
            ("It was not Mara Quill", "Mara Quill", false),
            ("124 stones", "24", false),
            ("Yes, both are", "yes", true),
            ("the answer is no", "no", true),
            ("there is no reason to doubt", "no", false),
            ("x", "", false),
        ] {
            assert_eq!(states(&Words::of(output), &words(answer)), stated, "{output}");
        }
    }

    #[test]
    fn near_is_more_than_half_of_the_words_and_no_other_number() {
        for (output, answer, near) in [
            ("Quill", "Mara Quill", true),
            ("nine", "9", true),
            ("carrier pigeon", "carrier pigeons", true),
            ("Jan Mohr", "Piet Mohr", false),
            ("90 metres", "12 metres", false),
            ("not Piet Mohr", "Piet Mohr", false),
            ("yes", "no", false),
            ("", "x", false),
        ] {
            assert_eq!(nearly(&words(output), &words(answer)), near, "{output}");
        }
    }

    #[test]
    fn giving_up_is_a_phrase_of_whole_words() {
        assert!(gives_up(&Words::of("I don't know.")));
        assert!(!gives_up(&Words::of("a well-known knowing tablet")));
    }
}
