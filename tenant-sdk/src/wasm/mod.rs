//! The component side: exports that call the author's types, imports behind [`crate::Host`].

mod chain;
mod convert;
mod converter;
mod host;
mod node;
mod scorer;

pub use chain::{ChainExport, RunExport};
pub use converter::ConverterExport;
pub use node::NodeExport;
pub use scorer::{ScorerExport, ask_judge};
