//! What one case's host calls reach: granted models and indexes, counted and recorded.

use fapo_core::ports::{
    BoxFuture, CaseServices, ContentFault, FinishReason, GenerateRequest, Index, ModelCall, ObservedSearch, Provider,
    ProviderError, Replies, SearchRequest, SearchResults, ServiceFault,
};
use fapo_core::run::CallRecord;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Most hits of one search.
const HITS_MAX: u32 = 100;

/// Granted models and indexes under the tenant's names.
#[derive(Clone, Default)]
pub struct Granted {
    /// Alias to provider.
    pub models: BTreeMap<String, Arc<dyn Provider>>,
    /// Name to index.
    pub indexes: BTreeMap<String, Arc<dyn Index>>,
}

/// Model calls of a run that are waited for.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

impl Waiting {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> WaitingCall<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitingCall(self)
    }
}

/// One call that is waited for; dropping it ends the wait, also where the case was given up.
struct WaitingCall<'a>(&'a Waiting);

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Services of one case.
pub(crate) struct Services {
    tenant_id: String,
    granted: Granted,
    waiting: Arc<Waiting>,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    asked: Vec<(GenerateRequest, u32)>,
    calls: Vec<CallRecord>,
    searches: Vec<ObservedSearch>,
}

impl Services {
    pub(crate) fn new(tenant_id: &str, granted: Granted, waiting: Arc<Waiting>) -> Self {
        Services { tenant_id: tenant_id.into(), granted, waiting, records: Mutex::default() }
    }

    /// Calls and searches of the case, in the order of their requests.
    pub(crate) fn take(&self) -> (Vec<CallRecord>, Vec<ObservedSearch>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut records.calls), std::mem::take(&mut records.searches))
    }

    /// The n-th equal request of this case, from 0.
    fn sample(&self, request: &GenerateRequest) -> u32 {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let equal = |r: &GenerateRequest| {
            r.model == request.model
                && r.messages == request.messages
                && r.output_tokens_max == request.output_tokens_max
                && r.stop == request.stop
        };
        match records.asked.iter_mut().find(|(r, _)| equal(r)) {
            Some((_, n)) => {
                *n += 1;
                *n
            }
            None => {
                records.asked.push((request.clone(), 0));
                0
            }
        }
    }

    async fn one(&self, request: &GenerateRequest, sample: u32) -> (CallRecord, Result<(), ProviderError>) {
        let began = Instant::now();
        let mut record = CallRecord {
            id: request.id.clone(),
            model: request.model.clone(),
            messages: request.messages.clone(),
            reply: None,
            finish: None,
            fault: None,
            usage: None,
            model_served: None,
            fingerprint: None,
            cached: false,
            attempts: 0,
            seconds: 0.0,
        };
        let answered = match self.granted.models.get(&request.model) {
            None => Err(ContentFault::Denied(request.model.clone()).into()),
            Some(provider) => {
                let call = ModelCall {
                    tenant_id: self.tenant_id.clone(),
                    messages: request.messages.clone(),
                    output_tokens_max: request.output_tokens_max,
                    stop: request.stop.clone(),
                    sample,
                };
                let _waits = self.waiting.enter();
                provider.generate(&call).await
            }
        };
        record.seconds = began.elapsed().as_secs_f64();
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
            Err(e) => {
                record.fault = Some(e.to_string());
                Err(e)
            }
        };
        (record, ended)
    }
}

impl CaseServices for Services {
    fn generate(&self, requests: Vec<GenerateRequest>) -> BoxFuture<'_, Result<Replies, ServiceFault>> {
        Box::pin(async move {
            let numbered: Vec<u32> = requests.iter().map(|r| self.sample(r)).collect();
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
