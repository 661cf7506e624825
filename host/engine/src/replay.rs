//! A journalled case run again with the replies that it got, and what is not as it was.
//!
//! No provider is connected: each model is answered from the record, by prompt and order. Searches are made again in
//! the index that the run used. What a component does between its calls is deterministic, so that a difference is a
//! finding about the host, the component or the record.

use crate::case::one_try;
use crate::evaluate::Evaluation;
use crate::folder;
use crate::judge::{JudgeModel, Judges, RunJudges};
use crate::services::Granted;
use crate::spending::{Spending, Spent};
use fapo_core::fault::{FaultKind, step_name};
use fapo_core::ports::{BoxFuture, FinishReason, ModelCall, ModelReply, Provider, ProviderError, ServiceFault};
use fapo_core::run::{CallRecord, CaseRecord};
use fapo_template::Message;
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a case fared that was run again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The case.
    pub case_id: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything is as it was recorded.
    Same,
    /// Something is not.
    Different(Vec<Difference>),
    /// It could not be run again; why.
    LeftOut(String),
}

/// One fact of a case that is not as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What: `score`, `step extract`, `call 2 (extract)`…
    pub what: String,
    /// As recorded; null where there was none.
    pub recorded: Value,
    /// As it came out; null where there is none.
    pub replayed: Value,
}

/// Runs recorded cases of a run again, as many side by side as it has workers; nothing is written.
pub async fn replay(run: &Arc<Evaluation>, records: Vec<CaseRecord>) -> Vec<Replay> {
    let one = |record: CaseRecord| {
        let run = Arc::clone(run);
        let case_id = record.case_id.clone();
        async move {
            let ended = tokio::spawn(async move { one_case(&run, &record).await }).await;
            let outcome =
                ended.unwrap_or_else(|_| Outcome::LeftOut("the host failed; its message is on stderr".into()));
            Replay { case_id, outcome }
        }
    };
    futures::stream::iter(records.into_iter().map(one)).buffered(run.workers.max(1)).collect().await
}

async fn one_case(run: &Evaluation, record: &CaseRecord) -> Outcome {
    if !folder::stands(record) {
        let why = record.fault.as_ref().map_or("", |fault| fault.message.as_str());
        return Outcome::LeftOut(format!("its fault was of the infrastructure, not of the tenant's code: {why}"));
    }
    let index = record.index;
    let case = (index < run.cases.count()).then(|| run.cases.at(index));
    let case = match case {
        Some(Ok(case)) if case.case_id == record.case_id => case,
        Some(Err(error)) => return Outcome::LeftOut(error.to_string()),
        _ => return Outcome::LeftOut("the case is not among those of the run".into()),
    };
    let (granted, spending) = (recorded_services(run, record), Arc::<Spending>::default());
    let judges = RunJudges::begin(&run.tenant_id, &granted.judges, &spending, &Spent::default());
    let again = one_try(run, &granted, &case, index, &spending, judges.as_ref()).await;
    let differences = differences(record, &again);
    if differences.is_empty() { Outcome::Same } else { Outcome::Different(differences) }
}

/// What the run was granted, with the record in the place of every model.
fn recorded_services(run: &Evaluation, record: &CaseRecord) -> Granted {
    let by_alias = |calls: Vec<&CallRecord>| {
        let mut models: BTreeMap<String, Vec<CallRecord>> = BTreeMap::new();
        for call in calls.into_iter().filter(|call| !call.in_vain) {
            models.entry(call.model.clone()).or_default().push(call.clone());
        }
        models.into_iter().map(|(alias, calls)| (alias, Arc::new(RecordedReplies(calls)) as Arc<dyn Provider>))
    };
    let judged = by_alias(record.judge_calls.iter().map(|judged| &judged.call).collect());
    let judge = |(alias, provider)| (alias, JudgeModel { provider, calls_max: u64::MAX });
    // An alias that was granted and never called is still there to be called.
    let silent = |alias: &String| (alias.clone(), Arc::new(RecordedReplies(Vec::new())) as Arc<dyn Provider>);
    Granted {
        models: run.granted.models.keys().map(silent).chain(by_alias(record.calls.iter().collect())).collect(),
        indexes: run.granted.indexes.clone(),
        judges: Judges {
            models: run.granted.judges.models.keys().map(silent).chain(judged).map(judge).collect(),
            prompts: run.granted.judges.prompts.clone(),
        },
    }
}

