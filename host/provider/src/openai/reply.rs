//! Reads a reply, leniently: what servers leave out is unknown, not wrong.

use fapo_core::ports::{FinishReason, ModelReply, Usage};
use serde_json::Value;

/// The error inside an answer, of the whole or of its choice.
pub(super) fn error(body: &Value) -> Option<&Value> {
    [&body["error"], &body["choices"][0]["error"]].into_iter().find(|error| !error.is_null())
}

/// The reply in a body, or what makes it none.
///
/// Text that a server gives as reasoning (`reasoning`, `reasoning_content`) is no part of the reply.
pub(super) fn of(body: &Value) -> Result<ModelReply, String> {
    let choices = body.get("choices").and_then(Value::as_array).ok_or("the answer has no `choices`")?;
    let choice = choices.first().ok_or("the answer's `choices` are empty")?;
    let message = &choice["message"];
    if !message.is_object() && !choice["text"].is_string() {
        return Err("the answer's first choice has no `message`".to_owned());
    }
    let text = if message.is_object() { text_of(&message["content"]) } else { text_of(&choice["text"]) };
    // A model that declines in its own field says nothing else.
    let declined = text.is_empty() && message["refusal"].as_str().is_some_and(|refusal| !refusal.is_empty());
    Ok(ModelReply {
        text,
        finish: if declined { FinishReason::Filtered } else { finish(choice["finish_reason"].as_str()) },
        usage: usage(&body["usage"]),
        model_served: body["model"].as_str().map(str::to_owned),
        fingerprint: body["system_fingerprint"].as_str().map(str::to_owned),
        cached: false,
        attempts: 0,
    })
}

/// A text, null, or a list of parts of which some are texts.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn finish(reason: Option<&str>) -> FinishReason {
    match reason {
        Some("stop" | "eos" | "eos_token" | "end_turn" | "stop_sequence") => FinishReason::Stop,
        Some("length" | "max_tokens") => FinishReason::Length,
        Some("content_filter") => FinishReason::Filtered,
        _ => FinishReason::Other,
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    Some(Usage {
        prompt_tokens: usage["prompt_tokens"].as_u64()?,
        completion_tokens: usage["completion_tokens"].as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn contents_of_all_shapes_become_text() {
        let table = [
            (json!({"message": {"content": "a"}}), "a"),
            (json!({"message": {"content": null}}), ""),
            (json!({"message": {}}), ""),
            (json!({"message": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]}}), "ab"),
            (json!({"message": {"content": null, "reasoning_content": "hm", "reasoning": "hm"}}), ""),
            (json!({"text": "old"}), "old"),
        ];
        for (choice, text) in table {
            assert_eq!(of(&json!({"choices": [choice]})).expect("a reply").text, text, "{choice}");
        }
    }

    #[test]
    fn what_has_no_choice_is_no_reply() {
        for body in [json!({}), json!([]), json!({"choices": null}), json!({"choices": []}), json!({"choices": [{}]})] {
            assert!(of(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn reasons_map_to_ours() {
        let table = [
            (json!("stop"), FinishReason::Stop),
            (json!("length"), FinishReason::Length),
            (json!("content_filter"), FinishReason::Filtered),
            (json!("tool_calls"), FinishReason::Other),
            (json!(null), FinishReason::Other),
        ];
        for (reason, expected) in table {
            let body = json!({"choices": [{"message": {"content": "x"}, "finish_reason": reason}]});
            assert_eq!(of(&body).expect("a reply").finish, expected, "{reason}");
        }
        let declined = json!({"choices": [{"message": {"content": null, "refusal": "no"}, "finish_reason": "stop"}]});
        assert_eq!(of(&declined).expect("a reply").finish, FinishReason::Filtered);
    }

    #[test]
    fn half_a_usage_is_unknown() {
        let read = |value| of(&json!({"choices": [{"message": {}}], "usage": value})).expect("a reply").usage;
        assert_eq!(read(json!(null)), None);
        assert_eq!(read(json!({"prompt_tokens": 3})), None);
        let whole = json!({"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3});
        assert_eq!(read(whole), Some(Usage { prompt_tokens: 3, completion_tokens: 0 }));
    }
}
