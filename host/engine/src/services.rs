//! What one case's host calls reach: granted models and indexes, counted and recorded.

use crate::judge::Judges;
use crate::spending::Spending;
use crate::telemetry;
use fapo_core::held::Held;
use fapo_core::ports::{
    BoxFuture, CaseServices, ContentFault, FinishReason, GenerateRequest, Index, ModelCall, ObservedSearch, Provider,
    ProviderError, Replies, SearchRequest, SearchResults, ServiceFault,
};
use fapo_core::run::CallRecord;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tracing::Instrument;

/// Most hits of one search.
const HITS_MAX: u32 = 100;

/// Granted models, indexes and judges under the tenant's names.
#[derive(Clone, Default)]
pub struct Granted {
    /// Alias to provider.
    pub models: BTreeMap<String, Arc<dyn Provider>>,
    /// Name to index.
    pub indexes: BTreeMap<String, Arc<dyn Index>>,
    /// Models that the scorer may ask, out of the chain's reach.
    pub judges: Judges,
}

/// Services of one case.
pub(crate) struct Services {
    tenant_id: String,
    granted: Granted,
    spending: Arc<Spending>,
    samples: Samples,
    held: Held,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    calls: Vec<CallRecord>,
    searches: Vec<ObservedSearch>,
}

impl Services {
    pub(crate) fn new(tenant_id: &str, granted: Granted, spending: Arc<Spending>, epoch: u32) -> Self {
        Services {
            tenant_id: tenant_id.into(),
            granted,
            spending,
            samples: Samples::of(epoch),
            held: Held::default(),
            records: Mutex::default(),
        }
    }

    /// Calls and searches of the case, in the order of their requests.
    pub(crate) fn take(&self) -> (Vec<CallRecord>, Vec<ObservedSearch>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut records.calls), std::mem::take(&mut records.searches))
    }

    async fn one(&self, request: &GenerateRequest, sample: u32) -> (CallRecord, Result<(), ProviderError>) {
        let Some(provider) = self.granted.models.get(&request.model) else {
            let denied = ContentFault::Denied(request.model.clone());
            return (refused(unanswered(request), &denied), Err(denied.into()));
        };
        call_model(&self.spending, &self.tenant_id, provider, request, sample, &self.held).await
    }
}

/// Samples of one epoch: more than a case can make host calls of one kind.
const EPOCH_SAMPLES: u32 = 1 << 20;

/// The epoch of diagnostic replays: the last there is room for, far beyond any that a run has.
pub(crate) const DIAGNOSTIC_EPOCH: u32 = u32::MAX / EPOCH_SAMPLES;

/// Equal requests of one case, told apart by their order.
pub(crate) struct Samples {
    first: u32,
    asked: Mutex<Vec<(GenerateRequest, u32)>>,
}

impl Samples {
    /// No request yet, in the n-th run of the same thing.
    pub(crate) fn of(epoch: u32) -> Self {
        Samples { first: epoch.wrapping_mul(EPOCH_SAMPLES), asked: Mutex::default() }
    }

    /// The n-th equal request of this case, from 0 in the first epoch.
    pub(crate) fn number(&self, request: &GenerateRequest) -> u32 {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let equal = |r: &GenerateRequest| {
            r.model == request.model
                && r.messages == request.messages
                && r.output_tokens_max == request.output_tokens_max
                && r.stop == request.stop
        };
        match asked.iter_mut().find(|(r, _)| equal(r)) {
            Some((_, n)) => {
                *n += 1;
                *n
            }
            None => {
                asked.push((request.clone(), self.first));
                self.first
            }
        }
    }
}

/// The record of a request before it is answered.
pub(crate) fn unanswered(request: &GenerateRequest) -> CallRecord {
    CallRecord {
        id: request.id.clone(),
        model: request.model.clone(),
        messages: request.messages.clone(),
        output_tokens_max: request.output_tokens_max,
        stop: request.stop.clone(),
        reply: None,
        finish: None,
        fault: None,
        content_fault: None,
        usage: None,
        cost: None,
        model_served: None,
        fingerprint: None,
        cached: false,
        attempts: 0,
        in_vain: false,
        seconds: 0.0,
    }
}

/// The record of a request that ended with a fault of its content.
fn refused(record: CallRecord, fault: &ContentFault) -> CallRecord {
    CallRecord { fault: Some(fault.to_string()), content_fault: Some(fault.clone()), ..record }
}

