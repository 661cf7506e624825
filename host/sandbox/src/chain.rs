//! The chain role: a store that reaches the case's services, one case per store.

use crate::base::{Base, Overdue, in_time, invalid_call, to_micros, with_base, within};
use crate::bindings::exports::fapo::tenant::chain::{self as wit_chain, Guest, GuestIndices};
use crate::bindings::fapo::tenant::{judge_model, nodes, provider, retrieval};
use crate::convert;
use crate::defence::Defence;
use crate::engine::Inner;
use crate::link::linker;
use crate::load::ComponentInfo;
use crate::node::NodeComponent;
use crate::stop::{self, ServiceEnd};
use fapo_core::fault::{Fault, FaultKind, Phase};
use fapo_core::limits::Limits;
use fapo_core::names::is_name;
use fapo_core::ports::{
    BoxFuture, CaseServices, Chain, ChainOutcome, ContentFault, Definition, FinishReason, GenerateRequest, Hit,
    NodesUsed, Problem, SearchRequest, TimedStep,
};
use fapo_graph::{CaseInput, Catalogue, Step, StepId, StepOrigin};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// State of a chain's store.
pub(crate) struct ChainState {
    base: Base,
    services: Option<Arc<dyn CaseServices>>,
    /// What the case runs; host calls must name one of its nodes. None where no case runs.
    lowered: Option<Arc<Lowered>>,
    /// Steps returned so far; a host call may not name one of them.
    returned: BTreeSet<StepId>,
    /// Host calls are answered only while `next` runs.
    running: bool,
    /// Node components by the tenant's names.
    granted_nodes: Arc<BTreeMap<String, NodeComponent>>,
    /// What they used for this case.
    nodes_used: NodesUsed,
}

with_base!(ChainState);

impl ChainState {
    fn has_node(&self, name: &str) -> bool {
        self.lowered.as_ref().is_some_and(|lowered| lowered.has_node(name))
    }

    /// Counts `n` calls and gives the services, where the calls are allowed now.
    fn call(&mut self, ids: &[StepId], bytes: usize) -> wasmtime::Result<Arc<dyn CaseServices>> {
        self.base.count_calls(ids.len(), bytes)?;
        let (names, once) = (self.base.defences.has(Defence::NodeNames), self.base.defences.has(Defence::StepOnce));
        self.base.check_call_bytes(bytes)?;
        let refuse = |message: String| Err(invalid_call(message));
        for id in ids {
            if names && !self.has_node(&id.node) {
                return refuse(format!("a host call names node {:?}, which the graph does not have", cut(&id.node)));
            }
            if once && self.returned.contains(id) {
                return refuse(format!("a host call names step {}#{}, which has ended", id.node, id.visit));
            }
        }
        match &self.services {
            Some(services) if self.running => Ok(Arc::clone(services)),
            _ => refuse("a host call outside `next`: no step is running".to_string()),
        }
    }
}

pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(text.len().min(64))]
}

impl provider::Host for ChainState {
    async fn generate(
        &mut self,
        request: provider::GenerateRequest,
    ) -> wasmtime::Result<Result<provider::Generation, provider::ProviderError>> {
        let mut replies = self.generate_batch(vec![request]).await?;
        replies.pop().ok_or_else(|| wasmtime::Error::msg("one request has one reply"))
    }

    async fn generate_batch(
        &mut self,
        requests: Vec<provider::GenerateRequest>,
    ) -> wasmtime::Result<Vec<Result<provider::Generation, provider::ProviderError>>> {
        let (requests, ids, bytes) = asked(requests);
        let services = self.call(&ids, bytes)?;
        let held = services.held();
        let served = self.base.served(&held, async move { services.generate(requests).await }).await;
        let replies = served?.map_err(|e| wasmtime::Error::new(ServiceEnd(e)))?;
        for fault in replies.iter().filter_map(|r| r.as_ref().err()) {
            if let ContentFault::Denied(name) = fault {
                self.base.deny(&format!("provider {}", cut(name)));
            }
        }
        Ok(replies.into_iter().map(|r| r.map(generation).map_err(provider_error)).collect())
    }
}

