//! The execution rule of a graph, as a state machine without any doing of its own.
//!
//! Whoever drives it asks for the next superstep ([`Execution::ready`]), runs those nodes, and hands their steps
//! back ([`Execution::finish`]). The same calls with the same steps always give the same result.
//!
//! # The rule
//! 1. *Forward edges* (without `visits_max`) are waited for. Each is undecided until its source has come to an end in
//!    the present pass; then it is *taken*, or *closed* where the source was skipped or the condition is false.
//! 2. A node whose forward edges are all decided runs if none is closed (`join: all`) or if one is taken
//!    (`join: any`); otherwise it is skipped. A skip decides the edges out of the node, so it propagates at once. A
//!    node without forward edges into it runs in the first superstep.
//! 3. All nodes that may run form one superstep, in the order of `graph.nodes`. Skipped steps come at the end of the
//!    superstep that decided them; a superstep always has a step that ran.
//! 4. *Back edges* (with `visits_max`) out of the nodes that just ran are looked at before the forward ones. One whose
//!    condition holds and which was taken fewer than `visits_max` times in this case is taken: its target starts a new
//!    visit in the next superstep, whatever the edges into it, and everything below the target over forward edges
//!    waits anew, so that it runs again (or for the first time) with the new values. Two back edges into one node
//!    taken together start one visit. A target below another target of the same superstep waits like the rest. A
//!    skipped node takes no back edge.
//! 5. A visit is one run or skip of a node, counted from 0. `steps.<node>.output` is the main output of the latest
//!    visit that ran: a later skip does not erase it, so the last draft of a refining loop stays readable. Before
//!    the first run, and for names unknown to the case, the text is missing and a condition sees "".
//! 6. The chain's answer is the `output_text` of the last step in this order that sets one, else the latest main
//!    output of `graph.output`, else "".
//!
//! Every visit after a node's first is paid for by a back edge, and those are bounded, so every execution ends.

use crate::reach::Reach;
use crate::{Condition, Entry, GraphSpec, Join, Step, StepId, StepOrigin, Test, ValueSource};

/// Why an execution cannot begin or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// An edge names a node that is not in the graph.
    #[error("edge {source_node} -> {target}: no node is called {missing:?}")]
    Dangling {
        /// Where the edge leaves.
        source_node: String,
        /// Where it enters.
        target: String,
        /// The name without a node.
        missing: String,
    },
    /// Forward edges form a cycle.
    #[error("a cycle without a bound runs through {}", .0.join(", "))]
    Cycle(Vec<String>),
    /// The steps handed in are not those of the superstep.
    #[error("step {}/{} is not one of the running superstep, or is missing from it", .0.node, .0.visit)]
    NotRunning(StepId),
    /// A node ran and has no output.
    #[error("step {}/{} ran and has no output", .0.node, .0.visit)]
    NoOutput(StepId),
}

/// One case's way through a graph.
#[derive(Clone, Debug)]
pub struct Execution {
    graph: GraphSpec,
    context: Vec<Entry>,
    edges: Vec<EdgeState>,
    nodes: Vec<NodeState>,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Undecided,
    Taken,
    Closed,
}

#[derive(Clone, Debug)]
struct EdgeState {
    source: usize,
    target: usize,
    /// Of a forward edge.
    decision: Decision,
    /// Of a back edge: how often it was taken.
    taken: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Ready,
    Done,
}

#[derive(Clone, Debug)]
struct NodeState {
    phase: Phase,
    /// The visit that comes next or is running.
    visit: u32,
    latest: Option<Step>,
}

