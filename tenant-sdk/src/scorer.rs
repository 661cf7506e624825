//! A scorer: turns a finished case into numbers. It sees the label and can call nothing.

use fapo_graph::{CaseInput, Step, StepId, StepOrigin};
use serde_json::Value;

/// A tenant's scorer.
pub trait Scorer: 'static {
    /// Whether a case can be scored at all; called on every case before the first model call.
    ///
    /// # Errors
    /// Why not, for the owner of the dataset.
    fn validate(case: &LabelledCase, profile: &Value) -> Result<(), String>;

    /// Scores one finished case.
    ///
    /// # Errors
    /// The scorer's own fault; the case then counts as 0 and is marked.
    fn score(finished: &FinishedCase, profile: &Value) -> Result<Score, String>;
}

/// A case with what only scorers may see.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledCase {
    /// What the chain saw.
    pub input: CaseInput,
    /// The row's `expected`.
    pub expected: Value,
    /// The row's `metadata`.
    pub metadata: Value,
}

/// A search as the host served it: evidence that a chain cannot forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSearch {
    /// The step that asked.
    pub id: StepId,
    /// Index by name.
    pub index: String,
    /// What was asked.
    pub query: String,
    /// `(passage id, title)` in rank order.
    pub hits: Vec<(String, String)>,
}

/// A case that came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedCase {
    /// The case with its label.
    pub labelled: LabelledCase,
    /// In order of execution; text of the chain's own making.
    pub steps: Vec<Step>,
    /// Complete, made by the host.
    pub searches: Vec<ObservedSearch>,
    /// Empty where the chain faulted or never set it.
    pub output_text: String,
}

impl FinishedCase {
    /// The text under judgement: the named step's latest main output where that step ran, else the output text, else
    /// the main output of the last step that ran.
    pub fn answer(&self, step: Option<&str>) -> &str {
        let mut ran = self.steps.iter().rev().filter(|step| step.origin != StepOrigin::Skipped);
        let named = step.and_then(|name| ran.clone().find(|step| step.id.node == name));
        match named {
            Some(step) => step.main_output(),
            None if !self.output_text.is_empty() => &self.output_text,
            None => ran.next().map_or("", Step::main_output),
        }
    }
}

/// Numbers and words about one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Finite, 0..=100; anything else is a scorer fault, never clamped.
    pub composite: f64,
    /// Unique names, finite values of at least 0.
    pub breakdown: Vec<(String, f64)>,
    /// For the optimizer, shown for train cases only.
    pub feedback: String,
    /// For people.
    pub diagnostics: Vec<String>,
}

impl Score {
    /// A score of 0..=100.
    pub fn new(composite: f64) -> Self {
        Score { composite, ..Score::default() }
    }

    /// 100 or 0.
    pub fn pass(passed: bool) -> Self {
        Score::new(if passed { 100.0 } else { 0.0 })
    }

    /// A named value of the breakdown.
    pub fn metric(mut self, name: &str, value: f64) -> Self {
        self.breakdown.push((name.into(), value));
        self
    }

    /// What the optimizer may learn from this case.
    pub fn feedback(mut self, text: impl Into<String>) -> Self {
        self.feedback = text.into();
        self
    }

    /// A note for people.
    pub fn note(mut self, diagnostic: impl Into<String>) -> Self {
        self.diagnostics.push(diagnostic.into());
        self
    }
}

/// The gold answer: the first of `answer`, `expected_answer`, `reference_output`, `label` that is there, as text.
pub fn expected_answer(expected: &Value) -> Option<String> {
    ["answer", "expected_answer", "reference_output", "label"].iter().find_map(|name| text(expected.get(name)?))
}

/// The gold answer and the alternatives listed in `answers`, without repeats.
pub fn expected_answers(expected: &Value) -> Vec<String> {
    let listed = expected.get("answers").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    let mut answers: Vec<String> = Vec::new();
    for answer in expected_answer(expected).into_iter().chain(listed) {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "yes" } else { "no" }.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_graph::Entry;
    use serde_json::json;

    #[test]
    fn the_gold_answer_has_several_names() {
        for (expected, answers) in [
            (json!({"answer": "x", "label": "y"}), vec!["x"]),
            (json!({"label": "y"}), vec!["y"]),
            (json!({"answer": "", "reference_output": 7}), vec!["7"]),
            (json!({"answer": "x", "answers": ["x", "z", null]}), vec!["x", "z"]),
            (json!({"answers": ["z"]}), vec!["z"]),
            (json!({"answer": null}), vec![]),
            (json!([]), vec![]),
        ] {
            assert_eq!(expected_answers(&expected), answers, "{expected}");
        }
    }

    #[test]
    fn the_text_under_judgement_is_step_then_output_then_last_step() {
        let step = |node: &str, origin, text: &str| Step {
            id: StepId { node: node.into(), visit: 0 },
            origin,
            outputs: vec![Entry::new("text", text)],
            output_text: None,
            diagnostics: vec![],
        };
        let case = |output: &str| FinishedCase {
            labelled: LabelledCase {
                input: CaseInput { case_id: "c".into(), task_type: "t".into(), context: vec![] },
                expected: json!({}),
                metadata: json!({}),
            },
            steps: vec![
                step("answer", StepOrigin::Executed, "A"),
                step("last", StepOrigin::Executed, "L"),
                step("gone", StepOrigin::Skipped, "G"),
            ],
            searches: vec![],
            output_text: output.into(),
        };
        assert_eq!(case("O").answer(Some("answer")), "A");
        assert_eq!(case("O").answer(Some("gone")), "O");
        assert_eq!(case("O").answer(None), "O");
        assert_eq!(case("").answer(None), "L");
    }
}
