//! What a route to a model is made of, checked before the first call.

use super::api::Api;
use super::aws::Aws;
use super::traffic::Pace;
use fapo_core::InputError;
use fapo_core::price::Price;
use reqwest::Url;
use secrecy::SecretString;
use std::time::Duration;

/// Where `openai` goes when a route names no origin.
pub const ORIGIN_DEFAULT: &str = "https://api.openai.com/v1";
/// More retries than this outlast any fault that passes by itself.
const RETRIES_MAX: u32 = 100;

/// Settings of [`OpenAi`](super::OpenAi). Printing them shows no key.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// How the service wants to be asked.
    pub api: Api,
    /// Base URL, for example `http://127.0.0.1:18090/v1`; requests go to `{origin}/chat/completions`, or as
    /// the [`Api`] has it.
    pub origin: String,
    /// Sent as bearer token; nothing is sent where absent.
    pub key: Option<SecretString>,
    /// Who signs the requests, where a signature stands in the place of a key.
    pub aws: Option<Aws>,
    /// Variable the key was read from, for hints.
    pub key_env: Option<String>,
    /// Model name at the service.
    pub model: String,
    /// 0..=2; always sent, but not to OpenAI's reasoning models (o1, o3, o4, gpt-5), which refuse it, as they do `top_p`.
    pub temperature: f64,
    /// Above 0, at most 1; not sent where absent.
    pub top_p: Option<f64>,
    /// Cap on a reply, tokens; a call may lower it.
    pub output_tokens_max: u32,
    /// Base of the seeds: sample n sends base + n, in 31 bits. Nothing is sent where absent: for services that refuse
    /// the field.
    pub seed: Option<u64>,
    /// Deadline of one request, from connecting to the last byte.
    pub timeout: Duration,
    /// Retries after the first request, at most 100.
    pub retries_max: u32,
    /// Longest first pause between two requests; doubles with each retry, up to a minute.
    pub retry_backoff: Duration,
    /// What its tokens cost, where that is known.
    pub price: Option<Price>,
    /// How fast it may be asked.
    pub pace: Pace,
    /// Spreads the pauses: with one seed they repeat.
    pub jitter_seed: u64,
}

impl OpenAiSettings {
    pub(super) fn check(&self) -> Result<(), InputError> {
        self.url()?;
        if self.model.trim().is_empty() {
            return Err(InputError::new("`model`", "is empty"));
        }
        let hottest = if self.api == Api::Messages { 1.0 } else { 2.0 };
        if !(0.0..=hottest).contains(&self.temperature) {
            return Err(InputError::new(
                "`temperature`",
                format!("{} is not within 0 and {hottest}", self.temperature),
            ));
        }
        if let Some(top_p) = self.top_p
            && !(top_p > 0.0 && top_p <= 1.0)
        {
            return Err(InputError::new("`top_p`", format!("{top_p} is not above 0 and at most 1")));
        }
        if self.output_tokens_max == 0 {
            return Err(InputError::new("`output_tokens_max`", "is 0"));
        }
        if self.timeout.is_zero() {
            return Err(InputError::new("`timeout_ms`", "is 0"));
        }
        let pace = self.pace;
        for (name, most) in [
            ("concurrency_max", pace.concurrency_max.map(u64::from)),
            ("requests_per_minute_max", pace.requests_per_minute),
            ("tokens_per_minute_max", pace.tokens_per_minute),
        ] {
            if most == Some(0) {
                return Err(InputError::new(format!("`{name}`"), "is 0: nothing could ever be asked")
                    .hint("take it out for no bound"));
            }
        }
        if self.retries_max > RETRIES_MAX {
            return Err(InputError::new("`retries_max`", format!("{} is more than {RETRIES_MAX}", self.retries_max)));
        }
        Ok(())
    }

    /// Where requests go.
    pub(super) fn url(&self) -> Result<Url, InputError> {
        // The origin itself is not printed: a password in it would be.
        let bad = |why: &str| InputError::new("`origin`", why).hint(format!("an origin looks like {ORIGIN_DEFAULT}"));
        let url = Url::parse(&self.api.address(&self.origin)).map_err(|error| bad(&format!("no URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(bad("begins neither with http:// nor with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("holds a user name or a password; keys go into `key_env`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("holds a ? or a #"));
        }
        Ok(url)
    }
}