impl Execution {
    /// Begins a case; the first superstep is ready.
    ///
    /// # Errors
    /// A dangling edge or a cycle of forward edges. All else that [`crate::check`] finds is taken as it stands.
    pub fn new(graph: GraphSpec, context: Vec<Entry>) -> Result<Self, ExecuteError> {
        let reach = Reach::new(&graph);
        if let Err(cycle) = reach.order() {
            return Err(ExecuteError::Cycle(cycle.into_iter().map(|node| graph.nodes[node].name.clone()).collect()));
        }
        let edges = graph
            .edges
            .iter()
            .map(|edge| {
                let find = |name: &str| {
                    reach.position(name).ok_or_else(|| ExecuteError::Dangling {
                        source_node: edge.source.clone(),
                        target: edge.target.clone(),
                        missing: name.to_string(),
                    })
                };
                let (source, target) = (find(&edge.source)?, find(&edge.target)?);
                Ok(EdgeState { source, target, decision: Decision::Undecided, taken: 0 })
            })
            .collect::<Result<Vec<_>, ExecuteError>>()?;
        let nodes = vec![NodeState { phase: Phase::Waiting, visit: 0, latest: None }; graph.nodes.len()];
        let mut execution = Execution { graph, context, edges, nodes, reach };
        execution.propagate();
        Ok(execution)
    }

    /// The graph under execution.
    pub fn graph(&self) -> &GraphSpec {
        &self.graph
    }

    /// Steps of the next superstep, in the order of the graph's nodes; empty when the chain has come to its end.
    pub fn ready(&self) -> Vec<StepId> {
        self.positions(Phase::Ready).map(|node| self.id(node)).collect()
    }

    /// Takes the steps of the running superstep and decides what follows.
    ///
    /// `steps` holds exactly one step, executed or given, for each of [`Execution::ready`], in any order. Returned
    /// are the same steps in the order of the graph's nodes, then the steps skipped because of them.
    ///
    /// # Errors
    /// Steps that do not match the superstep, and steps without outputs; the execution is then unchanged.
    pub fn finish(&mut self, steps: Vec<Step>) -> Result<Vec<Step>, ExecuteError> {
        let ran = self.accept(&steps)?;
        let mut ordered = steps;
        ordered.sort_by_key(|step| self.reach.position(&step.id.node));
        for (&node, step) in ran.iter().zip(&ordered) {
            let state = &mut self.nodes[node];
            state.phase = Phase::Done;
            state.visit += 1;
            state.latest = Some(step.clone());
        }
        self.take_back_edges(&ran);
        for node in ran {
            if self.nodes[node].phase == Phase::Done {
                self.decide_out_of(node, true);
            }
        }
        ordered.extend(self.propagate());
        Ok(ordered)
    }

    /// A text by where it comes from; `None` where there is none yet.
    pub fn value<'a>(&'a self, source: &'a ValueSource) -> Option<&'a str> {
        match source {
            ValueSource::Context(name) => entry(&self.context, name),
            ValueSource::Step(node) => self.latest(node).map(Step::main_output),
            ValueSource::StepOutput(node, output) => self.latest(node).and_then(|step| entry(&step.outputs, output)),
            ValueSource::Literal(text) => Some(text),
        }
    }

    /// The latest visit of a node that ran.
    pub fn latest(&self, node: &str) -> Option<&Step> {
        self.nodes[self.reach.position(node)?].latest.as_ref()
    }

    /// The case's context.
    pub fn context(&self) -> &[Entry] {
        &self.context
    }

