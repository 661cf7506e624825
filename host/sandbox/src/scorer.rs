//! The scorer role: a store that sees the label and can reach nothing but a judge, where one is granted.
//!
//! [`ScorerState`] has no field through which a provider, an index or a node could be reached. Where a
//! component of several roles imports them, they are answered `denied` and counted. A judge is reached through a port
//! that takes names and values and no message: the host makes the prompt.

use crate::base::{Base, Overdue, to_micros, with_base, within};
use crate::bindings::exports::fapo::tenant::scorer::{self, Guest, GuestIndices};
use crate::bindings::fapo::tenant::{judge_model, nodes, provider, retrieval};
use crate::chain::cut;
use crate::convert;
use crate::engine::Inner;
use crate::link::linker;
use crate::load::ComponentInfo;
use crate::stop::{self, ServiceEnd};
use fapo_core::case::Case;
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::judge::{JudgeFault, Question, Verdict};
use fapo_core::limits::Limits;
use fapo_core::ports::{BoxFuture, ContentFault, FinishedCase, JudgeServices, ResourceUse, ScoreOutcome, Scorer};
use fapo_core::score::{RawScore, Score};
use serde_json::Value;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// Rows that share a store while a dataset is validated.
const VALIDATION_ROWS_PER_STORE: usize = 1_000;
/// Bytes kept of a scorer's feedback and of each of its notes.
const NOTE_BYTES_MAX: usize = 8 << 10;
/// Notes kept of a scorer.
const NOTES_MAX: usize = 32;

/// State of a scorer's store.
pub(crate) struct ScorerState {
    pub(crate) base: Base,
    /// None where no judge is granted, and while rows are validated.
    judge: Option<Arc<dyn JudgeServices>>,
}

with_base!(ScorerState);

impl ScorerState {
    /// A state that reaches nothing at all.
    pub(crate) fn without_judge(base: Base) -> Self {
        ScorerState { base, judge: None }
    }

    fn refuse(&mut self, interface: &str, name: &str) -> wasmtime::Result<String> {
        self.base.count_calls(1, name.len())?;
        let shown: String = name.chars().take(64).collect();
        self.base.deny(&format!("{interface} {shown}"));
        Ok(shown)
    }
}

impl provider::Host for ScorerState {
    async fn generate(
        &mut self,
        request: provider::GenerateRequest,
    ) -> wasmtime::Result<Result<provider::Generation, provider::ProviderError>> {
        Ok(Err(provider::ProviderError::Denied(self.refuse("provider", &request.model)?)))
    }

    async fn generate_batch(
        &mut self,
        requests: Vec<provider::GenerateRequest>,
    ) -> wasmtime::Result<Vec<Result<provider::Generation, provider::ProviderError>>> {
        requests.iter().map(|r| Ok(Err(provider::ProviderError::Denied(self.refuse("provider", &r.model)?)))).collect()
    }
}

impl retrieval::Host for ScorerState {
    async fn search(
        &mut self,
        request: retrieval::SearchRequest,
    ) -> wasmtime::Result<Result<Vec<retrieval::Hit>, retrieval::RetrievalError>> {
        Ok(Err(retrieval::RetrievalError::Denied(self.refuse("retrieval", &request.index)?)))
    }

    async fn search_batch(
        &mut self,
        requests: Vec<retrieval::SearchRequest>,
    ) -> wasmtime::Result<Vec<Result<Vec<retrieval::Hit>, retrieval::RetrievalError>>> {
        requests
            .iter()
            .map(|r| Ok(Err(retrieval::RetrievalError::Denied(self.refuse("retrieval", &r.index)?))))
            .collect()
    }
}

impl nodes::Host for ScorerState {
    async fn call(
        &mut self,
        request: nodes::NodeRequest,
    ) -> wasmtime::Result<Result<nodes::NodeOutput, nodes::NodeError>> {
        Ok(Err(nodes::NodeError::Denied(self.refuse("nodes", &request.component)?)))
    }

    async fn call_batch(
        &mut self,
        requests: Vec<nodes::NodeRequest>,
    ) -> wasmtime::Result<Vec<Result<nodes::NodeOutput, nodes::NodeError>>> {
        requests.iter().map(|r| Ok(Err(nodes::NodeError::Denied(self.refuse("nodes", &r.component)?)))).collect()
    }
}

impl judge_model::Host for ScorerState {
    async fn ask(
        &mut self,
        request: judge_model::VerdictRequest,
    ) -> wasmtime::Result<Result<judge_model::Verdict, judge_model::JudgeError>> {
        let mut verdicts = self.ask_batch(vec![request]).await?;
        verdicts.pop().ok_or_else(|| wasmtime::Error::msg("one question has one verdict"))
    }