/// Model calls as the host knows them, the steps that make them, and their bytes.
pub(crate) fn asked(requests: Vec<provider::GenerateRequest>) -> (Vec<GenerateRequest>, Vec<StepId>, usize) {
    let requests: Vec<GenerateRequest> = requests
        .into_iter()
        .map(|r| GenerateRequest {
            id: convert::step_id_from(r.id),
            model: r.model,
            messages: r.messages.into_iter().map(convert::message_from).collect(),
            output_tokens_max: r.output_tokens_max,
            stop: r.stop,
        })
        .collect();
    let ids = requests.iter().map(|r| r.id.clone()).collect();
    let bytes_of = |r: &GenerateRequest| {
        let texts = r.messages.iter().map(|m| &m.content).chain(&r.stop).chain([&r.model]);
        texts.map(String::len).sum::<usize>()
    };
    let bytes = requests.iter().map(bytes_of).sum();
    (requests, ids, bytes)
}

/// As [`asked`], for searches.
pub(crate) fn searched(requests: Vec<retrieval::SearchRequest>) -> (Vec<SearchRequest>, Vec<StepId>, usize) {
    let requests: Vec<SearchRequest> = requests
        .into_iter()
        .map(|r| SearchRequest { id: convert::step_id_from(r.id), index: r.index, query: r.query, k: r.k })
        .collect();
    let ids = requests.iter().map(|r| r.id.clone()).collect();
    let bytes = requests.iter().map(|r| r.query.len() + r.index.len()).sum();
    (requests, ids, bytes)
}

pub(crate) fn hits(found: Vec<Hit>) -> Vec<retrieval::Hit> {
    let hit = |h: Hit| retrieval::Hit { passage_id: h.passage_id, title: h.title, text: h.text, score: h.score };
    found.into_iter().map(hit).collect()
}

pub(crate) fn generation((text, finish): (String, FinishReason)) -> provider::Generation {
    let finish = match finish {
        FinishReason::Stop => provider::FinishReason::Stop,
        FinishReason::Length => provider::FinishReason::Length,
        FinishReason::Filtered => provider::FinishReason::Filtered,
        FinishReason::Other => provider::FinishReason::Other,
    };
    provider::Generation { text, finish }
}

pub(crate) fn provider_error(fault: ContentFault) -> provider::ProviderError {
    match fault {
        ContentFault::Denied(name) => provider::ProviderError::Denied(cut(&name).to_string()),
        ContentFault::InvalidRequest(why) => provider::ProviderError::InvalidRequest(why),
        ContentFault::ContextTooLong => provider::ProviderError::ContextTooLong,
        ContentFault::Refused(why) => provider::ProviderError::Refused(why),
    }
}

impl retrieval::Host for ChainState {
    async fn search(
        &mut self,
        request: retrieval::SearchRequest,
    ) -> wasmtime::Result<Result<Vec<retrieval::Hit>, retrieval::RetrievalError>> {
        let mut results = self.search_batch(vec![request]).await?;
        results.pop().ok_or_else(|| wasmtime::Error::msg("one request has one result"))
    }

    async fn search_batch(
        &mut self,
        requests: Vec<retrieval::SearchRequest>,
    ) -> wasmtime::Result<Vec<Result<Vec<retrieval::Hit>, retrieval::RetrievalError>>> {
        let (requests, ids, bytes) = searched(requests);
        let services = self.call(&ids, bytes)?;
        let began = Instant::now();
        let held = services.held();
        let served = self.base.done(&held, async move { services.search(requests).await }).await;
        self.base.wall.retrieval += began.elapsed().as_secs_f64();
        let results = served?.map_err(|e| wasmtime::Error::new(ServiceEnd(e)))?;
        let mut answers = Vec::with_capacity(results.len());
        for result in results {
            answers.push(match result {
                Ok(found) => Ok(hits(found)),
                Err(ContentFault::Denied(name)) => {
                    self.base.deny(&format!("retrieval {}", cut(&name)));
                    Err(retrieval::RetrievalError::Denied(cut(&name).to_string()))
                }
                Err(other) => Err(retrieval::RetrievalError::InvalidRequest(other.to_string())),
            });
        }
        Ok(answers)
    }
}