    fn positions(&self, phase: Phase) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(move |(_, state)| state.phase == phase).map(|(node, _)| node)
    }

    fn id(&self, node: usize) -> StepId {
        StepId { node: self.graph.nodes[node].name.clone(), visit: self.nodes[node].visit }
    }

    /// Positions of the running nodes, if these steps are theirs.
    fn accept(&self, steps: &[Step]) -> Result<Vec<usize>, ExecuteError> {
        let running: Vec<usize> = self.positions(Phase::Ready).collect();
        for &node in &running {
            let id = self.id(node);
            let own: Vec<&Step> = steps.iter().filter(|step| step.id == id).collect();
            match own.as_slice() {
                [step] if step.origin == StepOrigin::Skipped => {
                    return Err(ExecuteError::NotRunning(id));
                }
                [step] if step.outputs.is_empty() => return Err(ExecuteError::NoOutput(id)),
                [_] => {}
                _ => return Err(ExecuteError::NotRunning(id)),
            }
        }
        match steps.iter().find(|step| !running.iter().any(|&node| self.id(node) == step.id)) {
            Some(stranger) => Err(ExecuteError::NotRunning(stranger.id.clone())),
            None => Ok(running),
        }
    }

    fn take_back_edges(&mut self, ran: &[usize]) {
        let mut targets = Vec::new();
        for position in 0..self.edges.len() {
            let spec = &self.graph.edges[position];
            let Some(visits_max) = spec.visits_max else {
                continue;
            };
            let state = &self.edges[position];
            if ran.contains(&state.source) && state.taken < visits_max && self.holds(spec.when.as_ref()) {
                self.edges[position].taken += 1;
                targets.push(self.edges[position].target);
            }
        }
        let below: Vec<Vec<bool>> = targets.iter().map(|&target| self.reach.below(target)).collect();
        let waits = |node: usize| below.iter().any(|reached| reached[node]);
        for node in 0..self.nodes.len() {
            if waits(node) {
                self.nodes[node].phase = Phase::Waiting;
            } else if targets.contains(&node) {
                self.nodes[node].phase = Phase::Ready;
            } else {
                continue;
            }
            self.edges
                .iter_mut()
                .filter(|edge| edge.source == node)
                .for_each(|edge| edge.decision = Decision::Undecided);
        }
    }

    fn decide_out_of(&mut self, node: usize, ran: bool) {
        for position in 0..self.edges.len() {
            if self.edges[position].source == node {
                let taken = ran && self.holds(self.graph.edges[position].when.as_ref());
                self.edges[position].decision = if taken { Decision::Taken } else { Decision::Closed };
            }
        }
    }

    /// Readies or skips every node whose edges are decided, until nothing changes; the skipped steps.
    fn propagate(&mut self) -> Vec<Step> {
        let mut skipped = Vec::new();
        while let Some((node, runs)) = self.next_decided() {
            if runs {
                self.nodes[node].phase = Phase::Ready;
                continue;
            }
            skipped.push(Step {
                id: self.id(node),
                origin: StepOrigin::Skipped,
                outputs: Vec::new(),
                output_text: None,
                diagnostics: Vec::new(),
            });
            self.nodes[node].phase = Phase::Done;
            self.nodes[node].visit += 1;
            self.decide_out_of(node, false);
        }
        skipped
    }

    fn next_decided(&self) -> Option<(usize, bool)> {
        self.positions(Phase::Waiting).find_map(|node| Some((node, self.verdict(node)?)))
    }

    /// Whether a waiting node runs, once its edges are decided.
    fn verdict(&self, node: usize) -> Option<bool> {
        let decisions: Vec<Decision> = self
            .edges
            .iter()
            .zip(&self.graph.edges)
            .filter(|(state, spec)| state.target == node && spec.visits_max.is_none())
            .map(|(state, _)| state.decision)
            .collect();
        if decisions.contains(&Decision::Undecided) {
            return None;
        }
        Some(match self.graph.nodes[node].join {
            Join::All => !decisions.contains(&Decision::Closed),
            Join::Any => decisions.is_empty() || decisions.contains(&Decision::Taken),
        })
    }

    fn holds(&self, condition: Option<&Condition>) -> bool {
        let Some(condition) = condition else {
            return true;
        };
        let text = self.value(&condition.subject).unwrap_or("").trim();
        let passed = match &condition.test {
            Test::Empty => text.is_empty(),
            Test::Present => !text.is_empty(),
            Test::Equals(wanted) => text == wanted.trim(),
            Test::Contains(part) => text.contains(part.as_str()),
        };
        passed != condition.negate
    }
}

/// The chain's answer: the last `output_text`, else the latest main output of the output node, else "".
pub fn answer<'a>(graph: &GraphSpec, steps: &'a [Step]) -> &'a str {
    let ran = |step: &&Step| step.origin != StepOrigin::Skipped;
    let last = steps.iter().rev();
    last.clone()
        .filter(ran)
        .find_map(|step| step.output_text.as_deref())
        .or_else(|| last.filter(ran).find(|step| step.id.node == graph.output).map(Step::main_output))
        .unwrap_or("")
}

