//! AMPS_Hard: whether the formula an answer ends with equals the label's.

mod latex;
mod value;

use crate::boxed::{BrokenBox, last_boxed};
use latex::parse;

/// What came of reading an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Equal to the label.
    Equal,
    /// A formula, but another.
    Different,
    /// No formula that can be read.
    Unread,
}

/// Compares an answer with the label: the content of the last box, else what stands between the last two `$`, else the
/// end of the answer as a text.
pub(crate) fn compare(gold: &str, answer: &str) -> Result<Verdict, BrokenBox> {
    let answer = without(answer, &["+C", "+ C", "+ c", "+c"]).replace("\\\\fbox{", "\\\\boxed{");
    let answer = answer.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac");
    let sizes = ["\\left", "\\right", "\\bigl", "\\bigr", "\\Bigl", "\\Bigr", "\\,", "\\;", "\n"];
    let answer = without(&answer, &sizes).replace("\\cdot", "*");
    let gold = without(gold, &["\\left", "\\right"]).replace(" ^", "^").replace("\\ ", "*");

    let formula = match last_boxed(&answer)? {
        Some(inside) => Some(normalise(&inside)),
        None => between_dollars(&answer).map(normalise),
    };
    let Some(formula) = formula else {
        let ends_with_gold = answer.strip_suffix('.').unwrap_or(&answer).ends_with(&gold);
        return Ok(if ends_with_gold { Verdict::Equal } else { Verdict::Unread });
    };
    Ok(match (parse(&gold), parse(&formula)) {
        (Some(gold), Some(formula)) if value::equal(&gold, &formula) => Verdict::Equal,
        (Some(_), None) => Verdict::Unread,
        _ => Verdict::Different,
    })
}

fn without(text: &str, parts: &[&str]) -> String {
    parts.iter().fold(text.to_string(), |text, part| text.replace(part, ""))
}

/// What stands between the last pair of `$` or `$$`, and there behind the last `=` or the last alternative.
fn between_dollars(answer: &str) -> Option<&str> {
    let mut close = answer.rfind('$')?;
    if answer[..close].ends_with('$') {
        close -= 1;
    }
    let math = match answer[..close].rfind('$') {
        Some(open) => &answer[open + 1..close],
        // A lone `$$`: the reference takes all before it.
        None if answer.matches('$').count() >= 2 => &answer[..close],
        None => return None,
    };
    const OR: &str = "\\quad \\text{or} \\quad";
    let last = |separator: &str| math.rsplit(separator).next().unwrap_or_default().trim();
    Some(if math.contains('=') {
        last("=")
    } else if math.contains(OR) {
        last(OR)
    } else {
        math
    })
}

/// The answer's formula without what surrounds it (rules of Lewkowycz et al. 2022, appendix D): what stands behind the
/// last `=`, between `$`, in `\text{}`, `\textbf{}`, `\overline{}`, `\boxed{}`; short forms of `\frac` and `\sqrt` spelt
/// out; no `$`; no commas within a number.
fn normalise(answer: &str) -> String {
    let mut text = answer.rsplit('=').next().unwrap_or_default().to_string();
    if let Some((_, inside)) = text.split_once('$')
        && let Some((inside, _)) = inside.split_once('$')
    {
        text = inside.to_string();
    }
    for open in ["\\text{", "\\textbf{", "\\overline{"] {
        text = unwrapped(&text, open);
    }
    if let Some((before, rest)) = text.split_once("\\boxed{")
        && let Some((inside, after)) = rest.rsplit_once('}')
    {
        text = format!("{before}{inside}{after}");
    }
    let text = braced(&braced(&text, "frac", "{", 2), "sqrt", "{[", 1).replace('$', "");
    let digits = text.replace(',', "");
    if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) { digits } else { text }
}

/// The text with each `open…}` replaced by what it holds.
fn unwrapped(text: &str, open: &str) -> String {
    let mut parts = text.split(open);
    let mut unwrapped = parts.next().unwrap_or_default().to_string();
    for part in parts {
        match part.split_once('}') {
            Some((inside, after)) => unwrapped.extend([inside, after]),
            None => unwrapped.extend([open, part]),
        }
    }
    unwrapped
}