impl ChainState {
    /// Fuel of each of `n` calls of node components that begin together: an equal part of what the case's calls have
    /// left of one `fuel_units`, whatever order they end in.
    fn node_fuel(&self, n: usize) -> u64 {
        if !self.base.defences.has(Defence::NodeFuel) {
            return self.base.limits.fuel_units;
        }
        self.base.limits.fuel_units.saturating_sub(self.nodes_used.fuel) / n.max(1) as u64
    }
}

impl nodes::Host for ChainState {
    async fn call(
        &mut self,
        request: nodes::NodeRequest,
    ) -> wasmtime::Result<Result<nodes::NodeOutput, nodes::NodeError>> {
        let mut answers = nodes::Host::call_batch(self, vec![request]).await?;
        answers.pop().ok_or_else(|| wasmtime::Error::msg("one request has one answer"))
    }

    async fn call_batch(
        &mut self,
        requests: Vec<nodes::NodeRequest>,
    ) -> wasmtime::Result<Vec<Result<nodes::NodeOutput, nodes::NodeError>>> {
        let ids: Vec<StepId> = requests.iter().map(|r| convert::step_id_from(r.input.id.clone())).collect();
        let bytes = requests.iter().map(|r| r.component.len() + crate::node::input_bytes(&r.input)).sum();
        let services = self.call(&ids, bytes)?;
        let granted = Arc::clone(&self.granted_nodes);
        let fuel_units = self.node_fuel(requests.len());
        let calls = requests.into_iter().map(|request| {
            let node = granted.get(&request.component).ok_or_else(|| cut(&request.component).to_string());
            let services = Arc::clone(&services);
            async move {
                match node {
                    Ok(node) => Ok(node.call(request.input, services, fuel_units).await),
                    Err(unknown) => Err(unknown),
                }
            }
        });
        let began = Instant::now();
        let ended = in_time(self.base.host_call_wall(), &services.held(), futures::future::join_all(calls)).await;
        self.base.wall.nodes += began.elapsed().as_secs_f64();
        let ended = ended?;
        let mut answers = Vec::with_capacity(ended.len());
        for end in ended {
            answers.push(match end {
                Ok(end) => {
                    // What a node calls is called for the chain.
                    let returned = end.result.as_ref().map_or(0, crate::node::output_bytes);
                    let bytes = end.used.traffic_bytes as usize + returned;
                    self.base.count_calls(end.used.host_calls as usize, bytes)?;
                    end.used.denials.iter().for_each(|what| self.base.deny(&format!("node component: {what}")));
                    end.used.log.iter().for_each(|line| self.base.write_log("node component", line));
                    self.nodes_used.add(&end.used);
                    end.result?
                }
                Err(unknown) => {
                    self.base.deny(&format!("nodes {unknown}"));
                    Err(nodes::NodeError::Denied(unknown))
                }
            });
        }
        Ok(answers)
    }
}

/// A chain is no judge: a one-file tenant's chain gets a refusal.
impl judge_model::Host for ChainState {
    async fn ask(
        &mut self,
        request: judge_model::VerdictRequest,
    ) -> wasmtime::Result<Result<judge_model::Verdict, judge_model::JudgeError>> {
        self.base.count_calls(1, 0)?;
        self.base.deny(&format!("judge-model {}", cut(&request.model)));
        Ok(Err(judge_model::JudgeError::Denied(cut(&request.model).to_string())))
    }

    async fn ask_batch(
        &mut self,
        requests: Vec<judge_model::VerdictRequest>,
    ) -> wasmtime::Result<Vec<Result<judge_model::Verdict, judge_model::JudgeError>>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(judge_model::Host::ask(self, request).await?);
        }
        Ok(answers)
    }
}

/// A compiled chain, linked once, instantiated per case.
#[derive(Clone)]
pub struct ChainComponent {
    inner: Arc<Inner>,
    pre: InstancePre<ChainState>,
    indices: Arc<GuestIndices>,
    info: Arc<ComponentInfo>,
    limits: Limits,
    nodes: Arc<BTreeMap<String, NodeComponent>>,
    /// The definition that was last run.
    last: Arc<Mutex<Option<Arc<Lowered>>>>,
}

