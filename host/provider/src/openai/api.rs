//! The three ways in which services want to be asked: where, with the key in which header, and how a reply reads. What
//! they share (retries, deadlines, bounds, faults) is written once and knows nothing of them.

use super::reply;
use fapo_core::ports::{FinishReason, ModelReply, Usage};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde_json::Value;

/// Version of Anthropic's interface that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// How a service wants to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's chat completions, `{origin}/chat/completions` with a bearer token.
    ChatCompletions,
    /// Anthropic's messages, `{origin}/messages` with `x-api-key`.
    Messages,
    /// An endpoint before a SageMaker model as the original calls it: the origin itself with `x-api-key`, no model in
    /// the body, and any of four forms of reply (formats of the original, §2).
    Endpoint,
}

impl Api {
    /// The provider's name in identities.
    pub(super) fn name(self) -> &'static str {
        match self {
            Api::ChatCompletions => "openai",
            Api::Messages => "anthropic",
            Api::Endpoint => "sagemaker",
        }
    }

    /// What it speaks, for people.
    pub(super) fn speaks(self) -> &'static str {
        match self {
            Api::ChatCompletions => "chat completions",
            Api::Messages => "Anthropic's messages",
            Api::Endpoint => "the original's SageMaker form",
        }
    }

    /// Where requests go.
    pub(super) fn address(self, origin: &str) -> String {
        let origin = origin.trim_end_matches('/');
        match self {
            Api::ChatCompletions => format!("{origin}/chat/completions"),
            Api::Messages => format!("{origin}/messages"),
            Api::Endpoint => origin.to_string(),
        }
    }

    /// The header that carries the key, and what stands before it.
    pub(super) fn key_header(self) -> (HeaderName, &'static str) {
        match self {
            Api::ChatCompletions => (AUTHORIZATION, "Bearer "),
            Api::Messages | Api::Endpoint => (HeaderName::from_static("x-api-key"), ""),
        }
    }

    /// Further headers of every request.
    pub(super) fn headers(self) -> Option<(HeaderName, HeaderValue)> {
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static(ANTHROPIC_VERSION));
        (self == Api::Messages).then_some(version)
    }

    /// The reply in the body of an answer, or what makes it none.
    pub(super) fn reply(self, body: &Value) -> Result<ModelReply, String> {
        match self {
            Api::ChatCompletions => reply::of(body),
            Api::Messages => message(body),
            Api::Endpoint if body["choices"].is_array() => reply::of(body),
            Api::Endpoint => Ok(plain(match &body["content"] {
                Value::Null => whole(body),
                content => reply::text_of(content),
            })),
        }
    }

    /// The reply in an answer that is no JSON; none where that is no reply.
    pub(super) fn text_reply(self, body: &[u8]) -> Option<ModelReply> {
        (self == Api::Endpoint).then(|| plain(String::from_utf8_lossy(body).into_owned()))
    }
}

/// A reply of which only the text is known.
fn plain(text: String) -> ModelReply {
    ModelReply {
        text,
        finish: FinishReason::Other,
        usage: None,
        model_served: None,
        fingerprint: None,
        cached: false,
        attempts: 0,
    }
}

fn whole(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_string)
}

/// Anthropic's: the text blocks of `content`; what the model thought is no part of the reply.
fn message(body: &Value) -> Result<ModelReply, String> {
    let blocks = body["content"].as_array().ok_or("the answer has no `content`")?;
    let texts = blocks.iter().filter(|block| block["type"] == "text");
    let finish = match body["stop_reason"].as_str() {
        Some("end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("refusal") => FinishReason::Filtered,
        _ => FinishReason::Other,
    };
    Ok(ModelReply {
        finish,
        usage: message_usage(&body["usage"]),
        model_served: body["model"].as_str().map(str::to_owned),
        ..plain(texts.filter_map(|block| block["text"].as_str()).collect())
    })
}

/// What was read from or written to the service's own cache was part of the prompt all the same.
fn message_usage(usage: &Value) -> Option<Usage> {
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
    let cached: u64 = cached.iter().filter_map(|name| usage[*name].as_u64()).sum();
    Some(Usage {
        prompt_tokens: usage["input_tokens"].as_u64()? + cached,
        completion_tokens: usage["output_tokens"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_endpoint_gives_a_reply_in_any_of_four_forms() {
        let text = |body: Value| Api::Endpoint.reply(&body).expect("a reply").text;
        assert_eq!(text(json!({"choices": [{"message": {"content": "a"}}]})), "a");
        assert_eq!(text(json!({"choices": [{"text": "b"}]})), "b");
        assert_eq!(text(json!({"content": "c"})), "c");
        assert_eq!(text(json!({"generated": 1})), "{\"generated\":1}");
        assert_eq!(text(json!("d")), "d");
        assert_eq!(Api::Endpoint.text_reply(b"e\n").expect("a reply").text, "e\n");
        assert!(Api::ChatCompletions.text_reply(b"e").is_none() && Api::Messages.text_reply(b"e").is_none());
    }

    #[test]
    fn a_message_is_its_text_blocks_with_all_that_was_read_as_prompt() {
        let body = json!({
            "model": "m", "stop_reason": "end_turn",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 2, "output_tokens": 5},
        });
        let reply = Api::Messages.reply(&body).expect("a reply");
        assert_eq!((reply.text.as_str(), reply.finish), ("ab", FinishReason::Stop));
        assert_eq!(reply.usage, Some(Usage { prompt_tokens: 15, completion_tokens: 5 }));
        for (reason, finish) in [
            ("max_tokens", FinishReason::Length),
            ("refusal", FinishReason::Filtered),
            ("stop_sequence", FinishReason::Stop),
            ("tool_use", FinishReason::Other),
        ] {
            let body = json!({"content": [], "stop_reason": reason});
            let reply = Api::Messages.reply(&body).expect("a reply");
            assert_eq!((reply.finish, reply.usage), (finish, None));
        }
        assert!(Api::Messages.reply(&json!({"choices": []})).is_err());
    }
}
