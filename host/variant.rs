//! A variant read from a tenant's files: graph, prompts and parameters, checked before any case.

use crate::dataset::ContextKeys;
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::config::EvalConfig;
use fapo_core::grants::Grant;
use fapo_core::ports::{Chain, Definition};
use fapo_core::tenant::{TemplateStyle, TenantManifest};
use fapo_graph::check::check;
use fapo_graph::{Catalogue, GraphSpec, Handle, PromptNames, ungranted};
use fapo_template::{Cut, Prompt, parse, step_reference};
use std::collections::BTreeSet;

/// Context keys that a warning lists.
const KEYS_SHOWN_MAX: usize = 32;

/// Reads the graph and the prompts that a config names.
///
/// # Errors
/// A file is missing or does not parse; named with its line.
pub fn read(
    folder: &TenantFolder,
    manifest: &TenantManifest,
    config: &EvalConfig,
) -> Result<(GraphSpec, Vec<Prompt>), InputError> {
    let path = &config.chain.path;
    let text = folder.text("chain.path", path)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut graph: GraphSpec = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let field = e.path().to_string();
        let inner = e.into_inner();
        InputError::new(format!("{path}:{}, field `{field}`", inner.line()), inner.to_string())
            .hint("a graph is one JSON object with nodes, edges and output")
    })?;
    let script = |node: &str, name: &str| {
        let Some(file) = config.chain.config.script_paths.get(name) else {
            return Err(InputError::new(
                format!("{path}, node {node}"),
                format!("runs script {name:?}, which has no file"),
            )
            .hint(format!(
                "add it to the config: chain.config.script_paths.{name} = \"tenants/{}/scripts/modules/{name}/variant-001.rhai\"",
                config.tenant_id
            )));
        };
        folder.text(&format!("chain.config.script_paths.{name}"), file)
    };
    let misplaced = |node: &str| {
        InputError::new(format!("{path}, node {node}"), "holds the text of a script")
            .hint("put the text in a file, name it under chain.config.script_paths, and write {\"script\": \"<name>\"}")
    };
    graph.put_scripts(script, misplaced)?;
    let cut = match manifest.template {
        Some(TemplateStyle::Original) => Cut::Original,
        None => Cut::Trailing,
    };
    let one = |(module, path): (&String, &String)| {
        let text = folder.text(&format!("chain.config.prompt_paths.{module}"), path)?;
        parse(module, &text, cut)
            .map_err(|e| InputError::new(format!("{path}:{}", e.line()), e.to_string()).hint(e.hint()))
    };
    let prompts = config.chain.config.prompt_paths.iter().map(one).collect::<Result<_, _>>()?;
    Ok((graph, prompts))
}

/// A definition and everything that is wrong with it, worst first; empty means it can run.
///
/// # Errors
/// The chain cannot be asked.
pub async fn define(
    chain: &dyn Chain,
    graph: GraphSpec,
    prompts: Vec<Prompt>,
    config: &EvalConfig,
    grant: &Grant,
) -> Result<(Definition, Vec<InputError>), InputError> {
    let file = &config.chain.path;
    let fault = |message: String| InputError::new(format!("tenant {}, chain component", config.tenant_id), message);
    let catalogue = chain.describe().await.map_err(|f| fault(f.message))?;
    let given = &config.chain.config.rest;
    let params = catalogue
        .parameters
        .iter()
        .map(|p| (p.name.clone(), given.get(&p.name).unwrap_or(&p.default).clone()))
        .collect();
    let definition = Definition { graph, prompts, params };
    let mut problems = statically(file, &definition, &catalogue);
    if problems.is_empty() {
        problems.extend(beyond_grants(file, &definition.graph, grant));
    }
    if problems.is_empty() {
        let said = chain.check(&definition).await.map_err(|f| fault(f.message))?;
        problems.extend(said.into_iter().map(|p| {
            InputError::new(format!("{file}, {}", p.subject), p.message).hint("the chain component refuses it")
        }));
    }
    Ok((definition, problems))
}

fn statically(file: &str, definition: &Definition, catalogue: &Catalogue) -> Vec<InputError> {
    let names: Vec<PromptNames> = definition
        .prompts
        .iter()
        .map(|p| PromptNames { name: p.name.clone(), placeholders: p.placeholders().map(str::to_string).collect() })
        .collect();
    check(&definition.graph, catalogue, &definition.params, &names)
        .into_iter()
        .map(|p| InputError {
            subject: format!("{file}, {}", p.subject),
            message: p.message,
            hint: p.hint.or_else(|| Some("correct the graph, or the parameter in the config's `chain.config`".into())),
        })
        .collect()
}

fn beyond_grants(file: &str, graph: &GraphSpec, grant: &Grant) -> Vec<InputError> {
    let models: BTreeSet<String> = grant.models.keys().cloned().collect();
    let indexes: BTreeSet<String> = grant.indexes.keys().cloned().collect();
    let components: BTreeSet<String> = grant.components.keys().cloned().collect();
    let refused = ungranted(graph, &models, &indexes, &components);
    refused
        .into_iter()
        .map(|handle| {
            InputError::new(file, format!("{handle:?} is not granted to this tenant"))
                .hint("request it in tenant.toml, [requests], and let the operator grant it in fapo.toml")
        })
        .collect()
}

/// A warning for each context key that a prompt of the graph names and some cases lack, with their number.
pub fn missing_context(definition: &Definition, found: &ContextKeys) -> Vec<String> {
    let used: BTreeSet<&str> = definition.graph.nodes.iter().filter_map(|n| n.prompt.as_deref()).collect();
    let mut warnings = Vec::new();
    for prompt in definition.prompts.iter().filter(|p| used.contains(p.name.as_str())) {
        let keys: BTreeSet<&str> = prompt.placeholders().filter(|key| step_reference(key).is_none()).collect();
        for key in keys {
            let lacking = found.cases - found.with.get(key).copied().unwrap_or_default();
            if lacking > 0 {
                let known: Vec<&str> = found.with.keys().take(KEYS_SHOWN_MAX).map(String::as_str).collect();
                warnings.push(format!(
                    "prompt {}: ${{{key}}} is in the context of {} of {} cases, it is empty in the other {lacking}; context keys: {}",
                    prompt.name,
                    found.cases - lacking,
                    found.cases,
                    known.join(", ")
                ));
            }
        }
    }
    warnings
}

/// Nodes that call a model, with the alias each calls.
pub fn calling_nodes(graph: &GraphSpec) -> Vec<(String, String)> {
    let calls = graph.nodes.iter().flat_map(|node| node.handles.iter().map(move |handle| (node, handle)));
    calls
        .filter_map(|(node, handle)| match handle {
            Handle::Model(alias) => Some((node.name.clone(), alias.clone())),
            Handle::Index(_) | Handle::Component(_) => None,
        })
        .collect()
}
