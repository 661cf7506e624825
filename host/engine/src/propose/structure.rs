//! Operators on the graph. A node that is put before or after another takes its name where prompts read it, so that no
//! prompt has to change with the graph.

use super::{Ground, Suggestion};
use fapo_core::ports::Definition;
use fapo_core::variant::Edit;
use fapo_graph::{Binding, Edge, GraphSpec, Handle, Join, NodeSpec, ValueSource};
use fapo_template::{MessageTemplate, Prompt, Role, Segment};
use serde_json::{Map, Value, json};

/// Replies that are voted on.
const VOTES: usize = 3;

pub(super) fn extract_span(ground: &Ground<'_>) -> Vec<Suggestion> {
    let graph = &ground.definition.graph;
    let Some(search) = graph.nodes.iter().rev().find(|node| searches(node)) else {
        return Vec::new();
    };
    let mut span = node("extract", json!({"mode": "span"}));
    span.inputs = vec![
        bound("text", ValueSource::Step(graph.output.clone())),
        bound("source", ValueSource::Step(search.name.clone())),
    ];
    if let Some(asked) = asked(ground.definition) {
        span.inputs.push(bound("exclude", ValueSource::Context(asked)));
    }
    after_output(
        graph,
        "extract",
        span,
        "span",
        "the answer stands in the passages and in the reply: the longest run of words of both, without the question's, is it",
    )
}

pub(super) fn extract_last_line(ground: &Ground<'_>) -> Vec<Suggestion> {
    let graph = &ground.definition.graph;
    let mut line = node("extract", json!({"mode": "last_line"}));
    line.inputs = vec![bound("text", ValueSource::Step(graph.output.clone()))];
    after_output(graph, "extract", line, "last_line", "the answer is the last line of the reply")
}

pub(super) fn vote(ground: &Ground<'_>) -> Vec<Suggestion> {
    let graph = &ground.definition.graph;
    let Some(asked) = graph.nodes.iter().find(|n| n.name == graph.output && n.prompt.is_some()) else {
        return Vec::new();
    };
    let mut changed = graph.clone();
    let mut votes = node("vote", json!({}));
    votes.name = free(graph, "vote");
    for (at, port) in ["a", "b", "c"].into_iter().enumerate().take(VOTES) {
        let mut copy = asked.clone();
        if at > 0 {
            copy.name = free(&changed, &format!("{}_{}", asked.name, at + 1));
            let incoming: Vec<Edge> = graph
                .edges
                .iter()
                .filter(|e| e.target == asked.name)
                .map(|e| Edge { target: copy.name.clone(), ..e.clone() })
                .collect();
            changed.edges.extend(incoming);
            changed.nodes.push(copy.clone());
        }
        votes.inputs.push(bound(port, ValueSource::Step(copy.name.clone())));
        changed.edges.push(edge(&copy.name, &votes.name));
    }
    changed.output = votes.name.clone();
    changed.nodes.push(votes);
    vec![Suggestion {
        variation: String::new(),
        edit: Edit::Structure { pattern: "vote".into(), graph: changed, prompts: Vec::new() },
        hypothesis: format!("the answer that most of {VOTES} samples agree on is right more often than one sample"),
    }]
}

/// A second search with a query of the model's own, its passages merged with those of the first.
pub(super) fn extra_hop(ground: &Ground<'_>) -> Vec<Suggestion> {
    search_again(
        ground,
        &Again {
            pattern: "extra_hop",
            kind: "retrieve",
            port: "query",
            asks: "next_query",
            suffix: "next",
            instructions: "Write one search query for what is still missing to answer the question. Write the query alone.",
            cue: "Query:",
            hypothesis: "the evidence needs a second search for which the first one brings the words",
        },
    )
}

/// A second search with the titles that the first one and the question name, its passages merged with the first's.
pub(super) fn title_rescue(ground: &Ground<'_>) -> Vec<Suggestion> {
    search_again(
        ground,
        &Again {
            pattern: "title_rescue",
            kind: "multi_retrieve",
            port: "queries",
            asks: "named_titles",
            suffix: "titles",
            instructions: "List the people, places and works that the question or the passages name and that no passage \
                           is about yet: one name a line, nothing else.",
            cue: "Names:",
            hypothesis: "an article that is named and was not found is found by its name",
        },
    )
}