/// A definition, and what a component is handed of it.
struct Lowered {
    definition: Definition,
    handed: wit_chain::Definition,
}

impl Lowered {
    fn has_node(&self, name: &str) -> bool {
        self.definition.graph.nodes.iter().any(|node| node.name == name)
    }
}

impl ChainComponent {
    pub(crate) fn new(
        inner: Arc<Inner>,
        component: &Component,
        info: ComponentInfo,
        limits: Limits,
    ) -> wasmtime::Result<Self> {
        let pre = linker(&inner.engine)?.instantiate_pre(component)?;
        let indices = GuestIndices::new(&pre)?;
        Ok(ChainComponent {
            inner,
            pre,
            indices: Arc::new(indices),
            info: Arc::new(info),
            limits,
            nodes: Arc::default(),
            last: Arc::default(),
        })
    }

    /// What the component says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// The same chain with node components it may call, by the tenant's names.
    #[must_use]
    pub fn with_nodes(mut self, nodes: BTreeMap<String, NodeComponent>) -> Self {
        self.nodes = Arc::new(nodes);
        self
    }

    async fn open(
        &self,
        seed: &str,
        services: Option<Arc<dyn CaseServices>>,
        lowered: Option<Arc<Lowered>>,
    ) -> Result<(Store<ChainState>, Guest), Fault> {
        let state = ChainState {
            base: Base::new(seed, self.limits, self.inner.defences),
            services,
            lowered,
            returned: BTreeSet::new(),
            running: false,
            granted_nodes: Arc::clone(&self.nodes),
            nodes_used: NodesUsed::default(),
        };
        let mut store =
            self.inner.store(state).map_err(|e| Fault::new(Phase::Host, FaultKind::Internal, format!("{e:#}")))?;
        let beside = store.data().base.beside.clone();
        let opened = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            self.indices.load(&mut store, &instance)
        };
        match beside.with(opened).await {
            Ok(guest) => Ok((store, guest)),
            Err(e) => Err(stop::fault(Phase::Chain, &e, &store.data().base)),
        }
    }

    async fn run_case(
        &self,
        definition: &Definition,
        input: &CaseInput,
        given: &[Step],
        services: Arc<dyn CaseServices>,
    ) -> ChainOutcome {
        let mut outcome = ChainOutcome::default();
        let asked = Instant::now();
        let slot = match self.inner.slot().await {
            Ok(slot) => slot,
            Err(e) => {
                outcome.fault = Some(Fault::new(Phase::Host, FaultKind::Internal, e.to_string()));
                return outcome;
            }
        };
        let queued = asked.elapsed().as_secs_f64();
        let lowered = self.lowered(definition);
        let (mut store, guest) = match self.open(&input.case_id, Some(services), Some(Arc::clone(&lowered))).await {
            Ok(open) => open,
            Err(fault) => {
                outcome.fault = Some(fault);
                return outcome;
            }
        };
        let ended = self.drive(&mut store, &guest, &lowered.handed, input, given, &mut outcome.steps).await;
        let fuel_left = store.get_fuel().unwrap_or_default();
        outcome.fault = match ended {
            Ok(()) => None,
            Err(End::Fault(fault)) => Some(fault),
            Err(End::Store(e)) => Some(stop::fault(Phase::Chain, &e, &store.data().base)),
        };
        outcome.used = store.data_mut().base.used(fuel_left);
        outcome.used.wall.queue = to_micros(queued);
        outcome.used.nodes = store.data_mut().nodes_used;
        // The store goes before its slot: a slot is free only when its memory is.
        drop(store);
        drop(slot);
        outcome
    }

    /// The definition as the contract has it: made once for all cases of a run.
    fn lowered(&self, definition: &Definition) -> Arc<Lowered> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(lowered) if lowered.definition == *definition => Arc::clone(lowered),
            _ => {
                let handed = convert::definition(definition);
                let lowered = Arc::new(Lowered { definition: definition.clone(), handed });
                *last = Some(Arc::clone(&lowered));
                lowered
            }
        }
    }

    fn overdue(&self) -> ChainOutcome {
        let message = format!("the case ran longer than case_wall_ms = {}", self.limits.case_wall_ms);
        let fault = Fault::new(Phase::Host, FaultKind::TimedOut, message);
        ChainOutcome { fault: Some(fault), ..ChainOutcome::default() }
    }

    async fn drive(
        &self,
        store: &mut Store<ChainState>,
        guest: &Guest,
        definition: &wit_chain::Definition,
        input: &CaseInput,
        given: &[Step],
        steps: &mut Vec<TimedStep>,
    ) -> Result<(), End> {
        store.data_mut().base.ticks = 0;
        let started = {
            let case = convert::case_input(input);
            let handed: Vec<_> = given.iter().map(convert::given_step).collect();
            guest.call_start(&mut *store, definition, &case, &handed).await?
        };
        let run = started.map_err(|problems| {
            let said: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.subject, p.message)).collect();
            End::Fault(Fault::new(Phase::Chain, FaultKind::Returned, format!("start refused: {}", said.join("; "))))
        })?;
        let mut budget = OutputBudget { bytes: 0, steps: 0 };
        loop {
            let began = Instant::now();
            let state = store.data_mut();
            state.base.ticks = 0;
            state.running = true;
            let beside = state.base.beside.clone();
            let called = beside.with(guest.run().call_next(&mut *store, run)).await;
            store.data_mut().running = false;
            let superstep = match called? {
                Ok(Some(superstep)) => superstep,
                Ok(None) => break,
                Err(fault) => {
                    let f = Fault::new(Phase::Chain, FaultKind::Returned, fault.message);
                    return Err(End::Fault(match fault.id {
                        Some(id) => f.at(&convert::step_id_from(id)),
                        None => f,
                    }));
                }
            };
            let seconds = began.elapsed().as_secs_f64();
            if superstep.is_empty() {
                return Err(invalid("an empty superstep".into()));
            }
            for step in superstep {
                let step = budget.admit(store.data_mut(), convert::step_from(step), given, &self.limits)?;
                steps.push(TimedStep { step, seconds });
            }
        }
        // The run goes with its sandbox: a destructor would only be a further call in which a guest does as it likes.
        Ok(())
    }
}

