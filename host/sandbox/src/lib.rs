//! Runs tenant components: the only crate that knows wasmtime.
//!
//! A component is checked ([`load`]), compiled once (the compiled code is cached by the host alone), and gets
//! a fresh store per case and role. A role has a state type of its own: [`ChainComponent`] runs on one that
//! reaches the case's services, [`ScorerComponent`] on one that has no field to reach them with, so that its
//! refusals are a property of the type. What leaves this crate are values of `fapo-core`.

mod base;
mod beside;
mod bindings;
mod cache;
mod chain;
mod compile;
mod convert;
mod converter;
mod defence;
mod engine;
mod link;
mod load;
mod node;
mod ring;
mod scorer;
mod stop;
mod virtual_wasi;

pub use chain::ChainComponent;
pub use compile::{COMPILE_COMMAND, COMPILE_SET_UP_EXIT, CompileLimits, NotCompiled, compile_here};
pub use converter::{Conversion, ConverterComponent, ConverterDescription, Target};
#[cfg(feature = "undefended")]
pub use defence::Defence;
pub use engine::{Sandbox, SandboxError, SandboxSettings};
pub use load::{ComponentInfo, LoadError, Role, inspect};
pub use node::{NodeComponent, NodeMay};
pub use scorer::ScorerComponent;
