//! Follows the expected answer through the steps: where it was seen last is where it was not yet lost.
//!
//! Deterministic and deliberately modest: it looks for the answer's words and does not judge meaning. An answer of
//! one common word (`yes`, `no`) stands in many texts, so it is looked for in the output only.

use super::Cause;
use crate::case::Case;
use crate::fault::step_name;
use crate::run::CaseRecord;
use crate::scope::VariantLevel;
use fapo_graph::StepOrigin;
use std::collections::BTreeMap;

/// Why a case has no full score, as far as its texts show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A fault stands in the place of a score.
    Fault,
    /// The answer's words stand in the output; its form is not the expected one.
    Form,
    /// The step before held the answer's words, this one no longer does.
    Dropped,
    /// No step ever held the answer's words.
    NeverPresent,
    /// The label has no answer to look for, or one that proves nothing.
    Unknown,
}

impl Loss {
    /// For people.
    pub fn why(self) -> &'static str {
        match self {
            Loss::Fault => "ended with a fault",
            Loss::Form => "the answer is in the output, in another form",
            Loss::Dropped => "the answer was there before this step and not after it",
            Loss::NeverPresent => "no step showed the answer",
            Loss::Unknown => "the label does not tell",
        }
    }
}

impl Loss {
    /// Cause and level of a finding.
    pub(super) fn as_cause(self) -> (Cause, Option<VariantLevel>) {
        match self {
            Loss::Fault => (Cause::ComponentFault, None),
            Loss::Form => (Cause::VerboseNearMiss, Some(VariantLevel::Prompt)),
            Loss::Dropped => (Cause::AnswerDropped, Some(VariantLevel::Prompt)),
            Loss::NeverPresent => (Cause::EvidenceMissing, Some(VariantLevel::Parameter)),
            Loss::Unknown => (Cause::Unexplained, Some(VariantLevel::Prompt)),
        }
    }
}

/// A step with the cases that lost their answer there for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingStep {
    /// Node and visit, or the phase of a fault outside any step.
    pub step: String,
    /// Why.
    pub loss: Loss,
    /// The cases, in the order of the records.
    pub case_ids: Vec<String>,
}

/// The step at which a failed case lost its answer, and how; None for a case with a full score.
pub fn locate(case: &Case, record: &CaseRecord) -> Option<(String, Loss)> {
    if let Some(fault) = &record.fault {
        let step = fault.step.clone().unwrap_or_else(|| format!("({:?})", fault.phase).to_lowercase());
        return Some((step, Loss::Fault));
    }
    if record.composite() >= 100.0 {
        return None;
    }
    let ran: Vec<(String, &str)> = record
        .steps
        .iter()
        .filter(|t| t.step.origin != StepOrigin::Skipped)
        .map(|t| (step_name(&t.step.id), t.step.main_output()))
        .collect();
    let last = ran.last().map_or("(output)".to_string(), |(name, _)| name.clone());
    let Some(answer) = case.expected_answer().map(words).filter(|words| !words.is_empty()) else {
        return Some((last, Loss::Unknown));
    };
    if holds(&record.output_text, &answer) {
        return Some((last, Loss::Form));
    }
    if ["yes", "no", "true", "false"].contains(&answer.join(" ").as_str()) {
        return Some((last, Loss::Unknown));
    }
    let seen = ran.iter().rposition(|(_, output)| holds(output, &answer));
    Some(match seen {
        Some(at) => (ran.get(at + 1).map_or(last, |(name, _)| name.clone()), Loss::Dropped),
        None => (ran.first().map_or(last, |(name, _)| name.clone()), Loss::NeverPresent),
    })
}