/// What a second search is made of.
struct Again<'a> {
    pattern: &'a str,
    kind: &'a str,
    port: &'a str,
    /// Name of the node and the prompt that ask the model.
    asks: &'a str,
    /// Of the second search's name.
    suffix: &'a str,
    instructions: &'a str,
    cue: &'a str,
    hypothesis: &'a str,
}

/// The last search, then the model, then a search by its words; both lists come out under the last search's name.
fn search_again(ground: &Ground<'_>, again: &Again<'_>) -> Vec<Suggestion> {
    let graph = &ground.definition.graph;
    let Some(search) = graph.nodes.iter().rev().find(|n| searches(n) && n.kind == "retrieve") else {
        return Vec::new();
    };
    let (Some(model), Some(asked)) = (model(graph), context_of(search).or_else(|| asked(ground.definition))) else {
        return Vec::new();
    };
    let first = free(graph, &format!("{}_first", search.name));
    let (query, second) = (free(graph, again.asks), free(graph, &format!("{}_{}", search.name, again.suffix)));
    let mut changed = graph.clone();
    let renamed = NodeSpec { name: first.clone(), ..search.clone() };
    let mut asks = node("llm", json!({"sets_output": false}));
    (asks.name, asks.prompt, asks.handles) = (query.clone(), Some(query.clone()), vec![model]);
    let mut further = NodeSpec { name: second.clone(), kind: again.kind.into(), ..search.clone() };
    further.inputs = vec![bound(again.port, ValueSource::Step(query.clone()))];
    let mut merged = node("merge_passages", json!({}));
    merged.name.clone_from(&search.name);
    merged.inputs = vec![bound("a", ValueSource::Step(first.clone())), bound("b", ValueSource::Step(second.clone()))];
    changed.edges.iter_mut().filter(|e| e.target == search.name).for_each(|e| e.target.clone_from(&first));
    changed.edges.extend([
        edge(&first, &query),
        edge(&query, &second),
        edge(&first, &search.name),
        edge(&second, &search.name),
    ]);
    let at = changed.nodes.iter().position(|n| n.name == search.name).unwrap_or_default();
    changed.nodes.splice(at..=at, [renamed, asks, further, merged]);
    let prompt = prompt(
        &query,
        again.instructions,
        &[
            ("Question: ", asked.as_str()),
            ("\n\nFound so far:\n", &format!("steps.{first}.output")),
            (&format!("\n\n{}", again.cue), ""),
        ],
    );
    vec![Suggestion {
        variation: String::new(),
        edit: Edit::Structure { pattern: again.pattern.into(), graph: changed, prompts: vec![prompt] },
        hypothesis: again.hypothesis.into(),
    }]
}

/// The search runs over several queries of the model's own.
pub(super) fn multi_query(ground: &Ground<'_>) -> Vec<Suggestion> {
    let graph = &ground.definition.graph;
    let Some(search) = graph.nodes.iter().find(|n| searches(n) && n.kind == "retrieve") else {
        return Vec::new();
    };
    let (Some(model), Some(asked)) = (model(graph), context_of(search)) else {
        return Vec::new();
    };
    let queries = free(graph, "queries");
    let mut changed = graph.clone();
    let mut asks = node("llm", json!({"sets_output": false}));
    (asks.name, asks.prompt, asks.handles) = (queries.clone(), Some(queries.clone()), vec![model]);
    let at = changed.nodes.iter().position(|n| n.name == search.name).unwrap_or_default();
    let searching = &mut changed.nodes[at];
    searching.kind = "multi_retrieve".into();
    searching.inputs = vec![bound("queries", ValueSource::Step(queries.clone()))];
    changed.edges.push(edge(&queries, &search.name));
    changed.nodes.insert(at, asks);
    let prompt = prompt(
        &queries,
        "Write the question as it is on the first line, and two search queries in other words on the next two lines.",
        &[("Question: ", asked.as_str()), ("\n\nQueries:", "")],
    );
    vec![Suggestion {
        variation: String::new(),
        edit: Edit::Structure { pattern: "multi_query".into(), graph: changed, prompts: vec![prompt] },
        hypothesis: "other words for the question find passages that its own words miss".into(),
    }]
}

