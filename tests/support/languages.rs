//! Guests in JavaScript and Python, built from packages.

use super::{root, say};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Folders of the components: `<language>/{scorer,node,default}.wasm`.
pub struct Languages {
    folder: PathBuf,
}

impl Languages {
    /// Builds them where `FAPO_LANGUAGES=1` asks for it, because that fetches packages and takes minutes.
    pub fn wanted() -> Option<&'static Languages> {
        static BUILT: OnceLock<Option<Languages>> = OnceLock::new();
        BUILT
            .get_or_init(|| {
                if std::env::var_os("FAPO_LANGUAGES").is_some_and(|value| value == "1") {
                    return Some(build());
                }
                say("skipped: FAPO_LANGUAGES is not 1");
                None
            })
            .as_ref()
    }

    pub fn component(&self, language: &str, name: &str) -> PathBuf {
        self.folder.join(language).join(format!("{name}.wasm"))
    }
}

fn build() -> Languages {
    let folder = root().join("target/guests/languages");
    let wit = root().join("wit").display().to_string();
    let (javascript, python) = (folder.join("javascript"), folder.join("python"));
    for (name, to) in [("javascript", &javascript), ("python", &python)] {
        std::fs::create_dir_all(to).expect("made");
        for entry in std::fs::read_dir(root().join("tests/guests").join(name)).expect("listed").flatten() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
    let in_javascript = std::thread::spawn({
        let (folder, wit) = (javascript, wit.clone());
        move || {
            run(&folder, "npm", &["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
            for (source, world, out, how) in [
                ("scorer.js", "scorer-component", "scorer.wasm", ""),
                ("node.js", "node-component", "node.wasm", ""),
                ("scorer.js", "scorer-component", "default.wasm", "default"),
            ] {
                run(&folder, "node", &["build.mjs", source, world, out, &wit, how]);
            }
        }
    });
    run(&python, "python3", &["-m", "venv", "venv"]);
    run(&python, "venv/bin/pip", &["install", "--quiet", "--requirement", "requirements.txt"]);
    for (world, module, out, how) in [
        ("scorer-component", "fapo_scorer", "scorer.wasm", &["--stub-wasi"][..]),
        ("node-component", "fapo_node", "node.wasm", &["--stub-wasi"]),
        ("scorer-component", "fapo_scorer", "default.wasm", &[]),
    ] {
        let arguments = [&["-d", &wit, "-w", world, "componentize"], how, &[module, "-o", out]].concat();
        run(&python, "venv/bin/componentize-py", &arguments);
    }
    in_javascript.join().expect("built");
    Languages { folder }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let ended = Command::new(&program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = ended.unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {arguments:?}: {out}{err}", program.display());
}
