//! What stands in the last `\boxed{…}`, as the reference cuts it out.

/// The content of the last box. `Err` where the reference fails on the text: a box without braces around its content.
///
/// A box that is followed by a blank instead of a brace goes on to the next `$`. Where there is no `\boxed`, an `\fbox`
/// counts. A box that is never closed is none.
pub(crate) fn last_boxed(text: &str) -> Result<Option<String>, BrokenBox> {
    const OPEN: &str = "\\boxed ";
    if let Some((_, after)) = text.rsplit_once(OPEN) {
        return Ok(Some(after.split('$').next().unwrap_or_default().to_string()));
    }
    let Some(start) = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox")) else { return Ok(None) };
    let mut open = 0_i64;
    for (at, c) in text[start..].char_indices() {
        match c {
            '{' => open += 1,
            '}' => {
                open -= 1;
                if open == 0 {
                    let whole = text[start..=start + at].replace('$', "").replace("fbox", "boxed");
                    let inside = whole.strip_prefix("\\boxed{").and_then(|rest| rest.strip_suffix('}'));
                    return inside.map(|inside| Some(inside.to_string())).ok_or(BrokenBox);
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A box without braces around its content: the reference ends with an error, which scores nothing.
#[derive(Debug, PartialEq)]
pub(crate) struct BrokenBox;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_cut_out_as_the_reference_does() {
        for (text, inside) in [
            ("\\boxed{1} and \\boxed{2}", Ok(Some("2"))),
            ("\\boxed{\\frac{1}{2}} x", Ok(Some("\\frac{1}{2}"))),
            ("\\boxed{$3$}", Ok(Some("3"))),
            ("so \\boxed 4$ then $5$", Ok(Some("4"))),
            ("\\boxed{4} and \\boxed 5", Ok(Some("5"))),
            ("\\fbox{6}", Ok(Some("6"))),
            ("\\boxed{7", Ok(None)),
            ("nothing", Ok(None)),
            ("\\boxed5 {6}", Err(BrokenBox)),
        ] {
            assert_eq!(last_boxed(text), inside.map(|inside| inside.map(str::to_string)), "{text:?}");
        }
    }
}
