//! The node role: a third party's node, called by a chain, in a store of its own for each call.
//!
//! What it may call is the operator's choice among what the calling tenant has: nothing, where nothing is said. Its
//! calls stand in the record under the step that called it, and are charged to the chain's limits as well.

use crate::base::{Base, with_base};
use crate::bindings::exports::fapo::tenant::node::{Guest, GuestIndices};
use crate::bindings::fapo::tenant::{judge_model, node_types, nodes, provider, retrieval, types};
use crate::chain::{asked, cut, generation, hits, provider_error, searched};
use crate::convert;
use crate::engine::Inner;
use crate::link::linker;
use crate::load::ComponentInfo;
use crate::stop::{self, ServiceEnd};
use fapo_core::fault::{FaultKind, Phase};
use fapo_core::limits::Limits;
use fapo_core::ports::{CaseServices, ContentFault, ResourceUse};
use fapo_graph::StepId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::{Component, InstancePre};

/// Bytes kept of a node's own fault.
const FAULT_BYTES_MAX: usize = 1 << 10;

/// What a node component may call, by the calling tenant's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeMay {
    /// Model aliases.
    pub models: BTreeSet<String>,
    /// Indexes.
    pub indexes: BTreeSet<String>,
}

/// State of a node's store.
pub(crate) struct NodeState {
    base: Base,
    services: Arc<dyn CaseServices>,
    /// The step that called it: its own calls may name no other.
    id: StepId,
    may: Arc<NodeMay>,
}

with_base!(NodeState);

impl NodeState {
    fn check(&mut self, ids: &[StepId], bytes: usize) -> wasmtime::Result<()> {
        self.base.count_calls(ids.len(), bytes)?;
        self.base.check_call_bytes(bytes)?;
        match ids.iter().find(|id| **id != self.id) {
            Some(other) => Err(crate::base::invalid_call(format!(
                "a node component names step {:?}, and was called by {}",
                cut(&other.node),
                self.id.node
            ))),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, interface: &str, name: &str) -> wasmtime::Result<String> {
        self.base.count_calls(1, name.len())?;
        self.base.deny(&format!("{interface} {}", cut(name)));
        Ok(cut(name).to_string())
    }
}

impl provider::Host for NodeState {
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
        self.check(&ids, bytes)?;
        if let Some(request) = requests.iter().find(|r| !self.may.models.contains(&r.model)) {
            self.base.deny(&format!("provider {}", cut(&request.model)));
            return Ok(requests.iter().map(|r| Err(provider::ProviderError::Denied(cut(&r.model).into()))).collect());
        }
        let (held, services) = (self.services.held(), Arc::clone(&self.services));
        let served = self.base.served(&held, async move { services.generate(requests).await }).await;
        let replies = served?.map_err(|e| wasmtime::Error::new(ServiceEnd(e)))?;
        Ok(replies.into_iter().map(|r| r.map(generation).map_err(provider_error)).collect())
    }
}

impl retrieval::Host for NodeState {
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
        self.check(&ids, bytes)?;
        if let Some(request) = requests.iter().find(|r| !self.may.indexes.contains(&r.index)) {
            self.base.deny(&format!("retrieval {}", cut(&request.index)));
            return Ok(requests.iter().map(|r| Err(retrieval::RetrievalError::Denied(cut(&r.index).into()))).collect());
        }
        let began = Instant::now();
        let (held, services) = (self.services.held(), Arc::clone(&self.services));
        let served = self.base.done(&held, async move { services.search(requests).await }).await;
        self.base.wall.retrieval += began.elapsed().as_secs_f64();
        let results = served?.map_err(|e| wasmtime::Error::new(ServiceEnd(e)))?;
        let answer = |result: Result<_, ContentFault>| match result {
            Ok(found) => Ok(hits(found)),
            Err(ContentFault::Denied(name)) => Err(retrieval::RetrievalError::Denied(cut(&name).to_string())),
            Err(other) => Err(retrieval::RetrievalError::InvalidRequest(other.to_string())),
        };
        Ok(results.into_iter().map(answer).collect())
    }
}

/// A node calls no node: there is no depth to bound.
impl nodes::Host for NodeState {
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

impl judge_model::Host for NodeState {
    async fn ask(
        &mut self,
        request: judge_model::VerdictRequest,
    ) -> wasmtime::Result<Result<judge_model::Verdict, judge_model::JudgeError>> {
        Ok(Err(judge_model::JudgeError::Denied(self.refuse("judge-model", &request.model)?)))
    }

