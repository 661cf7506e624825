//! What can be known to be wrong with a graph before any case.
//!
//! Pure and complete: every problem is reported, not only the first. What is granted is asked in [`crate::grants`];
//! what only the component can know, it says itself.

use crate::reach::Reach;
use crate::settings::{parameters_of, resolve_settings};
use crate::{
    Catalogue, Edge, GraphSpec, Handle, HandleKind, NodeKind, NodeSpec, Parameter, PortNeed, ValueSource, schema,
};
use serde_json::Value;

/// Most nodes of a graph: past it a chain is a program, and each case would meet the limit on steps.
pub const NODES_MAX: usize = 64;
/// Most edges of a graph.
pub const EDGES_MAX: usize = 256;
/// Most further visits a back edge may start.
pub const VISITS_MAX: u32 = 16;
/// Longest name, bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Something wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphProblem {
    /// Node, edge (`a -> b`), prompt, kind or parameter it concerns, or `graph`.
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where we know.
    pub hint: Option<String>,
}

/// A prompt of the variant: its name and the placeholders it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptNames {
    /// Prompt's name.
    pub name: String,
    /// Names of its placeholders, repeats allowed.
    pub placeholders: Vec<String>,
}

/// Whether a name is ASCII `[a-z0-9_-]{1,64}`.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

/// Checks a graph with its parameters and prompts against what a component offers.
///
/// Problems stand in the order of the graph: size, parameters, nodes, edges, output.
pub fn check(
    graph: &GraphSpec,
    catalogue: &Catalogue,
    params: &[(String, Value)],
    prompts: &[PromptNames],
) -> Vec<GraphProblem> {
    let mut problems = Problems::default();
    sizes(graph, &mut problems);
    parameters(&catalogue.parameters, params, &mut problems);
    let whole = Whole { graph, catalogue, params, prompts, reach: Reach::new(graph) };
    for (position, node) in graph.nodes.iter().enumerate() {
        whole.node(position, node, &mut problems);
    }
    for edge in &graph.edges {
        whole.edge(edge, &mut problems);
    }
    whole.cycles(&mut problems);
    whole.output(&mut problems);
    problems.list
}

/// Checks what a component says of itself, its baseline included, with every parameter at its default.
///
/// Prompts are the tenant's files, so the baseline's references to them are not looked at.
pub fn check_catalogue(catalogue: &Catalogue) -> Vec<GraphProblem> {
    let mut problems = Problems::default();
    for (position, kind) in catalogue.kinds.iter().enumerate() {
        let repeated = catalogue.kinds[..position].iter().any(|other| other.name == kind.name);
        kind_itself(kind, repeated, &mut problems);
    }
    for (position, parameter) in catalogue.parameters.iter().enumerate() {
        let repeated = catalogue.parameters[..position].iter().any(|other| other.name == parameter.name);
        problems.name(&parameter.name, &parameter.name, repeated);
        if let Err(why) = schema::understood(&parameter.schema) {
            problems.add(&parameter.name, format!("its schema is not usable: {why}"));
        }
    }
    let defaults: Vec<(String, Value)> =
        catalogue.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.default.clone())).collect();
    let named = |node: &NodeSpec| node.prompt.clone();
    let prompts: Vec<PromptNames> = catalogue
        .baseline
        .nodes
        .iter()
        .filter_map(named)
        .map(|name| PromptNames { name, placeholders: Vec::new() })
        .collect();
    problems.list.extend(check(&catalogue.baseline, catalogue, &defaults, &prompts));
    problems.list
}

#[derive(Default)]
struct Problems {
    list: Vec<GraphProblem>,
}

impl Problems {
    fn add(&mut self, subject: &str, message: String) {
        self.list.push(GraphProblem { subject: subject.into(), message, hint: None });
    }

    fn hinted(&mut self, subject: &str, message: String, hint: String) {
        self.list.push(GraphProblem { subject: subject.into(), message, hint: Some(hint) });
    }

    fn name(&mut self, subject: &str, name: &str, repeated: bool) {
        if !is_name(name) {
            let hint = "use 1 to 64 of a-z, 0-9, _ and -".into();
            self.hinted(subject, format!("{name:?} is no valid name"), hint);
        }
        if repeated {
            self.add(subject, format!("the name {name:?} is given twice"));
        }
    }
}

