//! Cassettes: files of calls with their replies, recorded before a provider and replayed in the place of one.
//!
//! A cassette is JSONL, one call a line. Replies belong to messages, cap, stop texts and sample number, whoever asks:
//! a cassette can be given to others, who need neither key nor network.

use fapo_core::fault::FaultKind;
use fapo_core::ports::{BoxFuture, Chat, ContentFault, ModelCall, ModelReply, Provider, ProviderError, ServiceFault};
use fapo_core::price::Price;
use fapo_core::{InputError, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// A line of a cassette.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    messages: Chat,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_tokens_max: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stop: Vec<String>,
    #[serde(default)]
    sample: u32,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Reply(ModelReply),
    ContentFault(ContentFault),
}

impl Entry {
    fn key(&self) -> String {
        digest::of_json(&json!([self.messages, self.output_tokens_max, self.stop, self.sample]))
    }
}

fn key(call: &ModelCall) -> String {
    digest::of_json(&json!([call.messages, call.output_tokens_max, call.stop, call.sample]))
}

/// Reads a cassette. A last line without its end is what a killed process had begun, and is left out.
fn entries(file: &str, text: &str) -> Result<Vec<Entry>, InputError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| {
                InputError::new(format!("{file}:{}", at + 1), format!("is no recorded call: {error}"))
                    .hint("take the line out, or record the cassette again")
            })
        })
        .collect()
}

/// Writes down what a provider answers. Faults of the service are not recorded: they pass.
pub struct Recorded {
    inner: Arc<dyn Provider>,
    tape: Mutex<Tape>,
}

struct Tape {
    name: String,
    file: File,
    known: HashSet<String>,
}

impl Recorded {
    /// Before `inner`; `name` is the cassette's for messages, `text` what it holds, and `file` is open for appending.
    ///
    /// # Errors
    /// A line is no recorded call; named with its number.
    pub fn new(inner: Arc<dyn Provider>, name: &str, text: &str, mut file: File) -> Result<Self, InputError> {
        let known = entries(name, text)?.iter().map(Entry::key).collect();
        if !text.is_empty() && !text.ends_with('\n') {
            // Ends a line that a killed process had begun; it is no call, so it must not stay.
            let kept = text.rfind('\n').map_or(0, |end| end as u64 + 1);
            file.set_len(kept).map_err(|error| unwritable(name, &error))?;
            file.flush().map_err(|error| unwritable(name, &error))?;
        }
        Ok(Recorded { inner, tape: Mutex::new(Tape { name: name.into(), file, known }) })
    }

    async fn call(&self, call: &ModelCall) -> Result<ModelReply, ProviderError> {
        let answered = self.inner.generate(call).await;
        let answer = match &answered {
            Ok(reply) => Answer::Reply(reply.clone()),
            Err(ProviderError::Content(fault)) => Answer::ContentFault(fault.clone()),
            Err(ProviderError::Service(_)) => return answered,
        };
        self.keep(call, answer)?;
        answered
    }

    fn keep(&self, call: &ModelCall, answer: Answer) -> Result<(), ServiceFault> {
        let entry = Entry {
            messages: call.messages.clone(),
            output_tokens_max: call.output_tokens_max,
            stop: call.stop.clone(),
            sample: call.sample,
            answer,
        };
        let mut tape = self.tape.lock().unwrap_or_else(PoisonError::into_inner);
        if !tape.known.insert(entry.key()) {
            return Ok(());
        }
        let line = format!("{}\n", json!(entry));
        tape.file.write_all(line.as_bytes()).map_err(|error| ServiceFault {
            kind: FaultKind::Internal,
            message: format!("the cassette {} cannot be written: {error}", tape.name),
            hint: Some("make room or mend the permissions; the same command goes on".into()),
        })
    }
}

fn unwritable(name: &str, error: &std::io::Error) -> InputError {
    InputError::new(name, format!("cannot be written: {error}")).hint("make room or mend the permissions")
}

impl Provider for Recorded {
    fn identity(&self) -> Value {
        self.inner.identity()
    }

    fn samples(&self) -> bool {
        self.inner.samples()
    }

    fn price(&self) -> Option<Price> {
        self.inner.price()
    }

    fn output_tokens_max(&self) -> Option<u64> {
        self.inner.output_tokens_max()
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(self.call(call))
    }
}

/// Answers from a cassette, and nothing else: a call that is not on it is a fault.
pub(crate) struct Replayed {
    name: String,
    digest: String,
    answers: HashMap<String, Answer>,
}

impl Replayed {
    /// Of a cassette's text; `name` is for messages.
    ///
    /// # Errors
    /// A line is no recorded call; named with its number.
    pub(crate) fn new(name: &str, text: &str) -> Result<Self, InputError> {
        let answers = entries(name, text)?.into_iter().map(|entry| (entry.key(), entry.answer)).collect();
        Ok(Replayed { name: name.into(), digest: digest::of_bytes(text.as_bytes()), answers })
    }

