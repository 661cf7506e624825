//! Records out of the pieces of a file.

/// How records stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// JSON values: the elements of one array, or one a line.
    Json,
    /// Lines of text; the first line is a record as well.
    Lines,
}

/// Cuts pieces of a file into records; keeps no more than the record it is in.
pub(super) struct Records {
    lines: bool,
    /// Whether the first byte that is no blank was seen.
    begun: bool,
    /// Bytes of the record so far.
    record: Vec<u8>,
    /// Brackets that are open inside the array, and whether a text is, and the next byte belongs to an escape.
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Counted from 1.
    line: usize,
    record_line: usize,
    number: usize,
}

impl Records {
    pub(super) fn new(shape: Shape) -> Self {
        Records {
            lines: shape == Shape::Lines,
            begun: shape == Shape::Lines,
            record: Vec::new(),
            depth: 0,
            in_text: false,
            escaped: false,
            line: 1,
            record_line: 1,
            number: 0,
        }
    }

    /// Hands each record that this piece completes to `each`.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        last: bool,
        mut each: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), String> {
        for &byte in bytes {
            if !self.begun && !byte.is_ascii_whitespace() {
                // A mark of byte order is three bytes that are no blanks and open nothing.
                if matches!(byte, 0xef | 0xbb | 0xbf) {
                    continue;
                }
                self.begun = true;
                self.lines = byte != b'[';
                if !self.lines {
                    continue;
                }
            }
            if self.lines {
                if byte == b'\n' {
                    self.end(&mut each)?;
                } else {
                    self.record.push(byte);
                }
            } else {
                self.element(byte, &mut each)?;
            }
            self.line += usize::from(byte == b'\n');
        }
        if last {
            if !self.lines && self.depth > 0 {
                return Err(format!("record {}, line {}: the file ends inside it", self.number + 1, self.record_line));
            }
            self.end(&mut each)?;
        }
        Ok(())
    }

    /// One byte of an array.
    fn element(&mut self, byte: u8, each: &mut impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
        if self.in_text {
            self.in_text = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
        } else {
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b']' | b',' if self.depth == 0 => return self.end(each),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.record.is_empty() {
            self.record_line = self.line;
        }
        if !(self.record.is_empty() && byte.is_ascii_whitespace()) {
            self.record.push(byte);
        }
        Ok(())
    }

    fn end(&mut self, each: &mut impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
        let line = if self.lines { self.line } else { self.record_line };
        let bytes = std::mem::take(&mut self.record);
        let named = |number: usize, why: String| format!("record {number}, line {line}: {why}");
        let text = std::str::from_utf8(&bytes).map_err(|e| named(self.number + 1, e.to_string()))?;
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().is_empty() {
            return Ok(());
        }
        self.number += 1;
        each(text).map_err(|why| named(self.number, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(shape: Shape, text: &str, piece: usize) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut records = Records::new(shape);
        let mut pieces = text.as_bytes().chunks(piece).peekable();
        while let Some(bytes) = pieces.next() {
            records.push(bytes, pieces.peek().is_none(), |record| {
                found.push(record.to_string());
                if record.contains("bad") { Err("is bad".into()) } else { Ok(()) }
            })?;
        }
        Ok(found)
    }

    #[test]
    fn records_are_the_same_however_the_file_is_cut() {
        let array = "\u{feff} [ {\"a\": \"]},\\\"[é\"},\n[1, [2]], 3 , \"x\\\\\"]\n";
        let lines = "{\"a\": 1}\r\n\n[2]\n{\"b\": 3}";
        let table = "a\tb\n\n[c\td\r\ne";
        for piece in [1, 2, 3, 7, 1_000] {
            let found = records(Shape::Json, array, piece).expect("records");
            let trimmed: Vec<&str> = found.iter().map(|record| record.trim()).collect();
            assert_eq!(trimmed, ["{\"a\": \"]},\\\"[é\"}", "[1, [2]]", "3", "\"x\\\\\""]);
            assert_eq!(records(Shape::Json, lines, piece).expect("records"), ["{\"a\": 1}", "[2]", "{\"b\": 3}"]);
            assert_eq!(records(Shape::Lines, table, piece).expect("records"), ["a\tb", "[c\td", "e"]);
        }
        assert!(records(Shape::Json, " ", 1).expect("records").is_empty());
    }

    #[test]
    fn a_wrong_record_is_named_by_number_and_line() {
        let e = records(Shape::Json, "[{\"a\":\n1},\n\"bad\"]", 4).expect_err("bad");
        assert_eq!(e, "record 2, line 3: is bad");
        let e = records(Shape::Json, "{}\n\n\"bad\"\n", 4).expect_err("bad");
        assert_eq!(e, "record 2, line 3: is bad");
        let e = records(Shape::Json, "[{}, {\"a\": [1", 4).expect_err("torn");
        assert_eq!(e, "record 2, line 1: the file ends inside it");
        let mut records = Records::new(Shape::Lines);
        let e = records.push(&[b'a', b'\n', 0xff, b'\n'], true, |_| Ok(())).expect_err("no UTF-8");
        assert!(e.starts_with("record 2, line 2: invalid utf-8"), "{e}");
    }
}