fn sizes(graph: &GraphSpec, problems: &mut Problems) {
    let (nodes, edges) = (graph.nodes.len(), graph.edges.len());
    if nodes == 0 {
        problems.add("graph", "there is no node".into());
    }
    if nodes > NODES_MAX {
        problems.add("graph", format!("{nodes} nodes; at most {NODES_MAX} are allowed"));
    }
    if edges > EDGES_MAX {
        problems.add("graph", format!("{edges} edges; at most {EDGES_MAX} are allowed"));
    }
}

fn parameters(known: &[Parameter], params: &[(String, Value)], problems: &mut Problems) {
    for (position, (name, value)) in params.iter().enumerate() {
        if params[..position].iter().any(|(other, _)| other == name) {
            problems.add(name, "this parameter is given twice".into());
        }
        match known.iter().find(|parameter| parameter.name == *name) {
            Some(parameter) => {
                if let Err(why) = schema::validate(&parameter.schema, value) {
                    problems.add(name, format!("parameter value {why}"));
                }
            }
            None => problems.hinted(
                name,
                format!("no parameter is called {name:?}"),
                known_list("parameters", known.iter().map(|p| p.name.as_str())),
            ),
        }
    }
    for parameter in known.iter().filter(|parameter| !params.iter().any(|(name, _)| *name == parameter.name)) {
        problems.hinted(
            &parameter.name,
            "this parameter has no value".into(),
            format!("its default is {}", parameter.default),
        );
    }
}

fn kind_itself(kind: &NodeKind, repeated: bool, problems: &mut Problems) {
    problems.name(&kind.name, &kind.name, repeated);
    if let Err(why) = schema::understood(&kind.settings_schema) {
        problems.add(&kind.name, format!("its settings schema is not usable: {why}"));
    }
    if kind.outputs.is_empty() {
        problems.add(&kind.name, "it has no output".into());
    }
    for (position, port) in kind.inputs.iter().enumerate() {
        problems.name(&kind.name, &port.name, kind.inputs[..position].iter().any(|other| other.name == port.name));
    }
    for (position, output) in kind.outputs.iter().enumerate() {
        problems.name(&kind.name, output, kind.outputs[..position].contains(output));
    }
}

fn known_list<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { format!("there are no {what}") } else { format!("{what}: {}", names.join(", ")) }
}

/// The graph with everything it is held against.
struct Whole<'a> {
    graph: &'a GraphSpec,
    catalogue: &'a Catalogue,
    params: &'a [(String, Value)],
    prompts: &'a [PromptNames],
    reach: Reach,
}

