//! Which case is looked into next: where most points are uncertain for the calls it takes.

use super::localise::{Belief, Subject};
use fapo_core::attribution::{Confidence, Finding, Located, Unattributed};
use fapo_core::digest;
use serde_json::json;
use std::collections::BTreeMap;

/// How much a heuristic's word weighs before a case of its cluster was looked into, in cases.
const PRIOR: f64 = 2.0;

/// Share of the prior that the named step gets, by how sure its heuristic is.
fn trust(confidence: Confidence) -> f64 {
    match confidence {
        Confidence::High => 0.8,
        Confidence::Medium => 0.6,
        Confidence::Low => 0.3,
    }
}

/// Failures with one step and one fix.
struct Cluster {
    /// Subjects left, in an order that chance makes.
    left: Vec<usize>,
    /// Points that all of its cases lack.
    lost: f64,
    /// Calls that one replay takes, on average.
    cost: f64,
    /// How often a node was to blame; "" where none was.
    blamed: BTreeMap<String, f64>,
    trust: f64,
    seen: f64,
}

/// Chooses cases and remembers what they showed.
pub(super) struct Choice {
    clusters: Vec<Cluster>,
    of: BTreeMap<usize, usize>,
}

impl Choice {
    pub(super) fn new(subjects: &[Subject<'_>], findings: &[Finding], names: &BTreeMap<String, String>) -> Self {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, subject) in subjects.iter().enumerate() {
            groups.entry(names.get(&subject.case.case_id).map_or("", String::as_str)).or_default().push(at);
        }
        let told: BTreeMap<&str, Confidence> =
            findings.iter().map(|finding| (finding.case_id.as_str(), finding.confidence)).collect();
        let confidence = |at: usize| told.get(subjects[at].case.case_id.as_str()).copied();
        let mut of = BTreeMap::new();
        let clusters = groups
            .into_values()
            .enumerate()
            .map(|(number, mut left)| {
                left.iter().for_each(|at| _ = of.insert(*at, number));
                left.sort_by_key(|at| digest::number(&json!(["replay", subjects[*at].case.case_id])));
                left.reverse();
                Cluster {
                    lost: left.iter().map(|at| subjects[*at].lost()).sum(),
                    cost: left.iter().map(|at| subjects[*at].calls as f64).sum::<f64>() / left.len().max(1) as f64,
                    trust: left.first().and_then(|at| confidence(*at)).map_or(0.3, trust),
                    blamed: BTreeMap::new(),
                    seen: 0.0,
                    left,
                }
            })
            .collect();
        Choice { clusters, of }
    }

    /// Whether there are cases left.
    pub(super) fn left(&self) -> bool {
        self.clusters.iter().any(|cluster| !cluster.left.is_empty())
    }

    /// The next cases, at most so many: one after the other from where another case would tell most a call, as long as
    /// all of them fit into the calls that are left. So what is looked into does not depend on who is quicker.
    pub(super) fn next(&mut self, most: usize, calls_left: u64, subjects: &[Subject<'_>]) -> Vec<usize> {
        let mut wave = Vec::new();
        let mut calls = 0;
        let mut taken = vec![0.0; self.clusters.len()];
        while wave.len() < most {
            let value = |(n, cluster): (usize, &Cluster)| (n, cluster.value(taken[n]));
            let fits = |c: &Cluster| c.left.last().is_some_and(|at| calls + subjects[*at].calls_max() <= calls_left);
            let best = self.clusters.iter().enumerate().filter(|(_, c)| fits(c)).map(value);
            let Some((n, _)) = best.max_by(|a, b| a.1.total_cmp(&b.1)) else { break };
            taken[n] += 1.0;
            let at = self.clusters[n].left.pop();
            calls += at.map_or(0, |at| subjects[at].calls_max());
            wave.extend(at);
        }
        wave
    }

    /// What to expect of a case, given the node that a heuristic names for it.
    pub(super) fn belief(&self, subject: usize, named: Option<&&str>) -> Belief {
        let cluster = &self.clusters[self.of[&subject]];
        Belief {
            named: named.map(|node| (*node).to_string()),
            trust: cluster.trust * PRIOR,
            rest: (1.0 - cluster.trust) * PRIOR,
            seen: cluster.blamed.clone(),
        }
    }

    pub(super) fn learn(&mut self, subject: usize, found: &Located) {
        let cluster = &mut self.clusters[self.of[&subject]];
        cluster.seen += 1.0;
        let node = found.blamed.last().map(|blamed| blamed.step.clone());
        // What no replay could tell says nothing about the next case.
        if found.unattributed != Some(Unattributed::NoGold) {
            *cluster.blamed.entry(node.unwrap_or_default()).or_default() += 1.0;
        }
    }
}

impl Cluster {
    /// Points whose place another case would tell, a call: the uncertainty of a share shrinks with each case seen.
    fn value(&self, taken: f64) -> f64 {
        let most = self.blamed.values().copied().fold(0.0, f64::max) + self.trust * PRIOR;
        let seen = self.seen + PRIOR;
        let share = (most / seen).clamp(0.05, 0.95);
        self.lost * (share * (1.0 - share)).sqrt() / (seen + taken) / (self.cost + 1.0)
    }
}
