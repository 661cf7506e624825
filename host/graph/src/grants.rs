//! What a graph uses outside its component, held against what is granted.

use crate::{GraphSpec, Handle};
use std::collections::BTreeSet;

/// Every handle of a graph.
pub fn handles(graph: &GraphSpec) -> BTreeSet<Handle> {
    graph.nodes.iter().flat_map(|node| node.handles.iter().cloned()).collect()
}

/// The handles of a graph that are not granted, sorted.
pub fn ungranted(
    graph: &GraphSpec,
    models: &BTreeSet<String>,
    indexes: &BTreeSet<String>,
    components: &BTreeSet<String>,
) -> Vec<Handle> {
    let granted = |handle: &Handle| match handle {
        Handle::Model(name) => models.contains(name),
        Handle::Index(name) => indexes.contains(name),
        Handle::Component(name) => components.contains(name),
    };
    handles(graph).into_iter().filter(|handle| !granted(handle)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_handle_is_granted_by_kind_and_name() {
        let graph: GraphSpec = serde_json::from_value(json!({
            "nodes": [
                {"name": "a", "kind": "llm", "handles": [{"model": "task"}]},
                {"name": "b", "kind": "retrieve", "handles": [{"index": "task"}]},
                {"name": "c", "kind": "llm", "handles": [{"model": "task"}]},
            ],
            "output": "c",
        }))
        .expect("graph");
        let (task, none) = (BTreeSet::from(["task".to_string()]), BTreeSet::new());
        assert_eq!(handles(&graph).len(), 2);
        assert_eq!(ungranted(&graph, &task, &task, &none), []);
        assert_eq!(ungranted(&graph, &task, &none, &task), [Handle::Index("task".into())]);
        assert_eq!(ungranted(&graph, &none, &none, &none).len(), 2);
    }
}
