//! A trial's folder: the scope it began with, every attempt with its definition, and the iteration memory.
//!
//! The loop is a function of what its runs found, and runs are journalled; so a trial is continued by running the loop
//! again, and this folder is written, not read, but for the times of attempts that stand in the memory already.

use fapo_core::InputError;
use fapo_core::names::is_name;
use fapo_core::ports::{Clock, Definition, RunFiles};
use fapo_core::scope::ScopeContract;
use fapo_template::unparse;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MEMORY: &str = "iteration-memory.jsonl";
const LOCK: &str = "lock";

/// An open trial folder; nobody else can write to it while it lives.
pub(crate) struct TrialFolder {
    folder: PathBuf,
    files: Arc<dyn RunFiles>,
    clock: Arc<dyn Clock>,
    /// Lines that an earlier start wrote.
    before: Vec<Value>,
    lines: Vec<Value>,
    _lock: std::fs::File,
}

fn failed(path: &Path, e: &std::io::Error) -> InputError {
    InputError::new(path.display().to_string(), e.to_string())
        .hint("make room or mend the permissions, then run the same command: the trial goes on")
}

impl TrialFolder {
    /// Opens or makes a trial's folder and records the scope contract, before anything else of the trial.
    ///
    /// # Errors
    /// Another process writes to it, it holds a trial of another identity, or it cannot be written.
    pub(crate) fn open(
        folder: &Path,
        files: &Arc<dyn RunFiles>,
        clock: &Arc<dyn Clock>,
        identity: &Value,
        scope: &ScopeContract,
    ) -> Result<Self, InputError> {
        std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
        let lock_path = folder.join(LOCK);
        let lock = std::fs::File::create(&lock_path).map_err(|e| failed(&lock_path, &e))?;
        if lock.try_lock().is_err() {
            return Err(InputError::new(folder.display().to_string(), "another process is running this trial")
                .hint("wait for it, or choose another --trial"));
        }
        let path = folder.join("trial.json");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let begun: Value = serde_json::from_str(&text).unwrap_or_default();
            if begun["identity"] != *identity {
                return Err(InputError::new(folder.display().to_string(), "holds a trial of another identity")
                    .hint("choose another --trial, or remove the folder"));
            }
        }
        let before = std::fs::read_to_string(folder.join(MEMORY)).unwrap_or_default();
        let before = before.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let trial = TrialFolder {
            folder: folder.to_path_buf(),
            files: Arc::clone(files),
            clock: Arc::clone(clock),
            before,
            lines: Vec::new(),
            _lock: lock,
        };
        trial.replace(&path, &format!("{:#}\n", json!({"identity": identity, "scope": scope})))?;
        Ok(trial)
    }

    /// Folder of a variant's runs.
    pub(crate) fn variant(&self, number: u32) -> PathBuf {
        self.folder.join("variants").join(format!("{number:03}"))
    }

    /// Writes a variant: its definition, and its prompts and scripts as the files they would be.
    pub(crate) fn write_variant(&self, number: u32, about: &Value, definition: &Definition) -> Result<(), InputError> {
        let folder = self.variant(number);
        let prompts = folder.join("prompts");
        std::fs::create_dir_all(&prompts).map_err(|e| failed(&prompts, &e))?;
        for prompt in &definition.prompts {
            self.replace(&prompts.join(format!("{}.md", prompt.name)), &unparse(prompt))?;
        }
        for script in definition.graph.scripts().into_iter().filter(|script| is_name(script.name)) {
            let scripts = folder.join("scripts");
            std::fs::create_dir_all(&scripts).map_err(|e| failed(&scripts, &e))?;
            self.replace(&scripts.join(format!("{}.rhai", script.name)), script.source)?;
        }
        self.replace(&folder.join("chain.json"), &format!("{:#}\n", json!(definition.graph.without_scripts())))?;
        let variant = json!({"about": about, "params": definition.params, "definition": definition});
        self.replace(&folder.join("variant.json"), &format!("{variant:#}\n"))
    }

    /// Adds a line to the iteration memory.
    pub(crate) fn remember(&mut self, mut line: Value) -> Result<(), InputError> {
        let at = self.lines.len();
        let standing =
            self.before.get(at).filter(|old| old["variant"] == line["variant"] && old["kind"] == line["kind"]);
        line["recorded_at"] =
            standing.map_or_else(|| self.clock.now().to_string().into(), |old| old["recorded_at"].clone());
        self.lines.push(line);
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        self.replace(&self.folder.join(MEMORY), &text)
    }

    /// Writes the trial's end.
    pub(crate) fn finish(&self, report: &Value) -> Result<(), InputError> {
        self.replace(&self.folder.join("report.json"), &format!("{report:#}\n"))
    }

    fn replace(&self, path: &Path, text: &str) -> Result<(), InputError> {
        self.files.replace(path, text.as_bytes()).map_err(|e| failed(path, &e))
    }
}
