//! Between the bindings' types and those of `fapo-graph`, `fapo-template` and `fapo-core`.

use crate::bindings::exports::fapo::tenant::chain as wit_chain;
use crate::bindings::fapo::tenant::{graph as wit_graph, log as wit_log, types as wit_types};
use fapo_core::ports::{Definition, Problem};
use fapo_graph as g;
use fapo_template as t;
use serde_json::Value;

pub(crate) fn level(level: wit_log::Level) -> &'static str {
    match level {
        wit_log::Level::Debug => "debug",
        wit_log::Level::Info => "info",
        wit_log::Level::Warn => "warn",
    }
}

pub(crate) fn entry(e: &g::Entry) -> wit_types::Entry {
    wit_types::Entry { name: e.name.clone(), value: e.value.clone() }
}

pub(crate) fn case_input(input: &g::CaseInput) -> wit_types::CaseInput {
    wit_types::CaseInput {
        case_id: input.case_id.clone(),
        task_type: input.task_type.clone(),
        context: input.context.iter().map(entry).collect(),
    }
}

pub(crate) fn step_id(id: &g::StepId) -> wit_types::StepId {
    wit_types::StepId { node: id.node.clone(), visit: id.visit }
}

pub(crate) fn step_id_from(id: wit_types::StepId) -> g::StepId {
    g::StepId { node: id.node, visit: id.visit }
}

pub(crate) fn step(s: &g::Step) -> wit_types::Step {
    wit_types::Step {
        id: step_id(&s.id),
        origin: match s.origin {
            g::StepOrigin::Executed => wit_types::StepOrigin::Executed,
            g::StepOrigin::Given => wit_types::StepOrigin::Given,
            g::StepOrigin::Skipped => wit_types::StepOrigin::Skipped,
        },
        outputs: s.outputs.iter().map(entry).collect(),
        output_text: s.output_text.clone(),
        diagnostics: s.diagnostics.clone(),
    }
}

pub(crate) fn given_step(s: &g::Step) -> wit_chain::GivenStep {
    wit_chain::GivenStep {
        id: step_id(&s.id),
        outputs: s.outputs.iter().map(entry).collect(),
        output_text: s.output_text.clone(),
    }
}

pub(crate) fn step_from(s: wit_types::Step) -> g::Step {
    g::Step {
        id: step_id_from(s.id),
        origin: match s.origin {
            wit_types::StepOrigin::Executed => g::StepOrigin::Executed,
            wit_types::StepOrigin::Given => g::StepOrigin::Given,
            wit_types::StepOrigin::Skipped => g::StepOrigin::Skipped,
        },
        outputs: s.outputs.into_iter().map(|e| g::Entry { name: e.name, value: e.value }).collect(),
        output_text: s.output_text,
        diagnostics: s.diagnostics,
    }
}

pub(crate) fn message_from(m: wit_types::Message) -> t::Message {
    t::Message {
        role: match m.role {
            wit_types::Role::System => t::Role::System,
            wit_types::Role::User => t::Role::User,
            wit_types::Role::Assistant => t::Role::Assistant,
        },
        content: m.content,
    }
}

fn prompt(p: &t::Prompt) -> wit_types::Prompt {
    let segment = |s: &t::Segment| match s {
        t::Segment::Literal(text) => wit_types::Segment::Literal(text.clone()),
        t::Segment::Placeholder(name) => wit_types::Segment::Placeholder(name.clone()),
    };
    let message = |m: &t::MessageTemplate| wit_types::MessageTemplate {
        role: match m.role {
            t::Role::System => wit_types::Role::System,
            t::Role::User => wit_types::Role::User,
            t::Role::Assistant => wit_types::Role::Assistant,
        },
        segments: m.segments.iter().map(segment).collect(),
    };
    wit_types::Prompt { name: p.name.clone(), messages: p.messages.iter().map(message).collect() }
}

pub(crate) fn definition(d: &Definition) -> wit_chain::Definition {
    wit_chain::Definition {
        graph: graph(&d.graph),
        prompts: d.prompts.iter().map(prompt).collect(),
        params: d.params.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
    }
}

fn graph(spec: &g::GraphSpec) -> wit_graph::GraphSpec {
    wit_graph::GraphSpec {
        nodes: spec.nodes.iter().map(node).collect(),
        edges: spec.edges.iter().map(edge).collect(),
        output: spec.output.clone(),
    }
}

fn node(n: &g::NodeSpec) -> wit_graph::NodeSpec {
    let handle = |h: &g::Handle| match h {
        g::Handle::Model(name) => wit_graph::Handle::Model(name.clone()),
        g::Handle::Index(name) => wit_graph::Handle::Index(name.clone()),
        g::Handle::Component(name) => wit_graph::Handle::Component(name.clone()),
    };
    wit_graph::NodeSpec {
        name: n.name.clone(),
        kind: n.kind.clone(),
        settings: Value::Object(n.settings.clone()).to_string(),
        prompt: n.prompt.clone(),
        handles: n.handles.iter().map(handle).collect(),
        inputs: n
            .inputs
            .iter()
            .map(|b| wit_graph::Binding { port: b.port.clone(), source: source(&b.source) })
            .collect(),
        join: match n.join {
            g::Join::All => wit_graph::Join::All,
            g::Join::Any => wit_graph::Join::Any,
        },
    }
}

