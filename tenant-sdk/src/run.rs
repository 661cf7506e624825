//! One case through a chain, superstep by superstep.
//!
//! The order of things is [`fapo_graph::execute`]'s; this file serves the nodes. All model calls that the nodes of a
//! superstep ask for go to the host in one batch, likewise searches and calls of node components.

use crate::chain::{ChainBuilder, ChainFault, Definition, GivenStep, Problem};
use crate::host::{GenerateRequest, Host, NodeRequest, SearchRequest};
use crate::kind::{NodeCall, Output, Replies, Turn};
use fapo_graph::{CaseInput, Execution, Step, StepId, StepOrigin, resolve_settings};
use fapo_template::Prompt;
use serde_json::{Map, Value};
use std::fmt::Display;

/// Most turns of one step: a kind that asks and asks is a loop the graph does not show.
const TURNS_MAX: usize = 16;

/// A case under way.
pub struct ChainRun {
    chain: ChainBuilder,
    execution: Execution,
    settings: Vec<Map<String, Value>>,
    prompts: Vec<Prompt>,
    given: Vec<GivenStep>,
}

/// A node of the running superstep.
struct Job {
    id: StepId,
    position: usize,
    replies: Vec<Replies>,
    step: Option<Step>,
}

impl ChainRun {
    /// Begins a case.
    ///
    /// # Errors
    /// At least one problem of the definition or of a given step.
    pub fn start(
        chain: ChainBuilder,
        definition: Definition,
        input: CaseInput,
        given: Vec<GivenStep>,
    ) -> Result<Self, Vec<Problem>> {
        let Definition { graph, prompts, params } = definition;
        let mut problems = Vec::new();
        let mut problem = |subject: &str, message: String| problems.push(Problem { subject: subject.into(), message });
        let mut settings = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            if chain.find(&node.kind).is_none() {
                problem(&node.name, format!("unknown kind {:?}", node.kind));
            }
            match resolve_settings(node, &params) {
                Ok(resolved) => settings.push(resolved),
                Err(message) => problem(&node.name, message),
            }
            if let Some(name) = &node.prompt
                && !prompts.iter().any(|prompt| prompt.name == *name)
            {
                problem(&node.name, format!("no prompt is called {name:?}"));
            }
        }
        for step in &given {
            if !graph.nodes.iter().any(|node| node.name == step.id.node) {
                problem(&step.id.node, "a step is given for a node that is not in the graph".into());
            } else if step.outputs.is_empty() {
                problem(&step.id.node, format!("given visit {} has no output", step.id.visit));
            }
        }
        match Execution::new(graph, input.context) {
            Ok(execution) if problems.is_empty() => Ok(ChainRun { chain, execution, settings, prompts, given }),
            Ok(_) => Err(problems),
            Err(error) => {
                problems.push(Problem { subject: "graph".into(), message: error.to_string() });
                Err(problems)
            }
        }
    }

    /// Runs the next superstep; `None` after the last one.
    ///
    /// # Errors
    /// The case cannot go on; the fault names the step.
    pub fn next(&mut self, host: &mut dyn Host) -> Result<Option<Vec<Step>>, ChainFault> {
        let ready = self.execution.ready();
        if ready.is_empty() {
            return Ok(None);
        }
        let mut jobs: Vec<Job> = ready.into_iter().map(|id| self.job(id)).collect();
        for _ in 0..TURNS_MAX {
            let turns = self.turns(&mut jobs)?;
            if turns.is_empty() {
                let steps = jobs.into_iter().filter_map(|job| job.step).collect();
                let finished = self.execution.finish(steps);
                return finished.map(Some).map_err(|error| ChainFault { id: None, message: error.to_string() });
            }
            self.serve(&mut jobs, turns, host)?;
        }
        let stuck = jobs.iter().find(|job| job.step.is_none()).map(|job| job.id.clone());
        Err(ChainFault { id: stuck, message: format!("asked the host more than {TURNS_MAX} times") })
    }

    fn job(&self, id: StepId) -> Job {
        let nodes = &self.execution.graph().nodes;
        let position = nodes.iter().position(|node| node.name == id.node).unwrap_or_default();
        let step = self.given.iter().find(|given| given.id == id).map(|given| Step {
            id: given.id.clone(),
            origin: StepOrigin::Given,
            outputs: given.outputs.clone(),
            output_text: given.output_text.clone(),
            diagnostics: Vec::new(),
        });
        Job { id, position, replies: Vec::new(), step }
    }

    /// Runs every unfinished node once; what they ask for, by position among the jobs.
    fn turns(&self, jobs: &mut [Job]) -> Result<Vec<(usize, Turn)>, ChainFault> {
        let mut waiting = Vec::new();
        for (number, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.step.is_none()) {
            let graph = self.execution.graph();
            let spec = &graph.nodes[job.position];
            let call = NodeCall {
                id: &job.id,
                spec,
                settings: &self.settings[job.position],
                prompt: self.prompts.iter().find(|prompt| Some(&prompt.name) == spec.prompt.as_ref()),
                execution: &self.execution,
            };
            let kind = self.chain.find(&spec.kind).ok_or_else(|| fault(&job.id, "unknown kind"))?;
            match kind.run(&call, &job.replies).map_err(|message| fault(&job.id, message))? {
                Turn::Done(output) if output.outputs.is_empty() => {
                    return Err(fault(&job.id, "the kind gave no output"));
                }
                Turn::Done(output) => job.step = Some(step(&job.id, output, graph.output == spec.name)),
                turn => waiting.push((number, turn)),
            }
        }
        Ok(waiting)
    }

    /// Asks the host for everything at once and hands the replies out.
    fn serve(&self, jobs: &mut [Job], turns: Vec<(usize, Turn)>, host: &mut dyn Host) -> Result<(), ChainFault> {
        let mut generate: Batch<GenerateRequest> = Batch::default();
        let mut search: Batch<SearchRequest> = Batch::default();
        let mut call: Batch<NodeRequest> = Batch::default();
        for (number, turn) in turns {
            match turn {
                Turn::Generate(requests) => generate.add(number, requests),
                Turn::Search(requests) => search.add(number, requests),
                Turn::Call(inputs) => {
                    let component = component(&self.execution, &jobs[number])?;
                    let with = |input| NodeRequest { component: component.clone(), input };
                    call.add(number, inputs.into_iter().map(with).collect());
                }
                Turn::Done(_) => {}
            }
        }
        generate.serve(jobs, |requests| host.generate(requests), Replies::Generated)?;
        search.serve(jobs, |requests| host.search(requests), Replies::Found)?;
        call.serve(jobs, |requests| host.call_nodes(requests), Replies::Called)
    }
}

