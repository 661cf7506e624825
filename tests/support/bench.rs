//! A repository in a temporary folder, and the binary run in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// The checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The stock component, built once per test run, with the target it needs.
pub fn stock() -> &'static Path {
    static STOCK: OnceLock<PathBuf> = OnceLock::new();
    STOCK.get_or_init(|| component(&root().join("tenants/stock"), "stock"))
}

/// The component that runs scripts.
pub fn script() -> &'static Path {
    static SCRIPT: OnceLock<PathBuf> = OnceLock::new();
    SCRIPT.get_or_init(|| component(&root().join("tenants/script"), "script"))
}

/// The hostile guests, one component whose settings choose what it does.
pub fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| component(&root().join("tests/guests"), "hostile_guests"))
}

/// Hostile guests below the SDK.
pub fn raw_guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| component(&root().join("tests/guests/raw"), "raw_guests"))
}

/// The component of a tenant that is a crate.
pub fn of_tenant(id: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().expect("not poisoned");
    built.entry(id.to_string()).or_insert_with(|| component(&root().join("tenants").join(id), id)).clone()
}

fn component(folder: &Path, package: &str) -> PathBuf {
    use fapo::guests::{Lock, build};
    build(folder, package, &root().join("target/guests"), Lock::Kept).expect("the component builds")
}

/// Compiled components are shared by the tests of one run: they are the same bytes.
pub fn compiled() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    private(&folder);
    folder
}

/// Where the binary keeps compiled components.
const CACHE: &str = "fapo-work/cache/compiled";

/// A repository of its own that holds a copy of `demo_qa`, with the stock component as a file of the tenant.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// How the binary ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// What it said on stderr, without the lines of progress.
    pub fn talk(&self) -> String {
        self.stderr.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect()
    }

    /// The lines that `--json` printed.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }

    /// The last line of a kind.
    pub fn line(&self, kind: &str) -> serde_json::Value {
        let lines = self.lines();
        lines.into_iter().rfind(|line| line["kind"] == kind).unwrap_or_else(|| panic!("no {kind} in {}", self.stdout))
    }
}

impl Bench {
    pub fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().expect("a folder") };
        copy(&root().join("tenants/demo_qa"), &bench.path("tenants/demo_qa"));
        copy_file(&root().join("fapo.toml"), &bench.path("fapo.toml"));
        copy_file(stock(), &bench.path("tenants/demo_qa/stock.wasm"));
        bench.edit("tenants/demo_qa/tenant.toml", "\"stock\"", "\"tenants/demo_qa/stock.wasm\"");
        private(&bench.path(CACHE));
        link_all(&compiled(), &bench.path(CACHE));
        bench
    }

    /// As [`new`](Self::new), with the index of `demo_qa` built.
    pub fn with_index() -> Self {
        let bench = Bench::new();
        let ran = bench.fapo(&["index", "build", "demo"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        bench
    }

    /// As [`new`](Self::new), with a copy of `hotpotqa` whose component is a file of the tenant.
    pub fn with_hotpotqa() -> Self {
        Bench::with_tenant("hotpotqa")
    }

    /// As [`new`](Self::new), with a copy of a tenant that is a crate; its component is a file of the tenant.
    pub fn with_tenant(id: &str) -> Self {
        let bench = Bench::new();
        bench.add_tenant(id);
        bench
    }

    /// Adds a copy of a tenant that is a crate, as [`with_tenant`](Self::with_tenant) has it.
    pub fn add_tenant(&self, id: &str) {
        let folder = format!("tenants/{id}");
        copy(&root().join(&folder), &self.path(&folder));
        copy_file(&of_tenant(id), &self.path(&format!("{folder}/{id}.wasm")));
        self.edit(&format!("{folder}/tenant.toml"), "\"crate\"", &format!("\"{folder}/{id}.wasm\""));
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    pub fn read(&self, relative: &str) -> String {
        std::fs::read_to_string(self.path(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
    }

    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    pub fn append(&self, relative: &str, text: &str) {
        self.write(relative, &format!("{}{text}", self.read(relative)));
    }

    /// Replaces a text that must be there.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let text = self.read(file);
        assert!(text.contains(from), "{file} holds {from}: {text}");
        self.write(file, &text.replace(from, to));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fapo"));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        // The person's own configuration is not part of a test, and backtraces are not part of a message.
        command.env("XDG_CONFIG_HOME", self.path("no-config")).env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the binary to its end.
    pub fn fapo(&self, arguments: &[&str]) -> Ran {
        self.fapo_with(arguments, &[])
    }

    /// Runs the binary to its end with further variables.
    pub fn fapo_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let output = self.command(arguments).envs(variables.iter().copied()).output().expect("the binary starts");
        private(&compiled());
        link_all(&self.path(CACHE), &compiled());
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Starts the binary with its stdout piped.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary starts")
    }

    /// Names in a folder with their number of lines, sorted; "none" where it is not there.
    pub fn listing(&self, folder: &str) -> String {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else {
            return "none".into();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|e| {
                let text = std::fs::read_to_string(e.path()).unwrap_or_default();
                format!("{} ({} lines)", e.file_name().to_string_lossy(), text.lines().count())
            })
            .collect();
        names.sort();
        if names.is_empty() { "empty".into() } else { names.join(", ") }
    }
}

/// A folder that only its owner can use, as the cache of compiled components must be.
fn private(folder: &Path) {
    std::fs::create_dir_all(folder).expect("made");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).expect("private");
    }
}

/// Gives `to` the compiled components of `from` that it lacks.
fn link_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "cwasm") {
            // There already, or gone meanwhile: either way nothing is lost but a compilation.
            let _ = std::fs::hard_link(entry.path(), to.join(entry.file_name()));
        }
    }
}

fn copy_file(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a parent")).expect("made");
    std::fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            copy_file(&entry.path(), &target);
        }
    }
}