fn source(s: &g::ValueSource) -> wit_graph::ValueSource {
    match s {
        g::ValueSource::Context(name) => wit_graph::ValueSource::Context(name.clone()),
        g::ValueSource::Step(name) => wit_graph::ValueSource::Step(name.clone()),
        g::ValueSource::StepOutput(node, output) => wit_graph::ValueSource::StepOutput((node.clone(), output.clone())),
        g::ValueSource::Literal(text) => wit_graph::ValueSource::Literal(text.clone()),
    }
}

fn edge(e: &g::Edge) -> wit_graph::Edge {
    wit_graph::Edge {
        source: e.source.clone(),
        target: e.target.clone(),
        when: e.when.as_ref().map(|c| wit_graph::Condition {
            subject: source(&c.subject),
            test: match &c.test {
                g::Test::Empty => wit_graph::Test::Empty,
                g::Test::Present => wit_graph::Test::Present,
                g::Test::Equals(text) => wit_graph::Test::Equals(text.clone()),
                g::Test::Contains(text) => wit_graph::Test::Contains(text.clone()),
            },
            negate: c.negate,
        }),
        visits_max: e.visits_max,
    }
}

/// A catalogue as the guest gave it; `Err` says which JSON of it is none.
pub(crate) fn catalogue_from(c: wit_chain::Catalogue) -> Result<g::Catalogue, String> {
    let json = |what: String, text: &str| fapo_core::json::read(text).map_err(|e| format!("{what} is not JSON: {e}"));
    let kinds = c
        .kinds
        .into_iter()
        .map(|k| {
            Ok(g::NodeKind {
                settings_schema: json(format!("settings-schema of kind {}", k.name), &k.settings_schema)?,
                inputs: k
                    .inputs
                    .into_iter()
                    .map(|p| g::Port {
                        name: p.name,
                        need: match p.need {
                            wit_chain::PortNeed::Required => g::PortNeed::Required,
                            wit_chain::PortNeed::Optional => g::PortNeed::Optional,
                        },
                        summary: p.summary,
                    })
                    .collect(),
                outputs: k.outputs,
                takes_prompt: k.takes_prompt,
                handles: k
                    .handles
                    .into_iter()
                    .map(|h| match h {
                        wit_graph::HandleKind::Model => g::HandleKind::Model,
                        wit_graph::HandleKind::Index => g::HandleKind::Index,
                        wit_graph::HandleKind::Component => g::HandleKind::Component,
                    })
                    .collect(),
                deterministic: k.deterministic,
                summary: k.summary,
                name: k.name,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let parameters = c
        .parameters
        .into_iter()
        .map(|p| {
            Ok(g::Parameter {
                schema: json(format!("schema of parameter {}", p.name), &p.schema)?,
                default: json(format!("default of parameter {}", p.name), &p.default)?,
                summary: p.summary,
                name: p.name,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(g::Catalogue { kinds, parameters, baseline: graph_from(c.baseline)? })
}

fn graph_from(spec: wit_graph::GraphSpec) -> Result<g::GraphSpec, String> {
    let handle = |h: wit_graph::Handle| match h {
        wit_graph::Handle::Model(name) => g::Handle::Model(name),
        wit_graph::Handle::Index(name) => g::Handle::Index(name),
        wit_graph::Handle::Component(name) => g::Handle::Component(name),
    };
    let nodes = spec
        .nodes
        .into_iter()
        .map(|n| {
            Ok(g::NodeSpec {
                settings: object(&n.settings)
                    .map_err(|e| format!("settings of node {} are no JSON object: {e}", n.name))?,
                name: n.name,
                kind: n.kind,
                prompt: n.prompt,
                handles: n.handles.into_iter().map(handle).collect(),
                inputs: n
                    .inputs
                    .into_iter()
                    .map(|b| g::Binding { port: b.port, source: source_from(b.source) })
                    .collect(),
                join: match n.join {
                    wit_graph::Join::All => g::Join::All,
                    wit_graph::Join::Any => g::Join::Any,
                },
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let edges = spec
        .edges
        .into_iter()
        .map(|e| g::Edge {
            source: e.source,
            target: e.target,
            when: e.when.map(|c| g::Condition {
                subject: source_from(c.subject),
                test: match c.test {
                    wit_graph::Test::Empty => g::Test::Empty,
                    wit_graph::Test::Present => g::Test::Present,
                    wit_graph::Test::Equals(text) => g::Test::Equals(text),
                    wit_graph::Test::Contains(text) => g::Test::Contains(text),
                },
                negate: c.negate,
            }),
            visits_max: e.visits_max,
        })
        .collect();
    Ok(g::GraphSpec { nodes, edges, output: spec.output })
}

fn source_from(s: wit_graph::ValueSource) -> g::ValueSource {
    match s {
        wit_graph::ValueSource::Context(name) => g::ValueSource::Context(name),
        wit_graph::ValueSource::Step(name) => g::ValueSource::Step(name),
        wit_graph::ValueSource::StepOutput((node, output)) => g::ValueSource::StepOutput(node, output),
        wit_graph::ValueSource::Literal(text) => g::ValueSource::Literal(text),
    }
}

pub(crate) fn problems_from(problems: Vec<wit_chain::Problem>) -> Vec<Problem> {
    problems.into_iter().map(|p| Problem { subject: p.subject, message: p.message }).collect()
}

fn object(text: &str) -> Result<serde_json::Map<String, Value>, String> {
    match fapo_core::json::read(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("another kind of value".into()),
        Err(e) => Err(e.to_string()),
    }
}
