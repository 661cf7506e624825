//! What a tenant author imports: chains, scorers and nodes in plain Rust types.
//!
//! Implement [`Chain`], [`Scorer`], [`NodeComponent`] or [`converter::Converter`] and name the type in
//! [`export_chain!`], [`export_scorer!`], [`export_node!`] or [`export_converter!`]. Compiled to `wasm32-wasip2` the crate is a component that a FAPO host runs; compiled natively the
//! same types run in `cargo test` over [`mock`]. The README begins with a first tenant.
//!
//! Left out on purpose: anything a sandboxed tenant cannot have, such as files, clocks, sockets and keys.

#[cfg(target_family = "wasm")]
extern crate self as fapo_tenant_sdk;

mod chain;
pub mod converter;
mod graph_builder;
#[cfg(any(test, all(feature = "heap", target_family = "wasm")))]
mod heap;
mod host;
pub mod judge;
mod kind;
pub mod kinds;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
mod node;
pub mod passages;
mod run;
mod scorer;
pub mod scoring;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod wasm;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use wit_bindgen;

pub use chain::{Chain, ChainBuilder, ChainFault, Definition, GivenStep, Problem, parameter};
pub use fapo_graph::{
    CaseInput, Catalogue, Entry, GraphSpec, Handle, HandleKind, NodeKind, NodeSpec, Parameter, Port, PortNeed, Step,
    StepId, StepOrigin, ValueSource,
};
pub use fapo_template::{Message, Prompt, Role};
pub use graph_builder::{GraphBuilder, NodeBuilder, context, node, param, step};
pub use host::{
    FinishReason, GenerateRequest, Generation, Hit, Host, LogLevel, NodeError, NodeInput, NodeOutput, NodeRequest,
    ProviderError, RetrievalError, SearchRequest,
};
pub use kind::{Kind, NodeCall, Output, Replies, Turn};
pub use node::{NodeComponent, OfferedKind};
pub use run::ChainRun;
pub use scorer::{FinishedCase, LabelledCase, ObservedSearch, Score, Scorer, expected_answer, expected_answers};
pub use serde_json::{Map, Value, json};

#[cfg(all(feature = "heap", target_family = "wasm"))]
#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

/// Version of this crate, as the section `fapo:sdk` of every component carries it.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Read by the host before it compiles a component: an unknown version gets a clear message instead of a type error.
#[cfg(target_family = "wasm")]
#[unsafe(link_section = "fapo:sdk")]
#[used]
static STAMP: [u8; SDK_VERSION.len()] = {
    let mut bytes = [0; SDK_VERSION.len()];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = SDK_VERSION.as_bytes()[at];
        at += 1;
    }
    bytes
};

/// Makes a type that implements [`Chain`] the chain of this component. Once per crate.
#[macro_export]
macro_rules! export_chain {
    ($chain:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::wasm::ChainExport<$chain>;
    $crate::bindings::chain::export_chain_component!(Exported with_types_in $crate::bindings::chain);
        };
    };
}

/// Makes a type that implements [`Scorer`] the scorer of this component. Once per crate.
#[macro_export]
macro_rules! export_scorer {
    ($scorer:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::wasm::ScorerExport<$scorer>;
    $crate::bindings::scorer::export_scorer_component!(Exported with_types_in $crate::bindings::scorer);
        };
    };
}

/// Makes a type that implements [`NodeComponent`] the node of this component. Once per crate.
#[macro_export]
macro_rules! export_node {
    ($node:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::wasm::NodeExport<$node>;
    $crate::bindings::node::export_node_component!(Exported with_types_in $crate::bindings::node);
        };
    };
}

/// Makes a type that implements [`Converter`](converter::Converter) the converter of this component. Once per crate.
#[macro_export]
macro_rules! export_converter {
    ($converter:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::wasm::ConverterExport<$converter>;
    $crate::bindings::converter::export_converter_component!(Exported with_types_in $crate::bindings::converter);
        };
    };
}