/// The requests of several jobs, side by side.
struct Batch<Q> {
    requests: Vec<Q>,
    /// Job and how many of the requests are its own.
    shares: Vec<(usize, usize)>,
}

impl<Q> Default for Batch<Q> {
    fn default() -> Self {
        Batch { requests: Vec::new(), shares: Vec::new() }
    }
}

impl<Q> Batch<Q> {
    fn add(&mut self, job: usize, requests: Vec<Q>) {
        self.shares.push((job, requests.len()));
        self.requests.extend(requests);
    }

    fn serve<A, E: Display>(
        self,
        jobs: &mut [Job],
        ask: impl FnOnce(Vec<Q>) -> Vec<Result<A, E>>,
        wrap: impl Fn(Vec<A>) -> Replies,
    ) -> Result<(), ChainFault> {
        let expected = self.requests.len();
        let answers = if expected == 0 { Vec::new() } else { ask(self.requests) };
        if answers.len() != expected {
            let message = format!("the host gave {} answers to {expected} requests", answers.len());
            return Err(ChainFault { id: None, message });
        }
        let mut answers = answers.into_iter();
        for (number, count) in self.shares {
            let job = &mut jobs[number];
            let own: Result<Vec<A>, E> = answers.by_ref().take(count).collect();
            job.replies.push(wrap(own.map_err(|error| fault(&job.id, error))?));
        }
        Ok(())
    }
}

fn component(execution: &Execution, job: &Job) -> Result<String, ChainFault> {
    let handles = &execution.graph().nodes[job.position].handles;
    let named = handles.iter().find_map(|handle| match handle {
        fapo_graph::Handle::Component(name) => Some(name.clone()),
        _ => None,
    });
    named.ok_or_else(|| fault(&job.id, "this node has no component handle"))
}

fn step(id: &StepId, output: Output, is_answer: bool) -> Step {
    let sets = output.sets_output.unwrap_or(is_answer);
    let output_text = output.outputs.first().filter(|_| sets).map(|entry| entry.value.clone());
    let mut diagnostics = output.diagnostics;
    diagnostics.sort_unstable();
    diagnostics.dedup();
    Step { id: id.clone(), origin: StepOrigin::Executed, outputs: output.outputs, output_text, diagnostics }
}

fn fault(id: &StepId, message: impl Display) -> ChainFault {
    ChainFault { id: Some(id.clone()), message: message.to_string() }
}
