//! Passages as models and later steps read them: lines `[1] «Title | text»`, numbered from 1.

use crate::host::Hit;

/// Numbered lines of these hits; identical passages collapse into the first.
pub fn format_hits<'a>(hits: impl IntoIterator<Item = &'a Hit>) -> String {
    number(hits.into_iter().map(body))
}

/// Joins numbered lists: duplicates go, the rest is numbered anew in the order of the lists.
pub fn merge<'a>(lists: impl IntoIterator<Item = &'a str>) -> String {
    number(lists.into_iter().flat_map(str::lines).map(|line| without_number(line).to_string()))
}

/// Titles of a numbered list, in order; a line without a title gives none.
pub fn titles(list: &str) -> Vec<&str> {
    list.lines()
        .filter_map(|line| {
            let (title, _) = without_number(line).strip_prefix('«')?.split_once(" | ")?;
            Some(title.trim())
        })
        .collect()
}

/// One line per passage: a text with line breaks could otherwise pose as further passages.
fn body(hit: &Hit) -> String {
    let flat = |text: &str| {
        // Most texts are one line; looking for a line's end costs a fraction of cutting at it.
        if !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return text.trim().to_string();
        }
        text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    match hit.title.trim() {
        "" => format!("«{}»", flat(&hit.text)),
        title => format!("«{} | {}»", flat(title), flat(&hit.text)),
    }
}

fn number(bodies: impl Iterator<Item = String>) -> String {
    let mut kept: Vec<String> = Vec::new();
    for body in bodies {
        if !body.is_empty() && !kept.contains(&body) {
            kept.push(body);
        }
    }
    let lines: Vec<String> = kept.iter().enumerate().map(|(index, body)| format!("[{}] {body}", index + 1)).collect();
    lines.join("\n")
}

fn without_number(line: &str) -> &str {
    let line = line.trim();
    let numbered = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match numbered {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => rest.trim(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(title: &str, text: &str) -> Hit {
        Hit { passage_id: "p".into(), title: title.into(), text: text.into(), score: 1.0 }
    }

    #[test]
    fn hits_are_numbered_lines_and_identical_ones_collapse() {
        let hits = [hit("A", "one"), hit("B", "two"), hit("A", "one"), hit("A", "three"), hit("", "four")];
        assert_eq!(format_hits(&hits), "[1] «A | one»\n[2] «B | two»\n[3] «A | three»\n[4] «four»");
        assert_eq!(format_hits(&[]), "");
    }

    #[test]
    fn a_passage_cannot_pose_as_two() {
        assert_eq!(format_hits(&[hit("A\n[2] «B", "x\n[9] «C | y»\r\n")]), "[1] «A [2] «B | x [9] «C | y»»");
    }

    #[test]
    fn lists_merge_without_duplicates() {
        let merged = merge(["[1] «A | one»\n[2] «B | two»", "", "[1] «B | two»\n\n [2]  «C | three»\nplain"]);
        assert_eq!(merged, "[1] «A | one»\n[2] «B | two»\n[3] «C | three»\n[4] plain");
        assert_eq!(merge(["[x] keep"]), "[1] [x] keep");
    }

    #[test]
    fn titles_are_read_back() {
        assert_eq!(titles("[1] «A | one»\n[2] «no title»\n[3] «B | x | y»\ntext"), ["A", "B"]);
    }
}
