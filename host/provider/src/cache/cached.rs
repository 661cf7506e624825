//! A provider before a provider: equal calls are paid once, also when they come at the same time.

use super::ResponseCache;
use fapo_core::digest;
use fapo_core::ports::{BoxFuture, Chat, ModelCall, ModelReply, Provider, ProviderError};
use fapo_core::price::Price;
use serde::Serialize;
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

/// What makes two calls equal.
#[derive(Serialize)]
struct Key<'a> {
    tenant_id: &'a str,
    provider: &'a str,
    messages: &'a Chat,
    output_tokens_max: Option<u32>,
    stop: &'a [String],
    sample: u32,
}

impl Cached {
    /// Puts `cache` before `inner`. Several providers may share one cache.
    pub fn new(inner: Arc<dyn Provider>, cache: Arc<ResponseCache>) -> Self {
        let identity = digest::of_json(&inner.identity());
        Cached { inner, identity, cache }
    }

    fn key(&self, call: &ModelCall) -> String {
        digest::of_fields(&Key {
            tenant_id: &call.tenant_id,
            provider: &self.identity,
            messages: &call.messages,
            output_tokens_max: call.output_tokens_max,
            stop: &call.stop,
            sample: call.sample,
        })
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

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(self.call(call))
    }
}
