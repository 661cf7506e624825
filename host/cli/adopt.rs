//! `fapo adopt`: a trial's variant as numbered files of its tenant.

use super::Exit;
use super::lines::Line;
use super::printer::Printer;
use super::trial_report::{definition, json_file, read, variant_file};
use crate::place::{Place, unwritable};
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::names::is_name;
use fapo_template::unparse;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

/// Copy a trial's variant into its tenant: changed prompts and graph as new numbered files, and a config for each split.
///
/// Nothing that stands is rewritten. Without --variant the selected one is taken.
#[derive(clap::Args)]
#[command(after_help = "Example: fapo adopt fapo-work/trials/demo_qa-0a1b2c3d4e5f")]
pub(super) struct Adopt {
    /// Folder of the trial.
    trial: PathBuf,
    /// The variant, for example v005.
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

/// Highest number of a variant's file.
const NUMBER_MAX: u32 = 999;

impl Adopt {
    pub(super) fn run(self, place: &Place, printer: Printer) -> Result<Exit, InputError> {
        let trial = json_file(&self.trial.join("trial.json"))?;
        let tenant = trial["identity"]["tenant"].as_str().unwrap_or_default().to_string();
        let folder = TenantFolder::open(&place.root, &tenant)?;
        let name = match self.variant {
            Some(name) => name,
            None => read(&self.trial)?.selected.variant,
        };
        let (base, adopted) = (definition(&self.trial, "v000")?, definition(&self.trial, &name)?);
        let chosen = variant_file(&self.trial, &name)?;
        if base == adopted {
            printer.text(&format!("{name} is the baseline: there is nothing to adopt"));
            return Ok(Exit::Done);
        }
        let mut made = Vec::new();
        let mut prompt_paths = Vec::new();
        for prompt in adopted.prompts.iter().filter(|prompt| !base.prompts.contains(prompt)) {
            let path = numbered(
                place,
                &format!("tenants/{tenant}/prompts/modules/{}/variant-", prompt.name),
                ".md",
                &unparse(prompt),
            )?;
            prompt_paths.push((prompt.name.clone(), path.clone()));
            made.push(path);
        }
        let standing = base.graph.scripts();
        let mut script_paths: Vec<(String, String)> = Vec::new();
        for script in adopted.graph.scripts().into_iter().filter(|script| !standing.contains(script)) {
            if !is_name(script.name) || script_paths.iter().any(|(name, _)| name == script.name) {
                continue;
            }
            let stem = format!("tenants/{tenant}/scripts/modules/{}/variant-", script.name);
            let path = numbered(place, &stem, ".rhai", script.source)?;
            script_paths.push((script.name.to_string(), path.clone()));
            made.push(path);
        }
        let mut chain_path = None;
        if adopted.graph.without_scripts() != base.graph.without_scripts() {
            let pattern = chosen["about"]["edit"]["structure"]["pattern"].as_str().unwrap_or("chain").to_string();
            let text = format!("{:#}\n", json!(adopted.graph.without_scripts()));
            let path =
                numbered(place, &format!("tenants/{tenant}/chains/variants/baseline-{pattern}-"), ".json", &text)?;
            chain_path = Some(path.clone());
            made.push(path);
        }
        for split in crate::split_runner::SPLITS {
            let source = format!("tenants/{tenant}/configs/{split}.json");
            if !folder.has(&source) {
                continue;
            }
            let mut config: Value = serde_json::from_str(&folder.text("configs", &source)?)
                .map_err(|e| InputError::new(format!("{source}:{}", e.line()), e.to_string()))?;
            for (module, path) in &prompt_paths {
                config["chain"]["config"]["prompt_paths"][module] = path.clone().into();
            }
            for (name, path) in &script_paths {
                config["chain"]["config"]["script_paths"][name] = path.clone().into();
            }
            for (name, value) in adopted.params.iter().filter(|pair| !base.params.contains(pair)) {
                config["chain"]["config"][name] = value.clone();
            }
            if let Some(path) = &chain_path {
                config["chain"]["path"] = path.clone().into();
            }
            // Each adopted variant has runs of its own.
            config.as_object_mut().map(|fields| fields.remove("output_dir"));
            made.push(numbered(
                place,
                &format!("tenants/{tenant}/configs/{split}-adopted-"),
                ".json",
                &format!("{config:#}\n"),
            )?);
        }
        for path in made {
            printer.text(&format!("made {path}"));
            printer.line(&Line::Created { path });
        }
        Ok(Exit::Done)
    }
}

/// Writes a new file `<stem>NNN<ending>` with the next number that is free; its path from the root.
fn numbered(place: &Place, stem: &str, ending: &str, text: &str) -> Result<String, InputError> {
    for number in 2..=NUMBER_MAX {
        let path = format!("{stem}{number:03}{ending}");
        let full = place.root.join(&path);
        let failed = |e: std::io::Error| unwritable(&full, &e);
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&full) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(failed)?;
                return Ok(path);
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Err(InputError::new(stem, format!("all numbers up to {NUMBER_MAX} are taken")).hint("move old variants away"))
}
