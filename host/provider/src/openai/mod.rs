//! Chat completions as OpenAI defines them and as local servers and gateways vary them; Anthropic's messages and the
//! original's SageMaker form over the same stack.
//!
//! One call is one reply: no streaming, no tools, `n` is always 1. Redirects are not followed, because a redirect
//! would carry the prompt (and the key) to a place the operator did not name.

mod api;
mod aws;
mod body;
mod explain;
mod http;
mod quota;
mod quote;
mod refusal;
mod reply;
mod retry;
mod said;
mod settings;
mod traffic;

pub use api::Api;
pub use aws::Aws;
pub use settings::{ORIGIN_DEFAULT, OpenAiSettings};
pub use traffic::Pace;

use crate::sleeper::{Sleeper, TokioSleeper};
use body::{CapField, Family};
use bytes::Bytes;
use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::ports::{BoxFuture, ContentFault, ModelCall, ModelReply, Provider, ProviderError};
use fapo_core::price::Price;
pub(crate) use http::causes;
pub use http::prepare_tls;
use http::{Answer, Connection, Trouble};
use refusal::Refusal;
use retry::Pauses;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use traffic::{End, Traffic};

/// Pause between two looks at a server that loads its model.
const LOADING_PAUSE: Duration = Duration::from_secs(1);
/// Looks before we give up: ten minutes, what a large model takes from a slow disk.
const LOADING_LOOKS_MAX: u32 = 600;
/// Retries after answers of status 200 that are none: each may have been paid for, and an origin that is no model
/// service never comes right.
const NONSENSE_RETRIES_MAX: u32 = 2;

/// Bytes of a request that are counted as one token before the service has counted.
const BYTES_PER_TOKEN: usize = 4;

/// A route to one model of one service.
///
/// Faults name origin, status and the service's words, in one line, without the key. Content faults name no origin: a
/// tenant's chain sees them.
pub struct OpenAi {
    settings: OpenAiSettings,
    connection: Connection,
    family: Family,
    /// The name of the token cap that worked: the family's, until the service refuses it.
    cap_is_completion_tokens: AtomicBool,
    traffic: Traffic,
    sleeper: Arc<dyn Sleeper>,
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// A route by these settings. Connects to nothing yet.
    ///
    /// # Errors
    /// A setting out of its range, by its name.
    pub fn new(settings: OpenAiSettings) -> Result<Self, InputError> {
        Self::with_sleeper(settings, Arc::new(TokioSleeper))
    }

    /// The same with another idea of time.
    ///
    /// # Errors
    /// As [`OpenAi::new`].
    pub fn with_sleeper(settings: OpenAiSettings, sleeper: Arc<dyn Sleeper>) -> Result<Self, InputError> {
        settings.check()?;
        let connection = Connection::to(&settings)?;
        let family = Family::of(&settings.model);
        let cap_is_completion_tokens = AtomicBool::new(family.cap_field() == CapField::MaxCompletionTokens);
        let traffic = Traffic::new(settings.pace, Arc::clone(&sleeper));
        Ok(OpenAi { settings, connection, family, cap_is_completion_tokens, traffic, sleeper })
    }

    async fn call(&self, call: &ModelCall) -> Result<ModelReply, ProviderError> {
        let mut cap_field = self.cap_field();
        let mut body = body::of(&self.settings, self.family, cap_field, call);
        let mut pauses = Pauses::of(&self.settings);
        let mut cap_refused: Option<String> = None;
        let (mut attempts, mut looks, mut nonsense) = (0_u32, 0_u32, 0_u32);
        // Bounded: one swap of the cap's name, `LOADING_LOOKS_MAX` looks and `retries_max` retries.
        loop {
            attempts += 1;
            let refusal = match self.attempt(&body, call).await {
                Ok(reply) => {
                    self.cap_is_completion_tokens.store(cap_field == CapField::MaxCompletionTokens, Ordering::Relaxed);
                    return Ok(ModelReply { attempts, ..reply });
                }
                Err(refusal) => refusal,
            };
            let give_up = |kind, text: &str| explain::fault(&self.settings, kind, text, attempts);
            let pause = match refusal {
                Refusal::Content(fault) => return Err(fault.into()),
                Refusal::Final(kind, text) => return Err(give_up(kind, &text).into()),
                Refusal::CapName(text) if self.settings.api != Api::ChatCompletions => {
                    return Err(ContentFault::InvalidRequest(text).into());
                }
                Refusal::CapName(text) => {
                    // Of two refusals the first one is about the name that belongs to the model.
                    if let Some(first) = cap_refused {
                        return Err(ContentFault::InvalidRequest(first).into());
                    }
                    cap_refused = Some(text);
                    cap_field = cap_field.other();
                    body = body::of(&self.settings, self.family, cap_field, call);
                    continue;
                }
                Refusal::Loading(text) => {
                    looks += 1;
                    (looks <= LOADING_LOOKS_MAX)
                        .then_some(LOADING_PAUSE)
                        .ok_or_else(|| give_up(FaultKind::ServerError, &text))?
                }
                Refusal::Passing(kind, text, asked) => pauses.next(asked, &body).ok_or_else(|| give_up(kind, &text))?,
                Refusal::Nonsense(text) => {
                    nonsense += 1;
                    let pause = pauses.next(None, &body).filter(|_| nonsense <= NONSENSE_RETRIES_MAX);
                    pause.ok_or_else(|| give_up(FaultKind::Malformed, &text))?
                }
            };
            let _holding = call.held.hold();
            self.sleeper.sleep(pause).await;
        }
    }