    fn answer(&self, call: &ModelCall) -> Result<ModelReply, ProviderError> {
        match self.answers.get(&key(call)) {
            Some(Answer::Reply(reply)) => Ok(ModelReply { attempts: 1, ..reply.clone() }),
            Some(Answer::ContentFault(fault)) => Err(fault.clone().into()),
            None => Err(ServiceFault {
                kind: FaultKind::NotFound,
                message: format!("the cassette {} has no reply to this prompt", self.name),
                hint: Some(
                    "record it: put `record` with this file into a route that has the model, and run that".into(),
                ),
            }
            .into()),
        }
    }
}

impl Provider for Replayed {
    fn identity(&self) -> Value {
        json!({"provider": "replay", "cassette": self.digest})
    }

    fn samples(&self) -> bool {
        false
    }

    fn price(&self) -> Option<Price> {
        Some(Price::default())
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(std::future::ready(self.answer(call)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fapo_core::held::Held;
    use fapo_core::ports::FinishReason;
    use fapo_template::{Message, Role};
    use futures::FutureExt;
    use std::fs::OpenOptions;

    /// Answers with the prompt and a count, refuses `no`, breaks on `break`.
    struct Counting(Mutex<u32>);

    impl Provider for Counting {
        fn identity(&self) -> Value {
            json!("counting")
        }

        fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
            let mut count = self.0.lock().expect("free");
            *count += 1;
            let asked = call.messages[0].content.as_str();
            let broken = || ServiceFault { kind: FaultKind::ServerError, message: "broken".into(), hint: None };
            Box::pin(std::future::ready(match asked {
                "no" => Err(ContentFault::Refused("no".into()).into()),
                "break" => Err(broken().into()),
                _ => Ok(ModelReply {
                    text: format!("{asked} {count}"),
                    finish: FinishReason::Stop,
                    usage: None,
                    model_served: None,
                    fingerprint: None,
                    cached: false,
                    attempts: 3,
                }),
            }))
        }
    }

    fn call(text: &str, sample: u32) -> ModelCall {
        ModelCall {
            tenant_id: "t".into(),
            messages: vec![Message { role: Role::User, content: text.into() }].into(),
            output_tokens_max: None,
            stop: vec![],
            sample,
            held: Held::default(),
        }
    }

    fn ask(provider: &dyn Provider, text: &str, sample: u32) -> Result<String, ProviderError> {
        let call = call(text, sample);
        let reply = provider.generate(&call).now_or_never().expect("at once");
        reply.map(|reply| reply.text)
    }

    #[test]
    fn what_was_recorded_is_replayed_by_anyone_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let record = |asked: &[(&str, u32)]| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let file = OpenOptions::new().append(true).create(true).open(&path).expect("a file");
            let recorded =
                Recorded::new(Arc::new(Counting(Mutex::new(0))), "calls.jsonl", &text, file).expect("a cassette");
            assert_eq!(recorded.identity(), json!("counting"));
            asked.iter().for_each(|(text, sample)| drop(ask(&recorded, text, *sample)));
        };
        record(&[("a", 0), ("a", 1), ("no", 0), ("break", 0), ("a", 0)]);
        let replay =
            || Replayed::new("calls.jsonl", &std::fs::read_to_string(&path).expect("a file")).expect("a cassette");
        let replayed = replay();
        let theirs = ModelCall { tenant_id: "another".into(), ..call("a", 1) };
        assert_eq!(replayed.answer(&theirs).expect("a reply").text, "a 2");
        assert_eq!(ask(&replayed, "a", 0).expect("a reply"), "a 1", "an equal call is recorded once");
        assert_eq!(ask(&replayed, "no", 0), Err(ContentFault::Refused("no".into()).into()));
        for missing in ["break", "other"] {
            let Err(ProviderError::Service(fault)) = ask(&replayed, missing, 0) else {
                panic!("{missing} is not there")
            };
            assert!(fault.message.contains("calls.jsonl has no reply") && fault.hint.is_some());
        }
        // A killed process leaves half a line; recording goes on behind the last whole one.
        let whole = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(&path, format!("{whole}{{\"messages\": [")).expect("written");
        assert_eq!(replay().answers.len(), 3);
        record(&[("b", 0)]);
        assert_eq!(ask(&replay(), "b", 0).expect("a reply"), "b 1");
        assert_eq!(replay().answers.len(), 4);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = Replayed::new("c.jsonl", "\n{\"messages\": []}\n").err().expect("no answer in it");
        assert!(error.to_string().starts_with("c.jsonl:2: is no recorded call"), "{error}");
    }
}
