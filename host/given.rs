//! Cases and passages that the person at the keyboard puts in the place of a tenant's own: `--dataset`, `--index`.
//!
//! Cases may be flat: what the tenant's own cases have as context is context, an answer is the label, the rest is
//! metadata. They are split in three so that no two splits share a passage, where the rows say which they need.

use crate::place::{read_bytes, read_text};
use fapo_core::attribution::gold_titles;
use fapo_core::case::{Case, read_dataset};
use fapo_core::grants::{IndexSource, OperatorFile};
use fapo_core::{InputError, digest};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names under which a flat row may hold its answer, in the order of preference.
const ANSWERS: [&str; 4] = ["answer", "expected_answer", "label", "reference_output"];

/// What is given in the place of the tenant's own.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Cases of all three splits.
    pub dataset: Option<PathBuf>,
    /// Passages, as `FILE`, or `NAME=FILE` where the tenant has several indexes.
    pub index: Option<String>,
}

impl Given {
    /// Puts the given passages in the place of an index that the tenant is granted.
    ///
    /// # Errors
    /// The tenant is granted no index of that name, or several and none is named; the file cannot be read.
    pub fn grant(&self, tenant: &str, operator: &mut OperatorFile) -> Result<(), InputError> {
        let Some(given) = &self.index else {
            return Ok(());
        };
        let granted = operator.tenants.get(tenant).map(|grant| grant.indexes.clone()).unwrap_or_default();
        let names: Vec<&str> = granted.keys().map(String::as_str).collect();
        let (name, file) = match (given.split_once('='), names.as_slice()) {
            (Some((name, file)), _) if names.contains(&name) => (name, file),
            (None, [name]) => (*name, given.as_str()),
            _ => {
                let hint = format!("write --index NAME=FILE with one of: {}", names.join(", "));
                return Err(InputError::new(format!("--index {given}"), "names no index of the tenant").hint(hint));
            }
        };
        let path = std::path::absolute(file).map_err(|e| InputError::new(format!("--index {file}"), e.to_string()))?;
        let text = digest::of_bytes(&read_bytes(&path)?);
        let before = &operator.indexes[&granted[name]];
        let source = IndexSource { corpus: path.display().to_string(), k1: before.k1, b: before.b };
        let built = format!("given-{}", &text["sha256:".len()..][..12]);
        operator.indexes.insert(built.clone(), source);
        operator.tenants.entry(tenant.into()).or_default().indexes.insert(name.into(), built);
        Ok(())
    }
}

/// Reads given cases and splits them in train, validation and test; `own` are cases of the tenant, which say what is
/// context. Each split comes with a digest.
///
/// # Errors
/// The file cannot be read, or a row is no case of this kind; named with its line.
pub fn splits(file: &Path, own: &[Case]) -> Result<[(Vec<Case>, String); 3], InputError> {
    let name = file.display().to_string();
    let text = read_text(file)?;
    let rows: Vec<String> =
        text.lines().enumerate().map(|(at, line)| unified(&name, at + 1, line, own)).collect::<Result<_, _>>()?;
    let dataset = read_dataset(&name, &rows.join("\n"))?;
    let places = dealt(&dataset.cases);
    let mut parts: [Vec<Case>; 3] = Default::default();
    for (case, place) in dataset.cases.into_iter().zip(places) {
        parts[place].push(case);
    }
    Ok(parts.map(|cases| {
        let digest = digest::of_json(&json!(cases));
        (cases, digest)
    }))
}

/// A row as a case's JSON: left as it is where it has `context`, and otherwise sorted by what the tenant's cases have.
fn unified(file: &str, line_number: usize, line: &str, own: &[Case]) -> Result<String, InputError> {
    let Ok(Value::Object(mut row)) = serde_json::from_str::<Value>(line) else {
        // The reader of datasets says what is wrong with it.
        return Ok(line.to_string());
    };
    let Some(like) = own.first().filter(|_| !row.contains_key("context")) else {
        return Ok(line.to_string());
    };
    let here = |message: String| InputError::new(format!("{file}:{line_number}"), message);
    let mut context = Map::new();
    for (key, _) in &like.context {
        let value = row.remove(key).ok_or_else(|| {
            here(format!("`{key}` is missing, which the tenant's own cases have as context"))
                .hint("a row is a case with context and expected, or holds these fields beside each other")
        })?;
        context.insert(key.clone(), value);
    }
    let answer = ANSWERS.iter().find_map(|key| row.remove(*key)).ok_or_else(|| {
        here("the row has no answer".into()).hint(format!("add one of the fields {}", ANSWERS.join(", ")))
    })?;
    let label = ANSWERS.into_iter().find(|key| like.expected.contains_key(*key)).unwrap_or(ANSWERS[0]);
    let id = ["case_id", "id", "_id"].iter().find_map(|key| row.remove(*key)).unwrap_or(line_number.to_string().into());
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_string);
    let case = json!({"case_id": id, "task_type": row.remove("task_type").unwrap_or(like.task_type.clone().into()),
                      "context": context, "expected": {label: answer}, "metadata": row});
    Ok(case.to_string())
}

