//! The architecture's edges, read from the manifests.

use crate::support::root;

fn manifest(folder: &str) -> String {
    std::fs::read_to_string(root().join("host").join(folder).join("Cargo.toml")).expect("a manifest")
}

const CRATES: [&str; 7] = ["template", "graph", "core", "sandbox", "provider", "retrieval", "engine"];

/// Heavy dependencies by their home: each may be named in one manifest only.
#[test]
fn heavy_dependencies_stand_in_one_crate_each() {
    for (dependency, home) in [
        ("wasmtime", "sandbox"),
        ("wasmparser", "sandbox"),
        ("tantivy", "retrieval"),
        ("reqwest", "provider"),
        ("redb", "provider"),
    ] {
        for folder in CRATES {
            let names = manifest(folder).lines().any(|line| line.starts_with(dependency));
            assert_eq!(names, folder == home, "{dependency} in host/{folder}");
        }
        let root = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
        assert!(!root.lines().any(|line| line.starts_with(dependency)), "{dependency} in the root");
    }
}

/// The crates in braces of the architecture never import each other.
#[test]
fn the_four_meet_only_at_the_ports() {
    let four = ["sandbox", "provider", "retrieval", "engine"];
    for folder in four {
        for other in four {
            assert!(!manifest(folder).contains(&format!("fapo-{other}.workspace")), "host/{folder} imports {other}");
        }
    }
}

/// A run's files are written through the port, so that a stop after any byte can be tested; an account, which several
/// processes share, is no file of a run.
#[test]
fn only_one_file_of_the_engine_writes() {
    let mut folders = vec![root().join("host/engine/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.ends_with("files.rs") || path.ends_with("account.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("reads");
            for call in
                ["fs::write", "File::options", "OpenOptions", "fs::rename", "fs::remove", "write_all", "set_len"]
            {
                assert!(!text.contains(call), "{} calls {call}", path.display());
            }
        }
    }
}
