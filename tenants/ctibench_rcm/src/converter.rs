//! CTIBench's table of vulnerabilities and weaknesses: `URL`, `Description`, `Prompt`, `GT`, between tabs.

use fapo_tenant_sdk::converter::{Converter, Description, PythonRandom, Rows, Shape, Target};
use fapo_tenant_sdk::scoring::is_python_space;
use fapo_tenant_sdk::{Value, json};
use std::collections::BTreeMap;

/// Weaknesses with so few cases stand in test alone.
const RARE_CASES_MAX: usize = 3;

/// The row of the published table whose runs of blanks stand inside sentences.
const ROW_WITHOUT_PARAGRAPHS: usize = 391;

/// Reads the table; a case is known by its row, counted from 0.
#[derive(Default)]
pub struct RcmConverter {
    header: Option<Vec<String>>,
    cases: Vec<Value>,
}

impl Converter for RcmConverter {
    const SHAPE: Shape = Shape::Lines;

    fn describe() -> Description {
        Description::new(
            "CTIBench's cti-rcm.tsv: lines of URL, Description, Prompt and GT between tabs; of each weakness with more \
             than three cases a fifth is train, the rest is test",
        )
        .known("cti-rcm.tsv", "ed7d7fa79fc912c627f96e229eaa38b3c4b6be813d834d434580be6d4703d700")
        .known("cti-rcm-2021.tsv", "a1fc5348b4bc181778dd98055f267b584755215580dd8a18896134e2670d43d3")
    }

    fn record(&mut self, file: &str, record: &str, _rows: &mut Rows) -> Result<(), String> {
        let cells: Vec<&str> = record.split('\t').collect();
        let Some(header) = &self.header else {
            let header: Vec<String> = cells.iter().map(|name| name.trim().to_string()).collect();
            for needed in ["Description", "GT"] {
                if !header.iter().any(|name| name == needed) {
                    return Err(format!("the first line names no column {needed}"));
                }
            }
            self.header = Some(header);
            return Ok(());
        };
        if cells.len() != header.len() {
            return Err(format!("has {} cells where the first line has {}", cells.len(), header.len()));
        }
        let cell = |name: &str| header.iter().position(|column| column == name).map_or("", |at| cells[at]);
        let row = self.cases.len();
        let label = cell("GT").trim_matches(is_python_space).to_uppercase();
        let paragraphs = row != ROW_WITHOUT_PARAGRAPHS || file != "cti-rcm.tsv";
        let description = spaced(cell("Description").trim_matches(is_python_space), paragraphs);
        self.cases.push(json!({
            "case_id": row.to_string(), "task_type": "cwe_mapping",
            "context": {"description": format!("CVE Description: {description}")},
            "expected": {"answer": label}, "metadata": {"source": "ctibench", "url": cell("URL").trim()},
        }));
        Ok(())
    }

    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String> {
        if !splits {
            self.cases.iter().for_each(|case| rows.add(Target::All, case));
            return Ok(());
        }
        let (train, test) = split(&self.cases);
        let of = |rows: Vec<usize>| rows.into_iter().map(|row| self.cases[row].clone()).collect::<Vec<_>>();
        rows.add_split(Target::Train, "train", of(train));
        rows.add_split(Target::Test, "test", of(test));
        Ok(())
    }
}

/// Rows of train and of test: weakness by weakness in the order of their names a fifth, rounded down but at least one,
/// is drawn for train; rare ones are test. One generator, seeded with 42, draws all and then mixes both.
fn split(cases: &[Value]) -> (Vec<usize>, Vec<usize>) {
    let mut by_label: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, case) in cases.iter().enumerate() {
        by_label.entry(case["expected"]["answer"].as_str().unwrap_or_default()).or_default().push(row);
    }
    let mut random = PythonRandom::new(42);
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for mut rows in by_label.into_values() {
        if rows.len() <= RARE_CASES_MAX {
            test.extend(rows);
            continue;
        }
        random.shuffle(&mut rows);
        let drawn = (rows.len() / 5).max(1);
        test.extend(rows.split_off(drawn));
        train.extend(rows);
    }
    random.shuffle(&mut train);
    random.shuffle(&mut test);
    (train, test)
}

