//! What a run keeps of each case, and the shapes of the original's artefacts (formats of the original, §4).

use crate::fault::{Fault, FaultKind, Phase, step_name};
use crate::ports::{Chat, ContentFault, FinishReason, ObservedSearch, ResourceUse, TimedStep, Usage};
use crate::price::Money;
use crate::score::Score;
use fapo_graph::{StepId, StepOrigin};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// From this composite on a case counts as passed, as the original's attribution has it.
pub const PASSED: f64 = 100.0;

/// One model call as the host saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The step that asked.
    pub id: StepId,
    /// Alias.
    pub model: String,
    /// The prompt as it was sent.
    pub messages: Chat,
    /// The step's own cap on the reply, where it set one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_max: Option<u32>,
    /// Texts that end the reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// Reply; None where there was a fault.
    pub reply: Option<String>,
    /// Why the reply ended.
    pub finish: Option<FinishReason>,
    /// Content or service fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// A content fault as the guest saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_fault: Option<ContentFault>,
    /// Tokens as the service counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the call costs, dollars: paid, or saved where the cache answered. From estimated tokens where the service
    /// counted none; None where the price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Model the service says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_served: Option<String>,
    /// `system_fingerprint` of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Answered by the response cache.
    pub cached: bool,
    /// Requests sent for it.
    pub attempts: u32,
    /// Made for a try of the case that was given up and made again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub in_vain: bool,
    /// Wall time.
    pub seconds: f64,
}

impl CallRecord {
    /// Whether a service was asked for it.
    pub fn is_paid(&self) -> bool {
        !self.cached && self.attempts > 0
    }
}

/// What calls cost together, dollars; None where the price of one is unknown.
pub fn cost<'a>(calls: impl IntoIterator<Item = &'a CallRecord>) -> Option<Money> {
    calls.into_iter().map(|call| call.cost).sum()
}

/// One call of a judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeCall {
    /// Name of the judge prompt.
    pub prompt: String,
    /// Whether the two values of the question were exchanged.
    #[serde(default, skip_serializing_if = "is_false")]
    pub swapped: bool,
    /// The answer; None where the reply was none of the choices, or where there was no reply.
    pub answer: Option<String>,
    /// The call itself; its step is the prompt's name, numbered.
    pub call: CallRecord,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl JudgeCall {
    /// Whether there was a reply and it was none of the choices.
    pub fn is_off_choice(&self) -> bool {
        self.answer.is_none() && self.call.reply.is_some()
    }
}

/// Everything a run keeps of one case; a line of its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseRecord {
    /// Position in the run, from 0.
    pub index: usize,
    /// The case.
    pub case_id: String,
    /// The tenant's word for the task.
    pub task_type: String,
    /// The score; None where a fault stands in its place.
    pub score: Option<Score>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// For people: missing placeholders, the scorer's notes.
    pub diagnostics: Vec<String>,
    /// The chain's answer.
    pub output_text: String,
    /// Steps with their times.
    pub steps: Vec<TimedStep>,
    /// Model calls.
    #[serde(default)]
    pub calls: Vec<CallRecord>,
    /// Calls of the scorer's judge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judge_calls: Vec<JudgeCall>,
    /// Searches.
    #[serde(default)]
    pub searches: Vec<ObservedSearch>,
    /// What the chain used of its limits.
    pub chain_use: ResourceUse,
    /// What the scorer used.
    pub scorer_use: ResourceUse,
}

impl CaseRecord {
    /// The composite that counts: 0 where there is no score.
    pub fn composite(&self) -> f64 {
        self.score.as_ref().map_or(0.0, Score::composite)
    }

    /// Every model call of the case, the chain's before the judge's.
    pub fn model_calls(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter().chain(self.judge_calls.iter().map(|judged| &judged.call))
    }

    /// Calls that a service was paid for.
    pub fn paid_calls(&self) -> u64 {
        self.model_calls().filter(|call| call.is_paid()).count() as u64
    }