/// How a case ends before its time.
enum End {
    /// The chain's own fault, or a result that is none.
    Fault(Fault),
    /// The store is dead.
    Store(wasmtime::Error),
}

impl From<wasmtime::Error> for End {
    fn from(e: wasmtime::Error) -> Self {
        End::Store(e)
    }
}

fn invalid(message: String) -> End {
    End::Fault(Fault::new(Phase::Chain, FaultKind::InvalidResult, message))
}

/// What a case's steps have used of their limits.
struct OutputBudget {
    bytes: u64,
    steps: u64,
}

impl OutputBudget {
    /// Takes a step in, its long texts cut and marked, or says why it is none.
    fn admit(&mut self, state: &mut ChainState, mut step: Step, given: &[Step], limits: &Limits) -> Result<Step, End> {
        self.steps += 1;
        if self.steps > limits.steps {
            return Err(limit("steps", format!("more than {} steps in one case", limits.steps)));
        }
        if state.base.defences.has(Defence::NodeNames) && !state.has_node(&step.id.node) {
            return Err(invalid(format!("a step names node {:?}, which the graph does not have", cut(&step.id.node))));
        }
        if !state.returned.insert(step.id.clone()) && state.base.defences.has(Defence::StepOnce) {
            return Err(invalid(format!("step {}#{} was returned twice", step.id.node, step.id.visit)));
        }
        let handed = given.iter().find(|given| given.id == step.id);
        match (step.origin, step.outputs.is_empty()) {
            // What was handed in counts, whatever the chain says of it.
            (StepOrigin::Given, _) if handed.is_some() => step = handed.cloned().unwrap_or(step),
            (StepOrigin::Given, _) => {
                return Err(invalid("a step of origin `given` that nobody gave".into()));
            }
            (StepOrigin::Executed, _) if handed.is_some() => {
                return Err(invalid(format!("step {} was given and ran all the same", cut(&step.id.node))));
            }
            (StepOrigin::Skipped, false) => {
                return Err(invalid(format!("skipped step {} has outputs", step.id.node)));
            }
            (StepOrigin::Executed, true) => {
                return Err(invalid(format!("executed step {} has no outputs", step.id.node)));
            }
            _ => {}
        }
        let field_bytes = if state.base.defences.has(Defence::FieldCut) { limits.field_bytes } else { u64::MAX };
        let mut seen = BTreeSet::new();
        for entry in &mut step.outputs {
            if !is_name(&entry.name) || !seen.insert(entry.name.clone()) {
                return Err(invalid(format!(
                    "output name {:?} of step {} is no unique name",
                    cut(&entry.name),
                    step.id.node
                )));
            }
            if cut_field(&mut entry.value, field_bytes) {
                step.diagnostics.push(format!("output {} truncated at {} bytes", entry.name, limits.field_bytes));
            }
            self.bytes += entry.value.len() as u64;
        }
        if let Some(text) = &mut step.output_text {
            if cut_field(text, field_bytes) {
                step.diagnostics.push(format!("output-text truncated at {} bytes", limits.field_bytes));
            }
            self.bytes += text.len() as u64;
        }
        step.diagnostics.truncate(64);
        for note in &mut step.diagnostics {
            cut_field(note, 1_024);
        }
        if self.bytes > limits.outputs_bytes {
            return Err(limit(
                "outputs_bytes",
                format!("steps of more than {} bytes in one case", limits.outputs_bytes),
            ));
        }
        Ok(step)
    }
}

