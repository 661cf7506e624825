//! A provider that answers by rules from a file: deterministic, free, and without a network.

mod rules;

use fapo_core::InputError;
use fapo_core::digest;
use fapo_core::ports::{BoxFuture, ContentFault, FinishReason, ModelCall, ModelReply, Provider, ProviderError, Usage};
use fapo_core::price::Price;
use fapo_template::Role;
use rules::{Answer, Outcome, Rules};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Answers with the first rule that fits, in the order of the file; the default comes last wherever it stands.
///
/// A rule is a JSON object on a line of its own:
///
/// | field | meaning |
/// |---|---|
/// | `contains` | text or texts that must all stand in the last user message |
/// | `when` | text or texts of which each must stand in some message |
/// | `reply` | the reply |
/// | `echo` | `true`: the reply is the last user message |
/// | `finish` | `stop` (default), `length`, `filtered` or `other` |
/// | `fault` | instead of a reply: `refused`, `context_too_long`, `rate_limited`, `unreachable`, `timed_out`, `malformed`, `server_error`, `unauthorized`, `not_found` or `quota_exhausted` |
/// | `fault_times` | only the first n of equal calls fail, then comes the reply |
/// | `default` | the reply where no rule fits; one line at most, nothing else in it |
///
/// Without a user message, the last message stands for it. Usage is counted in words, an estimate: there is no
/// tokenizer behind a script. A reply counts as one attempt.
#[derive(Debug)]
pub struct Scripted {
    rules: Rules,
    digest: String,
    /// Failed calls so far by digest of the call; grows with the distinct calls that meet a `fault_times`.
    failed: Mutex<HashMap<String, u32>>,
}

impl Scripted {
    /// Reads rules, one JSON object a line (see [`Scripted`]); blank lines are skipped. `file` names them in errors.
    ///
    /// # Errors
    /// A line that is no rule, by file and line, with the field where one is wrong.
    pub fn from_rules(file: &str, text: &str) -> Result<Self, InputError> {
        Ok(Scripted {
            rules: rules::read(file, text)?,
            digest: digest::of_bytes(text.as_bytes()),
            failed: Mutex::default(),
        })
    }

    fn answer(&self, call: &ModelCall) -> Result<ModelReply, ProviderError> {
        let last_user = call.messages.iter().rfind(|message| message.role == Role::User).or(call.messages.last());
        let last_user = last_user.map_or("", |message| message.content.as_str());
        let rule = self.rules.rules.iter().find(|rule| {
            rule.contains.all(|text| last_user.contains(text))
                && rule.when.all(|text| call.messages.iter().any(|message| message.content.contains(text)))
        });
        let reply_with = |answer: &Answer| reply(call, answer.text.as_deref().unwrap_or(last_user), answer.finish);
        match (rule.map(|rule| &rule.outcome), &self.rules.default) {
            (Some(Outcome::Fails(fault)), _) => Err(fault.error()),
            (Some(Outcome::FailsFirst(fault, times, _)), _) if self.fails_again(call, *times) => Err(fault.error()),
            (Some(Outcome::Replies(answer) | Outcome::FailsFirst(_, _, answer)), _) => Ok(reply_with(answer)),
            (None, Some(text)) => Ok(reply(call, text, FinishReason::Stop)),
            (None, None) => {
                let why = "no rule of the script fits this prompt, and it has no default";
                Err(ContentFault::InvalidRequest(why.to_owned()).into())
            }
        }
    }

    /// Whether this call is one of the first `times` equal ones; counts it if so.
    fn fails_again(&self, call: &ModelCall, times: u32) -> bool {
        let key =
            digest::of_json(&json!([call.tenant_id, call.messages, call.output_tokens_max, call.stop, call.sample]));
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed.entry(key).or_default();
        let fails = *count < times;
        *count += u32::from(fails);
        fails
    }
}

fn reply(call: &ModelCall, text: &str, finish: FinishReason) -> ModelReply {
    let words = |text: &str| text.split_whitespace().count() as u64;
    ModelReply {
        text: text.to_owned(),
        finish,
        usage: Some(Usage {
            prompt_tokens: call.messages.iter().map(|message| words(&message.content)).sum(),
            completion_tokens: words(text),
        }),
        model_served: Some("scripted".to_owned()),
        fingerprint: None,
        cached: false,
        attempts: 1,
    }
}

impl Provider for Scripted {
    fn identity(&self) -> Value {
        json!({"provider": "scripted", "rules": self.digest})
    }

    fn samples(&self) -> bool {
        false
    }

    fn price(&self) -> Option<Price> {
        Some(Price::default())
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async move { self.answer(call) })
    }
}
