//! What an error body says; services agree on little.

use serde_json::Value;

/// The parts of an error that mean something.
pub(super) struct Said {
    /// Message for people, as sent.
    pub(super) message: String,
    /// The same in lower case, to look for words.
    words: String,
    /// `code`, `type` and `param` in lower case, where they are texts; a code may be a number or null.
    codes: Vec<String>,
}

impl Said {
    pub(super) fn in_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Said::in_value(&value),
            Err(_) => Said::new(String::from_utf8_lossy(body).into_owned(), Vec::new()),
        }
    }

    /// Of `{"error": {…}}`, `{"error": "…"}`, or the fields themselves.
    fn in_value(value: &Value) -> Self {
        let error = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
        let message = match error {
            Value::String(text) => text.clone(),
            _ => ["message", "detail", "msg"]
                .iter()
                .find_map(|name| error[*name].as_str())
                .map_or_else(|| error.to_string(), str::to_owned),
        };
        let codes = [&error["code"], &error["type"], &error["param"], &error["innererror"]["code"]];
        let codes = codes.iter().filter_map(|code| code.as_str()).map(str::to_lowercase).collect();
        Said::new(message, codes)
    }

    fn new(message: String, codes: Vec<String>) -> Self {
        Said { words: message.to_lowercase(), message, codes }
    }

    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.codes.iter().any(|said| said == code))
    }

    pub(super) fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.words.contains(word))
    }

    pub(super) fn is_context_too_long(&self) -> bool {
        self.has_code(&["context_length_exceeded", "exceed_context_size_error"])
            || self.mentions(&["maximum context length", "exceeds the available context size", "prompt is too long"])
    }

    /// Whether the error is about the *name* of the token cap. One about its size is not: a service that does not know
    /// the other name would go on without a cap.
    pub(super) fn is_about_cap_name(&self) -> bool {
        const UNKNOWN: &[&str] = &[
            "unsupported",
            "not supported",
            "unrecognized",
            "unknown",
            "unexpected",
            "not permitted",
            "not allowed",
            "extra",
            "deprecated",
        ];
        let named = self.mentions(&["max_tokens", "max_completion_tokens"])
            || self.has_code(&["max_tokens", "max_completion_tokens"]);
        named
            && (self.mentions(UNKNOWN)
                || self.mentions(&["use 'max_completion_tokens'", "use max_completion_tokens"])
                || self.has_code(&["unsupported_parameter", "unknown_parameter", "extra_forbidden"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_shapes_are_read() {
        let table = [
            (r#"{"error":{"message":"m","code":"C","type":null}}"#, "m", true),
            (r#"{"error":{"message":"m","code":503}}"#, "m", false),
            (r#"{"error":{"message":"m","code":null}}"#, "m", false),
            (r#"{"error":"m"}"#, "m", false),
            (r#"{"error":null,"message":"m","type":"c"}"#, "m", true),
            (r#"{"detail":"m"}"#, "m", false),
            (r#"{"detail":[{"loc":1}]}"#, r#"{"detail":[{"loc":1}]}"#, false),
            ("m", "m", false),
            ("[]", "[]", false),
            ("", "", false),
        ];
        for (body, message, has_code) in table {
            let said = Said::in_body(body.as_bytes());
            assert_eq!((said.message.as_str(), said.has_code(&["c"])), (message, has_code), "{body}");
        }
    }

    #[test]
    fn the_name_of_the_cap_is_told_from_its_size() {
        let table = [
            ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", true),
            ("unrecognized request argument supplied: max_completion_tokens", true),
            ("max_tokens must be at most 4096", false),
            ("max_completion_tokens is too large: 99999", false),
            ("unsupported parameter: temperature", false),
        ];
        for (message, expected) in table {
            assert_eq!(Said::in_body(message.as_bytes()).is_about_cap_name(), expected, "{message}");
        }
        let by_code = br#"{"error":{"message":"no","param":"max_tokens","code":"unsupported_parameter"}}"#;
        assert!(Said::in_body(by_code).is_about_cap_name());
    }
}
