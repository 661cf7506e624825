//! A converter: files as a publisher gives them out, as cases of the tenant, in the splits of the publication.

mod random;
mod records;

pub use random::PythonRandom;
pub use records::Shape;

use records::Records;
use serde_json::Value;
use std::collections::VecDeque;

/// Rows are handed over in parts of about this many bytes.
const PART_BYTES: usize = 1 << 20;

/// A tenant's converter. One value of the type reads one set of files.
pub trait Converter: Default + 'static {
    /// How records stand in a file.
    const SHAPE: Shape;

    /// What it reads.
    fn describe() -> Description;

    /// One record of a file: a JSON value, or a line without its end, as [`SHAPE`](Self::SHAPE) says.
    ///
    /// # Errors
    /// What is wrong with the record; where it stands is said by who calls.
    fn record(&mut self, file: &str, record: &str, rows: &mut Rows) -> Result<(), String>;

    /// After the last record of the last file. With `splits` the cases go to the splits of the publication, else to
    /// [`Target::All`].
    ///
    /// # Errors
    /// What is missing.
    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String>;
}

/// What a converter says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What it reads, and what the splits follow: for people.
    pub reads: String,
    /// Names and sha256 (64 hexadecimal digits) of files whose bytes are known; others may be read as well.
    pub known: Vec<(String, String)>,
}

impl Description {
    /// A description without known files.
    pub fn new(reads: &str) -> Self {
        Description { reads: reads.into(), known: Vec::new() }
    }

    /// With one more known file.
    pub fn known(mut self, name: &str, sha256: &str) -> Self {
        self.known.push((name.into(), sha256.into()));
        self
    }
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Cases to learn from.
    Train,
    /// Cases to choose by.
    Validation,
    /// Cases to report.
    Test,
    /// All cases in the order of the file.
    All,
    /// Passages.
    Corpus,
}

/// Rows that were made.
#[derive(Debug, Default)]
pub struct Rows {
    parts: VecDeque<(Target, String)>,
}

impl Rows {
    /// One more row. A case is an object with `case_id`, `task_type`, `context`, `expected` and `metadata`, a passage
    /// one with `title` and `text`.
    pub fn add(&mut self, target: Target, row: &Value) {
        match self.parts.back_mut().filter(|(last, lines)| *last == target && lines.len() < PART_BYTES) {
            Some((_, lines)) => lines.push_str(&format!("{row}\n")),
            None => self.parts.push_back((target, format!("{row}\n"))),
        }
    }

    /// Rows of a list, each marked with its split: `metadata.split` becomes its name.
    pub fn add_split(&mut self, target: Target, name: &str, cases: impl IntoIterator<Item = Value>) {
        for mut case in cases {
            case["metadata"]["split"] = name.into();
            self.add(target, &case);
        }
    }

    /// The rows made first, of one target, as lines.
    pub fn take(&mut self) -> Option<(Target, String)> {
        self.parts.pop_front()
    }
}

/// A converter at work: pieces of files in, rows out. What an export and a test use alike.
#[derive(Default)]
pub struct Conversion<C> {
    converter: C,
    records: Option<(String, Records)>,
    rows: Rows,
}

impl<C: Converter> Conversion<C> {
    /// The next piece of a file, `last` with its last one.
    ///
    /// # Errors
    /// Names the record, by number and line.
    pub fn read(&mut self, file: &str, bytes: &[u8], last: bool) -> Result<(), String> {
        if self.records.as_ref().is_none_or(|(name, _)| name != file) {
            self.records = Some((file.to_string(), Records::new(C::SHAPE)));
        }
        let Some((_, records)) = &mut self.records else { return Ok(()) };
        let (converter, rows) = (&mut self.converter, &mut self.rows);
        records.push(bytes, last, |record| converter.record(file, record, rows))?;
        if last {
            self.records = None;
        }
        Ok(())
    }

    /// After the last file.
    ///
    /// # Errors
    /// As for [`Converter::finish`].
    pub fn finish(&mut self, splits: bool) -> Result<(), String> {
        self.converter.finish(splits, &mut self.rows)
    }

    /// Rows that were made and not yet taken.
    pub fn take(&mut self) -> Option<(Target, String)> {
        self.rows.take()
    }
}

/// The splits that GEPA's benchmarks draw: of the cases in their order the first 40 % are test, the next 40 %
/// validation, the rest train; of each a sample is drawn with a generator of its own, seeded with 1, where it has more
/// than 300, 300 and 150 cases.
pub fn gepa_splits(cases: &[Value], rows: &mut Rows) {
    let end = |share: f64| (share * cases.len() as f64) as usize;
    let parts = [
        (Target::Train, "train", &cases[end(0.8)..], 150),
        (Target::Validation, "validation", &cases[end(0.4)..end(0.8)], 300),
        (Target::Test, "test", &cases[..end(0.4)], 300),
    ];
    for (target, name, part, most) in parts {
        let drawn = if part.len() > most { PythonRandom::new(1).sample(part, most) } else { part.to_vec() };
        rows.add_split(target, name, drawn);
    }
}

/// Pairs in the forms that published datasets have them in: `[[a, b], …]`, `[{"key": a, "value": b}, …]`, or two lists
/// side by side in an object, `{first: [a, …], second: [b, …]}`. Empty where it is none of these.
pub fn pairs(value: &Value, first: &str, second: &str) -> Vec<(Value, Value)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match value {
        Value::Array(items) => items
            .iter()
            .filter_map(|item| match item {
                Value::Array(pair) => Some((pair.first()?.clone(), pair.get(1)?.clone())),
                Value::Object(named) => Some((named.get("key")?.clone(), named.get("value")?.clone())),
                _ => None,
            })
            .collect(),
        Value::Object(named) => {
            let side = |name: &str| named.get(name).map(list).unwrap_or_default();
            side(first).into_iter().zip(side(second)).collect()
        }
        _ => Vec::new(),
    }
}

/// Converts whole files, for tests of a converter: the rows of each target, in the order in which they came.
///
/// # Errors
/// As for [`Conversion::read`] and [`Conversion::finish`].
pub fn convert<C: Converter>(files: &[(&str, &[u8])], splits: bool) -> Result<Vec<(Target, Value)>, String> {
    let mut conversion = Conversion::<C>::default();
    for (file, bytes) in files {
        conversion.read(file, bytes, true)?;
    }
    conversion.finish(splits)?;
    let parts = std::iter::from_fn(|| conversion.take());
    parts
        .flat_map(|(target, lines)| lines.lines().map(|line| (target, line.to_string())).collect::<Vec<_>>())
        .map(|(target, line)| line.parse().map(|row| (target, row)).map_err(|e| format!("{e}: {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pairs_are_read_in_each_of_their_forms() {
        let wanted = vec![(json!("A"), json!(0)), (json!("B"), json!(2))];
        for form in [
            json!([["A", 0], ["B", 2]]),
            json!([{"key": "A", "value": 0}, {"key": "B", "value": 2}]),
            json!({"title": ["A", "B"], "sent_id": [0, 2]}),
        ] {
            assert_eq!(pairs(&form, "title", "sent_id"), wanted, "{form}");
        }
        for none in [json!(null), json!("A"), json!([["A"], 7]), json!({"title": ["A"]})] {
            assert!(pairs(&none, "title", "sent_id").is_empty(), "{none}");
        }
    }
}
