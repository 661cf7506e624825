//! The checks, in the order in which their issues are shown.

use super::Severity::{Block, Warn};
use super::{Reviewed, Severity};
use crate::ports::Definition;
use crate::scope::VariantLevel;
use crate::variant::{Edit, level_between};
use fapo_graph::{Binding, Handle, PromptNames, ValueSource, check, handles};
use fapo_template::{MessageTemplate, Prompt, Segment};
use std::collections::BTreeSet;

/// An issue: how grave, what, how to mend it.
type Found = (Severity, String, &'static str);
/// Looks at one thing.
type Check = fn(&Reviewed<'_>) -> Vec<Found>;

/// Bytes of all prompts of a variant.
const PROMPT_BYTES_MAX: usize = 64 << 10;
/// Longest script.
const SCRIPT_BYTES_MAX: usize = 16 << 10;
/// Growth of the prompts that is worth a look.
const GROWTH_WARN: usize = 4;

/// Every check with its name.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("change", change),
    ("scope_level", scope_level),
    ("scope_detail", scope_detail),
    ("immutability", immutability),
    ("constants", constants),
    ("placeholders", placeholders),
    ("graph", graph),
    ("capabilities", capabilities),
    ("scripts", scripts),
    ("leak_answer", leak_answer),
    ("leak_text", leak_text),
    ("literals", literals),
    ("tenant_isolation", tenant_isolation),
    ("size", size),
    ("single_concern", single_concern),
];

fn change(r: &Reviewed<'_>) -> Vec<Found> {
    match level_between(r.parent, r.candidate) {
        Some(_) => Vec::new(),
        None => vec![(Block, "it changes nothing".into(), "propose a change")],
    }
}

fn scope_level(r: &Reviewed<'_>) -> Vec<Found> {
    let Some(level) = level_between(r.parent, r.candidate).filter(|level| !r.scope.allows(*level)) else {
        return Vec::new();
    };
    let message = format!("it changes the {} level, which the scope contract does not open", level.word());
    vec![(Block, message, "stay within the levels of the playbook's scope block")]
}

fn scope_detail(r: &Reviewed<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (name, value) in changed_params(r.parent, r.candidate) {
        if !r.scope.allows_value(&name, &value) {
            found.push((
                Block,
                format!("parameter {name} = {value} is outside the scope contract"),
                "choose a parameter and a value that the scope block names",
            ));
        }
    }
    if let Edit::Structure { pattern, .. } = &r.proposal.edit
        && !r.scope.patterns.contains(pattern)
    {
        let message = format!("structure pattern {pattern:?} is not among those of the scope contract");
        found.push((Block, message, "use a pattern that the scope block names"));
    }
    for prompt in changed_prompts(r.parent, r.candidate) {
        let file = format!("prompts/modules/{}/variant-000.md", prompt.name);
        if !r.scope.allows_file(&file) {
            let message = format!("prompt module {} is not among the files of the scope contract", prompt.name);
            found.push((Block, message, "change a module whose files the scope block names"));
        }
    }
    found
}

fn immutability(r: &Reviewed<'_>) -> Vec<Found> {
    let standing = r.proposal.files.iter().filter(|file| (r.stands)(file));
    standing
        .map(|file| {
            (Block, format!("it would rewrite {file}"), "give the variant a new number; no file is ever rewritten")
        })
        .collect()
}

fn constants(r: &Reviewed<'_>) -> Vec<Found> {
    let changed = changed_params(r.parent, r.candidate);
    let fixed = changed.into_iter().filter(|(name, _)| r.scope.constants.contains(name));
    fixed
        .map(|(name, _)| {
            (Block, format!("it changes {name}, which is constant over a trial"), "leave the constants as they are")
        })
        .collect()
}

fn placeholders(r: &Reviewed<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for prompt in changed_prompts(r.parent, r.candidate) {
        let Some(before) = r.parent.prompts.iter().find(|p| p.name == prompt.name) else {
            continue;
        };
        let now: BTreeSet<&str> = prompt.placeholders().collect();
        let lost: BTreeSet<&str> = before.placeholders().filter(|name| !now.contains(name)).collect();
        for name in lost {
            let message = format!("prompt {} no longer holds ${{{name}}}", prompt.name);
            found.push((Block, message, "keep every placeholder of the prompt it comes from"));
        }
    }
    found
}

fn graph(r: &Reviewed<'_>) -> Vec<Found> {
    let names: Vec<PromptNames> = r
        .candidate
        .prompts
        .iter()
        .map(|p| PromptNames { name: p.name.clone(), placeholders: p.placeholders().map(str::to_string).collect() })
        .collect();
    let problems = check(&r.candidate.graph, r.catalogue, &r.candidate.params, &names);
    problems
        .into_iter()
        .map(|p| (Block, format!("{}: {}", p.subject, p.message), "mend the graph, its settings or its prompts"))
        .collect()
}

fn capabilities(r: &Reviewed<'_>) -> Vec<Found> {
    let before = handles(&r.parent.graph);
    let open = |handle: &Handle| matches!(handle, Handle::Component(name) if r.scope.components.contains(name));
    let grown = handles(&r.candidate.graph).into_iter().filter(|handle| !before.contains(handle) && !open(handle));
    grown
        .map(|handle| {
            let (kind, name) = match &handle {
                Handle::Model(name) => ("model", name),
                Handle::Index(name) => ("index", name),
                Handle::Component(name) => ("component", name),
            };
            (
                Block,
                format!("it reaches for the {kind} {name:?}, which its parent does not use"),
                "use what the parent uses",
            )
        })
        .collect()
}

fn leak_answer(r: &Reviewed<'_>) -> Vec<Found> {
    // Which split it is of is not said: the trial's log would learn something of its rows.
    let found = r.leaks.answers_in(&all_text(r.candidate), &all_text(r.parent));
    let message = "an expected answer of a split stands in it";
    if found { vec![(Block, message.into(), "take the answer out")] } else { Vec::new() }
}

fn leak_text(r: &Reviewed<'_>) -> Vec<Found> {
    let found = r.leaks.texts_in(&all_text(r.candidate), &all_text(r.parent));
    let (message, mend) =
        ("words in a row of a split stand in it", "take worked examples from examples/ and never from a split");
    if found { vec![(Block, message.into(), mend)] } else { Vec::new() }
}

/// Scripts: code that a variant brings along. Each is a module that the scope contract names.
fn scripts(r: &Reviewed<'_>) -> Vec<Found> {
    let before = r.parent.graph.scripts();
    let mut found = Vec::new();
    for script in r.candidate.graph.scripts().into_iter().filter(|script| !before.contains(script)) {
        if !r.scope.scripts.iter().any(|name| name == script.name) {
            let message = format!("script {:?} is not among those of the scope contract", script.name);
            found.push((Block, message, "change a script that the scope block names under `scripts`"));
        }
        if script.source.len() > SCRIPT_BYTES_MAX {
            let message = format!("script {} has {} bytes", script.name, script.source.len());
            found.push((Block, message, "a script has at most 16384 bytes"));
        }
    }
    found
}

/// Literals bound to ports: text that comes into the chain past its prompts.
fn literals(r: &Reviewed<'_>) -> Vec<Found> {
    let of = |definition: &Definition| -> BTreeSet<String> {
        let bindings = definition.graph.nodes.iter().flat_map(|node| &node.inputs);
        let literal = |binding: &Binding| match &binding.source {
            ValueSource::Literal(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        };
        bindings.filter_map(literal).collect()
    };
    let before = of(r.parent);
    let fresh = of(r.candidate).into_iter().filter(|text| !before.contains(text));
    fresh
        .map(|_| {
            (
                Warn,
                "a fixed text is bound to a port".into(),
                "bind ports to the context or to steps, so that the answer is found and not given",
            )
        })
        .collect()
}

fn tenant_isolation(r: &Reviewed<'_>) -> Vec<Found> {
    let text = format!("{}\n{}", all_text(r.candidate), r.proposal.files.join("\n"));
    let before = all_text(r.parent);
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tenants/") {
        let id: String = text[at + "tenants/".len()..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
            .collect();
        if id != r.tenant_id && !before.contains(&format!("tenants/{id}")) {
            found.push((
                Block,
                format!("it names the folder of another tenant, tenants/{id}"),
                "stay within the tenant's own folder",
            ));
        }
    }
    if r.proposal.files.iter().any(|file| file.starts_with('/') || file.split('/').any(|part| part == "..")) {
        found.push((Block, "it would write outside the tenant's folder".into(), "stay within the tenant's own folder"));
    }
    found
}

fn size(r: &Reviewed<'_>) -> Vec<Found> {
    let bytes = |definition: &Definition| definition.prompts.iter().map(|p| prompt_text(p).len()).sum::<usize>();
    let (before, now) = (bytes(r.parent), bytes(r.candidate));
    if now > PROMPT_BYTES_MAX {
        let message = format!("its prompts have {now} bytes; at most {PROMPT_BYTES_MAX} are evaluated");
        return vec![(Block, message, "say it in fewer words")];
    }
    if now > before.max(256) * GROWTH_WARN {
        let message = format!("its prompts grow from {before} to {now} bytes");
        return vec![(Warn, message, "every case pays for every word")];
    }
    Vec::new()
}

fn single_concern(r: &Reviewed<'_>) -> Vec<Found> {
    let prompts = changed_prompts(r.parent, r.candidate).count();
    let params = changed_params(r.parent, r.candidate).len();
    let structure = usize::from(r.parent.graph != r.candidate.graph);
    let new = r.candidate.prompts.len().saturating_sub(r.parent.prompts.len());
    // The prompts that a new node brings belong to it.
    if prompts - new + params + structure <= 1 {
        return Vec::new();
    }
    let level = level_between(r.parent, r.candidate).unwrap_or(VariantLevel::Prompt);
    let message = format!(
        "it changes {prompts} prompts, {params} parameters and {structure} graphs at once ({} level)",
        level.word()
    );
    vec![(Warn, message, "change one thing, so that the result says something about it")]
}

fn changed_prompts<'a>(parent: &'a Definition, candidate: &'a Definition) -> impl Iterator<Item = &'a Prompt> {
    candidate.prompts.iter().filter(|prompt| !parent.prompts.contains(prompt))
}

fn changed_params(parent: &Definition, candidate: &Definition) -> Vec<(String, serde_json::Value)> {
    candidate.params.iter().filter(|pair| !parent.params.contains(pair)).cloned().collect()
}

/// Everything that a definition says in words: prompts, scripts, settings and literals of the graph, parameters.
fn all_text(definition: &Definition) -> String {
    let prompts: Vec<String> = definition.prompts.iter().map(prompt_text).collect();
    let graph = serde_json::to_string(&definition.graph).unwrap_or_default();
    let params = serde_json::to_string(&definition.params).unwrap_or_default();
    // As they stand, because JSON's escapes would glue words together.
    let scripts: Vec<&str> = definition.graph.scripts().into_iter().map(|script| script.source).collect();
    format!("{}\n{}\n{graph}\n{params}", prompts.join("\n"), scripts.join("\n"))
}

fn prompt_text(prompt: &Prompt) -> String {
    let message = |message: &MessageTemplate| -> String {
        let literals = message.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => text.as_str(),
            Segment::Placeholder(_) => " ",
        });
        literals.collect()
    };
    prompt.messages.iter().map(message).collect::<Vec<_>>().join("\n")
}
