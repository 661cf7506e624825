//! A provider that answers by rules from a file: deterministic, free, and without a network.

use fapo_core::InputError;
use fapo_core::digest;
use fapo_core::ports::{BoxFuture, ContentFault, FinishReason, ModelCall, ModelReply, Provider, ProviderError, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

/// One line of a rules file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Texts that must all stand in the last user message.
    #[serde(default)]
    contains: Texts,
    /// Texts that must all stand somewhere in the prompt.
    #[serde(default)]
    when: Texts,
    /// The reply.
    #[serde(default)]
    reply: Option<String>,
    /// The reply where no other rule fits; such a line has nothing else.
    #[serde(default)]
    default: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Texts {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn all(&self, holds: impl Fn(&str) -> bool) -> bool {
        match self {
            Texts::None => true,
            Texts::One(text) => holds(text),
            Texts::Many(texts) => texts.iter().all(|text| holds(text)),
        }
    }
}

/// Answers with the reply of the first rule that fits.
#[derive(Debug)]
pub struct Scripted {
    rules: Vec<Rule>,
    digest: String,
}

impl Scripted {
    /// Reads rules, one JSON object a line: `contains`, `when`, `reply`, or `default` alone. `file` names them in
    /// errors.
    ///
    /// # Errors
    /// A line that is no rule, by file and line.
    pub fn from_rules(file: &str, text: &str) -> Result<Self, InputError> {
        let mut rules = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let subject = format!("{file}:{}", at + 1);
            let hint = "a rule is {\"contains\": …, \"when\": …, \"reply\": …} or {\"default\": …}";
            let rule: Rule =
                serde_json::from_str(line).map_err(|e| InputError::new(&subject, e.to_string()).hint(hint))?;
            if rule.reply.is_some() == rule.default.is_some() {
                return Err(InputError::new(&subject, "a rule has either `reply` or `default`").hint(hint));
            }
            rules.push(rule);
        }
        Ok(Scripted { rules, digest: digest::of_bytes(text.as_bytes()) })
    }

    fn reply(&self, call: &ModelCall) -> Option<&str> {
        let last = call.messages.last().map_or("", |m| m.content.as_str());
        let fits = |rule: &&Rule| {
            rule.reply.is_some()
                && rule.contains.all(|text| last.contains(text))
                && rule.when.all(|text| call.messages.iter().any(|m| m.content.contains(text)))
        };
        let fitting = self.rules.iter().find(fits).and_then(|rule| rule.reply.as_deref());
        fitting.or_else(|| self.rules.iter().find_map(|rule| rule.default.as_deref()))
    }
}

impl Provider for Scripted {
    fn identity(&self) -> Value {
        json!({"provider": "scripted", "rules": self.digest})
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async move {
            let text = self.reply(call).ok_or_else(|| {
                ContentFault::InvalidRequest("no rule of the script fits this prompt, and it has no default".into())
            })?;
            let words = |text: &str| text.split_whitespace().count() as u64;
            Ok(ModelReply {
                text: text.to_string(),
                finish: FinishReason::Stop,
                usage: Some(Usage {
                    prompt_tokens: call.messages.iter().map(|m| words(&m.content)).sum(),
                    completion_tokens: words(text),
                }),
                model_served: Some("scripted".into()),
                fingerprint: None,
                cached: false,
                attempts: 1,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &Scripted, user: &str) -> Option<String> {
        let message = serde_json::from_value(json!({"role": "user", "content": user})).expect("a message");
        let call = ModelCall {
            tenant_id: "t".into(),
            messages: vec![message],
            output_tokens_max: None,
            stop: vec![],
            sample: 0,
        };
        script.reply(&call).map(str::to_string)
    }

    #[test]
    fn the_first_fitting_rule_answers_and_the_default_comes_last() {
        let rules = "{\"default\":\"none\"}\n{\"contains\":[\"river\",\"deep\"],\"reply\":\"4\"}\n{\"contains\":\"river\",\"reply\":\"Osk\"}";
        let script = Scripted::from_rules("r.jsonl", rules).expect("rules");
        assert_eq!(call(&script, "how deep is the river").as_deref(), Some("4"));
        assert_eq!(call(&script, "which river").as_deref(), Some("Osk"));
        assert_eq!(call(&script, "who").as_deref(), Some("none"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (line, want) in [("{\"replay\":\"x\"}", "unknown field `replay`"), ("{}", "either `reply` or `default`")] {
            let e = Scripted::from_rules("r.jsonl", &format!("{{\"default\":\"\"}}\n{line}")).expect_err(want);
            assert!(e.to_string().starts_with("r.jsonl:2: ") && e.to_string().contains(want), "{e}");
        }
    }
}