impl Whole<'_> {
    fn node(&self, position: usize, node: &NodeSpec, problems: &mut Problems) {
        let repeated = self.graph.nodes[..position].iter().any(|other| other.name == node.name);
        problems.name(&node.name, &node.name, repeated);
        for binding in &node.inputs {
            let place = format!("port {}", binding.port);
            self.source(&node.name, &place, &binding.source, &node.name, false, problems);
        }
        match self.kind(&node.kind) {
            Some(kind) => {
                self.settings(node, kind, problems);
                ports(node, kind, problems);
                handles(node, kind, problems);
                self.prompt(node, kind, problems);
            }
            None => problems.hinted(
                &node.name,
                format!("unknown kind {:?}", node.kind),
                known_list("kinds", self.catalogue.kinds.iter().map(|kind| kind.name.as_str())),
            ),
        }
    }

    fn kind(&self, name: &str) -> Option<&NodeKind> {
        self.catalogue.kinds.iter().find(|kind| kind.name == name)
    }

    fn settings(&self, node: &NodeSpec, kind: &NodeKind, problems: &mut Problems) {
        for name in parameters_of(node) {
            if !self.catalogue.parameters.iter().any(|parameter| parameter.name == name) {
                let known = self.catalogue.parameters.iter().map(|parameter| parameter.name.as_str());
                let message = format!("settings refer to the unknown parameter {name:?}");
                problems.hinted(&node.name, message, known_list("parameters", known));
                return;
            }
        }
        // A parameter without a value is reported by itself.
        if let Ok(settings) = resolve_settings(node, self.params)
            && let Err(why) = schema::validate(&kind.settings_schema, &Value::Object(settings))
        {
            problems.add(&node.name, format!("settings {why}"));
        }
    }

    fn prompt(&self, node: &NodeSpec, kind: &NodeKind, problems: &mut Problems) {
        match (&node.prompt, kind.takes_prompt) {
            (None, false) => {}
            (None, true) => problems.add(&node.name, format!("kind {} needs a prompt", kind.name)),
            (Some(name), false) => {
                problems.add(&node.name, format!("kind {} takes no prompt, found {name:?}", kind.name))
            }
            (Some(name), true) => match self.prompts.iter().find(|prompt| prompt.name == *name) {
                Some(prompt) => self.placeholders(node, prompt, problems),
                None => {
                    let known = self.prompts.iter().map(|prompt| prompt.name.as_str());
                    problems.hinted(&node.name, format!("no prompt is called {name:?}"), known_list("prompts", known));
                }
            },
        }
    }

    fn placeholders(&self, node: &NodeSpec, prompt: &PromptNames, problems: &mut Problems) {
        for (position, name) in prompt.placeholders.iter().enumerate() {
            let Some(rest) = name.strip_prefix("steps.") else {
                continue;
            };
            if prompt.placeholders[..position].contains(name) {
                continue;
            }
            match rest.strip_suffix(".output") {
                Some(source) => {
                    let place = format!("placeholder ${{{name}}} of prompt {}", prompt.name);
                    self.step(&node.name, &place, source, &node.name, false, problems);
                }
                None => problems.hinted(
                    &node.name,
                    format!("placeholder ${{{name}}} of prompt {} reads nothing", prompt.name),
                    "a prompt reads steps as ${steps.<node>.output}".into(),
                ),
            }
        }
    }

    /// A value read for `reader`; `after` says that the reader's own latest output is known too.
    fn source(
        &self,
        subject: &str,
        place: &str,
        source: &ValueSource,
        reader: &str,
        after: bool,
        problems: &mut Problems,
    ) {
        let (node, output) = match source {
            ValueSource::Context(_) | ValueSource::Literal(_) => return,
            ValueSource::Step(node) => (node, None),
            ValueSource::StepOutput(node, output) => (node, Some(output)),
        };
        self.step(subject, place, node, reader, after, problems);
        let kind = self.graph.nodes.iter().find(|other| other.name == *node).and_then(|other| self.kind(&other.kind));
        if let (Some(kind), Some(output)) = (kind, output)
            && !kind.outputs.contains(output)
        {
            let known = known_list("outputs", kind.outputs.iter().map(String::as_str));
            problems.hinted(subject, format!("{place}: node {node} has no output {output:?}"), known);
        }
    }

    fn step(&self, subject: &str, place: &str, node: &str, reader: &str, after: bool, problems: &mut Problems) {
        if self.reach.position(node).is_none() {
            let known = known_list("nodes", self.graph.nodes.iter().map(|node| node.name.as_str()));
            problems.hinted(subject, format!("{place}: no node is called {node:?}"), known);
        } else if !(self.reach.upstream(node, reader) || after && node == reader) {
            problems.hinted(
                subject,
                format!("{place}: node {node} does not come before {reader}"),
                format!("add an edge from {node}, or from a node after it"),
            );
        }
    }

    fn edge(&self, edge: &Edge, problems: &mut Problems) {
        let subject = format!("{} -> {}", edge.source, edge.target);
        let mut dangling = false;
        for name in [&edge.source, &edge.target] {
            if self.reach.position(name).is_none() {
                dangling = true;
                let known = known_list("nodes", self.graph.nodes.iter().map(|node| node.name.as_str()));
                problems.hinted(&subject, format!("no node is called {name:?}"), known);
            }
        }
        if self.graph.edges.iter().filter(|other| *other == edge).count() > 1 {
            problems.add(&subject, "this edge is given twice".into());
        }
        if let Some(visits_max) = edge.visits_max {
            if !(1..=VISITS_MAX).contains(&visits_max) {
                problems.add(&subject, format!("visits_max is {visits_max}, outside 1..={VISITS_MAX}"));
            }
            if !dangling && !self.closes_a_loop(edge) {
                let hint = "remove visits_max: only an edge back to an earlier node carries it".into();
                problems.hinted(&subject, "visits_max on an edge that closes no loop".into(), hint);
            }
        }
        if let (Some(condition), false) = (&edge.when, dangling) {
            self.source(&subject, "condition", &condition.subject, &edge.source, true, problems);
        }
    }

    fn closes_a_loop(&self, edge: &Edge) -> bool {
        match (self.reach.position(&edge.source), self.reach.position(&edge.target)) {
            (Some(source), Some(target)) => source == target || self.reach.below(target)[source],
            _ => false,
        }
    }

    fn cycles(&self, problems: &mut Problems) {
        if let Err(cycle) = self.reach.order() {
            let names: Vec<&str> = cycle.iter().map(|&node| self.graph.nodes[node].name.as_str()).collect();
            let message = format!("a cycle without a bound runs through {}", names.join(", "));
            problems.hinted("graph", message, "give the edge that leads back a visits_max of 1 to 16".into());
        }
    }

    fn output(&self, problems: &mut Problems) {
        let output = &self.graph.output;
        let Some(position) = self.reach.position(output) else {
            let known = known_list("nodes", self.graph.nodes.iter().map(|node| node.name.as_str()));
            problems.hinted("output", format!("no node is called {output:?}"), known);
            return;
        };
        let after = self.reach.from(vec![position]);
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if !after[index] && !self.reach.upstream(&node.name, output) {
                problems.hinted(
                    &node.name,
                    format!("unreachable: no path joins it with the output node {output}"),
                    "join it by an edge or remove it".into(),
                );
            }
        }
    }
}

