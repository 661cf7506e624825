//! What a scorer's questions reach: the tenant's judge prompts, its granted judges, and the calls that one run may cost.

use crate::services::{Samples, call_model};
use crate::spending::{Spending, Spent};
use fapo_core::fault::FaultKind;
use fapo_core::held::Held;
use fapo_core::judge::{JudgeFault, JudgePrompts, Question, Verdict};
use fapo_core::ports::{
    BoxFuture, ContentFault, GenerateRequest, JudgeServices, Provider, ProviderError, ServiceFault, Verdicts,
};
use fapo_core::run::{CallRecord, JudgeCall};
use fapo_graph::StepId;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One granted judge.
#[derive(Clone)]
pub struct JudgeModel {
    /// Its route.
    pub provider: Arc<dyn Provider>,
    /// Most paid calls of one run.
    pub calls_max: u64,
}

/// The judges of a tenant.
#[derive(Clone, Default)]
pub struct Judges {
    /// Alias to model; none where none is granted.
    pub models: BTreeMap<String, JudgeModel>,
    /// The tenant's judge prompts.
    pub prompts: JudgePrompts,
}

/// The judges of one run with what it has cost so far.
pub(crate) struct RunJudges {
    tenant_id: String,
    judges: Judges,
    spending: Arc<Spending>,
    /// Paid calls by alias, those under way included.
    spent: Mutex<BTreeMap<String, u64>>,
}

impl RunJudges {
    /// Judges of a run that has cost `spent` in earlier starts; none where none is granted.
    pub(crate) fn begin(
        tenant_id: &str,
        judges: &Judges,
        spending: &Arc<Spending>,
        spent: &Spent,
    ) -> Option<Arc<Self>> {
        if judges.models.is_empty() {
            return None;
        }
        Some(Arc::new(RunJudges {
            tenant_id: tenant_id.into(),
            judges: judges.clone(),
            spending: Arc::clone(spending),
            spent: Mutex::new(spent.judges.clone()),
        }))
    }

    /// Takes one call out of the budget before it is made.
    fn reserve(&self, alias: &str, calls_max: u64) -> Result<Reserved<'_>, ServiceFault> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = spent.entry(alias.to_string()).or_default();
        if *spent >= calls_max {
            return Err(ServiceFault {
                kind: FaultKind::Budget,
                message: format!("judge {alias}: the {calls_max} calls of this run are used up"),
                hint: Some("raise calls_max of the judge in the operator's file; the same command goes on".into()),
            });
        }
        *spent += 1;
        Ok(Reserved { of: self, alias: alias.into(), used: false })
    }
}

/// One call of the budget; given back where no service was asked for it.
struct Reserved<'a> {
    of: &'a RunJudges,
    alias: String,
    used: bool,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.used
            && let Some(spent) = self.of.spent.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&self.alias)
        {
            *spent -= 1;
        }
    }
}

/// The judges of one case.
pub(crate) struct CaseJudge {
    run: Arc<RunJudges>,
    samples: Samples,
    held: Held,
    calls: Mutex<Vec<JudgeCall>>,
}

impl CaseJudge {
    pub(crate) fn new(run: &Arc<RunJudges>, epoch: u32) -> Self {
        CaseJudge { run: Arc::clone(run), samples: Samples::of(epoch), held: Held::default(), calls: Mutex::default() }
    }

    /// The calls of the case, in the order of their questions.
    pub(crate) fn take(&self) -> Vec<JudgeCall> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The request of a question and the number of its sample.
    fn request(&self, question: &Question, at: usize) -> Result<(GenerateRequest, u32), ContentFault> {
        if !self.run.judges.models.contains_key(&question.model) {
            return Err(ContentFault::Denied(question.model.clone()));
        }
        let request = GenerateRequest {
            id: StepId { node: question.prompt.clone(), visit: u32::try_from(at).unwrap_or(u32::MAX) },
            model: question.model.clone(),
            messages: question.messages(&self.run.judges.prompts)?,
            output_tokens_max: None,
            stop: Vec::new(),
        };
        let sample = self.samples.number(&request);
        Ok((request, sample))
    }

    async fn call(&self, request: &GenerateRequest, sample: u32) -> (Option<CallRecord>, Result<(), ProviderError>) {
        let model = &self.run.judges.models[&request.model];
        let mut reserved = match self.run.reserve(&request.model, model.calls_max) {
            Ok(reserved) => reserved,
            Err(spent) => return (None, Err(spent.into())),
        };
        // Counted as used until we know better: a call that is given up may have reached its service.
        reserved.used = true;
        let (record, ended) =
            call_model(&self.run.spending, &self.run.tenant_id, &model.provider, request, sample, &self.held).await;
        // What the run's own budget refused was never asked.
        let refused = matches!(&ended, Err(ProviderError::Service(fault)) if fault.kind == FaultKind::Budget);
        reserved.used = record.is_paid() || ended.is_err() && !refused;
        (Some(record), ended)
    }
}

impl JudgeServices for CaseJudge {
    fn held(&self) -> Held {
        self.held.clone()
    }

    fn ask(&self, questions: Vec<Question>) -> BoxFuture<'_, Result<Verdicts, ServiceFault>> {
        Box::pin(async move {
            let earlier = self.calls.lock().unwrap_or_else(PoisonError::into_inner).len();
            // Each question, and its exchanged form where it has one.
            let mut asked: Vec<(usize, bool, Question)> = Vec::new();
            for (at, question) in questions.into_iter().enumerate() {
                let swapped = question.swapped();
                asked.push((at, false, question));
                asked.extend(swapped.map(|other| (at, true, other)));
            }
            let requests: Vec<_> =
                asked.iter().enumerate().map(|(n, (_, _, question))| self.request(question, earlier + n)).collect();
            let replies = join_all(requests.into_iter().map(|request| async {
                match request {
                    Ok((request, sample)) => self.call(&request, sample).await,
                    Err(content) => (None, Err(content.into())),
                }
            }))
            .await;
            let mut verdicts: Verdicts = Vec::new();
            let mut service = None;
            for ((at, swapped, question), (record, ended)) in asked.iter().zip(replies) {
                let said = match (ended, &record) {
                    (Ok(()), Some(record)) => question.answer(record.reply.as_deref().unwrap_or_default()),
                    (Err(ProviderError::Content(content)), _) => Err(content.into()),
                    (Err(ProviderError::Service(fault)), _) => {
                        service.get_or_insert(fault);
                        Err(JudgeFault::OffChoice(String::new()))
                    }
                    (Ok(()), None) => Err(JudgeFault::OffChoice(String::new())),
                };
                if let Some(call) = record {
                    let answer = said.clone().ok();
                    let judged = JudgeCall { prompt: question.prompt.clone(), swapped: *swapped, answer, call };
                    self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(judged);
                }
                match (verdicts.get_mut(*at), said) {
                    (None, said) => verdicts.push(said.map(|answer| Verdict { answer, swapped: None })),
                    (Some(Ok(verdict)), Ok(answer)) => verdict.swapped = Some(answer),
                    // One order without an answer is no verdict.
                    (Some(first @ Ok(_)), Err(fault)) => *first = Err(fault),
                    (Some(Err(_)), _) => {}
                }
            }
            service.map_or(Ok(verdicts), Err)
        })
    }
}
