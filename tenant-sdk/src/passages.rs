//! Passages as models and later steps read them: lines `[1] «Title | text»`, numbered from 1.

use crate::host::Hit;
use std::fmt::Write;
use std::ops::Range;

/// Numbered lines of these hits; identical passages collapse into the first.
pub fn format_hits<'a>(hits: impl IntoIterator<Item = &'a Hit>) -> String {
    let mut list = List::default();
    hits.into_iter().for_each(|hit| list.add(|out| put_body(out, hit)));
    list.lines
}

/// Joins numbered lists: duplicates go, the rest is numbered anew in the order of the lists.
pub fn merge<'a>(lists: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = List::default();
    lists.into_iter().flat_map(str::lines).for_each(|line| list.add(|out| out.push_str(without_number(line))));
    list.lines
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
fn put_body(out: &mut String, hit: &Hit) {
    out.push('«');
    let title = hit.title.trim();
    if !title.is_empty() {
        put_flat(out, title);
        out.push_str(" | ");
    }
    put_flat(out, &hit.text);
    out.push('»');
}

fn put_flat(out: &mut String, text: &str) {
    // Most texts are one line; looking for a line's end costs a fraction of cutting at it.
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return out.push_str(text.trim());
    }
    let parts = text.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty());
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(part);
    }
}

/// A numbered list, written once and in one piece of memory: passages are most of what a guest holds.
#[derive(Default)]
struct List {
    lines: String,
    /// Where the passages stand in it, without their numbers.
    bodies: Vec<Range<usize>>,
}

impl List {
    /// A further line with what `put` writes; none where that is nothing or stands there already.
    fn add(&mut self, put: impl FnOnce(&mut String)) {
        let line = self.lines.len();
        if line > 0 {
            self.lines.push('\n');
        }
        let _ = write!(self.lines, "[{}] ", self.bodies.len() + 1);
        let start = self.lines.len();
        put(&mut self.lines);
        let body = start..self.lines.len();
        let same = |other: &Range<usize>| self.lines[other.clone()] == self.lines[body.clone()];
        if body.is_empty() || self.bodies.iter().any(same) {
            self.lines.truncate(line);
        } else {
            self.bodies.push(body);
        }
    }
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
