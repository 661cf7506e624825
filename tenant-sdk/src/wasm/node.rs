//! A [`NodeComponent`] as the contract's `node` export.

use super::convert::{node_input, to_node_output};
use super::host::NodeHost;
use crate::bindings::node::exports::fapo::tenant::node as export;
use crate::node::{NodeComponent, OfferedKind};
use std::marker::PhantomData;

/// The `node` export of a component whose nodes are `N`.
pub struct NodeExport<N>(PhantomData<N>);

impl<N: NodeComponent> export::Guest for NodeExport<N> {
    fn describe() -> Vec<export::OfferedKind> {
        let kind = |kind: OfferedKind| export::OfferedKind {
            name: kind.name,
            summary: kind.summary,
            settings_schema: kind.settings_schema.to_string(),
            ports: kind.ports,
            outputs: kind.outputs,
        };
        N::kinds().into_iter().map(kind).collect()
    }

    fn run(input: export::NodeInput) -> Result<export::NodeOutput, export::NodeFault> {
        let output = node_input(input).and_then(|input| N::run(&input, &mut NodeHost));
        output.map(to_node_output).map_err(|message| export::NodeFault { message })
    }
}