/// Failed cases grouped by step and reason, the largest group first.
pub fn failing_steps(cases: &[Case], records: &[CaseRecord]) -> Vec<FailingStep> {
    let by_id: BTreeMap<&str, &Case> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
    let mut groups: BTreeMap<(String, Loss), Vec<String>> = BTreeMap::new();
    for record in records {
        if let Some(found) = by_id.get(record.case_id.as_str()).and_then(|case| locate(case, record)) {
            groups.entry(found).or_default().push(record.case_id.clone());
        }
    }
    let mut steps: Vec<FailingStep> =
        groups.into_iter().map(|((step, loss), case_ids)| FailingStep { step, loss, case_ids }).collect();
    steps.sort_by_key(|group| std::cmp::Reverse(group.case_ids.len()));
    steps
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn holds(text: &str, answer: &[String]) -> bool {
    words(text).windows(answer.len()).any(|window| window == answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, FaultKind, Phase};
    use crate::ports::{ResourceUse, TimedStep};
    use crate::score::{RawScore, Score};
    use serde_json::json;

    fn case(answer: &str) -> Case {
        Case {
            case_id: "c".into(),
            task_type: "t".into(),
            context: vec![],
            expected: json!({"answer": answer}).as_object().expect("an object").clone(),
            metadata: Default::default(),
        }
    }

    fn record(outputs: &[(&str, &str)], composite: f64) -> CaseRecord {
        let step = |(node, output): &(&str, &str)| {
            let step = json!({"id": {"node": node, "visit": 0}, "origin": "executed",
                              "outputs": [{"name": "output", "value": output}], "diagnostics": []});
            TimedStep { step: serde_json::from_value(step).expect("a step"), seconds: 0.0 }
        };
        let raw = RawScore { composite, breakdown: vec![], feedback: String::new(), diagnostics: vec![] };
        CaseRecord {
            index: 0,
            case_id: "c".into(),
            task_type: "t".into(),
            score: Some(Score::checked(raw).expect("a score")),
            fault: None,
            diagnostics: vec![],
            output_text: outputs.last().map_or("", |(_, text)| text).into(),
            steps: outputs.iter().map(step).collect(),
            calls: vec![],
            searches: vec![],
            chain_use: ResourceUse::default(),
            scorer_use: ResourceUse::default(),
        }
    }

    #[test]
    fn the_loss_is_laid_at_the_step_after_the_last_that_held_the_answer() {
        for (outputs, answer, step, loss) in [
            (
                &[("find", "Mara Quill built it"), ("answer", "It was Mara  QUILL.")][..],
                "Mara Quill",
                "answer",
                Loss::Form,
            ),
            (
                &[("find", "Mara Quill built it"), ("sum", "Mara Quill"), ("answer", "nobody")],
                "Mara Quill",
                "answer",
                Loss::Dropped,
            ),
            (
                &[("find", "Mara Quill built it"), ("sum", "a keeper"), ("answer", "nobody")],
                "Mara Quill",
                "sum",
                Loss::Dropped,
            ),
            (&[("find", "nothing"), ("answer", "nobody")], "Mara Quill", "find", Loss::NeverPresent),
            (&[("find", "no, yes"), ("answer", "perhaps")], "yes", "answer", Loss::Unknown),
            (&[("find", "124 stones"), ("answer", "x")], "24", "find", Loss::NeverPresent),
            (&[("find", "a"), ("answer", "x")], "", "answer", Loss::Unknown),
        ] {
            assert_eq!(locate(&case(answer), &record(outputs, 0.0)), Some((step.into(), loss)), "{outputs:?}");
        }
        assert_eq!(locate(&case("x"), &record(&[("answer", "x")], 100.0)), None);
    }

    #[test]
    fn a_fault_is_laid_where_it_happened() {
        let mut record = record(&[], 0.0);
        record.fault = Some(Fault::new(Phase::Provider, FaultKind::Unreachable, "down"));
        assert_eq!(locate(&case("x"), &record), Some(("(provider)".into(), Loss::Fault)));
        let groups = failing_steps(&[case("x")], &[record]);
        assert_eq!(groups[0].case_ids, ["c"]);
    }
}
