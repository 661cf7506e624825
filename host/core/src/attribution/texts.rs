//! Words of texts, compared without letter case and punctuation.

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
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Whether the words stand in the text, side by side.
pub(super) fn holds(text: &[String], wanted: &[String]) -> bool {
    !wanted.is_empty() && text.windows(wanted.len()).any(|window| window == wanted)
}

/// Whether the words are one word that stands in many texts.
pub(super) fn is_common(answer: &[String]) -> bool {
    matches!(answer, [word] if COMMON.contains(&word.as_str()))
}

/// Whether an output states the answer; a common one must stand first or last, and a denied one is not stated.
pub(super) fn states(output: &[String], answer: &[String]) -> bool {
    if is_common(answer) {
        return output.first() == answer.first() || output.last() == answer.first();
    }
    !answer.is_empty()
        && output
            .windows(answer.len())
            .enumerate()
            .any(|(at, window)| window == answer && !(at > 0 && output[at - 1] == "not"))
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
pub(super) fn gives_up(text: &[String]) -> bool {
    GIVES_UP.iter().any(|phrase| holds(text, &words(phrase)))
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
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(states(&words(output), &words(answer)), stated, "{output}");
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
        assert!(gives_up(&words("I don't know.")));
        assert!(!gives_up(&words("a well-known knowing tablet")));
    }
}
