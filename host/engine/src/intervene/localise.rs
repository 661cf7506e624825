//! One failed case: the earliest step from which on the chain gets it right, and the steps that a later loss hides.

use super::replays::{Found, Replays};
use fapo_core::InputError;
use fapo_core::attribution::{Blamed, Located, SeenBy, Unattributed};
use fapo_core::case::Case;
use fapo_core::gold::{GoldOutput, ToldBy, did_its_part};
use fapo_core::ports::{Definition, ObservedSearch};
use fapo_core::run::{CaseRecord, PASSED};
use fapo_core::scope::VariantLevel;
use fapo_graph::{Entry, GraphSpec, Handle, NodeSpec, Step, StepId, StepOrigin, ValueSource};
use std::collections::{BTreeMap, BTreeSet};

/// What a replay of no model call costs, in calls: a start of the sandbox and a score.
const REPLAY_COST: f64 = 0.1;
/// Weight of chance among the candidates, where models sample.
const CHANCE: f64 = 0.5;

/// A failed case with what its steps put out and should have put out.
pub(super) struct Subject<'a> {
    /// Position in the run.
    pub(super) index: usize,
    pub(super) case: &'a Case,
    pub(super) gold: BTreeMap<String, GoldOutput>,
    /// Nodes in order of their last execution, then those that were not reached.
    pub(super) nodes: Vec<String>,
    /// Model calls of the record.
    pub(super) calls: usize,
    record: &'a CaseRecord,
    shape: &'a Shape,
}

/// A chain, as far as replays go by it.
pub(super) struct Shape {
    pub(super) graph: GraphSpec,
    /// Nodes whose outputs a node depends on, at whatever distance.
    above: BTreeMap<String, BTreeSet<String>>,
}

impl Shape {
    pub(super) fn new(definition: &Definition) -> Self {
        Shape { graph: definition.graph.clone(), above: above(definition) }
    }
}

/// What a replay is handed.
#[derive(Default)]
pub(crate) struct Handed {
    /// Steps in the place of executing them.
    pub(crate) steps: Vec<Step>,
    /// Searches that the given steps stand for.
    pub(crate) searches: Vec<ObservedSearch>,
}

/// What is expected of a case before it is looked into: weights of nodes.
pub(super) struct Belief {
    /// The node that a heuristic names, and its weight.
    pub(super) named: Option<String>,
    pub(super) trust: f64,
    /// Weight of all others together.
    pub(super) rest: f64,
    /// Weights of nodes that like cases were blamed on.
    pub(super) seen: BTreeMap<String, f64>,
}

impl Belief {
    fn weight(&self, node: &str, of: usize) -> f64 {
        let named = if self.named.as_deref() == Some(node) { self.trust } else { 0.0 };
        named + self.rest / of.max(1) as f64 + self.seen.get(node).copied().unwrap_or_default()
    }
}