/// Puts a node after the one that gives the answer.
fn after_output(graph: &GraphSpec, pattern: &str, mut added: NodeSpec, variation: &str, why: &str) -> Vec<Suggestion> {
    let output = graph.nodes.iter().find(|node| node.name == graph.output);
    // The same rule twice gives the same text.
    if output.is_none_or(|node| node.kind == added.kind) {
        return Vec::new();
    }
    let mut changed = graph.clone();
    added.name = free(graph, &format!("{}_{variation}", graph.output));
    changed.edges.push(edge(&graph.output, &added.name));
    changed.output = added.name.clone();
    changed.nodes.push(added);
    vec![Suggestion {
        variation: String::new(),
        edit: Edit::Structure { pattern: pattern.into(), graph: changed, prompts: Vec::new() },
        hypothesis: why.into(),
    }]
}

fn node(kind: &str, settings: Value) -> NodeSpec {
    let settings: Map<String, Value> = settings.as_object().cloned().unwrap_or_default();
    NodeSpec {
        name: String::new(),
        kind: kind.into(),
        settings,
        prompt: None,
        handles: Vec::new(),
        inputs: Vec::new(),
        join: Join::All,
    }
}

fn bound(port: &str, source: ValueSource) -> Binding {
    Binding { port: port.into(), source }
}

fn edge(source: &str, target: &str) -> Edge {
    Edge { source: source.into(), target: target.into(), when: None, visits_max: None }
}

fn searches(node: &NodeSpec) -> bool {
    node.handles.iter().any(|handle| matches!(handle, Handle::Index(_)))
}

/// The context key that a node's first input reads.
fn context_of(node: &NodeSpec) -> Option<String> {
    node.inputs.iter().find_map(|input| match &input.source {
        ValueSource::Context(name) => Some(name.clone()),
        _ => None,
    })
}

/// The context key of the case's question: the first that a node reads, or else a prompt.
fn asked(definition: &Definition) -> Option<String> {
    let from_step = |name: &&String| name.starts_with("steps.");
    let in_prompts = || {
        let messages = definition.prompts.iter().flat_map(|prompt| &prompt.messages);
        let names = messages.flat_map(|message| &message.segments).filter_map(|segment| match segment {
            Segment::Placeholder(name) => Some(name),
            Segment::Literal(_) => None,
        });
        names.filter(|name| !from_step(name)).map(String::clone).next()
    };
    definition.graph.nodes.iter().find_map(context_of).or_else(in_prompts)
}

/// A model that the graph uses already.
fn model(graph: &GraphSpec) -> Option<Handle> {
    graph.nodes.iter().flat_map(|node| &node.handles).find(|handle| matches!(handle, Handle::Model(_))).cloned()
}

/// A name that no node has.
fn free(graph: &GraphSpec, wanted: &str) -> String {
    let taken = |name: &str| graph.nodes.iter().any(|node| node.name == name);
    let mut name = wanted.to_string();
    let mut number = 2;
    while taken(&name) {
        name = format!("{wanted}_{number}");
        number += 1;
    }
    name
}

/// A prompt of instructions and a user message of literals and placeholders.
fn prompt(name: &str, system: &str, parts: &[(&str, &str)]) -> Prompt {
    let mut segments = Vec::new();
    for (literal, placeholder) in parts {
        segments.push(Segment::Literal((*literal).to_string()));
        if !placeholder.is_empty() {
            segments.push(Segment::Placeholder((*placeholder).to_string()));
        }
    }
    let system = MessageTemplate { role: Role::System, segments: vec![Segment::Literal(system.into())] };
    Prompt { name: name.into(), messages: vec![system, MessageTemplate { role: Role::User, segments }] }
}
