//! A small language model inside the program: no key, no server, no network once its file is there.
//!
//! Sequences run side by side, and no number of one depends on another: equal calls have equal replies whatever else
//! runs. Everything before the last message is run as a piece of its own and kept: a chain's instructions and worked examples are paid for once, and
//! the cut comes from the prompt and never from the cases seen so far.

mod batch;
mod download;
mod llama;
mod matrix;
mod sampling;
mod settings;
mod vectors;
pub mod weights;

use batch::{Job, Threads};
use fapo_core::InputError;
use fapo_core::fault::FaultKind;
use fapo_core::ports::{BoxFuture, ModelCall, ModelReply, Provider, ProviderError, ServiceFault};
use fapo_core::price::Price;
use fapo_template::{Message, Role};
use llama::{Cache, Llama};
use serde_json::{Value, json};
pub use settings::EmbeddedSettings;
use shimmytok::Tokenizer;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::oneshot;

/// Said where a prompt has no instructions of its own, as the model's chat template has it.
const SYSTEM_DEFAULT: &str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
/// Beginnings of prompts that are kept: one for each module of a chain of a usual size.
const PREFIXES_MAX: usize = 6;
/// The model as a provider. Its file is read with the first call.
pub struct Embedded {
    settings: EmbeddedSettings,
    digest: String,
    started: Arc<OnceLock<Result<Threads, String>>>,
}

/// A model in memory.
struct Loaded {
    model: Llama,
    tokenizer: Tokenizer,
    /// Beginnings of prompts with their keys and values, the latest used last.
    prefixes: Mutex<Vec<(Vec<u32>, Arc<Cache>)>>,
}

impl Embedded {
    /// A provider over a model's file.
    ///
    /// # Errors
    /// A setting is out of its range (by field), or the file cannot be read.
    pub fn new(settings: EmbeddedSettings) -> Result<Self, InputError> {
        settings.check()?;
        let digest = weights::digest_of(&settings.file)?;
        Ok(Embedded { settings, digest, started: Arc::default() })
    }
}

impl Provider for Embedded {
    fn identity(&self) -> Value {
        json!({"provider": "embedded", "file": self.digest, "temperature": self.settings.temperature,
               "top_p": self.settings.top_p, "output_tokens_max": self.settings.output_tokens_max,
               "seed": self.settings.seed, "requantised": llama::REQUANTISED, "engine": 2})
    }

    fn samples(&self) -> bool {
        self.settings.temperature > 0.0
    }

    fn price(&self) -> Option<Price> {
        Some(Price::default())
    }

    fn generate<'a>(&'a self, call: &'a ModelCall) -> BoxFuture<'a, Result<ModelReply, ProviderError>> {
        Box::pin(async move {
            if self.started.get().is_none() {
                let (started, settings) = (Arc::clone(&self.started), self.settings.clone());
                let start = move || Loaded::read(&settings.file).map(|loaded| Threads::start(loaded, &settings));
                // Reading the file takes a second of a thread's time; whoever comes second waits for it.
                let starting = move || {
                    started.get_or_init(start);
                };
                tokio::task::spawn_blocking(starting).await.map_err(internal)?;
            }
            let threads = self.started.get().expect("it was started just now").as_ref().map_err(internal)?;
            let (reply, received) = oneshot::channel();
            threads.push(Job { call: call.clone(), reply });
            let reply = received.await.unwrap_or_else(|_| Err(internal("its thread ended")))?;
            Ok(ModelReply { model_served: Some(self.digest.clone()), ..reply })
        })
    }
}

fn internal(message: impl std::fmt::Display) -> ProviderError {
    ServiceFault {
        kind: FaultKind::Internal,
        message: format!("the embedded model: {message}"),
        hint: Some("fetch its file again: fapo model rm && fapo model pull".into()),
    }
    .into()
}

impl Loaded {
    fn read(path: &Path) -> Result<Self, String> {
        let text = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = std::fs::File::open(path).map_err(|e| text(&e))?;
        let model = Llama::read(&mut std::io::BufReader::new(file)).map_err(|e| text(&e))?;
        let tokenizer = Tokenizer::from_gguf_file(path).map_err(|e| text(&e))?;
        Ok(Loaded { model, tokenizer, prefixes: Mutex::default() })
    }

    /// The prompt in two pieces: everything before the last message, and the last with the head of the reply.
    fn tokens(&self, messages: &[Message]) -> Result<(Vec<u32>, Vec<u32>), String> {
        let mut said: Vec<(&str, &str)> = Vec::new();
        if messages.first().is_none_or(|message| message.role != Role::System) {
            said.push(("system", SYSTEM_DEFAULT));
        }
        said.extend(messages.iter().map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            (role, message.content.as_str())
        }));
        let last = said.pop().expect("the default instructions stand at least");
        let mut prefix = Vec::new();
        for (role, content) in said {
            prefix.extend(self.message(role, content)?);
        }
        let mut rest = self.message(last.0, last.1)?;
        rest.push(self.marker("<|im_start|>")?);
        rest.extend(self.plain("assistant\n")?);
        Ok((prefix, rest))
    }

    /// One message of the chat. Markers are put in as tokens and never read out of a text: a value that holds one is
    /// just those letters.
    fn message(&self, role: &str, content: &str) -> Result<Vec<u32>, String> {
        let mut tokens = vec![self.marker("<|im_start|>")?];
        tokens.extend(self.plain(&format!("{role}\n{content}"))?);
        tokens.push(self.marker("<|im_end|>")?);
        tokens.extend(self.plain("\n")?);
        Ok(tokens)
    }

    fn plain(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokenizer.encode(text, false).map_err(|e| e.to_string())
    }

    fn marker(&self, name: &str) -> Result<u32, String> {
        self.tokenizer.get_token(name).ok_or_else(|| format!("the file has no token {name}"))
    }

    fn ends(&self, token: u32) -> bool {
        token == self.tokenizer.eos_token()
            || ["<|im_end|>", "<|endoftext|>"].iter().any(|name| self.tokenizer.get_token(name) == Some(token))
    }

    /// Keys and values of a prompt's beginning, from those that are kept or made now; whoever needs the same one waits.
    fn prefix(&self, tokens: Vec<u32>) -> candle_core::Result<Cache> {
        if tokens.is_empty() {
            return Ok(Cache::default());
        }
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match prefixes.iter().position(|(kept, _)| *kept == tokens) {
            Some(at) => prefixes.remove(at),
            None => {
                let mut cache = Cache::default();
                self.model.forward(&mut [(tokens.as_slice(), &mut cache)])?;
                (tokens, Arc::new(cache))
            }
        };
        let cache = Arc::clone(&kept.1);
        prefixes.push(kept);
        if prefixes.len() > PREFIXES_MAX {
            prefixes.remove(0);
        }
        drop(prefixes);
        Ok((*cache).clone())
    }
}

/// A digest's hex digits.
fn short(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

#[cfg(test)]
mod tests;