/// What counts as mended.
#[derive(Clone, Copy)]
enum Mended {
    /// A composite above this.
    Above(f64),
    /// The step at this position does its part.
    Part(usize),
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        index: usize,
        case: &'a Case,
        record: &'a CaseRecord,
        gold: BTreeMap<String, GoldOutput>,
        shape: &'a Shape,
    ) -> Self {
        let nodes = in_order(record, &shape.graph);
        // Passages stand for a search only where the node searches.
        let searches = |name: &str| shape.graph.nodes.iter().any(|n| n.name == name && index_of(n).is_some());
        let of_node = |(name, mut gold): (String, GoldOutput)| {
            if !searches(&name) {
                gold.hits.clear();
                gold.told_by = if gold.told_by == ToldBy::Titles { ToldBy::Nothing } else { gold.told_by };
            }
            (name, gold)
        };
        let gold = gold.into_iter().map(of_node).collect();
        Subject { index, case, gold, nodes, calls: record.calls.len(), record, shape }
    }

    /// Points that it lacks.
    pub(super) fn lost(&self) -> f64 {
        100.0 - self.record.composite()
    }

    /// Model calls that looking into it takes, mostly at most: a run of the chain for each step with gold.
    pub(super) fn calls_max(&self) -> u64 {
        let asking = self.shape.graph.nodes.iter().filter(|node| asks_model(node)).count();
        (asking * self.golden().len()) as u64
    }

    /// Positions of the nodes with gold.
    fn golden(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.gold.contains_key(&self.nodes[*at])).collect()
    }

    /// Gold for the nodes at these positions; what does not depend on them, and what comes after `until`, as recorded.
    fn handed(&self, golden: &[usize], until: Option<usize>) -> Handed {
        let with_gold: BTreeSet<&str> = golden.iter().map(|at| self.nodes[*at].as_str()).collect();
        let mut handed = Handed::default();
        if golden.is_empty() && until.is_none() {
            return handed;
        }
        let place = |node: &str| self.nodes.iter().position(|n| n == node);
        for timed in self.record.steps.iter().filter(|timed| timed.step.origin != StepOrigin::Skipped) {
            let (id, node) = (&timed.step.id, timed.step.id.node.as_str());
            let after = until.is_some_and(|until| place(node).is_some_and(|at| at > until));
            let untouched =
                self.shape.above.get(node).is_none_or(|above| !above.iter().any(|n| with_gold.contains(n.as_str())));
            if with_gold.contains(node) {
                self.hand_gold(&mut handed, &timed.step);
            } else if after || untouched && !golden.is_empty() {
                handed.steps.push(Step { origin: StepOrigin::Given, ..timed.step.clone() });
                handed.searches.extend(self.record.searches.iter().filter(|search| search.id == *id).cloned());
            }
        }
        for at in golden {
            let node = &self.nodes[*at];
            if !self.record.steps.iter().any(|timed| timed.step.id.node == *node) {
                let id = StepId { node: node.clone(), visit: 0 };
                let outputs = vec![Entry::new("output", "")];
                let step = Step { id, origin: StepOrigin::Given, outputs, output_text: None, diagnostics: Vec::new() };
                self.hand_gold(&mut handed, &step);
            }
        }
        handed
    }

    fn hand_gold(&self, handed: &mut Handed, recorded: &Step) {
        let Some(gold) = self.gold.get(&recorded.id.node) else { return };
        let mut step = Step { origin: StepOrigin::Given, ..recorded.clone() };
        match step.outputs.first_mut() {
            Some(main) => main.value.clone_from(&gold.text),
            None => step.outputs.push(Entry::new("output", gold.text.clone())),
        }
        let gives_answer = step.output_text.is_some() || self.shape.graph.output == step.id.node;
        step.output_text = gives_answer.then(|| gold.text.clone());
        if !gold.hits.is_empty() {
            handed.searches.push(ObservedSearch {
                id: step.id.clone(),
                index: self.node(&step.id.node).and_then(index_of).unwrap_or_default(),
                query: String::new(),
                hits: gold.hits.clone(),
            });
        }
        handed.steps.push(step);
    }

    fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.shape.graph.nodes.iter().find(|node| node.name == name)
    }

    /// Model calls that running on from gold at these positions would take, about.
    fn cost(&self, golden: &[usize], until: Option<usize>) -> f64 {
        let handed: BTreeSet<String> = self.handed(golden, until).steps.into_iter().map(|step| step.id.node).collect();
        let executed = self.nodes.iter().filter(|node| !handed.contains(*node));
        let asks = |node: &&String| self.node(node).is_some_and(asks_model);
        REPLAY_COST + executed.filter(asks).count() as f64
    }

    /// The step that is to blame where the loss is at a node with gold or at one without since the gold before it: the
    /// one of them that a heuristic names, else the last that asks a model, else the node itself.
    fn blamed(&self, golden: &[usize], at: usize, named: Option<&str>, seen_by: SeenBy) -> Blamed {
        let before = golden.iter().copied().filter(|p| *p < at).max();
        let segment = before.map_or(0, |before| before + 1)..=at;
        let asks = |p: &usize| self.node(&self.nodes[*p]).is_some_and(asks_model);
        let is_named = |p: &usize| named == Some(self.nodes[*p].as_str());
        let place = segment.clone().find(is_named).or_else(|| segment.rev().find(asks)).unwrap_or(at);
        let level = match self.node(&self.nodes[place]) {
            Some(node) if node.prompt.is_some() => VariantLevel::Prompt,
            Some(node) if index_of(node).is_some() && node.settings.values().any(|v| v.get("param").is_some()) => {
                VariantLevel::Parameter
            }
            _ => VariantLevel::Structure,
        };
        Blamed { step: self.nodes[place].clone(), level, seen_by }
    }

    /// Whether a step did its part in the run.
    fn did(&self, at: usize) -> Option<bool> {
        let outputs = self.record.step_outputs();
        let text = |name: &str| outputs.iter().find(|(node, _)| *node == name).map_or("", |(_, text)| *text);
        let texts: Vec<(&str, &str)> = self.nodes.iter().map(|node| (node.as_str(), text(node))).collect();
        did_its_part(self.case, &self.gold, &texts, at)
    }
}

