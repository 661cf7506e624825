//! A node component: kinds that other tenants' chains may call through a grant.

use crate::host::{Host, NodeInput, NodeOutput};
use serde_json::Value;

/// A component of node kinds.
pub trait NodeComponent: 'static {
    /// The kinds it offers. Must be constant.
    fn kinds() -> Vec<OfferedKind>;

    /// Runs one node. Model calls and searches are answered only where the operator granted them.
    ///
    /// # Errors
    /// The node's own fault, as data about the case.
    fn run(input: &NodeInput, host: &mut dyn Host) -> Result<NodeOutput, String>;
}

/// A kind of a node component.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferedKind {
    /// Unique in the component.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its settings.
    pub settings_schema: Value,
    /// Ports it reads.
    pub ports: Vec<String>,
    /// Outputs, the main one first.
    pub outputs: Vec<String>,
}
