//! The sources of the SDK and of the components that are shipped, carried in the program so that tenants can be made and built
//! outside a checkout.

use crate::place::unwritable;
use fapo_core::InputError;
use include_dir::{Dir, include_dir};
use std::path::Path;

/// What a guest is built from, by its folder in the checkout.
const FOLDERS: [(&str, Dir<'_>); 6] = [
    ("wit", include_dir!("$CARGO_MANIFEST_DIR/wit")),
    ("tenant-sdk", include_dir!("$CARGO_MANIFEST_DIR/tenant-sdk")),
    ("host/template", include_dir!("$CARGO_MANIFEST_DIR/host/template")),
    ("host/graph", include_dir!("$CARGO_MANIFEST_DIR/host/graph")),
    ("tenants/stock", include_dir!("$CARGO_MANIFEST_DIR/tenants/stock")),
    ("tenants/script", include_dir!("$CARGO_MANIFEST_DIR/tenants/script")),
];

/// The checkout's own manifest and lock file, from which versions and profiles are taken.
const MANIFEST: &str = include_str!("../Cargo.toml");
const LOCK: &str = include_str!("../Cargo.lock");

/// Profile for guests, for packages that are a workspace of their own.
pub const GUEST_PROFILE: &str = "[profile.guest]\ninherits = \"release\"\nopt-level = 3\nlto = true\n\
                                 codegen-units = 1\nstrip = \"debuginfo\"\npanic = \"abort\"\n\n\
                                 [profile.guest.package.zmij]\nopt-level = \"s\"\n";

/// Writes the sources into `home` as a workspace of their own.
///
/// # Errors
/// They cannot be written.
pub fn write(home: &Path) -> Result<(), InputError> {
    for (name, folder) in &FOLDERS {
        let target = home.join(name);
        std::fs::create_dir_all(&target).map_err(|e| unwritable(&target, &e))?;
        folder.extract(&target).map_err(|e| unwritable(&target, &e))?;
    }
    for (name, text) in [("Cargo.toml", workspace()), ("Cargo.lock", LOCK.to_string())] {
        let path = home.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        // The lock file is cut down by cargo on the first build and then stays.
        if name == "Cargo.lock" && path.exists() {
            continue;
        }
        std::fs::write(&path, text).map_err(|e| unwritable(&path, &e))?;
    }
    Ok(())
}

/// The workspace manifest with the members that guests need: sections of the checkout's own, in its words.
fn workspace() -> String {
    let mut kept = String::from(
        "[workspace]\nmembers = [\"tenant-sdk\", \"host/template\", \"host/graph\", \"tenants/stock\", \"tenants/script\"]\nresolver = \"3\"\n",
    );
    let mut keep = false;
    for line in MANIFEST.lines() {
        if let Some(section) = line.strip_prefix('[') {
            keep = ["workspace.package", "workspace.dependencies", "workspace.lints", "profile.guest"]
                .iter()
                .any(|name| section.starts_with(name));
        }
        if keep {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_of_the_carried_sources_has_what_its_members_inherit() {
        let text = workspace();
        for wanted in ["[workspace.package]", "fapo-graph = { path", "[workspace.lints.rust]", "[profile.guest]"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
        assert!(!text.contains("[package]") && !text.contains("default-members"), "{text}");
        assert_eq!(text.matches("panic = \"abort\"").count(), 1);
    }

    #[test]
    fn a_package_of_its_own_gets_the_checkouts_guest_profile() {
        for line in GUEST_PROFILE.lines() {
            assert!(MANIFEST.contains(line), "{line}");
        }
    }
}
