//! Exact match and token F1 of short answers: HotpotQA's rules in their three versions.

use super::text::{is_python_space, is_word};
use super::unicode::decomposed;
use serde::{Deserialize, Serialize};

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// HotpotQA's own script: no Unicode decomposition; F1 is 0 where a side is yes, no or noanswer and they differ.
    Official,
    /// DSPy's, which GEPA uses: decomposes first; plain F1.
    Gepa,
    /// The original FAPO's: as GEPA, with F1 in points, rounded to two decimals.
    Fapo,
}

/// An answer as it is compared: decomposed (not `official`), lower case, without the 32 ASCII punctuation characters
/// and the words a, an, the, words joined by one blank.
pub fn normalise(text: &str, metric: Metric) -> String {
    let lower = match metric {
        Metric::Official => text.to_lowercase(),
        Metric::Gepa | Metric::Fapo => decomposed(text).to_lowercase(),
    };
    let kept: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let bare = without_articles(&kept);
    let words: Vec<&str> = bare.split(is_python_space).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// The pattern `\b(a|an|the)\b` replaced by a blank: an article is a whole run of word characters.
pub fn without_articles(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let inside = is_word(first);
        let end = rest.find(|c| is_word(c) != inside).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        kept.push_str(if inside && matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    kept
}

/// Whether both answers are the same after [`normalise`].
pub fn exact_match(prediction: &str, gold: &str, metric: Metric) -> bool {
    normalise(prediction, metric) == normalise(gold, metric)
}

/// Overlap of the words of both answers, 0..=1, not rounded. Two empty answers have no overlap: 0.
pub fn token_f1(prediction: &str, gold: &str, metric: Metric) -> f64 {
    let (prediction, gold) = (normalise(prediction, metric), normalise(gold, metric));
    let closed = |text: &str| matches!(text, "yes" | "no" | "noanswer");
    if metric == Metric::Official && prediction != gold && (closed(&prediction) || closed(&gold)) {
        return 0.0;
    }
    let predicted: Vec<&str> = prediction.split(' ').filter(|word| !word.is_empty()).collect();
    let mut wanted: Vec<&str> = gold.split(' ').filter(|word| !word.is_empty()).collect();
    let wanted_count = wanted.len();
    let mut common = 0usize;
    for word in &predicted {
        if let Some(position) = wanted.iter().position(|other| other == word) {
            wanted.swap_remove(position);
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    let precision = common as f64 / predicted.len() as f64;
    let recall = common as f64 / wanted_count as f64;
    2.0 * precision * recall / (precision + recall)
}

/// [`token_f1`] in points, 0..=100: rounded to two decimals under `fapo`, not rounded otherwise.
pub fn f1_points(prediction: &str, gold: &str, metric: Metric) -> f64 {
    let points = token_f1(prediction, gold, metric) * 100.0;
    match metric {
        Metric::Fapo => two_decimals(points),
        Metric::Official | Metric::Gepa => points,
    }
}

/// Python's `round(x, 2)`: to the nearest, and to the even digit where the binary value is an exact tie.
fn two_decimals(number: f64) -> f64 {
    let eighths = number * 8.0;
    // Exact ties at the third decimal are odd multiples of 1/8: every other `xx.xx5` is no binary fraction.
    if eighths.fract() == 0.0 && eighths % 2.0 != 0.0 {
        let hundredths = (number * 100.0).floor();
        let even = if hundredths % 2.0 == 0.0 { hundredths } else { hundredths + 1.0 };
        return even / 100.0;
    }
    // By the JSON reader, which a guest has anyway: `parse` would bring tables of 10 kB more into its memory.
    serde_json::from_str(&format!("{number:.2}")).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Metric::{Fapo, Gepa, Official};

    #[test]
    fn normalisation_follows_python() {
        for (input, expect) in [
            ("The  Tarn\u{1c}Island!", "tarn island"),
            ("à la carte", "\u{300} la carte"),
            ("São Tomé", "sa\u{303}o tome\u{301}"),
            ("an\u{308}", "\u{308}"),
            ("thé", "\u{301}"),
            ("a_b", "ab"),
            ("l’an 2000", "l’ 2000"),
            ("ΟΔΟΣ", "οδος"),
            ("A-Team", "ateam"),
            ("another than", "another than"),
            ("a\u{200b}b", "\u{200b}b"),
        ] {
            assert_eq!(normalise(input, Gepa), expect, "{input:?}");
            assert_eq!(normalise(input, Fapo), expect, "{input:?}");
        }
        assert_eq!(normalise("à la carte", Official), "à la carte");
    }

    #[test]
    fn the_versions_differ_where_they_should() {
        let nfc = "Beyoncé";
        let nfd = decomposed(nfc);
        for (prediction, gold, em_official, em_gepa, f1_official, f1_gepa) in [
            ("Yes, they are", "yes", false, false, 0.0, 0.5),
            ("no", "no answer", false, false, 0.0, 2.0 / 3.0),
            (nfc, nfd.as_str(), false, true, 0.0, 1.0),
            ("", "", true, true, 0.0, 0.0),
            ("The The", "the", true, true, 0.0, 0.0),
            ("a", "an", true, true, 0.0, 0.0),
            ("O’Brien", "O'Brien", false, false, 0.0, 0.0),
            ("“X”", "X", false, false, 0.0, 0.0),
            ("1,000", "1000", true, true, 1.0, 1.0),
            ("U.S.", "US", true, true, 1.0, 1.0),
            ("twenty-one", "twenty one", false, false, 0.0, 0.0),
            ("café", "cafe", false, false, 0.0, 0.0),
            ("½", "1/2", false, false, 0.0, 0.0),
            ("x x y", "x x", false, false, 0.8, 0.8),
        ] {
            let what = format!("{prediction:?} {gold:?}");
            assert_eq!(exact_match(prediction, gold, Official), em_official, "{what}");
            assert_eq!(exact_match(prediction, gold, Gepa), em_gepa, "{what}");
            assert!((token_f1(prediction, gold, Official) - f1_official).abs() < 1e-12, "{what}");
            assert!((token_f1(prediction, gold, Gepa) - f1_gepa).abs() < 1e-12, "{what}");
        }
    }

    #[test]
    fn only_fapo_rounds() {
        assert_eq!(f1_points("no", "no answer", Fapo), 66.67);
        assert!((f1_points("no", "no answer", Gepa) - 200.0 / 3.0).abs() < 1e-12);
        for (number, expect) in
            [(3.125, 3.12), (3.375, 3.38), (0.125, 0.12), (12.5, 12.5), (66.666, 66.67), (2.675, 2.67)]
        {
            assert_eq!(two_decimals(number), expect, "{number}");
        }
    }
}
