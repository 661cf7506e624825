//! The request's body, by model family.

use super::api::Api;
use super::settings::OpenAiSettings;
use bytes::Bytes;
use fapo_core::ports::ModelCall;
use fapo_template::{Message, Role};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

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
            (Role::System, Family::Reasoning) => "developer",
            _ => role.name(),
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
pub(super) fn of(settings: &OpenAiSettings, family: Family, cap_field: CapField, call: &ModelCall) -> Bytes {
    let body = match settings.api {
        Api::ChatCompletions => chat(settings, family, cap_field, call),
        Api::Messages => messages(settings, call),
        Api::Endpoint => endpoint(settings, call),
    };
    // As long as it will be: it stays until the reply is there, and what a buffer grows by stays with it.
    let texts: usize = call.messages.iter().map(|message| message.content.len()).sum();
    let mut text = Vec::with_capacity(texts + texts / 16 + 512);
    serde_json::to_writer(&mut text, &body).expect("texts and numbers are JSON");
    text.into()
}

/// A JSON object over texts of the call, which are long and stay where they are.
#[derive(Default)]
struct Body<'a>(Vec<(&'static str, Field<'a>)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Said(Vec<Said<'a>>),
    Value(Value),
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl<'a> Body<'a> {
    fn said(&mut self, messages: impl Iterator<Item = &'a Message>, family: Family) {
        let said = messages.map(|message| Said { role: family.role(message.role), content: &message.content });
        self.0.push(("messages", Field::Said(said.collect())));
    }

    fn insert(&mut self, name: &'static str, value: Value) {
        self.0.push((name, Field::Value(value)));
    }
}

/// The cap on this reply, tokens.
fn cap(settings: &OpenAiSettings, call: &ModelCall) -> u32 {
    call.output_tokens_max.map_or(settings.output_tokens_max, |cap| cap.min(settings.output_tokens_max))
}

fn sampling(settings: &OpenAiSettings, body: &mut Body<'_>) {
    body.insert("temperature", json!(settings.temperature));
    if let Some(top_p) = settings.top_p {
        body.insert("top_p", json!(top_p));
    }
}

/// Anthropic's: what the system says stands apart, and there is no seed.
fn messages<'a>(settings: &OpenAiSettings, call: &'a ModelCall) -> Body<'a> {
    let of = |system: bool| call.messages.iter().filter(move |message| (message.role == Role::System) == system);
    let system: Vec<&str> = of(true).map(|message| message.content.as_str()).collect();
    let mut body = Body::default();
    body.insert("model", json!(settings.model));
    body.insert("max_tokens", json!(cap(settings, call)));
    if !system.is_empty() {
        body.insert("system", system.join("\n\n").into());
    }
    body.said(of(false), Family::Chat);
    sampling(settings, &mut body);
    if !call.stop.is_empty() {
        body.insert("stop_sequences", json!(call.stop));
    }
    body
}

/// The original's four fields, and the stop texts where a step has some.
fn endpoint<'a>(settings: &OpenAiSettings, call: &'a ModelCall) -> Body<'a> {
    let mut body = Body::default();
    body.said(call.messages.iter(), Family::Chat);
    sampling(settings, &mut body);
    body.insert("max_tokens", json!(cap(settings, call)));
    if !call.stop.is_empty() {
        body.insert("stop", json!(call.stop));
    }
    body
}

fn chat<'a>(settings: &OpenAiSettings, family: Family, cap_field: CapField, call: &'a ModelCall) -> Body<'a> {
    let mut body = Body::default();
    body.insert("model", json!(settings.model));
    body.said(call.messages.iter(), family);
    body.insert(cap_field.name(), json!(cap(settings, call)));
    if family == Family::Chat {
        sampling(settings, &mut body);
    }
    if let Some(base) = settings.seed {
        body.insert("seed", json!(base.wrapping_add(u64::from(call.sample)) & SEED_MAX));
    }
    if !call.stop.is_empty() {
        body.insert("stop", json!(call.stop));
    }
    body
}