/// Runs of two blanks and more as blank lines, which they were before the table lost its line ends; one blank behind a
/// mark of a list (`*`) stays. Without `paragraphs` a run becomes one blank.
fn spaced(text: &str, paragraphs: bool) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(' ') {
        let (before, run) = rest.split_at(at);
        spaced.push_str(before);
        let blanks = run.len() - run.trim_start_matches(' ').len();
        let kept = usize::from(spaced.ends_with('*')).min(blanks);
        spaced.push_str(&run[..kept]);
        spaced.push_str(match blanks - kept {
            0 => "",
            1 => " ",
            _ if paragraphs => "\n\n",
            _ => " ",
        });
        rest = &run[blanks..];
    }
    spaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::converter::convert;
    use std::path::PathBuf;

    #[test]
    fn runs_of_blanks_become_blank_lines() {
        for (text, expected) in [
            ("a  b", "a\n\nb"),
            ("a b    c", "a b\n\nc"),
            ("*  a *  b", "*  a *  b"),
            ("*   a", "* \n\na"),
            ("ab", "ab"),
        ] {
            assert_eq!(spaced(text, true), expected, "{text:?}");
        }
        assert_eq!(spaced("a   b", false), "a b");
    }

    #[test]
    fn rows_are_cases_and_rare_weaknesses_are_test() {
        let mut table = "URL\tDescription\tPrompt\tGT\r\n".to_string();
        for row in 0..30 {
            let label = if row < 27 { "CWE-79" } else { " cwe-22" };
            table.push_str(&format!("u{row}\t text {row}  more \tp\t{label}\r\n"));
        }
        let rows = convert::<RcmConverter>(&[("cti-rcm.tsv", table.as_bytes())], true).expect("converts");
        let count = |wanted| rows.iter().filter(|(target, _)| *target == wanted).count();
        assert_eq!((count(Target::Train), count(Target::Test)), (5, 25));
        let rare = rows.iter().filter(|(_, case)| case["expected"]["answer"] == "CWE-22");
        assert!(rare.clone().count() == 3 && rare.clone().all(|(target, _)| *target == Target::Test));
        let all = convert::<RcmConverter>(&[("cti-rcm.tsv", table.as_bytes())], false).expect("converts");
        assert_eq!(all[7].1["case_id"], "7");
        assert_eq!(all[7].1["context"]["description"], "CVE Description: text 7\n\nmore");
    }

    #[test]
    fn a_wrong_table_is_named() {
        let of = |table: &str| convert::<RcmConverter>(&[("t", table.as_bytes())], true).expect_err("wrong");
        assert_eq!(of("a\tb\n"), "record 1, line 1: the first line names no column Description");
        assert_eq!(of("Description\tGT\nx\n"), "record 2, line 2: has 1 cells where the first line has 2");
    }

    /// The published splits; the data is not part of the project.
    #[test]
    fn the_published_splits_come_out_id_by_id() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from).join("cti_rcm");
        let (Ok(table), Ok(splits)) =
            (std::fs::read(folder.join("cti-rcm.tsv")), std::fs::read_to_string(folder.join("splits.json")))
        else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no cti_rcm/cti-rcm.tsv and splits.json under FAPO_DATA_DIR");
            }
            return;
        };
        let splits: Value = splits.parse().expect("JSON");
        let rows = convert::<RcmConverter>(&[("cti-rcm.tsv", &table)], true).expect("converts");
        for (target, name) in [(Target::Train, "dev"), (Target::Test, "test")] {
            let ids: Vec<String> = rows
                .iter()
                .filter(|(of, _)| *of == target)
                .map(|(_, case)| case["case_id"].as_str().expect("an id").to_string())
                .collect();
            let published: Vec<String> =
                splits[name].as_array().expect("ids").iter().map(ToString::to_string).collect();
            assert_eq!(ids, published, "{name}");
        }
    }
}