/// Looks into one case; None where the calls are used up.
pub(super) async fn localise(
    subject: &Subject<'_>,
    belief: &Belief,
    replays: &Replays,
) -> Result<Option<Located>, InputError> {
    let recorded = subject.record.composite();
    let golden = subject.golden();
    let named = belief.named.as_deref();
    let mut look = Look { subject, belief, replays, golden: &golden, count: 0 };
    let done = |look: &Look<'_>, blamed: Vec<Blamed>, why: Option<Unattributed>, restored: f64| Located {
        case_id: subject.case.case_id.clone(),
        blamed,
        unattributed: why,
        recorded,
        restored,
        replays: look.count,
    };
    if golden.is_empty() {
        return Ok(Some(done(&look, Vec::new(), Some(Unattributed::NoGold), recorded)));
    }
    let Some(whole) = look.replay(golden.len(), None).await? else { return Ok(None) };
    let restored = whole.composite;
    if restored <= recorded {
        // Gold that ends before the chain does says where the loss is not; gold to its end that somebody erred.
        let after = subject.nodes.len().checked_sub(1).filter(|last| golden.last() != Some(last));
        return Ok(Some(match after {
            Some(last) => done(&look, vec![subject.blamed(&golden, last, named, SeenBy::Score)], None, PASSED),
            None => done(&look, Vec::new(), Some(Unattributed::GoldFails), recorded),
        }));
    }
    let bar = Mended::Above(f64::midpoint(recorded, restored));
    let least = if replays.sampled() { None } else { Some(0) };
    let Some(first) = look.earliest(least, golden.len(), bar, None).await? else { return Ok(None) };
    if first == 0 {
        return Ok(Some(done(&look, Vec::new(), Some(Unattributed::PassesAgain), restored)));
    }
    let mut blamed = vec![subject.blamed(&golden, golden[first - 1], named, SeenBy::Score)];
    // What was lost before that step, the score cannot show: texts can.
    let mut below = first - 1;
    while let Some(check) = (0..below).rev().find(|n| subject.did(golden[*n]) == Some(false)) {
        let part = golden[check];
        let Some(first) = look.earliest(Some(0), check + 1, Mended::Part(part), Some(part)).await? else {
            return Ok(None);
        };
        blamed.push(subject.blamed(&golden, golden[first - 1], named, SeenBy::Text));
        below = first - 1;
    }
    blamed.reverse();
    blamed.dedup_by(|a, b| a.step == b.step);
    Ok(Some(done(&look, blamed, None, restored)))
}

/// Replays of one case.
struct Look<'a> {
    subject: &'a Subject<'a>,
    belief: &'a Belief,
    replays: &'a Replays,
    golden: &'a [usize],
    count: u64,
}