    async fn ask_batch(
        &mut self,
        requests: Vec<judge_model::VerdictRequest>,
    ) -> wasmtime::Result<Vec<Result<judge_model::Verdict, judge_model::JudgeError>>> {
        requests
            .iter()
            .map(|r| Ok(Err(judge_model::JudgeError::Denied(self.refuse("judge-model", &r.model)?))))
            .collect()
    }
}

/// Bytes of what a node is given.
pub(crate) fn input_bytes(input: &node_types::NodeInput) -> usize {
    let ports = input.ports.iter().map(|entry| entry.name.len() + entry.value.len());
    let segments = input.prompt.iter().flat_map(|prompt| &prompt.messages).flat_map(|message| &message.segments);
    let prompt = segments.map(|segment| match segment {
        types::Segment::Literal(text) | types::Segment::Placeholder(text) => text.len(),
    });
    input.kind.len() + input.settings.len() + ports.chain(prompt).sum::<usize>()
}

/// Bytes of what a node gives back.
pub(crate) fn output_bytes(answer: &Result<nodes::NodeOutput, nodes::NodeError>) -> usize {
    let Ok(output) = answer else {
        return 0;
    };
    let outputs = output.outputs.iter().map(|entry| entry.name.len() + entry.value.len());
    outputs.chain(output.diagnostics.iter().map(String::len)).sum()
}

/// A compiled node component, linked once, instantiated per call.
#[derive(Clone)]
pub struct NodeComponent {
    inner: Arc<Inner>,
    pre: InstancePre<NodeState>,
    indices: Arc<GuestIndices>,
    info: Arc<ComponentInfo>,
    limits: Limits,
    may: Arc<NodeMay>,
}

/// How one call of a node ended, and what it used.
pub(crate) struct NodeEnd {
    /// An `Err` ends the case: a fault of a service or of the clock, which says nothing about the node.
    pub(crate) result: wasmtime::Result<Result<nodes::NodeOutput, nodes::NodeError>>,
    pub(crate) used: ResourceUse,
}

impl NodeComponent {
    pub(crate) fn new(
        inner: Arc<Inner>,
        component: &Component,
        info: ComponentInfo,
        limits: Limits,
        may: NodeMay,
    ) -> wasmtime::Result<Self> {
        let pre = linker(&inner.engine)?.instantiate_pre(component)?;
        let indices = GuestIndices::new(&pre)?;
        Ok(NodeComponent { inner, pre, indices: Arc::new(indices), info: Arc::new(info), limits, may: Arc::new(may) })
    }

    /// What the component says of itself.
    pub fn info(&self) -> &ComponentInfo {
        &self.info
    }

    /// What results depend on: its bytes and what it may call.
    pub(crate) fn identity(&self) -> Value {
        json!({"digest": self.info.digest, "models": self.may.models, "indexes": self.may.indexes})
    }

    /// One call in a store of its own, with at most `fuel_units` of fuel.
    pub(crate) async fn call(
        &self,
        input: node_types::NodeInput,
        services: Arc<dyn CaseServices>,
        fuel_units: u64,
    ) -> NodeEnd {
        let unused = |result| NodeEnd { result, used: ResourceUse::default() };
        let asked = Instant::now();
        let slot = match self.inner.node_slot().await {
            Ok(slot) => slot,
            Err(e) => return unused(Err(e)),
        };
        let queue = asked.elapsed().as_secs_f64();
        let id = convert::step_id_from(input.id.clone());
        // Equal calls get equal randomness, whatever ran before.
        let seed = format!("node {}#{}", id.node, id.visit);
        let base = Base::new(&seed, Limits { fuel_units, ..self.limits }, self.inner.defences);
        let state = NodeState { base, services, id, may: Arc::clone(&self.may) };
        let mut store = match self.inner.store(state) {
            Ok(store) => store,
            Err(e) => return unused(Err(e)),
        };
        let beside = store.data().base.beside.clone();
        let called: wasmtime::Result<_> = beside
            .with(async {
                let instance = self.pre.instantiate_async(&mut store).await?;
                let guest: Guest = self.indices.load(&mut store, &instance)?;
                guest.call_run(&mut store, &input).await
            })
            .await;
        let result = match called {
            Ok(Ok(output)) => Ok(Ok(output)),
            Ok(Err(mut fault)) => {
                fault.message.truncate(fault.message.floor_char_boundary(fault.message.len().min(FAULT_BYTES_MAX)));
                Ok(Err(nodes::NodeError::Fault(fault)))
            }
            Err(e) => {
                let fault = stop::fault(Phase::Chain, &e, &store.data().base);
                let of_the_node = !fault.kind.is_infrastructure() && fault.kind != FaultKind::Internal;
                if of_the_node { Ok(Err(nodes::NodeError::Stopped(fault.message))) } else { Err(e) }
            }
        };
        let fuel_left = store.get_fuel().unwrap_or_default();
        let mut used = store.data_mut().base.used(fuel_left);
        used.wall.queue = queue;
        drop(store);
        drop(slot);
        NodeEnd { result, used }
    }
}
