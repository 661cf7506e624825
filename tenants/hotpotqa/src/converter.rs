//! HotpotQA's files: the official array (`_id`, `context` with texts), or rows with `case_id`.

use fapo_tenant_sdk::converter::{Converter, Description, Rows, Shape, Target, gepa_splits, pairs};
use fapo_tenant_sdk::{Value, json};

/// Reads questions with their labels; passages come from `context`.
#[derive(Default)]
pub struct HotpotConverter {
    cases: Vec<Value>,
}

impl Converter for HotpotConverter {
    const SHAPE: Shape = Shape::Json;

    fn describe() -> Description {
        Description::new(
            "HotpotQA's JSON array, or rows of its fields with `case_id` or `_id`: question, answer, and where known \
             type, level, supporting_facts, context; the splits are those of GEPA, drawn from the full training file",
        )
    }

    fn record(&mut self, _file: &str, record: &str, rows: &mut Rows) -> Result<(), String> {
        let row: Value = record.parse().map_err(|e| format!("{e}"))?;
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let id = text("case_id").or(text("_id")).or(text("id")).ok_or("has no text `_id` or `case_id`")?;
        let question = text("question").ok_or("has no text `question`")?;
        let answer = text("answer").ok_or("has no text `answer`")?;
        let facts = pairs(row.get("supporting_facts").unwrap_or(&Value::Null), "title", "sent_id");
        let mut expected = json!({"answer": answer});
        if let Some(kind) = text("type") {
            expected["answer_type"] = kind.into();
        }
        expected["supporting_facts"] = facts.into_iter().map(|(title, sentence)| json!([title, sentence])).collect();
        let mut metadata = json!({});
        for name in ["level", "source", "split"] {
            if let Some(value) = text(name) {
                metadata[name] = value.into();
            }
        }
        self.cases.push(json!({
            "case_id": id, "task_type": "multihop_qa", "context": {"question": question},
            "expected": expected, "metadata": metadata,
        }));
        for (title, sentences) in pairs(row.get("context").unwrap_or(&Value::Null), "title", "sentences") {
            let title = title.as_str().ok_or("`context` holds a passage without a title")?;
            let sentences = sentences.as_array().into_iter().flatten();
            let text: String = sentences.filter_map(Value::as_str).collect();
            rows.add(Target::Corpus, &json!({"title": title, "text": text.trim()}));
        }
        Ok(())
    }

    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String> {
        if splits {
            gepa_splits(&self.cases, rows);
        } else {
            self.cases.iter().for_each(|case| rows.add(Target::All, case));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::converter::convert;

    const OFFICIAL: &str = r#"[{"_id": "a1", "question": "Who keeps the light?", "answer": "Mara", "type": "bridge",
        "level": "easy", "supporting_facts": [["Tarn", 1]], "context": [["Tarn", ["Tarn is an isle. ", "Mara keeps it."]]]}]"#;

    #[test]
    fn the_official_array_gives_cases_and_passages() {
        let rows = convert::<HotpotConverter>(&[("dev.json", OFFICIAL.as_bytes())], false).expect("converts");
        assert_eq!(rows[0], (Target::Corpus, json!({"title": "Tarn", "text": "Tarn is an isle. Mara keeps it."})));
        let (target, case) = &rows[1];
        assert_eq!((*target, &case["case_id"]), (Target::All, &json!("a1")));
        assert_eq!(case["expected"]["supporting_facts"], json!([["Tarn", 1]]));
    }

    #[test]
    fn lists_side_by_side_are_read_as_pairs() {
        let row = r#"{"id": "a1", "question": "q", "answer": "a", "supporting_facts": {"title": ["Tarn"], "sent_id": [1]},
            "context": {"title": ["Tarn"], "sentences": [["Tarn is an isle. ", "Mara keeps it."]]}}"#;
        let rows = convert::<HotpotConverter>(&[("train.jsonl", row.replace('\n', " ").as_bytes())], false);
        let rows = rows.expect("converts");
        assert_eq!(rows[0].1, json!({"title": "Tarn", "text": "Tarn is an isle. Mara keeps it."}));
        assert_eq!(rows[1].1["expected"]["supporting_facts"], json!([["Tarn", 1]]));
    }

    #[test]
    fn a_row_of_its_own_line_gives_a_case_without_passages() {
        let text = b"\n{\"case_id\": \"b\", \"question\": \"q\", \"answer\": \"no\", \"split\": \"dev\"}\n";
        let rows = convert::<HotpotConverter>(&[("rows.jsonl", text)], false).expect("converts");
        assert_eq!((rows.len(), &rows[0].1["metadata"]), (1, &json!({"split": "dev"})));
    }

    #[test]
    fn splits_are_cut_at_two_and_four_fifths_and_sampled() {
        let lines: String =
            (0..1_000).map(|n| format!("{{\"_id\": \"{n}\", \"question\": \"q{n}\", \"answer\": \"a\"}}\n")).collect();
        let rows = convert::<HotpotConverter>(&[("train.json", lines.as_bytes())], true).expect("converts");
        let ids = |wanted: Target| -> Vec<usize> {
            let of = rows.iter().filter(|(target, _)| *target == wanted);
            of.map(|(_, case)| case["case_id"].as_str().and_then(|id| id.parse().ok()).expect("a number")).collect()
        };
        let (train, validation, test) = (ids(Target::Train), ids(Target::Validation), ids(Target::Test));
        assert_eq!((train.len(), validation.len(), test.len()), (150, 300, 300));
        assert!(test.iter().all(|id| *id < 400) && train.iter().all(|id| *id >= 800));
        // As `random.Random(1).sample(range(400), 300)` of CPython begins.
        assert_eq!(test[..4], [68, 291, 391, 32]);
    }

    #[test]
    fn a_wrong_row_is_named() {
        let e = convert::<HotpotConverter>(&[("f", b"{\"case_id\": \"b\", \"question\": \"q\"}")], false);
        assert_eq!(e, Err("record 1, line 1: has no text `answer`".into()));
        let e = convert::<HotpotConverter>(&[("f", b"[{},\n{\"_id\": 7}]")], false);
        assert_eq!(e, Err("record 1, line 1: has no text `_id` or `case_id`".into()));
    }
}
