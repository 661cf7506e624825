//! Between the contract's types and the author's.

use crate::bindings::chain::fapo::tenant::{node_types as wit_node, types as wit};
use crate::host::{NodeInput, NodeOutput};
use fapo_graph::{CaseInput, Entry, Step, StepId, StepOrigin};
use fapo_template::{Message, MessageTemplate, Prompt, Role, Segment};
use serde_json::Value;

pub(super) fn entry(entry: wit::Entry) -> Entry {
    Entry { name: entry.name, value: entry.value }
}

pub(super) fn entries(entries: Vec<wit::Entry>) -> Vec<Entry> {
    entries.into_iter().map(entry).collect()
}

pub(super) fn to_entries(entries: Vec<Entry>) -> Vec<wit::Entry> {
    entries.into_iter().map(|entry| wit::Entry { name: entry.name, value: entry.value }).collect()
}

pub(super) fn id(id: wit::StepId) -> StepId {
    StepId { node: id.node, visit: id.visit }
}

pub(super) fn to_id(id: StepId) -> wit::StepId {
    wit::StepId { node: id.node, visit: id.visit }
}

pub(super) fn input(input: wit::CaseInput) -> CaseInput {
    CaseInput { case_id: input.case_id, task_type: input.task_type, context: entries(input.context) }
}

fn role(role: wit::Role) -> Role {
    match role {
        wit::Role::System => Role::System,
        wit::Role::User => Role::User,
        wit::Role::Assistant => Role::Assistant,
    }
}

fn to_role(role: Role) -> wit::Role {
    match role {
        Role::System => wit::Role::System,
        Role::User => wit::Role::User,
        Role::Assistant => wit::Role::Assistant,
    }
}

pub(super) fn prompt(prompt: wit::Prompt) -> Prompt {
    let segment = |segment| match segment {
        wit::Segment::Literal(text) => Segment::Literal(text),
        wit::Segment::Placeholder(name) => Segment::Placeholder(name),
    };
    let message = |message: wit::MessageTemplate| MessageTemplate {
        role: role(message.role),
        segments: message.segments.into_iter().map(segment).collect(),
    };
    Prompt { name: prompt.name, messages: prompt.messages.into_iter().map(message).collect() }
}

pub(super) fn to_prompt(prompt: Prompt) -> wit::Prompt {
    let segment = |segment| match segment {
        Segment::Literal(text) => wit::Segment::Literal(text),
        Segment::Placeholder(name) => wit::Segment::Placeholder(name),
    };
    let message = |message: MessageTemplate| wit::MessageTemplate {
        role: to_role(message.role),
        segments: message.segments.into_iter().map(segment).collect(),
    };
    wit::Prompt { name: prompt.name, messages: prompt.messages.into_iter().map(message).collect() }
}

pub(super) fn to_message(message: Message) -> wit::Message {
    wit::Message { role: to_role(message.role), content: message.content }
}

pub(super) fn step(step: wit::Step) -> Step {
    let origin = match step.origin {
        wit::StepOrigin::Executed => StepOrigin::Executed,
        wit::StepOrigin::Given => StepOrigin::Given,
        wit::StepOrigin::Skipped => StepOrigin::Skipped,
    };
    Step {
        id: id(step.id),
        origin,
        outputs: entries(step.outputs),
        output_text: step.output_text,
        diagnostics: step.diagnostics,
    }
}

pub(super) fn to_step(step: Step) -> wit::Step {
    let origin = match step.origin {
        StepOrigin::Executed => wit::StepOrigin::Executed,
        StepOrigin::Given => wit::StepOrigin::Given,
        StepOrigin::Skipped => wit::StepOrigin::Skipped,
    };
    wit::Step {
        id: to_id(step.id),
        origin,
        outputs: to_entries(step.outputs),
        output_text: step.output_text,
        diagnostics: step.diagnostics,
    }
}

pub(super) fn json(what: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{what} is no JSON: {error}"))
}

pub(super) fn node_input(input: wit_node::NodeInput) -> Result<NodeInput, String> {
    Ok(NodeInput {
        id: id(input.id),
        kind: input.kind,
        settings: json("settings", &input.settings)?,
        prompt: input.prompt.map(prompt),
        ports: entries(input.ports),
    })
}

pub(super) fn to_node_input(input: NodeInput) -> wit_node::NodeInput {
    wit_node::NodeInput {
        id: to_id(input.id),
        kind: input.kind,
        settings: input.settings.to_string(),
        prompt: input.prompt.map(to_prompt),
        ports: to_entries(input.ports),
    }
}

pub(super) fn node_output(output: wit_node::NodeOutput) -> NodeOutput {
    NodeOutput { outputs: entries(output.outputs), diagnostics: output.diagnostics }
}

pub(super) fn to_node_output(output: NodeOutput) -> wit_node::NodeOutput {
    wit_node::NodeOutput { outputs: to_entries(output.outputs), diagnostics: output.diagnostics }
}
