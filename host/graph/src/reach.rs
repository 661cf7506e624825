//! Which node stands upstream of which.

use crate::GraphSpec;
use std::collections::BTreeMap;

/// A graph's edges by position of its nodes; edges that name no node are left out.
#[derive(Clone, Debug)]
pub struct Reach {
    index: BTreeMap<String, usize>,
    forward: Vec<Vec<usize>>,
    all: Vec<Vec<usize>>,
}

impl Reach {
    /// Reads the edges once.
    pub fn new(graph: &GraphSpec) -> Self {
        let index: BTreeMap<String, usize> =
            graph.nodes.iter().enumerate().rev().map(|(position, node)| (node.name.clone(), position)).collect();
        let mut forward = vec![Vec::new(); graph.nodes.len()];
        let mut all = forward.clone();
        for edge in &graph.edges {
            if let (Some(&source), Some(&target)) = (index.get(&edge.source), index.get(&edge.target)) {
                all[source].push(target);
                if edge.visits_max.is_none() {
                    forward[source].push(target);
                }
            }
        }
        Reach { index, forward, all }
    }

    /// Position of a node by name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Nodes reachable from one over edges without `visits_max`, itself left out unless it stands on a cycle.
    pub fn below(&self, node: usize) -> Vec<bool> {
        closure(&self.forward, self.forward[node].clone())
    }

    /// Whether a path of at least one edge, back edges included, leads from one node to another.
    pub fn upstream(&self, source: &str, target: &str) -> bool {
        match (self.position(source), self.position(target)) {
            (Some(source), Some(target)) => closure(&self.all, self.all[source].clone())[target],
            _ => false,
        }
    }

    /// The nodes reachable from these, themselves included, over any edge.
    pub fn from(&self, starts: Vec<usize>) -> Vec<bool> {
        closure(&self.all, starts)
    }

    /// Positions in an order in which forward edges lead onward, or the names of nodes on a cycle.
    ///
    /// # Errors
    /// Positions of the nodes that stand on or behind a cycle of forward edges and lead back into it.
    pub fn order(&self) -> Result<Vec<usize>, Vec<usize>> {
        let cyclic: Vec<usize> = (0..self.forward.len()).filter(|&node| self.below(node)[node]).collect();
        if !cyclic.is_empty() {
            return Err(cyclic);
        }
        let mut waiting = vec![0usize; self.forward.len()];
        self.forward.iter().flatten().for_each(|&target| waiting[target] += 1);
        let mut order: Vec<usize> = (0..waiting.len()).filter(|&node| waiting[node] == 0).collect();
        let mut next = 0;
        while next < order.len() {
            for &target in &self.forward[order[next]] {
                waiting[target] -= 1;
                if waiting[target] == 0 {
                    order.push(target);
                }
            }
            next += 1;
        }
        Ok(order)
    }
}

fn closure(edges: &[Vec<usize>], starts: Vec<usize>) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut open = starts;
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            open.extend(&edges[node]);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(edges: &[(&str, &str, Option<u32>)]) -> GraphSpec {
        let names = ["a", "b", "c", "d"];
        let nodes: Vec<_> = names.iter().map(|name| json!({"name": name, "kind": "k"})).collect();
        let edges: Vec<_> = edges.iter().map(|(s, t, v)| json!({"source": s, "target": t, "visits_max": v})).collect();
        serde_json::from_value(json!({"nodes": nodes, "edges": edges, "output": "d"})).expect("graph")
    }

    #[test]
    fn back_edges_count_for_upstream_only() {
        let reach = Reach::new(&graph(&[("a", "b", None), ("b", "c", None), ("c", "b", Some(2))]));
        assert!(reach.upstream("a", "c"));
        assert!(reach.upstream("c", "b") && reach.upstream("b", "b"));
        assert!(!reach.upstream("a", "a") && !reach.upstream("c", "a") && !reach.upstream("a", "d"));
        assert_eq!(reach.below(1), [false, false, true, false]);
        assert_eq!(reach.order(), Ok(vec![0, 3, 1, 2]));
    }

    #[test]
    fn a_cycle_of_forward_edges_is_named() {
        let reach = Reach::new(&graph(&[("a", "b", None), ("b", "c", None), ("c", "b", None), ("c", "d", None)]));
        assert_eq!(reach.order(), Err(vec![1, 2]));
    }
}