/// One call of a granted model within the run's budget, with its record.
pub(crate) async fn call_model(
    spending: &Spending,
    tenant_id: &str,
    provider: &Arc<dyn Provider>,
    request: &GenerateRequest,
    sample: u32,
    held: &Held,
) -> (CallRecord, Result<(), ProviderError>) {
    let one = match spending.enter(request, provider.as_ref()) {
        Ok(one) => one,
        Err(spent) => return (CallRecord { fault: Some(spent.to_string()), ..unanswered(request) }, Err(spent.into())),
    };
    let began = Instant::now();
    let call = ModelCall {
        tenant_id: tenant_id.into(),
        messages: request.messages.clone(),
        output_tokens_max: request.output_tokens_max,
        stop: request.stop.clone(),
        sample,
        held: held.clone(),
    };
    let span = telemetry::chat(request, provider.as_ref());
    let answered = provider.generate(&call).instrument(span.clone()).await;
    let mut record = CallRecord { seconds: began.elapsed().as_secs_f64(), ..unanswered(request) };
    let ended = match answered {
        Ok(reply) => {
            record.reply = Some(reply.text);
            record.finish = Some(reply.finish);
            record.usage = reply.usage;
            record.model_served = reply.model_served;
            record.fingerprint = reply.fingerprint;
            record.cached = reply.cached;
            record.attempts = reply.attempts;
            Ok(())
        }
        Err(ProviderError::Content(content)) => {
            record = refused(record, &content);
            Err(content.into())
        }
        Err(ProviderError::Service(service)) => {
            record.fault = Some(service.to_string());
            Err(service.into())
        }
    };
    one.settle(&mut record);
    telemetry::chat_ended(&span, &record);
    (record, ended)
}

impl CaseServices for Services {
    fn held(&self) -> Held {
        self.held.clone()
    }

    fn generate(&self, requests: Vec<GenerateRequest>) -> BoxFuture<'_, Result<Replies, ServiceFault>> {
        Box::pin(async move {
            let numbered: Vec<u32> = requests.iter().map(|r| self.samples.number(r)).collect();
            let answers = join_all(requests.iter().zip(numbered).map(|(r, n)| self.one(r, n))).await;
            let mut replies = Vec::with_capacity(answers.len());
            let mut fault = None;
            let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            for (record, ended) in answers {
                match ended {
                    Ok(()) => replies.push(Ok((
                        record.reply.clone().unwrap_or_default(),
                        record.finish.unwrap_or(FinishReason::Other),
                    ))),
                    Err(ProviderError::Content(content)) => replies.push(Err(content)),
                    Err(ProviderError::Service(service)) => fault = Some(service),
                }
                records.calls.push(record);
            }
            fault.map_or(Ok(replies), Err)
        })
    }

    fn search(&self, requests: Vec<SearchRequest>) -> BoxFuture<'_, Result<SearchResults, ServiceFault>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(requests.len());
            for request in requests {
                let Some(index) = self.granted.indexes.get(&request.index) else {
                    results.push(Err(ContentFault::Denied(request.index)));
                    continue;
                };
                if !(1..=HITS_MAX).contains(&request.k) {
                    let why = format!("k is {}, outside 1..={HITS_MAX}", request.k);
                    results.push(Err(ContentFault::InvalidRequest(why)));
                    continue;
                }
                let hits = index.search(&request.query, request.k)?;
                let seen = hits.iter().map(|h| (h.passage_id.clone(), h.title.clone())).collect();
                self.records.lock().unwrap_or_else(PoisonError::into_inner).searches.push(ObservedSearch {
                    id: request.id,
                    index: request.index,
                    query: request.query,
                    hits: seen,
                });
                results.push(Ok(hits));
            }
            Ok(results)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_graph::StepId;

    #[test]
    fn no_epoch_of_a_run_draws_a_sample_of_a_replay() {
        let request = GenerateRequest {
            id: StepId { node: "a".into(), visit: 0 },
            model: "task".into(),
            messages: Vec::new().into(),
            output_tokens_max: None,
            stop: Vec::new(),
        };
        let drawn = |epoch: u32| {
            let samples = Samples::of(epoch);
            [samples.number(&request), samples.number(&request)]
        };
        let replayed = drawn(DIAGNOSTIC_EPOCH);
        assert_eq!(replayed[1], replayed[0] + 1);
        // A thousand trials of a study, a hundred epochs of a config: none comes near.
        for epoch in [0, 1, 99, 999, DIAGNOSTIC_EPOCH - 1] {
            let [first, last] = [epoch * EPOCH_SAMPLES, epoch * EPOCH_SAMPLES + (EPOCH_SAMPLES - 1)];
            assert_eq!(drawn(epoch)[0], first);
            assert!(last < replayed[0], "{epoch}");
        }
    }
}
