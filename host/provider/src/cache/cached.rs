//! A provider before a provider: equal calls are paid once, also when they come at the same time.

use super::ResponseCache;
use fapo_core::digest;
use fapo_core::ports::{BoxFuture, ModelCall, ModelReply, Provider, ProviderError};
use fapo_core::price::Price;
use serde_json::Value;
use std::sync::Arc;

/// Answers from a [`ResponseCache`], and from `inner` what is not in it.
///
/// Calls are equal where tenant, provider identity, messages, cap, stop texts and sample number are. A reply that was
/// not paid for by this call says `cached` and 0 attempts. Failures are not kept, but equal calls that wait for the
/// same request share its failure.
pub struct Cached {
    inner: Arc<dyn Provider>,
    /// Digest of its identity.
    identity: String,
    cache: Arc<ResponseCache>,
}

impl Cached {
    /// Puts `cache` before `inner`. Several providers may share one cache.
    pub fn new(inner: Arc<dyn Provider>, cache: Arc<ResponseCache>) -> Self {
        let identity = digest::of_json(&inner.identity());
        Cached { inner, identity, cache }
    }

    /// What makes two calls equal. Numbers go before the texts, so that it is clear which are stop texts.
    fn key(&self, call: &ModelCall) -> String {
        let cap = call.output_tokens_max.map(u32::to_le_bytes);
        let (sample, stops) = (call.sample.to_le_bytes(), (call.stop.len() as u64).to_le_bytes());
        let cap = cap.as_ref().map_or(&[][..], |cap| cap);
        let first = [call.tenant_id.as_bytes(), self.identity.as_bytes(), &sample, cap, &stops];
        let messages = call.messages.iter().flat_map(|m| [m.role.name().as_bytes(), m.content.as_bytes()]);
        digest::of_pieces(first.into_iter().chain(call.stop.iter().map(String::as_bytes)).chain(messages))
    }

    async fn call(&self, call: &ModelCall) -> Result<ModelReply, ProviderError> {
        let key = self.key(call);
        let mut paid = false;
        let answer = async {
            if let Some(reply) = self.cache.find(&key) {
                return Ok(reply);
            }
            let reply = self.inner.generate(call).await?;
            paid = true;
            // No await between the reply and its place: a call that is dropped cannot lose it here.
            self.cache.keep(&key, &reply);
            Ok(reply)
        };
        let reply = self.cache.flights.join(&key, answer).await?;
        Ok(if paid { reply } else { ModelReply { cached: true, attempts: 0, ..reply } })
    }
}

impl Provider for Cached {
    /// That of the inner provider: a reply does not depend on where it was kept.
    fn identity(&self) -> Value {
        self.inner.identity()
    }

    fn samples(&self) -> bool {
        self.inner.samples()
    }

    fn price(&self) -> Option<Price> {
        self.inner.price()
    }

    fn output_tokens_max(&self) -> Option<u64> {
        self.inner.output_tokens_max()
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(self.call(call))
    }
}
