//! A [`Chain`] as the contract's `chain` export.

use super::convert::{entries, id, input, json, prompt, to_id, to_step};
use super::host::ChainHost;
use crate::bindings::chain::exports::fapo::tenant::chain as export;
use crate::bindings::chain::fapo::tenant::graph as wit;
use crate::chain::{Chain, ChainFault, Definition, GivenStep, Problem};
use crate::run::ChainRun;
use fapo_graph::{
    Binding, Catalogue, Condition, Edge, GraphSpec, Handle, HandleKind, Join, NodeKind, NodeSpec, Parameter, Port,
    PortNeed, Test, ValueSource,
};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::marker::PhantomData;

/// The `chain` export of a component whose chain is `C`.
pub struct ChainExport<C>(PhantomData<C>);

/// A case under way.
pub struct RunExport(RefCell<ChainRun>);

impl<C: Chain> export::Guest for ChainExport<C> {
    type Run = RunExport;

    fn describe() -> export::Catalogue {
        to_catalogue(C::define().catalogue().expect("the baseline is a graph: `fapo tenant check` and a test say so"))
    }

    fn check(definition: export::Definition) -> Vec<export::Problem> {
        let problems = match read(definition) {
            Ok(definition) => C::define().check(&definition),
            Err(problem) => vec![problem],
        };
        problems.into_iter().map(to_problem).collect()
    }

    fn start(
        definition: export::Definition,
        case: export::CaseInput,
        given: Vec<export::GivenStep>,
    ) -> Result<export::Run, Vec<export::Problem>> {
        let given_step = |step: export::GivenStep| GivenStep {
            id: id(step.id),
            outputs: entries(step.outputs),
            output_text: step.output_text,
        };
        let given = given.into_iter().map(given_step).collect();
        let run = read(definition)
            .map_err(|problem| vec![problem])
            .and_then(|definition| ChainRun::start(C::define(), definition, input(case), given));
        match run {
            Ok(run) => Ok(export::Run::new(RunExport(RefCell::new(run)))),
            Err(problems) => Err(problems.into_iter().map(to_problem).collect()),
        }
    }
}

impl export::GuestRun for RunExport {
    fn next(&self) -> Result<Option<Vec<export::Step>>, export::ChainFault> {
        match self.0.borrow_mut().next(&mut ChainHost) {
            Ok(steps) => Ok(steps.map(|steps| steps.into_iter().map(to_step).collect())),
            Err(ChainFault { id, message }) => Err(export::ChainFault { id: id.map(to_id), message }),
        }
    }
}

fn to_problem(problem: Problem) -> export::Problem {
    export::Problem { subject: problem.subject, message: problem.message }
}

fn read(definition: export::Definition) -> Result<Definition, Problem> {
    let params = definition
        .params
        .into_iter()
        .map(|(name, value)| {
            let value = json("its value", &value).map_err(|message| Problem { subject: name.clone(), message })?;
            Ok((name, value))
        })
        .collect::<Result<_, Problem>>()?;
    let prompts = definition.prompts.into_iter().map(prompt).collect();
    Ok(Definition { graph: graph(definition.graph)?, prompts, params })
}

fn graph(graph: wit::GraphSpec) -> Result<GraphSpec, Problem> {
    Ok(GraphSpec {
        nodes: graph.nodes.into_iter().map(node).collect::<Result<_, _>>()?,
        edges: graph.edges.into_iter().map(edge).collect(),
        output: graph.output,
    })
}

fn node(node: wit::NodeSpec) -> Result<NodeSpec, Problem> {
    let settings: Map<String, Value> = serde_json::from_str(&node.settings).map_err(|error| Problem {
        subject: node.name.clone(),
        message: format!("settings are no JSON object: {error}"),
    })?;
    let handle = |handle| match handle {
        wit::Handle::Model(name) => Handle::Model(name),
        wit::Handle::Index(name) => Handle::Index(name),
        wit::Handle::Component(name) => Handle::Component(name),
    };
    let binding = |binding: wit::Binding| Binding { port: binding.port, source: source(binding.source) };
    Ok(NodeSpec {
        name: node.name,
        kind: node.kind,
        settings,
        prompt: node.prompt,
        handles: node.handles.into_iter().map(handle).collect(),
        inputs: node.inputs.into_iter().map(binding).collect(),
        join: match node.join {
            wit::Join::All => Join::All,
            wit::Join::Any => Join::Any,
        },
    })
}