    /// Each node that ran with its latest main output, in order of first execution.
    pub fn step_outputs(&self) -> Vec<(&str, &str)> {
        let mut outputs: Vec<(&str, &str)> = Vec::new();
        for TimedStep { step, .. } in self.ran() {
            match outputs.iter_mut().find(|(node, _)| *node == step.id.node) {
                Some((_, output)) => *output = step.main_output(),
                None => outputs.push((&step.id.node, step.main_output())),
            }
        }
        outputs
    }

    /// Steps that ran.
    fn ran(&self) -> impl Iterator<Item = &TimedStep> {
        self.steps.iter().filter(|timed| timed.step.origin != StepOrigin::Skipped)
    }

    /// The row of `results.jsonl`: the eight keys of the original in its order, three of its second generation,
    /// and ours under `fapo`.
    pub fn result_row(&self) -> impl Serialize + '_ {
        let breakdown = self.score.iter().flat_map(Score::breakdown);
        ResultRow {
            case_id: &self.case_id,
            task_type: &self.task_type,
            diagnostics: &self.diagnostics,
            score_breakdown: Pairs(breakdown.map(|(name, value)| (name.as_str(), *value)).collect()),
            composite_score: self.composite(),
            output_text: &self.output_text,
            step_outputs: Pairs(self.step_outputs()),
            step_timings: self.ran().map(|t| (t.step.id.node.as_str(), round3(t.seconds))).collect(),
            execution_status: if self.fault.is_some() { "failed" } else { "succeeded" },
            execution_error: self.fault.as_ref().map(execution_error),
            evaluation_provenance: Pairs(Vec::new()),
            fapo: self.extras(),
        }
    }

    fn extras(&self) -> Extras<'_> {
        let mut tokens = Tokens::default();
        for call in self.model_calls() {
            match call.usage {
                Some(usage) => {
                    tokens.prompt += usage.prompt_tokens;
                    tokens.completion += usage.completion_tokens;
                }
                None => tokens.calls_without_usage += 1,
            }
        }
        let judged = |call: &JudgeCall| json!({"prompt": call.prompt, "swapped": call.swapped, "answer": call.answer});
        let judge = json!({
            "calls": self.judge_calls.len(),
            "paid": self.judge_calls.iter().filter(|judged| judged.call.is_paid()).count(),
            "off_choice": self.judge_calls.iter().filter(|judged| judged.is_off_choice()).count(),
            "answers": self.judge_calls.iter().map(judged).collect::<Vec<_>>(),
        });
        Extras {
            fault: self.fault.as_ref(),
            feedback: self.score.as_ref().map(|score| score.feedback.as_str()),
            calls: Calls {
                total: self.model_calls().count(),
                paid: self.paid_calls(),
                cached: self.model_calls().filter(|c| c.cached).count(),
                requests: self.model_calls().map(|c| u64::from(c.attempts)).sum(),
            },
            cost: cost(self.model_calls().filter(|call| call.is_paid())),
            tokens,
            searches: &self.searches,
            used: Used { chain: &self.chain_use, scorer: &self.scorer_use },
            judge: (!self.judge_calls.is_empty()).then_some(judge),
        }
    }
}

/// How a case came to its end: of its record what those need who watch a run.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseEnd {
    /// Position in the run, from 0.
    pub index: usize,
    /// The case.
    pub case_id: String,
    /// The score; None where a fault stands in its place.
    pub score: Option<Score>,
    /// Why there is no score.
    pub fault: Option<Fault>,
    /// Tokens of its model calls, prompts and replies, where the service counted them.
    pub tokens: u64,
}

impl CaseEnd {
    /// The composite that counts: 0 where there is no score.
    pub fn composite(&self) -> f64 {
        self.score.as_ref().map_or(0.0, Score::composite)
    }
}

