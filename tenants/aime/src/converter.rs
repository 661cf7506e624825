//! AIME's problems as datasets give them out: rows of `id`, `problem`, `answer` and, where known, `solution`.

use fapo_tenant_sdk::converter::{Converter, Description, PythonRandom, Rows, Shape, Target};
use fapo_tenant_sdk::{Value, json};

/// The year whose problems are test; files that name it hold them.
const TEST_YEAR: &str = "2025";

/// Reads problems with their answers.
#[derive(Default)]
pub struct AimeConverter {
    learned: Vec<Value>,
    test: Vec<Value>,
}

impl Converter for AimeConverter {
    const SHAPE: Shape = Shape::Json;

    fn describe() -> Description {
        Description::new(
            "rows of id, problem, answer and, where known, solution and url; problems whose file or url names 2025 are \
             test, the others are mixed (seed 0) and halved into train and validation, as GEPA does; its test has each \
             problem five times, which is `--epochs 5` here",
        )
    }

    fn record(&mut self, file: &str, record: &str, _rows: &mut Rows) -> Result<(), String> {
        let row: Value = record.parse().map_err(|e| format!("{e}"))?;
        let word = |name: &str| match row.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let id = word("id").or(word("ID")).or(word("problem_idx")).ok_or("has no `id`")?;
        let problem = word("problem").or(word("question")).ok_or("has no text `problem`")?;
        let answer = word("answer").ok_or("has no `answer`")?;
        let url = word("url").unwrap_or_default();
        let is_test = file.contains(TEST_YEAR) || url.contains(TEST_YEAR);
        let mut expected = json!({"answer": answer.trim()});
        if let Some(solution) = word("solution") {
            expected["solution"] = solution.into();
        }
        let metadata = if url.is_empty() { json!({"source": "aime"}) } else { json!({"source": "aime", "url": url}) };
        let case = json!({
            "case_id": id, "task_type": "competition_math",
            "context": {"problem": problem}, "expected": expected, "metadata": metadata,
        });
        if is_test {
            self.test.push(case)
        } else {
            self.learned.push(case)
        }
        Ok(())
    }

    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String> {
        // Both datasets may count from the same number: then the later year is told by its name.
        for case in &mut self.test {
            if self.learned.iter().any(|other| other["case_id"] == case["case_id"]) {
                case["case_id"] = format!("{TEST_YEAR}-{}", case["case_id"].as_str().unwrap_or_default()).into();
            }
        }
        if !splits {
            self.learned.iter().chain(&self.test).for_each(|case| rows.add(Target::All, case));
            return Ok(());
        }
        PythonRandom::new(0).shuffle(&mut self.learned);
        let half = self.learned.len() / 2;
        rows.add_split(Target::Train, "train", self.learned[..half].to_vec());
        rows.add_split(Target::Validation, "validation", self.learned[half..].to_vec());
        rows.add_split(Target::Test, "test", self.test.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::converter::convert;

    #[test]
    fn problems_are_halved_and_the_last_year_is_test() {
        let learned: String = (60..70)
            .map(|n| format!("{{\"id\": {n}, \"problem\": \"p{n}\", \"answer\": \"{n}\", \"solution\": \"s\"}}\n"))
            .collect();
        let test = "[{\"problem_idx\": 1, \"problem\": \"q\", \"answer\": 70},
            {\"problem_idx\": 60, \"problem\": \"r\", \"answer\": \"071\"}]";
        let files: [(&str, &[u8]); 2] =
            [("aimo-validation.jsonl", learned.as_bytes()), ("aime_2025.json", test.as_bytes())];
        let rows = convert::<AimeConverter>(&files, true).expect("converts");
        let ids = |wanted: Target| -> Vec<&str> {
            rows.iter().filter(|(of, _)| *of == wanted).filter_map(|(_, case)| case["case_id"].as_str()).collect()
        };
        // `random.Random(0).shuffle` of ten.
        assert_eq!(ids(Target::Train), ["67", "68", "61", "65", "63"]);
        assert_eq!(ids(Target::Validation), ["64", "62", "60", "69", "66"]);
        assert_eq!(ids(Target::Test), ["1", "2025-60"]);
        assert_eq!(rows[0].1["expected"], json!({"answer": "67", "solution": "s"}));
        let all = convert::<AimeConverter>(&files, false).expect("converts");
        assert!(all.len() == 12 && all.iter().all(|(target, _)| *target == Target::All));
        let e = convert::<AimeConverter>(&[("f", b"{\"id\": 1, \"problem\": \"p\"}")], true);
        assert_eq!(e, Err("record 1, line 1: has no `answer`".into()));
    }
}
