//! HotpotQA: the official array (`_id`, `context` with texts) and JSONL rows with `case_id` and `context_titles`.

use super::Imported;
use fapo_core::InputError;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Row {
    #[serde(alias = "_id", alias = "id")]
    case_id: String,
    question: String,
    answer: String,
    #[serde(rename = "type", default)]
    answer_type: Option<String>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    supporting_facts: Vec<(String, u32)>,
    /// Titles with their sentences.
    #[serde(default)]
    context: Vec<(String, Vec<String>)>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    split: Option<String>,
}

pub(super) fn convert(file: &str, text: &str) -> Result<Imported, InputError> {
    let mut imported = Imported::default();
    let mut titles = BTreeSet::new();
    for row in rows(file, text)? {
        for (title, sentences) in &row.context {
            if titles.insert(title.clone()) {
                imported.passages.push(json!({"title": title, "text": sentences.concat().trim()}));
            }
        }
        imported.cases.push(case(row));
    }
    Ok(imported)
}

fn rows(file: &str, text: &str) -> Result<Vec<Row>, InputError> {
    let hint = "a row has case_id or _id, question, answer, and where known type, level, supporting_facts, context";
    if text.trim_start().starts_with('[') {
        let mut json = serde_json::Deserializer::from_str(text);
        return serde_path_to_error::deserialize(&mut json).map_err(|e| {
            let at = e.path().to_string();
            let inner = e.into_inner();
            InputError::new(format!("{file}:{}, row {at}", inner.line()), inner.to_string()).hint(hint)
        });
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line)
                .map_err(|e| InputError::new(format!("{file}:{}", at + 1), e.to_string()).hint(hint))
        })
        .collect()
}

fn case(row: Row) -> Value {
    let mut expected = Map::new();
    expected.insert("answer".into(), row.answer.into());
    if let Some(kind) = row.answer_type {
        expected.insert("answer_type".into(), kind.into());
    }
    expected.insert("supporting_facts".into(), json!(row.supporting_facts));
    let known = [("level", row.level), ("source", row.source), ("split", row.split)];
    let metadata: Map<String, Value> =
        known.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?.into()))).collect();
    json!({
        "case_id": row.case_id, "task_type": "multihop_qa", "context": {"question": row.question},
        "expected": expected, "metadata": metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICIAL: &str = r#"[{"_id": "a1", "question": "Who keeps the light?", "answer": "Mara", "type": "bridge",
        "level": "easy", "supporting_facts": [["Tarn", 1]], "context": [["Tarn", ["Tarn is an isle. ", "Mara keeps it."]]]}]"#;

    #[test]
    fn the_official_array_gives_cases_and_passages() {
        let imported = convert("dev.json", OFFICIAL).expect("converts");
        assert_eq!(imported.cases[0]["expected"]["supporting_facts"], json!([["Tarn", 1]]));
        assert_eq!(imported.cases[0]["case_id"], "a1");
        assert_eq!(imported.passages, [json!({"title": "Tarn", "text": "Tarn is an isle. Mara keeps it."})]);
    }

    #[test]
    fn a_row_of_its_own_line_gives_a_case_without_passages() {
        let text = "\n{\"case_id\": \"b\", \"question\": \"q\", \"answer\": \"no\", \"split\": \"dev\", \"context_titles\": [\"T\"]}\n";
        let imported = convert("rows.jsonl", text).expect("converts");
        assert_eq!(imported.cases[0]["metadata"], json!({"split": "dev"}));
        assert!(imported.passages.is_empty());
    }

    #[test]
    fn a_wrong_row_is_named() {
        let e = convert("rows.jsonl", "{\"case_id\": \"b\", \"question\": \"q\"}").expect_err("no answer");
        assert!(e.to_string().starts_with("rows.jsonl:1: missing field `answer`"), "{e}");
        let e = convert("dev.json", "[{\"_id\": 7}]").expect_err("id is a number");
        assert!(e.to_string().contains("row [0]"), "{e}");
    }

    #[test]
    fn a_case_that_stands_twice_is_refused() {
        let row = "{\"case_id\": \"b\", \"question\": \"q\", \"answer\": \"no\"}\n";
        let e = super::super::convert("hotpotqa", "rows.jsonl", &row.repeat(2)).expect_err("twice");
        assert!(e.to_string().contains("\"b\": stands in the file twice"), "{e}");
        assert!(super::super::convert("nope", "f", "").is_err());
    }
}
