//! `fapo diff`: what a variant of a trial changes, and what that did to the cases of train.

use super::Exit;
use super::lines::{DiffLine, Flips, GraphDiff, Line, ParamDiff, PromptDiff};
use super::printer::Printer;
use super::trial_report::{definition, read};
use fapo_core::InputError;
use fapo_core::ports::Definition;
use fapo_engine::compare::compare;
use fapo_engine::stored::read_run;
use fapo_graph::{Edge, GraphSpec};
use fapo_template::{Prompt, unparse};
use serde_json::Value;
use similar::TextDiff;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Show what one variant of a trial changes against another: prompts, parameters, graph, and the cases of train that
/// it fixed and broke.
///
/// Without names the baseline is held against the selected variant. Of validation and test no case is shown, here as
/// everywhere.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo diff fapo-work/trials/demo_qa-0a1b2c3d4e5f v000 v005")]
pub(super) struct Diff {
    /// Folder of the trial.
    trial: PathBuf,
    /// The first variant [default: v000].
    #[arg(value_name = "VARIANT")]
    a: Option<String>,
    /// The second variant [default: the selected one].
    #[arg(value_name = "VARIANT")]
    b: Option<String>,
}

/// Lines shown around a change.
const CONTEXT_LINES: usize = 2;

impl Diff {
    pub(super) fn run(self, printer: Printer) -> Result<Exit, InputError> {
        let a = self.a.unwrap_or_else(|| "v000".into());
        let b = match self.b {
            Some(name) => name,
            None => read(&self.trial)?.selected.variant,
        };
        let (before, after) = (definition(&self.trial, &a)?, definition(&self.trial, &b)?);
        let line = DiffLine {
            prompts: prompts(&before, &after, (&a, &b)),
            params: params(&before, &after),
            graph: graph(&before.graph, &after.graph),
            train: train(&self.trial, (&a, &b))?,
            a,
            b,
        };
        print(&line, printer);
        printer.line(&Line::Diff(Box::new(line)));
        Ok(Exit::Done)
    }
}

pub(super) fn prompts(a: &Definition, b: &Definition, (name_a, name_b): (&str, &str)) -> Vec<PromptDiff> {
    let text = |definition: &Definition, module: &str| -> String {
        definition.prompts.iter().find(|prompt| prompt.name == module).map(unparse).unwrap_or_default()
    };
    let modules: BTreeSet<&str> = a.prompts.iter().chain(&b.prompts).map(|p: &Prompt| p.name.as_str()).collect();
    let of = |module: &str| {
        let (before, after) = (text(a, module), text(b, module));
        let changes = TextDiff::from_lines(&before, &after);
        let (old, new) = (format!("{name_a}/{module}"), format!("{name_b}/{module}"));
        let diff = changes.unified_diff().context_radius(CONTEXT_LINES).header(&old, &new).to_string();
        (before != after).then(|| PromptDiff { module: module.into(), diff })
    };
    modules.into_iter().filter_map(of).collect()
}

pub(super) fn params(a: &Definition, b: &Definition) -> Vec<ParamDiff> {
    let value = |definition: &Definition, name: &str| -> Option<Value> {
        definition.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    };
    let names: BTreeSet<&str> = a.params.iter().chain(&b.params).map(|(name, _)| name.as_str()).collect();
    let of = |name: &str| {
        let (before, after) = (value(a, name), value(b, name));
        (before != after).then(|| ParamDiff { name: name.into(), a: before, b: after })
    };
    names.into_iter().filter_map(of).collect()
}

pub(super) fn graph(a: &GraphSpec, b: &GraphSpec) -> GraphDiff {
    let node = |graph: &GraphSpec, name: &str| graph.nodes.iter().find(|node| node.name == name).cloned();
    let names = |graph: &GraphSpec| -> BTreeSet<String> { graph.nodes.iter().map(|node| node.name.clone()).collect() };
    let edges = |graph: &GraphSpec| -> BTreeSet<String> { graph.edges.iter().map(arrow).collect() };
    let (of_a, of_b, edges_a, edges_b) = (names(a), names(b), edges(a), edges(b));
    let minus = |all: &BTreeSet<String>, less: &BTreeSet<String>| all.difference(less).cloned().collect::<Vec<_>>();
    GraphDiff {
        nodes_added: minus(&of_b, &of_a),
        nodes_removed: minus(&of_a, &of_b),
        nodes_changed: of_a.intersection(&of_b).filter(|name| node(a, name) != node(b, name)).cloned().collect(),
        edges_added: minus(&edges_b, &edges_a),
        edges_removed: minus(&edges_a, &edges_b),
        output: [a.output.clone(), b.output.clone()],
    }
}

fn arrow(edge: &Edge) -> String {
    let when = if edge.when.is_some() { " (when)" } else { "" };
    format!("{} -> {}{when}", edge.source, edge.target)
}

/// Cases of train that the second variant scores otherwise, where both ran on some of them.
fn train(trial: &Path, (a, b): (&str, &str)) -> Result<Option<Flips>, InputError> {
    let folder = |name: &str| trial.join("variants").join(name.trim_start_matches('v')).join("train");
    let (Ok(before), Ok(after)) = (read_run(&folder(a)), read_run(&folder(b))) else {
        return Ok(None);
    };
    let found = compare(&before, &after)?;
    let (fixed, broken) = (found.fixed, found.broken);
    Ok(Some(Flips { cases: found.pairs as u64, fixed, broken, same: found.same as u64 }))
}

fn print(line: &DiffLine, printer: Printer) {
    for prompt in &line.prompts {
        printer.text(&prompt.diff);
    }
    let value = |value: &Option<Value>| value.as_ref().map_or("-".to_string(), Value::to_string);
    let mut rows: Vec<Vec<String>> = line
        .params
        .iter()
        .map(|param| vec![format!("parameter {}", param.name), value(&param.a), value(&param.b)])
        .collect();
    let graph = &line.graph;
    let lists = [
        ("nodes", &graph.nodes_removed, &graph.nodes_added),
        ("edges", &graph.edges_removed, &graph.edges_added),
        ("nodes changed", &graph.nodes_changed, &graph.nodes_changed),
    ];
    let changed = lists.into_iter().filter(|(_, a, b)| !a.is_empty() || !b.is_empty());
    rows.extend(changed.map(|(what, a, b)| vec![what.to_string(), a.join(", "), b.join(", ")]));
    if graph.output[0] != graph.output[1] {
        rows.push(vec!["output".into(), graph.output[0].clone(), graph.output[1].clone()]);
    }
    match rows.is_empty() {
        false => printer.table(&["", &line.a, &line.b], rows),
        true if line.prompts.is_empty() => printer.text(&format!("{} and {} are equal", line.a, line.b)),
        true => {}
    }
    match &line.train {
        None => printer.text("\ntrain: one of them was not run"),
        Some(flips) => {
            let ids = |ids: &[String]| format!("{}  {}", ids.len(), ids.join(", "));
            printer.text(&format!("\ntrain, {} cases that both were run on", flips.cases));
            let rows = vec![
                vec!["fixed".to_string(), ids(&flips.fixed)],
                vec!["broken".into(), ids(&flips.broken)],
                vec!["same".into(), flips.same.to_string()],
            ];
            printer.table(&["", ""], rows);
        }
    }
}