fn ports(node: &NodeSpec, kind: &NodeKind, problems: &mut Problems) {
    for (position, binding) in node.inputs.iter().enumerate() {
        if !kind.inputs.iter().any(|port| port.name == binding.port) {
            let known = known_list("ports", kind.inputs.iter().map(|port| port.name.as_str()));
            problems.hinted(&node.name, format!("kind {} has no port {:?}", kind.name, binding.port), known);
        }
        if node.inputs[..position].iter().any(|other| other.port == binding.port) {
            problems.add(&node.name, format!("port {} is bound twice", binding.port));
        }
    }
    for port in kind.inputs.iter().filter(|port| port.need == PortNeed::Required) {
        if !node.inputs.iter().any(|binding| binding.port == port.name) {
            problems.hinted(&node.name, format!("port {} is not bound", port.name), port.summary.clone());
        }
    }
}

fn handles(node: &NodeSpec, kind: &NodeKind, problems: &mut Problems) {
    for wanted in &kind.handles {
        match node.handles.iter().filter(|handle| handle_kind(handle) == *wanted).count() {
            1 => {}
            0 => problems.add(&node.name, format!("kind {} needs a handle to {}", kind.name, word(*wanted))),
            more => problems.add(&node.name, format!("{more} handles to {}; there must be one", word(*wanted))),
        }
    }
    for handle in &node.handles {
        let (found, Handle::Model(name) | Handle::Index(name) | Handle::Component(name)) =
            (handle_kind(handle), handle);
        if !kind.handles.contains(&found) {
            problems.add(&node.name, format!("kind {} takes no handle to {}, found {name:?}", kind.name, word(found)));
        }
        if !is_name(name) {
            problems.add(&node.name, format!("{name:?} is no valid name of {}", word(found)));
        }
    }
}

/// Which kind of handle this is.
pub fn handle_kind(handle: &Handle) -> HandleKind {
    match handle {
        Handle::Model(_) => HandleKind::Model,
        Handle::Index(_) => HandleKind::Index,
        Handle::Component(_) => HandleKind::Component,
    }
}

fn word(kind: HandleKind) -> &'static str {
    match kind {
        HandleKind::Model => "a model",
        HandleKind::Index => "an index",
        HandleKind::Component => "a node component",
    }
}

#[cfg(test)]
mod tests;
