//! Calls that run side by side: a thread a core, and on each a few sequences that go forward together, because the
//! weights that one needs are the weights that all need. Who runs beside whom changes when a reply comes, never what
//! it says.

use super::sampling::Sampler;
use super::{EmbeddedSettings, Loaded, internal};
use fapo_core::ports::{ContentFault, FinishReason, ModelCall, ModelReply, ProviderError, Usage};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

use super::llama::Cache;

/// Most threads: more cores than this gain nothing, memory is the limit.
const THREADS_MAX: usize = 16;
/// Sequences of a thread: four share the reading of a weight, more would make each wait longer.
const SEQUENCES_MAX: usize = 4;

type Answer = Result<ModelReply, ProviderError>;

/// A call with the place its reply goes to.
pub(super) struct Job {
    pub(super) call: ModelCall,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The threads; dropping them ends them when their sequences are at their end.
pub(super) struct Threads {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
}

impl Threads {
    /// Starts a thread a core.
    pub(super) fn start(loaded: Loaded, settings: &EmbeddedSettings) -> Self {
        let (loaded, queue) = (Arc::new(loaded), Arc::<Queue>::default());
        let count = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
        for _ in 0..count {
            let (loaded, queue, settings) = (Arc::clone(&loaded), Arc::clone(&queue), settings.clone());
            std::thread::spawn(move || {
                // Whatever ends a thread, nobody waits for a reply that does not come.
                let _closing = Closing(Arc::clone(&queue));
                work(&loaded, &settings, &queue);
            });
        }
        Threads { queue }
    }

    /// Adds a call. Where no thread is left, its reply never comes and its channel says so.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.queue.state();
        if !state.closed {
            state.waiting.push_back(job);
            self.queue.changed.notify_one();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// The next call for a thread that runs so many sequences. One with none waits for it; None ends it. One with some
    /// leaves it to a thread that has nothing to do.
    fn next(&self, running: usize) -> Option<Job> {
        let mut state = self.state();
        if running > 0 {
            let takes = running < SEQUENCES_MAX && state.waiting.len() > state.idle;
            return if takes { state.waiting.pop_front() } else { None };
        }
        state.idle += 1;
        while state.waiting.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        state.waiting.pop_front()
    }
}

fn work(loaded: &Loaded, settings: &EmbeddedSettings, queue: &Queue) {
    let mut running: Vec<Running> = Vec::new();
    loop {
        while let Some(job) = queue.next(running.len()) {
            let Job { call, reply } = job;
            match Running::begin(loaded, settings, &call) {
                Ok(begun) => running.push(Running { reply: Some(reply), ..begun }),
                // The caller may be gone.
                Err(e) => drop(reply.send(Err(e))),
            }
        }
        if running.is_empty() {
            return;
        }
        running.retain(|sequence| sequence.reply.as_ref().is_some_and(|reply| !reply.is_closed()));
        if running.is_empty() {
            continue;
        }
        let mut together: Vec<(&[u32], &mut Cache)> =
            running.iter_mut().map(|sequence| (sequence.next.as_slice(), &mut sequence.cache)).collect();
        let scores = loaded.model.forward(&mut together);
        match scores {
            Ok(scores) => {
                for (sequence, mut scores) in running.iter_mut().zip(scores) {
                    sequence.step(loaded, &mut scores);
                }
            }
            Err(e) => running.iter_mut().for_each(|sequence| sequence.end(Err(internal(&e)))),
        }
    }
}

/// A sequence on its way.
struct Running {
    /// Tokens to run next: the prompt's end, then one at a time.
    next: Vec<u32>,
    cache: Cache,
    sampler: Sampler,
    said: Vec<u32>,
    text: String,
    prompt_tokens: usize,
    /// Most tokens of the reply.
    most: usize,
    stop: Vec<String>,
    /// Gone when the reply was sent.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Running {
    fn begin(loaded: &Loaded, settings: &EmbeddedSettings, call: &ModelCall) -> Result<Self, ProviderError> {
        let (prefix, rest) = loaded.tokens(&call.messages).map_err(internal)?;
        let prompt_tokens = prefix.len() + rest.len();
        let room = loaded.model.context().saturating_sub(prompt_tokens);
        if room == 0 {
            return Err(ContentFault::ContextTooLong.into());
        }
        let cap = call.output_tokens_max.unwrap_or(u32::MAX).min(settings.output_tokens_max) as usize;
        let seed = settings.seed.wrapping_add(u64::from(call.sample));
        Ok(Running {
            cache: loaded.prefix(prefix).map_err(internal)?,
            next: rest,
            sampler: Sampler::new(settings.temperature, settings.top_p, seed),
            said: Vec::new(),
            text: String::new(),
            prompt_tokens,
            most: cap.min(room),
            stop: call.stop.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            reply: None,
        })
    }

    /// Chooses the token after those that ran, and ends the reply where it is the last.
    fn step(&mut self, loaded: &Loaded, scores: &mut [f32]) {
        if self.most == 0 {
            return self.finish(FinishReason::Length);
        }
        let token = self.sampler.next(scores);
        if loaded.ends(token) {
            return self.finish(FinishReason::Stop);
        }
        self.said.push(token);
        match loaded.tokenizer.decode(&self.said, true) {
            Ok(text) => self.text = text,
            Err(e) => return self.end(Err(internal(e))),
        }
        if let Some(at) = self.stop.iter().filter_map(|stop| self.text.find(stop.as_str())).min() {
            self.text.truncate(at);
            return self.finish(FinishReason::Stop);
        }
        if self.said.len() == self.most {
            return self.finish(FinishReason::Length);
        }
        self.next = vec![token];
    }

    fn finish(&mut self, finish: FinishReason) {
        let usage = Usage { prompt_tokens: self.prompt_tokens as u64, completion_tokens: self.said.len() as u64 };
        let reply = ModelReply {
            text: self.text.trim().to_string(),
            finish,
            usage: Some(usage),
            model_served: None,
            fingerprint: None,
            cached: false,
            attempts: 1,
        };
        self.end(Ok(reply));
    }

    fn end(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            // The caller may be gone.
            drop(reply.send(answer));
        }
    }
}
