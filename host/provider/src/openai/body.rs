//! The request's body, by model family.

use super::api::Api;
use super::settings::OpenAiSettings;
use fapo_core::ports::ModelCall;
use fapo_template::Role;
use serde_json::{Map, Value, json};

/// Largest seed sent: some servers keep it in a signed 32-bit number.
const SEED_MAX: u64 = i32::MAX as u64;

/// How a model wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `max_tokens`, temperature, role `system`.
    Chat,
    /// `max_completion_tokens`, no temperature and no top_p, role `developer`.
    Reasoning,
}

impl Family {
    /// By the model's name, as the original tells them apart.
    pub(super) fn of(model: &str) -> Self {
        let reasoning = ["o1", "o3", "o4", "gpt-5", "gpt5"].iter().any(|start| model.starts_with(start));
        if reasoning { Family::Reasoning } else { Family::Chat }
    }

    pub(super) fn cap_field(self) -> CapField {
        match self {
            Family::Chat => CapField::MaxTokens,
            Family::Reasoning => CapField::MaxCompletionTokens,
        }
    }

    fn role(self, role: Role) -> &'static str {
        match (role, self) {
            (Role::System, Family::Chat) => "system",
            (Role::System, Family::Reasoning) => "developer",
            (Role::User, _) => "user",
            (Role::Assistant, _) => "assistant",
        }
    }
}

/// The two names of the cap on a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CapField {
    MaxTokens,
    MaxCompletionTokens,
}

impl CapField {
    pub(super) fn other(self) -> Self {
        match self {
            CapField::MaxTokens => CapField::MaxCompletionTokens,
            CapField::MaxCompletionTokens => CapField::MaxTokens,
        }
    }

    fn name(self) -> &'static str {
        match self {
            CapField::MaxTokens => "max_tokens",
            CapField::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// The body of a call. Sampling is spelt out, because services differ in their defaults.
pub(super) fn of(settings: &OpenAiSettings, family: Family, cap_field: CapField, call: &ModelCall) -> Vec<u8> {
    let body = match settings.api {
        Api::ChatCompletions => chat(settings, family, cap_field, call),
        Api::Messages => messages(settings, call),
        Api::Endpoint => endpoint(settings, call),
    };
    Value::Object(body).to_string().into_bytes()
}

/// The cap on this reply, tokens.
fn cap(settings: &OpenAiSettings, call: &ModelCall) -> u32 {
    call.output_tokens_max.map_or(settings.output_tokens_max, |cap| cap.min(settings.output_tokens_max))
}

fn sampling(settings: &OpenAiSettings, body: &mut Map<String, Value>) {
    body.insert("temperature".to_owned(), json!(settings.temperature));
    if let Some(top_p) = settings.top_p {
        body.insert("top_p".to_owned(), json!(top_p));
    }
}

/// Anthropic's: what the system says stands apart, and there is no seed.
fn messages(settings: &OpenAiSettings, call: &ModelCall) -> Map<String, Value> {
    let of = |system: bool| call.messages.iter().filter(move |message| (message.role == Role::System) == system);
    let said: Vec<Value> =
        of(false).map(|message| json!({"role": Family::Chat.role(message.role), "content": message.content})).collect();
    let system: Vec<&str> = of(true).map(|message| message.content.as_str()).collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(settings.model));
    body.insert("max_tokens".to_owned(), json!(cap(settings, call)));
    if !system.is_empty() {
        body.insert("system".to_owned(), system.join("\n\n").into());
    }
    body.insert("messages".to_owned(), said.into());
    sampling(settings, &mut body);
    if !call.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), json!(call.stop));
    }
    body
}

/// The original's four fields, and the stop texts where a step has some.
fn endpoint(settings: &OpenAiSettings, call: &ModelCall) -> Map<String, Value> {
    let said = call.messages.iter().map(|m| json!({"role": Family::Chat.role(m.role), "content": m.content}));
    let mut body = Map::new();
    body.insert("messages".to_owned(), said.collect());
    sampling(settings, &mut body);
    body.insert("max_tokens".to_owned(), json!(cap(settings, call)));
    if !call.stop.is_empty() {
        body.insert("stop".to_owned(), json!(call.stop));
    }
    body
}

fn chat(settings: &OpenAiSettings, family: Family, cap_field: CapField, call: &ModelCall) -> Map<String, Value> {
    let messages: Vec<Value> = call
        .messages
        .iter()
        .map(|message| json!({"role": family.role(message.role), "content": message.content}))
        .collect();
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(settings.model));
    body.insert("messages".to_owned(), Value::Array(messages));
    body.insert(cap_field.name().to_owned(), json!(cap(settings, call)));
    if family == Family::Chat {
        sampling(settings, &mut body);
    }
    if let Some(base) = settings.seed {
        body.insert("seed".to_owned(), json!(base.wrapping_add(u64::from(call.sample)) & SEED_MAX));
    }
    if !call.stop.is_empty() {
        body.insert("stop".to_owned(), json!(call.stop));
    }
    body
}
