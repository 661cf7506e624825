//! Numbers in texts.

/// Most digits a number may have: past it two numbers cannot be told apart as floating point anyway.
const DIGITS_MAX: usize = 300;

/// The numbers of a text in order: an optional sign, digits with or without thousands commas, an optional fraction.
/// Commas are taken out. A sign counts only where no word or digit stands before it.
pub fn numbers(text: &str) -> impl Iterator<Item = String> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        while let Some(offset) = text[at..].find(|c: char| c.is_ascii_digit()) {
            let start = at + offset;
            let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let mut end = start + digits(start);
            while bytes.get(end) == Some(&b',') && digits(end + 1) == 3 && end - start <= DIGITS_MAX {
                end += 4;
            }
            if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
                end += 1 + digits(end + 1);
            }
            at = end;
            if end - start > DIGITS_MAX {
                continue;
            }
            let before = text[..start].chars().next_back();
            let signed = before == Some('-')
                && text[..start - 1].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != ')');
            let sign = if signed { "-" } else { "" };
            return Some(format!("{sign}{}", text[start..end].replace(',', "")));
        }
        None
    })
}

/// The number a text is as a whole: blanks, a leading currency sign and a trailing `%` or full stop aside.
pub fn whole_number(text: &str) -> Option<f64> {
    let bare = text.trim().trim_end_matches(['.', '%']).trim_start_matches(['$', '€', '£', '+']).trim();
    let mut found = numbers(bare);
    let (first, rest) = (found.next()?, found.next());
    if rest.is_some() || bare.replace(',', "") != first { None } else { first.parse().ok() }
}

/// Whether the prediction, or else its last number, equals the gold number within a relative 1e-9. `None` where the
/// gold is no number.
pub fn numbers_equal(prediction: &str, gold: &str) -> Option<bool> {
    let gold = whole_number(gold)?;
    let last = || numbers(prediction).last().and_then(|number| number.parse().ok());
    let equal = |number: f64| (number - gold).abs() <= 1e-9 * gold.abs().max(1.0);
    Some(whole_number(prediction).or_else(last).is_some_and(equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_order() {
        let all = |text: &str| numbers(text).collect::<Vec<_>>();
        assert_eq!(all("from -5 to 1,234.50, (2019-20) or 3."), ["-5", "1234.50", "2019", "20", "3"]);
        assert_eq!(all("1,23 x2 7-3"), ["1", "23", "2", "7", "3"]);
        assert_eq!(all("none"), Vec::<String>::new());
        assert_eq!(all(&format!("{} 5", "9".repeat(400))), ["5"]);
    }

    #[test]
    fn a_prediction_equals_by_its_whole_or_last_number() {
        for (prediction, gold, expect) in [
            ("70", "70", Some(true)),
            ("$1,234.0", "1234", Some(true)),
            ("so it is 70.", "70", Some(true)),
            ("70 (in 2025)", "70", Some(false)),
            ("025", "25", Some(true)),
            ("-5", "5", Some(false)),
            ("50%", "50", Some(true)),
            ("none", "5", Some(false)),
            ("5", "five", None),
            ("5", "5 or 6", None),
        ] {
            assert_eq!(numbers_equal(prediction, gold), expect, "{prediction:?} {gold:?}");
        }
    }
}