impl Look<'_> {
    /// The least number of leading gold steps with which the case is mended, known to be at most `high` and more than
    /// `low` (None: it may be mended without any). Each replay is the one that tells most a call.
    async fn earliest(
        &mut self,
        low: Option<usize>,
        high: usize,
        mended: Mended,
        until: Option<usize>,
    ) -> Result<Option<usize>, InputError> {
        let (mut from, mut high) = (low.map_or(0, |low| low + 1), high);
        while from < high {
            let gold = self.best(from, high, until);
            let Some(found) = self.replay(gold, until).await? else { return Ok(None) };
            let good = match mended {
                Mended::Above(bar) => found.composite > bar,
                Mended::Part(at) => found.parts.get(&at).copied().unwrap_or(false),
            };
            if good {
                high = gold;
            } else {
                from = gold + 1;
            }
        }
        Ok(Some(high))
    }

    /// The number of gold steps in `from..high` whose replay halves what is open at the least cost.
    fn best(&self, from: usize, high: usize, until: Option<usize>) -> usize {
        let weight = |gold: usize| match gold {
            0 => CHANCE,
            gold => self.belief.weight(&self.subject.nodes[self.golden[gold - 1]], self.golden.len()),
        };
        let all: f64 = (from..=high).map(weight).sum();
        let value = |gold: usize| {
            let share = ((from..=gold).map(weight).sum::<f64>() / all).clamp(1e-9, 1.0 - 1e-9);
            let told = -(share * share.log2() + (1.0 - share) * (1.0 - share).log2());
            told / self.subject.cost(&self.golden[..gold], until)
        };
        (from..high).max_by(|a, b| value(*a).total_cmp(&value(*b))).unwrap_or(from)
    }

    async fn replay(&mut self, gold: usize, until: Option<usize>) -> Result<Option<Found>, InputError> {
        self.count += 1;
        self.replays.run_on(self.subject, &self.subject.handed(&self.golden[..gold], until)).await
    }
}

/// The nodes of a record in order of their last execution; where it ended with a fault, those that it did not reach
/// follow. Steps that were skipped are not missed.
pub(super) fn in_order(record: &CaseRecord, graph: &GraphSpec) -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    for timed in record.steps.iter().rev().filter(|timed| timed.step.origin != StepOrigin::Skipped) {
        if !nodes.contains(&timed.step.id.node) {
            nodes.push(timed.step.id.node.clone());
        }
    }
    nodes.reverse();
    if record.fault.is_some() {
        let seen = |name: &String| record.steps.iter().any(|timed| timed.step.id.node == *name);
        nodes.extend(graph.nodes.iter().map(|node| node.name.clone()).filter(|name| !seen(name)));
    }
    nodes
}

fn asks_model(node: &NodeSpec) -> bool {
    node.handles.iter().any(|handle| matches!(handle, Handle::Model(_)))
}

fn index_of(node: &NodeSpec) -> Option<String> {
    node.handles.iter().find_map(|handle| match handle {
        Handle::Index(name) => Some(name.clone()),
        _ => None,
    })
}

/// For each node those that it depends on: over edges, inputs and what its prompt reads.
fn above(definition: &Definition) -> BTreeMap<String, BTreeSet<String>> {
    let graph = &definition.graph;
    let mut above: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &graph.nodes {
        let direct = above.entry(node.name.clone()).or_default();
        direct.extend(graph.edges.iter().filter(|edge| edge.target == node.name).map(|edge| edge.source.clone()));
        direct.extend(node.inputs.iter().filter_map(|input| match &input.source {
            ValueSource::Step(name) | ValueSource::StepOutput(name, _) => Some(name.clone()),
            ValueSource::Context(_) | ValueSource::Literal(_) => None,
        }));
        let prompt = definition.prompts.iter().find(|prompt| Some(&prompt.name) == node.prompt.as_ref());
        direct.extend(prompt.into_iter().flat_map(|prompt| prompt.steps().map(str::to_string)));
    }
    // As many rounds as there are nodes reach every distance, loops included.
    for _ in 0..graph.nodes.len() {
        let before = above.clone();
        for all in above.values_mut() {
            let further: Vec<String> = all.iter().filter_map(|name| before.get(name)).flatten().cloned().collect();
            all.extend(further);
        }
    }
    above
}