fn source(source: wit::ValueSource) -> ValueSource {
    match source {
        wit::ValueSource::Context(name) => ValueSource::Context(name),
        wit::ValueSource::Step(node) => ValueSource::Step(node),
        wit::ValueSource::StepOutput((node, output)) => ValueSource::StepOutput(node, output),
        wit::ValueSource::Literal(text) => ValueSource::Literal(text),
    }
}

fn edge(edge: wit::Edge) -> Edge {
    let when = edge.when.map(|condition| Condition {
        subject: source(condition.subject),
        test: match condition.test {
            wit::Test::Empty => Test::Empty,
            wit::Test::Present => Test::Present,
            wit::Test::Equals(text) => Test::Equals(text),
            wit::Test::Contains(text) => Test::Contains(text),
        },
        negate: condition.negate,
    });
    Edge { source: edge.source, target: edge.target, when, visits_max: edge.visits_max }
}

fn to_catalogue(catalogue: Catalogue) -> export::Catalogue {
    export::Catalogue {
        kinds: catalogue.kinds.into_iter().map(to_kind).collect(),
        parameters: catalogue.parameters.into_iter().map(to_parameter).collect(),
        baseline: to_graph(catalogue.baseline),
    }
}

fn to_kind(kind: NodeKind) -> export::NodeKind {
    let port = |port: Port| export::Port {
        name: port.name,
        need: match port.need {
            PortNeed::Required => export::PortNeed::Required,
            PortNeed::Optional => export::PortNeed::Optional,
        },
        summary: port.summary,
    };
    let handle = |handle| match handle {
        HandleKind::Model => wit::HandleKind::Model,
        HandleKind::Index => wit::HandleKind::Index,
        HandleKind::Component => wit::HandleKind::Component,
    };
    export::NodeKind {
        name: kind.name,
        summary: kind.summary,
        settings_schema: kind.settings_schema.to_string(),
        inputs: kind.inputs.into_iter().map(port).collect(),
        outputs: kind.outputs,
        takes_prompt: kind.takes_prompt,
        handles: kind.handles.into_iter().map(handle).collect(),
        deterministic: kind.deterministic,
    }
}

fn to_parameter(parameter: Parameter) -> export::Parameter {
    export::Parameter {
        name: parameter.name,
        summary: parameter.summary,
        schema: parameter.schema.to_string(),
        default: parameter.default.to_string(),
    }
}

fn to_graph(graph: GraphSpec) -> wit::GraphSpec {
    wit::GraphSpec {
        nodes: graph.nodes.into_iter().map(to_node).collect(),
        edges: graph.edges.into_iter().map(to_edge).collect(),
        output: graph.output,
    }
}

fn to_node(node: NodeSpec) -> wit::NodeSpec {
    let handle = |handle| match handle {
        Handle::Model(name) => wit::Handle::Model(name),
        Handle::Index(name) => wit::Handle::Index(name),
        Handle::Component(name) => wit::Handle::Component(name),
    };
    let binding = |binding: Binding| wit::Binding { port: binding.port, source: to_source(binding.source) };
    wit::NodeSpec {
        name: node.name,
        kind: node.kind,
        settings: Value::Object(node.settings).to_string(),
        prompt: node.prompt,
        handles: node.handles.into_iter().map(handle).collect(),
        inputs: node.inputs.into_iter().map(binding).collect(),
        join: match node.join {
            Join::All => wit::Join::All,
            Join::Any => wit::Join::Any,
        },
    }
}

fn to_source(source: ValueSource) -> wit::ValueSource {
    match source {
        ValueSource::Context(name) => wit::ValueSource::Context(name),
        ValueSource::Step(node) => wit::ValueSource::Step(node),
        ValueSource::StepOutput(node, output) => wit::ValueSource::StepOutput((node, output)),
        ValueSource::Literal(text) => wit::ValueSource::Literal(text),
    }
}

fn to_edge(edge: Edge) -> wit::Edge {
    let when = edge.when.map(|condition| wit::Condition {
        subject: to_source(condition.subject),
        test: match condition.test {
            Test::Empty => wit::Test::Empty,
            Test::Present => wit::Test::Present,
            Test::Equals(text) => wit::Test::Equals(text),
            Test::Contains(text) => wit::Test::Contains(text),
        },
        negate: condition.negate,
    });
    wit::Edge { source: edge.source, target: edge.target, when, visits_max: edge.visits_max }
}