    async fn ask_batch(
        &mut self,
        requests: Vec<judge_model::VerdictRequest>,
    ) -> wasmtime::Result<Vec<Result<judge_model::Verdict, judge_model::JudgeError>>> {
        let questions: Vec<Question> = requests.into_iter().map(question).collect();
        let bytes = questions.iter().map(question_bytes).sum();
        self.base.count_calls(questions.len(), bytes)?;
        self.base.check_call_bytes(bytes)?;
        let Some(judge) = self.judge.clone() else {
            for question in &questions {
                self.base.deny(&format!("judge-model {}", cut(&question.model)));
            }
            return Ok(questions.iter().map(|q| Err(judge_model::JudgeError::Denied(cut(&q.model).into()))).collect());
        };
        self.base.count_judge_calls(questions.iter().map(Question::calls).sum())?;
        let held = judge.held();
        let asked = self.base.served(&held, async move { judge.ask(questions).await }).await;
        let verdicts = asked?.map_err(|e| wasmtime::Error::new(ServiceEnd(e)))?;
        for denied in verdicts.iter().filter_map(|v| match v {
            Err(JudgeFault::Content(ContentFault::Denied(name))) => Some(name),
            _ => None,
        }) {
            self.base.deny(&format!("judge-model {}", cut(denied)));
        }
        let verdict = |v: Verdict| judge_model::Verdict { answer: v.answer, swapped: v.swapped };
        Ok(verdicts.into_iter().map(|v| v.map(verdict).map_err(judge_error)).collect())
    }
}

fn question(request: judge_model::VerdictRequest) -> Question {
    Question {
        prompt: request.prompt,
        model: request.model,
        values: request.values.into_iter().map(|entry| (entry.name, entry.value)).collect(),
        choices: request.choices,
        swap: request.swap,
    }
}

fn question_bytes(question: &Question) -> usize {
    let values = question.values.iter().map(|(name, value)| name.len() + value.len());
    question.prompt.len() + question.model.len() + values.chain(question.choices.iter().map(String::len)).sum::<usize>()
}

fn judge_error(fault: JudgeFault) -> judge_model::JudgeError {
    match fault {
        JudgeFault::OffChoice(reply) => judge_model::JudgeError::OffChoice(reply),
        JudgeFault::Content(ContentFault::Denied(name)) => judge_model::JudgeError::Denied(cut(&name).into()),
        JudgeFault::Content(ContentFault::Refused(why)) => judge_model::JudgeError::Refused(why),
        JudgeFault::Content(ContentFault::InvalidRequest(why)) => judge_model::JudgeError::InvalidRequest(why),
        JudgeFault::Content(other @ ContentFault::ContextTooLong) => {
            judge_model::JudgeError::InvalidRequest(other.to_string())
        }
    }
}

/// A compiled scorer, linked once, instantiated per case.
#[derive(Clone)]
pub struct ScorerComponent {
    inner: Arc<Inner>,
    pre: InstancePre<ScorerState>,
    indices: Arc<GuestIndices>,
    info: Arc<ComponentInfo>,
    limits: Limits,
}

impl ScorerComponent {
    pub(crate) fn new(
        inner: Arc<Inner>,
        component: &Component,
        info: ComponentInfo,
        limits: Limits,
    ) -> wasmtime::Result<Self> {
        let pre = linker(&inner.engine)?.instantiate_pre(component)?;
        let indices = GuestIndices::new(&pre)?;
        Ok(ScorerComponent { inner, pre, indices: Arc::new(indices), info: Arc::new(info), limits })
    }

