//! LiveBench's question files of mathematics.

use fapo_tenant_sdk::converter::{Converter, Description, PythonRandom, Rows, Shape, Target};
use fapo_tenant_sdk::{Value, json};

/// The order in which the published dataset has the questions that the splits are drawn from: of which task, and which
/// of its questions.
const PUBLISHED_ORDER: [(&str, std::ops::Range<usize>); 5] =
    [("olympiad", 0..36), ("AMPS_Hard", 0..50), ("math_comp", 0..146), ("olympiad", 36..72), ("AMPS_Hard", 50..150)];

/// Reads questions with their labels.
#[derive(Default)]
pub struct LiveBenchConverter {
    cases: Vec<Value>,
}

impl Converter for LiveBenchConverter {
    const SHAPE: Shape = Shape::Json;

    fn describe() -> Description {
        Description::new(
            "LiveBench's question.jsonl of AMPS_Hard, math_comp and olympiad (rows of question_id, task, subtask, turns, \
             ground_truth); the splits are those of GEPA and need all three files of the release with 368 questions",
        )
        .known("AMPS_Hard.question.jsonl", "90757eab54bfbbce4b1b814e715fce912637094adf3169436327e3930d616ce7")
        .known("math_comp.question.jsonl", "652fe0afd7c0c75458b7a08e2aac835076b513be4edd7bb18e2f39e5cc38b3c0")
        .known("olympiad.question.jsonl", "2f28392a08a921a0e4b6cd12957d9f2e161fb9df3191b9ad9b04de8609171a65")
    }

    fn record(&mut self, _file: &str, record: &str, _rows: &mut Rows) -> Result<(), String> {
        let row: Value = record.parse().map_err(|e| format!("{e}"))?;
        let text = |name: &str| row.get(name).and_then(Value::as_str).ok_or(format!("has no text `{name}`"));
        let question = row["turns"][0].as_str().ok_or("has no text in `turns`")?;
        let mut metadata = json!({"source": "livebench"});
        for name in ["livebench_release_date", "year", "hardness"] {
            if let Some(value) = row.get(name).filter(|value| !value.is_null() && *value != "") {
                metadata[name] = value.clone();
            }
        }
        self.cases.push(json!({
            "case_id": text("question_id")?, "task_type": "livebench_math", "context": {"question": question},
            "expected": {"answer": text("ground_truth")?, "task": text("task")?, "subtask": text("subtask")?},
            "metadata": metadata,
        }));
        Ok(())
    }

    fn finish(&mut self, splits: bool, rows: &mut Rows) -> Result<(), String> {
        if !splits {
            self.cases.iter().for_each(|case| rows.add(Target::All, case));
            return Ok(());
        }
        let mut ordered = Vec::new();
        for (task, range) in PUBLISHED_ORDER {
            let of_task: Vec<&Value> = self.cases.iter().filter(|case| case["expected"]["task"] == task).collect();
            let needed: usize =
                PUBLISHED_ORDER.iter().filter(|(other, _)| *other == task).map(|(_, range)| range.len()).sum();
            if of_task.len() != needed {
                return Err(format!(
                    "{} questions of {task} where the published splits have {needed}: give all three question files, or \
                     ask for no splits",
                    of_task.len()
                ));
            }
            ordered.extend(of_task[range].iter().copied().cloned());
        }
        PythonRandom::new(0).shuffle(&mut ordered);
        let end = |share: f64| (share * ordered.len() as f64) as usize;
        let (first, second) = (end(0.33), end(0.66));
        rows.add_split(Target::Train, "train", ordered[..first].to_vec());
        rows.add_split(Target::Validation, "validation", ordered[first..second].to_vec());
        rows.add_split(Target::Test, "test", ordered[second..].to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_tenant_sdk::converter::convert;
    use std::path::PathBuf;

    #[test]
    fn a_question_becomes_a_case() {
        let row = json!({
            "question_id": "q1", "task": "math_comp", "subtask": "smc", "turns": ["How many in ${1, 2}$?"],
            "ground_truth": "B", "year": "", "hardness": null, "livebench_release_date": "2024-06-24",
        });
        let text = row.to_string();
        let rows = convert::<LiveBenchConverter>(&[("f", text.as_bytes())], false).expect("converts");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].1["context"], json!({"question": "How many in ${1, 2}$?"}));
        assert_eq!(rows[0].1["expected"], json!({"answer": "B", "task": "math_comp", "subtask": "smc"}));
        assert_eq!(rows[0].1["metadata"], json!({"source": "livebench", "livebench_release_date": "2024-06-24"}));
        let e = convert::<LiveBenchConverter>(&[("f", text.as_bytes())], true).expect_err("too few");
        assert!(e.starts_with("0 questions of olympiad where the published splits have 72"), "{e}");
        let e = convert::<LiveBenchConverter>(&[("f", b"{\"turns\": [\"q\"]}")], false).expect_err("wrong");
        assert_eq!(e, "record 1, line 1: has no text `question_id`");
    }

    /// The published splits; the data is not part of the project.
    #[test]
    fn the_published_splits_come_out_id_by_id() {
        let local = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("FAPO_DATA_DIR").map_or(local, PathBuf::from).join("livebench_math");
        let names = ["math_comp.question.jsonl", "AMPS_Hard.question.jsonl", "olympiad.question.jsonl"];
        let Ok(splits) = std::fs::read_to_string(folder.join("splits.json")) else {
            #[expect(clippy::print_stderr, reason = "a skipped test says so")]
            {
                eprintln!("skipped: no livebench_math/splits.json under FAPO_DATA_DIR");
            }
            return;
        };
        let splits: Value = splits.parse().expect("JSON");
        let files = names.map(|name| (name, std::fs::read(folder.join(name)).expect("a question file")));
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let rows = convert::<LiveBenchConverter>(&files, true).expect("converts");
        for (target, name) in [(Target::Train, "train"), (Target::Validation, "val"), (Target::Test, "test")] {
            let of: Vec<Value> =
                rows.iter().filter(|(of, _)| *of == target).map(|(_, case)| case["case_id"].clone()).collect();
            assert_eq!(Value::Array(of), splits[name], "{name}");
        }
    }
}