fn entry<'a>(entries: &'a [Entry], name: &str) -> Option<&'a str> {
    entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Nodes by name (`name?` joins any), edges as JSON.
    fn begin(nodes: &[&str], edges: Value) -> Execution {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|name| match name.strip_suffix('?') {
                Some(name) => json!({"name": name, "kind": "k", "join": "any"}),
                None => json!({"name": name, "kind": "k"}),
            })
            .collect();
        let graph = serde_json::from_value(json!({"nodes": nodes, "edges": edges, "output": "end"})).expect("graph");
        Execution::new(graph, vec![Entry::new("q", "context")]).expect("execution")
    }

    fn step(id: StepId, text: &str) -> Step {
        Step {
            id,
            origin: StepOrigin::Executed,
            outputs: vec![Entry::new("text", text)],
            output_text: None,
            diagnostics: vec![],
        }
    }

    /// Runs to the end. `texts` gives outputs by `node/visit`, "ok" where silent. One string per superstep; a skipped
    /// step is in brackets.
    fn trace(execution: &mut Execution, texts: &[(&str, &str)]) -> Vec<String> {
        let mut supersteps = Vec::new();
        loop {
            let ready = execution.ready();
            if ready.is_empty() {
                return supersteps;
            }
            let text = |id: &StepId| {
                let key = format!("{}/{}", id.node, id.visit);
                texts.iter().find(|(name, _)| *name == key).map_or("ok", |(_, text)| text)
            };
            let steps = ready.iter().rev().map(|id| step(id.clone(), text(id))).collect();
            let steps = execution.finish(steps).expect("superstep");
            let show = |step: &Step| match step.origin {
                StepOrigin::Skipped => format!("[{}/{}]", step.id.node, step.id.visit),
                _ => format!("{}/{}", step.id.node, step.id.visit),
            };
            supersteps.push(steps.iter().map(show).collect::<Vec<_>>().join(" "));
            assert!(supersteps.len() < 100, "an execution ends");
        }
    }

    fn when(source: &str, target: &str, node: &str, equals: &str) -> Value {
        json!({"source": source, "target": target, "when": {"subject": {"step": node}, "test": {"equals": equals}}})
    }

    #[test]
    fn a_line_runs_node_by_node() {
        let mut line =
            begin(&["b", "a", "end"], json!([{"source": "a", "target": "b"}, {"source": "b", "target": "end"}]));
        assert_eq!(trace(&mut line, &[]), ["a/0", "b/0", "end/0"]);
    }

    #[test]
    fn a_fan_out_is_one_superstep_and_its_join_waits_for_all() {
        let edges: Vec<Value> = ["x", "y", "z"]
            .iter()
            .flat_map(|n| [json!({"source": "a", "target": n}), json!({"source": n, "target": "end"})])
            .collect();
        let mut fan = begin(&["a", "x", "y", "z", "end"], json!(edges));
        assert_eq!(trace(&mut fan, &[]), ["a/0", "x/0 y/0 z/0", "end/0"]);
    }

    #[test]
    fn a_false_condition_closes_and_skips_propagate() {
        let edges = || {
            json!([when("a", "b", "a", "go"), {"source": "b", "target": "c"}, {"source": "c", "target": "end"},
                   {"source": "a", "target": "end"}])
        };
        let mut all = begin(&["a", "b", "c", "end"], edges());
        assert_eq!(trace(&mut all, &[]), ["a/0 [b/0] [c/0] [end/0]"]);
        let mut any = begin(&["a", "b", "c", "end?"], edges());
        assert_eq!(trace(&mut any, &[]), ["a/0 [b/0] [c/0]", "end/0"]);
        let mut taken = begin(&["a", "b", "c", "end?"], edges());
        assert_eq!(trace(&mut taken, &[("a/0", " go\n")]), ["a/0", "b/0", "c/0", "end/0"]);
    }

    #[test]
    fn join_any_waits_until_every_edge_is_decided() {
        let edges =
            json!([{"source": "a", "target": "end"}, {"source": "b", "target": "c"}, {"source": "c", "target": "end"}]);
        let mut any = begin(&["a", "b", "c", "end?"], edges);
        assert_eq!(trace(&mut any, &[]), ["a/0 b/0", "c/0", "end/0"]);
    }

    #[test]
    fn each_test_and_its_negation() {
        for (test, text, holds) in [
            (json!("empty"), " \n", true),
            (json!("empty"), "x", false),
            (json!("present"), "x", true),
            (json!("present"), " ", false),
            (json!({"equals": "yes"}), " yes ", true),
            (json!({"equals": "yes"}), "yes!", false),
            (json!({"contains": "es"}), "yes", true),
            (json!({"contains": "ES"}), "yes", false),
        ] {
            for negate in [false, true] {
                let edge = json!([{"source": "a", "target": "end",
                    "when": {"subject": {"step": "a"}, "test": test, "negate": negate}}]);
                let supersteps = trace(&mut begin(&["a", "end"], edge), &[("a/0", text)]);
                assert_eq!(supersteps.len() == 2, holds != negate, "{test} {text:?} {negate}");
            }
        }
    }

    #[test]
    fn a_condition_reads_context_outputs_and_missing_values() {
        for (subject, test, runs) in [
            (json!({"context": "q"}), json!({"equals": "context"}), true),
            (json!({"context": "none"}), json!("empty"), true),
            (json!({"step_output": ["a", "text"]}), json!("present"), true),
            (json!({"step_output": ["a", "raw"]}), json!("present"), false),
            (json!({"step": "end"}), json!("present"), false),
            (json!({"literal": "x"}), json!("present"), true),
        ] {
            let edge = json!([{"source": "a", "target": "end", "when": {"subject": subject, "test": test}}]);
            assert_eq!(trace(&mut begin(&["a", "end"], edge), &[]).len() == 2, runs, "{subject}");
        }
    }

    /// draft -> judge; judge -> revise when bad; revise -> judge again, at most twice; judge -> end when good.
    fn refine() -> Execution {
        let edges = json!([
            {"source": "draft", "target": "judge"},
            when("judge", "revise", "judge", "bad"),
            when("judge", "end", "judge", "ok"),
            {"source": "revise", "target": "judge", "visits_max": 2},
        ]);
        begin(&["draft", "judge", "revise", "end"], edges)
    }

    #[test]
    fn a_back_edge_starts_a_visit_and_reruns_what_lies_below() {
        let mut loops = refine();
        assert_eq!(
            trace(&mut loops, &[("judge/0", "bad"), ("revise/0", "better")]),
            ["draft/0", "judge/0 [end/0]", "revise/0", "judge/1 [revise/1]", "end/1"]
        );
        assert_eq!(loops.value(&ValueSource::Step("revise".into())), Some("better"), "a skip erases nothing");
        assert_eq!(loops.latest("judge").map(|step| step.id.visit), Some(1));
    }

    #[test]
    fn a_loop_ends_at_its_bound() {
        let bad = [("judge/0", "bad"), ("judge/1", "bad"), ("judge/2", "bad"), ("judge/3", "bad")];
        assert_eq!(
            trace(&mut refine(), &bad),
            ["draft/0", "judge/0 [end/0]", "revise/0", "judge/1 [end/1]", "revise/1", "judge/2 [end/2]", "revise/2"]
        );
    }

    #[test]
    fn a_node_below_the_loop_waits_while_the_back_edge_is_taken() {
        let edges = json!([
            {"source": "a", "target": "b"}, {"source": "b", "target": "end"},
            {"source": "b", "target": "a", "visits_max": 1,
             "when": {"subject": {"step": "b"}, "test": {"contains": "again"}}},
        ]);
        let mut once = begin(&["a", "b", "end"], edges);
        assert_eq!(
            trace(&mut once, &[("b/0", "again"), ("b/1", "again")]),
            ["a/0", "b/0", "a/1", "b/1", "end/0"],
            "the bound closes the loop and lets the rest run"
        );
    }

    #[test]
    fn two_back_edges_into_one_node_start_one_visit() {
        let edges = json!([
            {"source": "a", "target": "b"}, {"source": "a", "target": "end"},
            {"source": "b", "target": "a", "visits_max": 1}, {"source": "end", "target": "a", "visits_max": 1},
        ]);
        assert_eq!(trace(&mut begin(&["a", "b", "end"], edges), &[]), ["a/0", "b/0 end/0", "a/1", "b/1 end/1"]);
    }

    #[test]
    fn a_target_below_another_target_waits() {
        let edges = json!([
            {"source": "a", "target": "b"}, {"source": "b", "target": "x"}, {"source": "b", "target": "end"},
            {"source": "x", "target": "a", "visits_max": 1}, {"source": "end", "target": "b", "visits_max": 1},
        ]);
        let supersteps = trace(&mut begin(&["a", "b", "x", "end"], edges), &[]);
        assert_eq!(supersteps, ["a/0", "b/0", "x/0 end/0", "a/1", "b/1", "x/1 end/1"]);
    }

    #[test]
    fn a_node_may_repeat_itself() {
        let edges = json!([{"source": "end", "target": "end", "visits_max": 2}]);
        assert_eq!(trace(&mut begin(&["end"], edges), &[]), ["end/0", "end/1", "end/2"]);
    }

    #[test]
    fn steps_of_another_superstep_are_refused_and_change_nothing() {
        let mut line = begin(&["a", "end"], json!([{"source": "a", "target": "end"}]));
        let id = |node: &str, visit| StepId { node: node.into(), visit };
        for steps in [
            vec![],
            vec![step(id("end", 0), "x")],
            vec![step(id("a", 1), "x")],
            vec![step(id("a", 0), "x"), step(id("a", 0), "x")],
            vec![step(id("a", 0), "x"), step(id("end", 0), "x")],
            vec![Step { origin: StepOrigin::Skipped, ..step(id("a", 0), "x") }],
        ] {
            assert!(matches!(line.finish(steps), Err(ExecuteError::NotRunning(_))));
        }
        let silent = Step { outputs: vec![], ..step(id("a", 0), "x") };
        assert_eq!(line.finish(vec![silent]), Err(ExecuteError::NoOutput(id("a", 0))));
        assert_eq!(line.ready(), [id("a", 0)]);
    }

    #[test]
    fn what_cannot_run_is_refused_at_the_start() {
        let graph = |edges: Value| {
            let nodes = json!([{"name": "a", "kind": "k"}, {"name": "b", "kind": "k"}]);
            serde_json::from_value(json!({"nodes": nodes, "edges": edges, "output": "a"})).expect("graph")
        };
        let cycle = json!([{"source": "a", "target": "b"}, {"source": "b", "target": "a"}]);
        assert!(matches!(Execution::new(graph(cycle), vec![]), Err(ExecuteError::Cycle(_))));
        let dangling = json!([{"source": "a", "target": "x"}]);
        assert!(matches!(Execution::new(graph(dangling), vec![]), Err(ExecuteError::Dangling { .. })));
    }

    #[test]
    fn the_answer_is_the_last_output_text_or_the_output_node() {
        let line = begin(&["a", "end"], json!([]));
        let id = |node: &str, visit| StepId { node: node.into(), visit };
        let says = |node: &str, text: &str| Step { output_text: Some(text.into()), ..step(id(node, 0), "x") };
        assert_eq!(answer(line.graph(), &[]), "");
        assert_eq!(answer(line.graph(), &[step(id("end", 0), "e"), step(id("a", 0), "a")]), "e");
        assert_eq!(answer(line.graph(), &[says("a", "1"), says("b", "2"), step(id("end", 0), "e")]), "2");
        let skipped = Step { origin: StepOrigin::Skipped, outputs: vec![], ..step(id("end", 1), "") };
        assert_eq!(answer(line.graph(), &[step(id("end", 0), "e"), skipped]), "e");
    }
}