fn limit(name: &str, message: String) -> End {
    End::Fault(Fault::new(Phase::Chain, FaultKind::LimitExceeded, format!("limit {name} passed: {message}")))
}

fn cut_field(text: &mut String, bytes_max: u64) -> bool {
    if text.len() as u64 <= bytes_max {
        return false;
    }
    text.truncate(text.floor_char_boundary(bytes_max as usize));
    true
}

impl Chain for ChainComponent {
    fn digest(&self) -> &str {
        &self.info.digest
    }

    fn nodes(&self) -> BTreeMap<String, Value> {
        self.nodes.iter().map(|(name, node)| (name.clone(), node.identity())).collect()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalogue, Fault>> {
        Box::pin(async {
            let _slot = self.inner.slot().await.map_err(host_fault)?;
            let (mut store, guest) = self.open("describe", None, None).await?;
            let said = guest.call_describe(&mut store).await;
            let catalogue = said.map_err(|e| stop::fault(Phase::Chain, &e, &store.data().base))?;
            convert::catalogue_from(catalogue).map_err(|why| Fault::new(Phase::Chain, FaultKind::InvalidResult, why))
        })
    }

    fn check<'a>(&'a self, definition: &'a Definition) -> BoxFuture<'a, Result<Vec<Problem>, Fault>> {
        Box::pin(async {
            let _slot = self.inner.slot().await.map_err(host_fault)?;
            let (mut store, guest) = self.open("check", None, None).await?;
            let said = guest.call_check(&mut store, &convert::definition(definition)).await;
            let problems = said.map_err(|e| stop::fault(Phase::Chain, &e, &store.data().base))?;
            Ok(convert::problems_from(problems))
        })
    }

    fn run<'a>(
        &'a self,
        definition: &'a Definition,
        input: &'a CaseInput,
        services: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        Box::pin(async move {
            let wall = Duration::from_millis(self.limits.case_wall_ms);
            let held = services.held();
            let case = pin!(self.run_case(definition, input, &[], services));
            within(wall, &held, case).await.unwrap_or_else(|Overdue| self.overdue())
        })
    }

    fn run_on<'a>(
        &'a self,
        definition: &'a Definition,
        input: &'a CaseInput,
        given: &'a [Step],
        services: Arc<dyn CaseServices>,
    ) -> BoxFuture<'a, ChainOutcome> {
        Box::pin(async move {
            let wall = Duration::from_millis(self.limits.case_wall_ms);
            let held = services.held();
            let case = pin!(self.run_case(definition, input, given, services));
            within(wall, &held, case).await.unwrap_or_else(|Overdue| self.overdue())
        })
    }
}

fn host_fault(e: wasmtime::Error) -> Fault {
    Fault::new(Phase::Host, FaultKind::Internal, e.to_string())
}
