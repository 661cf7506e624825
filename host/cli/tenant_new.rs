//! `fapo tenant new`: a tenant that runs at once, to be turned into one's own.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use crate::place::{Place, unwritable};
use crate::sources;
use fapo_core::InputError;
use fapo_core::grants::read_operator_file;
use fapo_core::names::is_name;
use serde_json::{Value, json};
use std::path::Path;

/// Make a tenant: prompts, graph, cases, configs, a scripted model, and the grant for it in the operator's file.
///
/// It evaluates at once. Then put your cases into datasets/, your prompts into prompts/, and a real model into the
/// operator's file. With --rust it also gets a Cargo package for node kinds or a scorer of its own; outside a
/// checkout the SDK is written beside it.
#[derive(clap::Args)]
#[command(
    after_help = "Example: fapo tenant new my_task && fapo eval --config tenants/my_task/configs/validation.json"
)]
pub(super) struct New {
    /// Name of the tenant: lower-case ASCII letters, digits, _ and -.
    id: String,
    /// With a Cargo package.
    #[arg(long)]
    rust: bool,
}

/// Cases per split of the starter.
const CASES: u32 = 20;
/// Every fifth scripted reply gives up, so that there is something to improve.
const GIVES_UP_EVERY: u32 = 5;

impl New {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let id = self.id.as_str();
        if !is_name(id) {
            return Err(InputError::new(format!("tenant {id:?}"), "is no name")
                .hint("names are lower-case ASCII letters, digits, _ and -, at most 64"));
        }
        let folder = place.tenant(id);
        if folder.exists() {
            return Err(InputError::new(folder.display().to_string(), "stands already").hint("choose another name"));
        }
        let operator = operator_text(place, id, self.rust)?;
        let made = |path: &Path| {
            printer.text(&format!("made {}", path.display()));
            printer.line(&Line::Created { path: path.display().to_string() });
        };
        for (name, text) in files(id, self.rust, place) {
            let path = folder.join(name);
            write(&path, &text)?;
            made(&path);
        }
        if self.rust && !in_checkout(place) {
            let sdk = place.root.join("fapo-sdk");
            sources::write(&sdk)?;
            made(&sdk);
        }
        write(&place.operator, &operator)?;
        printer.text(&format!("granted tenant {id} its scripted model in {}", place.operator.display()));
        printer.text(&format!("\nnext: fapo eval --config tenants/{id}/configs/validation.json"));
        Ok(Exit::Done)
    }
}

fn in_checkout(place: &Place) -> bool {
    place.root.join("tenant-sdk/Cargo.toml").is_file()
}

/// The operator's file with the grant added; nothing that stands in it changes.
fn operator_text(place: &Place, id: &str, rust: bool) -> Result<String, InputError> {
    let file = place.operator.display().to_string();
    let mut text = match std::fs::read_to_string(&place.operator) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            "# What tenants may use on this machine. A tenant gets what it requests and this file grants.\n".into()
        }
        Err(e) => return Err(unwritable(&place.operator, &e)),
    };
    let standing = read_operator_file(&file, &text)?;
    let route = format!("{id}_script");
    if standing.tenants.contains_key(id) || standing.models.contains_key(&route) {
        return Err(InputError::new(file, format!("speaks of {id} already"))
            .hint(format!("take [tenants.{id}] and [models.{route}] out, or choose another name")));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("\n[models.{route}]\nprovider = \"scripted\"\nrules = \"tenants/{id}/scripted.jsonl\"\n"));
    if rust {
        text.push_str(&format!("\n[tenants.{id}]\nbuild = true\n"));
    }
    text.push_str(&format!("\n[tenants.{id}.models]\ntask = [\"{route}\"]\n"));
    read_operator_file(&file, &text)?;
    Ok(text)
}

fn files(id: &str, rust: bool, place: &Place) -> Vec<(String, String)> {
    let component = if rust { "crate" } else { "stock" };
    let mut files = vec![
        (
            "tenant.toml".into(),
            format!(
                "id = \"{id}\"\ntitle = \"Sums in words\"\n\n[chain]\ncomponent = \"{component}\"\n\n[scorer]\n\
                 component = \"{component}\"\n\n[requests]\nmodels = [\"task\"]\n"
            ),
        ),
        (
            "prompts/modules/answer/variant-001.md".into(),
            "System: Work out the sum. Answer with the number alone.\n\nUser: ${question}\n".into(),
        ),
        ("chains/baseline.json".into(), format!("{:#}\n", graph())),
        ("docs/iteration-playbook.md".into(), include_str!("starter/playbook.md").replace("{id}", id)),
        (
            "README.md".into(),
            format!(
                "# {id}\n\nA starter: sums in words, answered by a scripted model that gives up on every fifth.\n\n```\n\
                 fapo tenant check {id}\nfapo eval --config tenants/{id}/configs/validation.json\n```\n"
            ),
        ),
    ];
    let mut script = String::new();
    for (at, split) in ["train", "validation", "test"].into_iter().enumerate() {
        files.push((format!("configs/{split}.json"), format!("{:#}\n", config(id, split))));
        let mut rows = String::new();
        for case in 1..=CASES {
            // Numbers that no other split and no other case has.
            let (a, b) = (case * 3 + at as u32, case * 7 + 11 * (at as u32 + 1));
            let question = format!("How much is {a} plus {b}?");
            let row = json!({
                "case_id": format!("{split}-{case:03}"), "task_type": "sum", "context": {"question": question},
                "expected": {"answer": (a + b).to_string()}, "metadata": {"split": split},
            });
            rows.push_str(&format!("{row}\n"));
            let gives_up = case % GIVES_UP_EVERY == 0;
            let reply = if gives_up { "I cannot tell.".to_string() } else { (a + b).to_string() };
            script.push_str(&format!("{}\n", json!({"contains": [question], "reply": reply})));
        }
        files.push((format!("datasets/{split}.jsonl"), rows));
    }
    script.push_str(&format!("{}\n", json!({"default": "I do not know."})));
    files.push(("scripted.jsonl".into(), script));
    if rust {
        let sdk = if in_checkout(place) { "../../tenant-sdk" } else { "../../fapo-sdk/tenant-sdk" };
        files.push((
            "Cargo.toml".into(),
            format!(
                "[workspace]\n\n[package]\nname = \"{id}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
                 [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n[dependencies]\nfapo-tenant-sdk = {{ path = \"{sdk}\" }}\n\n{}",
                sources::GUEST_PROFILE
            ),
        ));
        files.push(("src/lib.rs".into(), include_str!("starter/lib.rs.txt").into()));
    }
    files
}

fn graph() -> Value {
    json!({
        "nodes": [{"name": "answer", "kind": "llm", "prompt": "answer", "handles": [{"model": "task"}]}],
        "edges": [],
        "output": "answer",
    })
}

fn config(id: &str, split: &str) -> Value {
    json!({
        "tenant_id": id,
        "provider": "scripted",
        "provider_settings": {"model": "scripted", "temperature": 0.0, "max_tokens": 64},
        "dataset": {"path": format!("tenants/{id}/datasets/{split}.jsonl")},
        "chain": {
            "path": format!("tenants/{id}/chains/baseline.json"),
            "config": {"prompt_paths": {"answer": format!("tenants/{id}/prompts/modules/answer/variant-001.md")}},
        },
        "scoring_profile": {"metric": "number"},
        "max_workers": 8,
    })
}

fn write(path: &Path, text: &str) -> Result<(), InputError> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|e| unwritable(parent, &e))?;
    }
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(|e| unwritable(path, &e))
}