/// The text with braces around each of the `count` characters behind a name, unless one of `opening` follows it.
fn braced(text: &str, name: &str, opening: &str, count: usize) -> String {
    let mut braced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        braced.extend([before, name]);
        let end = after.char_indices().map(|(at, c)| at + c.len_utf8()).nth(count - 1);
        match end.filter(|_| !after.starts_with(|c| opening.contains(c))) {
            Some(end) => {
                braced.extend(after[..end].chars().map(|c| format!("{{{c}}}")));
                rest = &after[end..];
            }
            None => rest = after,
        }
    }
    braced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_value() {
        use Verdict::{Different, Equal, Unread};
        for (gold, answer, verdict) in [
            ("8", "so $\\boxed{8}$.", Equal),
            ("8", "so $8$.", Equal),
            ("8", "x $$y = 8$$", Equal),
            ("8", "it is 8.", Equal),
            ("8", "it is eight", Unread),
            ("8", "\\boxed{8.0009}", Equal),
            ("8", "\\boxed{8.0011}", Different),
            ("8", "\\boxed{8 + C}", Equal),
            ("8", "\\boxed{\\text{8}}", Equal),
            ("80000", "\\boxed{80,000}", Equal),
            ("\\frac{17}{4}", "\\boxed{\\dfrac{34}{8}}", Equal),
            ("\\frac{1}{2}", "\\boxed{\\frac12}", Equal),
            ("\\frac{29}{\\sqrt{2}}", "\\boxed{\\frac{29\\sqrt2}{2}}", Equal),
            ("4 i \\sqrt{5}", "\\boxed{4\\sqrt{5}i}", Equal),
            ("36 \\sqrt[5]{2} 5^{4/5}", "\\boxed{2^{11/5} \\times 3^2 \\cdot 5^{4/5}}", Equal),
            ("20\\ 2^{3/5}", "\\boxed{20 \\cdot 2^{3/5}}", Equal),
            ("5 (-x-20) x", "\\boxed{-5x(x+20)}", Equal),
            ("\\sin \\left(2 x\\right)", "\\boxed{2\\sin x\\cos x}", Equal),
            ("\\sec ^2(x)", "\\boxed{1+\\tan^2(x)}", Equal),
            ("\\frac{\\log (4)}{2}", "\\boxed{\\ln 2}", Equal),
            ("\\tan (x)", "\\boxed{\\tan^{-1} x}", Different),
            ("\\lambda ^2-11 \\lambda", "\\boxed{p(\\lambda) = \\lambda(\\lambda - 11)}", Equal),
            ("\\lambda ^2-11 \\lambda", "\\boxed{x^2-11x}", Different),
            ("x", "\\boxed{\\sqrt{x^2}}", Different),
            ("0", "\\boxed{C}", Different),
            ("x", "\\boxed{x+0.0001}", Equal),
            ("x", "\\boxed{1.0001x}", Different),
            ("x^2", "\\boxed{\\frac{x^3}{x}}", Equal),
            ("1", "\\boxed{\\frac{0}{0}}", Different),
            ("1", "\\boxed{\\frac{1}{}}", Unread),
            ("\\text{$\\$$Aborted}", "\\boxed{\\text{Aborted}}", Different),
        ] {
            assert_eq!(compare(gold, answer), Ok(verdict), "{gold} | {answer}");
        }
        assert_eq!(compare("1", "\\boxed1 {}"), Err(BrokenBox));
    }

    #[test]
    fn what_a_formula_is_wrapped_in_is_taken_off() {
        for (text, bare) in [
            ("y = $x$ and", "x"),
            ("\\textbf{a\\text{b}}c", "abc"),
            ("\\frac1{2}", "\\frac{1}{{}2}"),
            ("\\frac34x\\sqrt5", "\\frac{3}{4}x\\sqrt{5}"),
            ("\\sqrt[3]5", "\\sqrt[3]5"),
            ("1,234", "1234"),
            ("1,2x", "1,2x"),
        ] {
            assert_eq!(normalise(text), bare, "{text:?}");
        }
    }

    #[test]
    fn formulae_that_are_too_long_or_too_deep_are_not_read() {
        let deep = |times: usize| format!("{}x{}", "(".repeat(times), ")".repeat(times));
        assert!(parse(&deep(90)).is_some() && parse(&deep(200)).is_none());
        assert!(parse(&"x".repeat(8_001)).is_none());
        for text in ["", "x+", "(x", "x)", "\\frac{1}", "x^2^3", "\\unknown", "5%", "1,2", "|x", "^2", "\\sin"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