impl From<CaseRecord> for CaseEnd {
    fn from(record: CaseRecord) -> Self {
        let used = record.model_calls().filter_map(|call| call.usage);
        let tokens = used.map(|usage| usage.prompt_tokens + usage.completion_tokens).sum();
        let CaseRecord { index, case_id, score, fault, .. } = record;
        CaseEnd { index, case_id, score, fault, tokens }
    }
}

/// A row of `results.jsonl`, as it is written: not by way of a value, which would copy every text of the record.
#[derive(Serialize)]
struct ResultRow<'a> {
    case_id: &'a str,
    task_type: &'a str,
    diagnostics: &'a [String],
    score_breakdown: Pairs<'a, f64>,
    composite_score: f64,
    output_text: &'a str,
    step_outputs: Pairs<'a, &'a str>,
    step_timings: Vec<(&'a str, f64)>,
    execution_status: &'static str,
    execution_error: Option<Value>,
    evaluation_provenance: Pairs<'a, ()>,
    fapo: Extras<'a>,
}

/// An object with these names and values, in this order.
struct Pairs<'a, T>(Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// What a row has beside the keys of the original.
#[derive(Serialize)]
struct Extras<'a> {
    fault: Option<&'a Fault>,
    feedback: Option<&'a str>,
    calls: Calls,
    cost: Option<Money>,
    tokens: Tokens,
    searches: &'a [ObservedSearch],
    used: Used<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<Value>,
}

#[derive(Serialize)]
struct Calls {
    total: usize,
    paid: u64,
    cached: usize,
    requests: u64,
}

#[derive(Default, Serialize)]
struct Tokens {
    prompt: u64,
    completion: u64,
    calls_without_usage: u64,
}

#[derive(Serialize)]
struct Used<'a> {
    chain: &'a ResourceUse,
    scorer: &'a ResourceUse,
}

/// A duration as the original writes it: 3 decimals.
pub fn round3(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The original's second-generation error object: a fixed sentence per pair, never the fault's own text.
pub fn execution_error(fault: &Fault) -> Value {
    let (phase, who) = match fault.phase {
        Phase::Scorer => ("scorer", "the scorer"),
        Phase::Chain | Phase::Provider | Phase::Host => ("chain", "the chain"),
    };
    let (category, what) = match fault.kind {
        FaultKind::TimedOut => ("timeout", "passed its time limit"),
        FaultKind::Unreachable | FaultKind::RateLimited | FaultKind::ServerError => {
            ("connection", "could not be served by the model service")
        }
        FaultKind::Unauthorized | FaultKind::QuotaExhausted | FaultKind::Budget => {
            ("permission", "was not allowed to go on")
        }
        FaultKind::Malformed | FaultKind::NotFound | FaultKind::InvalidResult => {
            ("invalid_response", "got or gave a response that is none")
        }
        _ => ("runtime", "stopped with a fault"),
    };
    json!({"phase": phase, "category": category, "summary": format!("For this case {who} {what}.")})
}

/// The line that stands for a chain's fault among the diagnostics, in the original's form.
pub fn chain_exception(fault: &Fault) -> String {
    match &fault.step {
        Some(step) => format!("Chain exception: {} (step {step})", fault.message),
        None => format!("Chain exception: {}", fault.message),
    }
}

/// All missing-placeholder notes of the steps, and with the step's name where it says something else.
pub fn step_diagnostics(steps: &[TimedStep]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for timed in steps {
        for note in &timed.step.diagnostics {
            let line = if note.contains(' ') { format!("{}: {note}", step_name(&timed.step.id)) } else { note.clone() };
            if !notes.contains(&line) {
                notes.push(line);
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    /// A run that goes on reads scores back; one bit less would be another result.
    #[test]
    fn a_number_read_back_is_the_number_that_was_written() {
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let written = f64::from_bits(0x3ff0_0000_0000_0000 | (state >> 12)) * 100.0;
            let read: Value = serde_json::from_str(&json!(written).to_string()).expect("JSON");
            assert_eq!(read.as_f64().map(f64::to_bits), Some(written.to_bits()));
        }
    }
}