/// The calls of one alias in one case, in the order of their requests.
#[derive(Debug)]
pub struct RecordedReplies(Vec<CallRecord>);

impl RecordedReplies {
    /// A model that has no reply recorded.
    pub fn none() -> Self {
        RecordedReplies(Vec::new())
    }
}

impl Provider for RecordedReplies {
    fn identity(&self) -> Value {
        json!({"provider": "recorded"})
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async move {
            let same = |recorded: &&CallRecord| {
                recorded.messages == call.messages
                    && recorded.output_tokens_max == call.output_tokens_max
                    && recorded.stop == call.stop
            };
            let Some(recorded) = self.0.iter().filter(same).nth(call.sample as usize) else {
                return Err(missing("the record holds no reply to this prompt").into());
            };
            if let Some(content) = &recorded.content_fault {
                return Err(content.clone().into());
            }
            let Some(text) = recorded.reply.clone() else {
                return Err(missing("the record says of this call only that it had a fault").into());
            };
            Ok(ModelReply {
                text,
                finish: recorded.finish.unwrap_or(FinishReason::Other),
                usage: recorded.usage,
                model_served: recorded.model_served.clone(),
                fingerprint: recorded.fingerprint.clone(),
                cached: true,
                attempts: 0,
            })
        })
    }
}

fn missing(message: &str) -> ServiceFault {
    ServiceFault { kind: FaultKind::NotFound, message: message.into(), hint: None }
}

/// What is not as it was, in the order in which it happened.
fn differences(recorded: &CaseRecord, again: &CaseRecord) -> Vec<Difference> {
    let (then, mut now) = (facts(recorded), facts(again));
    let mut found = Vec::new();
    for (what, recorded) in then {
        let at = now.iter().position(|(name, _)| *name == what);
        let replayed = at.map_or(Value::Null, |at| now.remove(at).1);
        if recorded != replayed {
            found.push(Difference { what, recorded, replayed });
        }
    }
    let more = |(what, replayed)| Difference { what, recorded: Value::Null, replayed };
    found.extend(now.into_iter().map(more));
    found
}

/// Everything of a case that must come out again, by name: neither times nor what the way of a reply cost.
fn facts(record: &CaseRecord) -> Vec<(String, Value)> {
    let made = |call: &CallRecord| {
        let messages: &[Message] = &call.messages;
        json!({"model": call.model, "messages": messages, "reply": call.reply, "fault": call.content_fault})
    };
    let mut facts = Vec::new();
    for (n, call) in record.calls.iter().filter(|call| !call.in_vain).enumerate() {
        facts.push((format!("call {} ({})", n + 1, step_name(&call.id)), made(call)));
    }
    for (n, search) in record.searches.iter().enumerate() {
        facts.push((format!("search {} ({})", n + 1, step_name(&search.id)), json!(search)));
    }
    for timed in &record.steps {
        facts.push((format!("step {}", step_name(&timed.step.id)), json!(timed.step)));
    }
    facts.push(("output_text".into(), record.output_text.as_str().into()));
    for (n, judged) in record.judge_calls.iter().filter(|judged| !judged.call.in_vain).enumerate() {
        let name = format!("judge call {} ({})", n + 1, judged.prompt);
        facts.push((name, json!({"answer": judged.answer, "swapped": judged.swapped, "call": made(&judged.call)})));
    }
    facts.push(("diagnostics".into(), json!(record.diagnostics)));
    facts.push(("score".into(), json!(record.score)));
    facts.push(("fault".into(), json!(record.fault)));
    for (role, used) in [("chain", &record.chain_use), ("scorer", &record.scorer_use)] {
        facts.push((format!("fuel of the {role}"), used.fuel.into()));
        facts.push((format!("denials of the {role}"), json!(used.denials)));
    }
    facts
}
