//! HoVer's release files: an array of claims with the articles they rest on.

use fapo_tenant_sdk::converter::{Converter, Description, PythonRandom, Rows, Shape, Target, gepa_splits, pairs};
use fapo_tenant_sdk::scoring::gold_titles;
use fapo_tenant_sdk::{Value, json};

/// Articles of the claims that the published splits are drawn from.
const ARTICLES: usize = 3;

/// Reads claims.
#[derive(Default)]
pub struct HoverConverter {
    cases: Vec<Value>,
}

impl Converter for HoverConverter {
    const SHAPE: Shape = Shape::Json;

    fn describe() -> Description {
        Description::new(
            "HoVer's JSON array, or its rows: uid, claim, supporting_facts and, where known, label, num_hops, hpqa_id; \
             the splits are those of GEPA: claims of the training file that rest on three articles, mixed (seed 0)",
        )
        .known("hover_dev_release_v1.1.json", "67c14858f2d7fcdb96b6fe3d538ffcd6f76e3ba594aa2c0cd4359f601101e89d")
        .known("hover_test_release_v1.1.json", "c58e7fc59b4962213a5a6d41d746384ee88a7645e36cb3a439969cf762c8ec24")
    }

    fn record(&mut self, _file: &str, record: &str, _rows: &mut Rows) -> Result<(), String> {
        let row: Value = record.parse().map_err(|e| format!("{e}"))?;
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        let id = text("uid").ok_or("has no text `uid`")?;
        let claim = text("claim").ok_or("has no text `claim`")?;
        let facts = pairs(&row["supporting_facts"], "title", "sent_id").into_iter();
        let facts: Vec<Value> = facts.map(|(title, sentence)| json!([title, sentence])).collect();
        let expected = json!({"supporting_facts": facts});
        if gold_titles(&expected).is_empty() {
            return Err(format!("claim {id} has no `supporting_facts`; the file without labels cannot be scored"));
        }
        let mut metadata = json!({"source": "hover"});
        for name in ["label", "num_hops", "hpqa_id"] {
            if let Some(value) = row.get(name) {
                metadata[name] = value.clone();
            }
        }
        self.cases.push(json!({
            "case_id": id, "task_type": "claim_retrieval", "context": {"claim": claim}, "expected": expected,
            "metadata": metadata,
        }));
        Ok(())
    }

    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String> {
        if !splits {
            self.cases.iter().for_each(|case| rows.add(Target::All, case));
            return Ok(());
        }
        self.cases.retain(|case| gold_titles(&case["expected"]).len() == ARTICLES);
        PythonRandom::new(0).shuffle(&mut self.cases);
        gepa_splits(&self.cases, rows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::converter::convert;

    #[test]
    fn claims_on_three_articles_are_mixed_and_split() {
        let claim = |n: usize, titles: &str| {
            format!("{{\"uid\": \"u{n}\", \"claim\": \"c{n}\", \"supporting_facts\": [{titles}], \"num_hops\": 3}}")
        };
        let three = "[\"A\", 0], {\"key\": \"B\", \"value\": 1}, [\"C\", 0], [\"A\", 2]";
        let claims: Vec<String> = (0..11).map(|n| claim(n, if n == 10 { "[\"A\", 0]" } else { three })).collect();
        let file = format!("[{}]", claims.join(",\n"));
        let rows = convert::<HoverConverter>(&[("train.json", file.as_bytes())], true).expect("converts");
        let ids = |wanted: Target| -> Vec<&str> {
            rows.iter().filter(|(of, _)| *of == wanted).filter_map(|(_, case)| case["case_id"].as_str()).collect()
        };
        // `random.Random(0).shuffle` of ten: 7 8 1 5 3 4 2 0 9 6.
        assert_eq!(ids(Target::Test), ["u7", "u8", "u1", "u5"]);
        assert_eq!(ids(Target::Validation), ["u3", "u4", "u2", "u0"]);
        assert_eq!(ids(Target::Train), ["u9", "u6"]);
        let all = convert::<HoverConverter>(&[("train.json", file.as_bytes())], false).expect("converts");
        assert_eq!((all.len(), &all[0].1["metadata"]["num_hops"]), (11, &json!(3)));
        let e =
            convert::<HoverConverter>(&[("f", b"[{\"uid\": \"u\", \"claim\": \"c\"}]")], true).expect_err("no facts");
        assert!(e.contains("claim u has no `supporting_facts`"), "{e}");
    }
}