/// The split of each case, 0 to 2: cases that need a common passage stay together, the largest groups are dealt first,
/// each to the smallest split; equal ones in an order drawn from their ids.
fn dealt(cases: &[Case]) -> Vec<usize> {
    let groups = grouped(cases);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, group) in groups.iter().enumerate() {
        members.entry(*group).or_default().push(at);
    }
    let mut members: Vec<Vec<usize>> = members.into_values().collect();
    members
        .sort_by_cached_key(|group| (std::cmp::Reverse(group.len()), digest::number(&json!(cases[group[0]].case_id))));
    let mut places = vec![0; cases.len()];
    let mut sizes = [0; 3];
    for group in members {
        let smallest = (0..sizes.len()).min_by_key(|split| sizes[*split]).unwrap_or(0);
        sizes[smallest] += group.len();
        group.into_iter().for_each(|at| places[at] = smallest);
    }
    places
}

/// For each case the first case of its group: those that share a needed passage, directly or through others.
fn grouped(cases: &[Case]) -> Vec<usize> {
    let mut first: Vec<usize> = (0..cases.len()).collect();
    let mut of_title: BTreeMap<String, usize> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        for title in gold_titles(case) {
            let other = *of_title.entry(title).or_insert(at);
            let (low, high) = (first[other].min(first[at]), first[other].max(first[at]));
            first.iter_mut().filter(|group| **group == high).for_each(|group| *group = low);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str, title: &str) -> Case {
        let row = json!({"case_id": id, "task_type": "qa", "context": {"question": format!("{id}?")},
                         "expected": {"answer": "a"}, "metadata": {"gold_title": title}});
        serde_json::from_value(json!({"case_id": row["case_id"], "task_type": "qa", "context": [["question", "q"]],
                                      "expected": row["expected"], "metadata": row["metadata"]}))
        .expect("a case")
    }

    #[test]
    fn cases_of_one_passage_stay_together_and_splits_are_even() {
        let cases: Vec<Case> = (0..60).map(|n| case(&format!("c{n}"), &format!("t{}", n / 2))).collect();
        let places = dealt(&cases);
        assert!((0..30).all(|n| places[2 * n] == places[2 * n + 1]));
        assert!((0..3).all(|split| places.iter().filter(|place| **place == split).count() == 20));
        assert_ne!(places, dealt(&cases.iter().rev().cloned().collect::<Vec<_>>()), "the order is drawn from ids");
    }

    #[test]
    fn a_flat_row_becomes_a_case_and_a_whole_one_stays() {
        let own = [case("own", "t")];
        let flat = r#"{"id": 7, "question": "Who?", "answer": "Mara", "gold_title": "T"}"#;
        let row: Value = serde_json::from_str(&unified("f", 1, flat, &own).expect("a row")).expect("JSON");
        assert_eq!(
            row,
            json!({"case_id": "7", "task_type": "qa", "context": {"question": "Who?"}, "expected": {"answer": "Mara"},
                   "metadata": {"gold_title": "T"}})
        );
        let whole = r#"{"case_id":"a","context":{}}"#;
        assert_eq!(unified("f", 1, whole, &own).expect("as it is"), whole);
        let e = unified("f", 3, r#"{"answer": "x"}"#, &own).expect_err("no question");
        assert!(e.to_string().starts_with("f:3: `question` is missing"), "{e}");
        let e = unified("f", 3, r#"{"question": "x"}"#, &own).expect_err("no answer");
        assert!(e.hint.as_deref().is_some_and(|hint| hint.contains("expected_answer")), "{e:?}");
    }

    #[test]
    fn given_passages_take_the_place_of_the_one_index() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "{\"text\": \"one\"}\n").expect("written");
        let text = "[indexes.a]\ncorpus = \"a.jsonl\"\nb = 0.5\n[tenants.t.indexes]\nwiki = \"a\"\n";
        let mut operator = fapo_core::grants::read_operator_file("fapo.toml", text).expect("an operator's file");
        let given = |index: String| Given { dataset: None, index: Some(index) };
        given(file.path().display().to_string()).grant("t", &mut operator).expect("granted");
        let name = operator.tenants["t"].indexes["wiki"].clone();
        assert!(name.starts_with("given-"));
        assert_eq!(
            (operator.indexes[&name].b, operator.indexes[&name].corpus.as_str()),
            (0.5, file.path().to_str().expect("a path"))
        );
        assert!(given("other=x.jsonl".into()).grant("t", &mut operator).is_err());
        assert!(given("x.jsonl".into()).grant("nobody", &mut operator).is_err());
    }
}