    async fn attempt(&self, body: &Bytes, call: &ModelCall) -> Result<ModelReply, Refusal> {
        let place = self.traffic.enter(self.tokens(body, call), &call.held).await;
        let answer = self.connection.post(body.clone(), self.sleeper.now()).await;
        let quotas = answer.as_ref().map(|answer| answer.quotas.clone()).unwrap_or_default();
        let read = answer.map_err(|trouble| self.refusal(trouble)).and_then(|answer| self.read(&answer));
        let tokens = read.as_ref().ok().and_then(|reply| reply.usage).map(|u| u.prompt_tokens + u.completion_tokens);
        place.ended(read.as_ref().map_or_else(Refusal::end, |_| End::Answered), quotas, tokens);
        read
    }

    /// What a call may take, as services count it before they answer: its prompt by its length, and the cap.
    fn tokens(&self, body: &[u8], call: &ModelCall) -> u64 {
        let cap = call
            .output_tokens_max
            .map_or(self.settings.output_tokens_max, |cap| cap.min(self.settings.output_tokens_max));
        (body.len() / BYTES_PER_TOKEN) as u64 + u64::from(cap)
    }

    fn read(&self, answer: &Answer) -> Result<ModelReply, Refusal> {
        let key = self.settings.key.as_ref();
        if answer.status != 200 {
            return Err(refusal::of(answer, key));
        }
        let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else {
            if let Some(reply) = self.settings.api.text_reply(&answer.body) {
                return Ok(reply);
            }
            let words = quote::quote(&String::from_utf8_lossy(&answer.body), key);
            return Err(Refusal::Nonsense(format!("status 200, but the answer is no JSON: {words}")));
        };
        if let Some(error) = reply::error(&value) {
            // Gateways put an upstream's refusal into an answer of status 200.
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            let status = status.filter(|code| (400..600).contains(code)).unwrap_or(502);
            let body = error.to_string().into_bytes();
            return Err(refusal::of(&Answer { status, body, ..answer.clone() }, key));
        }
        self.settings.api.reply(&value).map_err(|why| Refusal::Nonsense(format!("status 200, but {why}")))
    }

    fn refusal(&self, trouble: Trouble) -> Refusal {
        let (kind, text) = match trouble {
            Trouble::TimedOut => {
                let timeout_ms = self.settings.timeout.as_millis();
                (FaultKind::TimedOut, format!("no whole answer within {timeout_ms} ms"))
            }
            Trouble::Unreachable(why) => (FaultKind::Unreachable, why),
            Trouble::Cut(why) => (FaultKind::ServerError, format!("the answer broke off: {why}")),
            Trouble::Unsigned(why) => return Refusal::Final(FaultKind::Unauthorized, why),
            Trouble::TooLarge => {
                let text = format!("the answer is larger than {} bytes", http::ANSWER_BYTES_MAX);
                return Refusal::Final(FaultKind::Malformed, text);
            }
        };
        Refusal::Passing(kind, text, None)
    }

    fn cap_field(&self) -> CapField {
        if self.cap_is_completion_tokens.load(Ordering::Relaxed) {
            CapField::MaxCompletionTokens
        } else {
            CapField::MaxTokens
        }
    }
}

impl Provider for OpenAi {
    fn identity(&self) -> Value {
        let OpenAiSettings { api, origin, model, temperature, top_p, output_tokens_max, seed, .. } = &self.settings;
        json!({
            "provider": api.name(),
            "origin": origin.trim_end_matches('/'),
            "model": model,
            "temperature": temperature,
            "top_p": top_p,
            "output_tokens_max": output_tokens_max,
            "seed": seed,
        })
    }

    fn samples(&self) -> bool {
        self.settings.temperature > 0.0
    }

    fn price(&self) -> Option<Price> {
        self.settings.price
    }

    fn output_tokens_max(&self) -> Option<u64> {
        Some(self.settings.output_tokens_max.into())
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(self.call(call))
    }
}