    /// What the component says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    async fn open(
        &self,
        seed: &str,
        judge: Option<Arc<dyn JudgeServices>>,
    ) -> Result<(Store<ScorerState>, Guest), Fault> {
        let state = ScorerState { base: Base::new(seed, self.limits, self.inner.defences), judge };
        let mut store =
            self.inner.store(state).map_err(|e| Fault::new(Phase::Host, FaultKind::Internal, format!("{e:#}")))?;
        let beside = store.data().base.beside.clone();
        let opened = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            self.indices.load(&mut store, &instance)
        };
        match beside.with(opened).await {
            Ok(guest) => Ok((store, guest)),
            Err(e) => Err(stop::fault(Phase::Scorer, &e, &store.data().base)),
        }
    }

    async fn validate_rows(&self, cases: &[Case], profile: &String) -> Result<Vec<(usize, String)>, Fault> {
        let mut refused = Vec::new();
        for (chunk_at, chunk) in cases.chunks(VALIDATION_ROWS_PER_STORE).enumerate() {
            let _slot = self.inner.slot().await.map_err(host_fault)?;
            let (mut store, guest) = self.open("validate", None).await?;
            for (at, case) in chunk.iter().enumerate() {
                store.data_mut().base.ticks = 0;
                let fuel = store.data_mut().base.fuel_units();
                let _ = store.set_fuel(fuel);
                match guest.call_validate_case(&mut store, &labelled(case), profile).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => refused.push((chunk_at * VALIDATION_ROWS_PER_STORE + at, short(why))),
                    Err(e) => {
                        let fault = stop::fault(Phase::Scorer, &e, &store.data().base);
                        return Err(Fault { message: format!("case {:?}: {}", case.case_id, fault.message), ..fault });
                    }
                }
            }
        }
        Ok(refused)
    }

    async fn score_case(
        &self,
        finished: FinishedCase<'_>,
        profile: &String,
        judge: Option<Arc<dyn JudgeServices>>,
    ) -> ScoreOutcome {
        let failed = |fault| ScoreOutcome { result: Err(fault), used: ResourceUse::default() };
        let asked = Instant::now();
        let slot = match self.inner.slot().await {
            Ok(slot) => slot,
            Err(e) => return failed(host_fault(e)),
        };
        let queued = asked.elapsed().as_secs_f64();
        let (mut store, guest) = match self.open(&finished.case.case_id, judge).await {
            Ok(open) => open,
            Err(fault) => return failed(fault),
        };
        let (beside, finished) = (store.data().base.beside.clone(), finished_case(finished));
        let said = beside.with(guest.call_score_case(&mut store, &finished, profile)).await;
        let result = match said {
            Ok(Ok(score)) => checked(score),
            Ok(Err(fault)) => Err(Fault::new(Phase::Scorer, FaultKind::Returned, short(fault.message))),
            Err(e) => Err(stop::fault(Phase::Scorer, &e, &store.data().base)),
        };
        let fuel_left = store.get_fuel().unwrap_or_default();
        let mut used = store.data_mut().base.used(fuel_left);
        used.wall.queue = to_micros(queued);
        drop(store);
        drop(slot);
        ScoreOutcome { result, used }
    }
}

fn checked(score: scorer::Score) -> Result<Score, Fault> {
    let raw = RawScore {
        composite: score.composite,
        breakdown: score.breakdown.into_iter().map(|m| (m.name, m.value)).collect(),
        feedback: short(score.feedback),
        diagnostics: score.diagnostics.into_iter().take(NOTES_MAX).map(short).collect(),
    };
    Score::checked(raw).map_err(|e| {
        Fault::new(Phase::Scorer, FaultKind::InvalidResult, e.to_string())
            .hint("mend the scorer: a score is a finite number of 0..=100, nothing is clamped; the case counts as 0")
    })
}

/// A text of a guest that is kept, cut.
pub(crate) fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(text.len().min(NOTE_BYTES_MAX)));
    text
}

fn labelled(case: &Case) -> scorer::LabelledCase {
    scorer::LabelledCase {
        input: convert::case_input(&case.input()),
        expected: Value::Object(case.expected.clone()).to_string(),
        metadata: Value::Object(case.metadata.clone()).to_string(),
    }
}

fn finished_case(finished: FinishedCase<'_>) -> scorer::FinishedCase {
    scorer::FinishedCase {
        labelled: labelled(finished.case),
        steps: finished.steps.iter().map(|timed| convert::step(&timed.step)).collect(),
        searches: finished
            .searches
            .iter()
            .map(|s| scorer::ObservedSearch {
                id: convert::step_id(&s.id),
                index: s.index.clone(),
                query: s.query.clone(),
                hits: s.hits.clone(),
            })
            .collect(),
        output_text: finished.output_text.into(),
    }
}

impl Scorer for ScorerComponent {
    fn digest(&self) -> &str {
        &self.info.digest
    }

    fn validate<'a>(
        &'a self,
        cases: &'a [Case],
        profile: &'a Value,
    ) -> BoxFuture<'a, Result<Vec<(usize, String)>, Fault>> {
        Box::pin(async move { self.validate_rows(cases, &profile.to_string()).await })
    }

    fn score<'a>(
        &'a self,
        finished: FinishedCase<'a>,
        profile: &'a Value,
        judge: Option<Arc<dyn JudgeServices>>,
    ) -> BoxFuture<'a, ScoreOutcome> {
        Box::pin(async move {
            let wall = Duration::from_millis(self.limits.case_wall_ms);
            let profile = profile.to_string();
            let held = judge.as_ref().map(|judge| judge.held()).unwrap_or_default();
            let case = pin!(self.score_case(finished, &profile, judge));
            match within(wall, &held, case).await {
                Ok(outcome) => outcome,
                Err(Overdue) => ScoreOutcome {
                    result: Err(Fault::new(
                        Phase::Scorer,
                        FaultKind::TimedOut,
                        "the scorer ran longer than case_wall_ms",
                    )),
                    used: ResourceUse::default(),
                },
            }
        })
    }
}

fn host_fault(e: wasmtime::Error) -> Fault {
    Fault::new(Phase::Host, FaultKind::Internal, e.to_string())
}
