//! Looks at a component before anything of it is compiled: which roles it has, what it imports.
//!
//! The import section is walked with `wasmparser` against an allow-list. wasmtime's own link error comes only
//! after the compile, and names less.

use crate::virtual_wasi;
use std::collections::BTreeSet;
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};

/// Package of the contract this host speaks.
const PACKAGE: &str = "fapo:tenant";
/// Its version.
const VERSION: &str = "0.1.0";
/// Deepest nesting of modules and components.
const NESTING_MAX: usize = 8;
/// Most core modules in one component.
const CORE_MODULES_MAX: usize = 64;
/// Longest stamp of an SDK, bytes.
const SDK_BYTES_MAX: usize = 32;
/// Custom section in which the SDK leaves its version.
const SDK_SECTION: &str = "fapo:sdk";

/// What a component can be to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Exports `chain`.
    Chain,
    /// Exports `node`.
    Node,
    /// Exports `scorer`.
    Scorer,
    /// Exports `converter`.
    Converter,
}

/// Every role.
const ROLES: [Role; 4] = [Role::Chain, Role::Node, Role::Scorer, Role::Converter];

impl Role {
    /// The exported interface's name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Chain => "chain",
            Role::Node => "node",
            Role::Scorer => "scorer",
            Role::Converter => "converter",
        }
    }

    /// Interfaces of the contract the role may import.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Role::Chain => &["types", "graph", "node-types", "provider", "retrieval", "nodes", "log"],
            Role::Node => &["types", "graph", "node-types", "provider", "retrieval", "log"],
            Role::Scorer => &["types", "graph", "node-types", "log", "judge-model"],
            Role::Converter => &["log"],
        }
    }
}

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentInfo {
    /// `sha256:` of its bytes.
    pub digest: String,
    /// Size in bytes.
    pub bytes: usize,
    /// Roles it exports, sorted.
    pub roles: Vec<Role>,
    /// Everything it imports, sorted.
    pub imports: Vec<String>,
    /// Version of the SDK it was built with, where it says so.
    pub sdk: Option<String>,
}

/// Why a file cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Larger than `component_bytes`.
    #[error("{bytes} bytes; the limit component_bytes is {limit}")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit.
        limit: u64,
    },
    /// Not a component at all.
    #[error("not a WASM component: {0}")]
    NotAComponent(String),
    /// Exports none of the contract's interfaces.
    #[error("exports none of chain, node, scorer, converter of {PACKAGE}@{VERSION}")]
    NoRole,
    /// Built against another version of the contract.
    #[error("speaks {found}, this host speaks {PACKAGE}@{VERSION}{}", .sdk.as_ref().map_or(String::new(), |v| format!(" (built with SDK {v})")))]
    OtherVersion {
        /// The interface that gave it away.
        found: String,
        /// SDK version, where stamped.
        sdk: Option<String>,
    },
    /// Uses asynchronous functions of the component model.
    #[error("uses asynchronous functions, tasks or threads of the component model")]
    Asynchronous,
    /// Imports what its roles may not have.
    #[error("imports {}, which {} may not have", .imports.join(", "), .roles)]
    Forbidden {
        /// Every refused import.
        imports: Vec<String>,
        /// Its roles, for people.
        roles: String,
    },
}

impl LoadError {
    /// How to mend it.
    pub fn hint(&self) -> &'static str {
        match self {
            LoadError::TooLarge { .. } => {
                "build with `fapo tenant build` (size-optimised), or let the operator raise limits.component_bytes"
            }
            LoadError::NotAComponent(_) => {
                "build it with `fapo tenant build`; a core module or another file cannot be loaded"
            }
            LoadError::NoRole => {
                "export one with the SDK's export_chain!, export_node!, export_scorer! or export_converter!"
            }
            LoadError::OtherVersion { .. } => {
                "rebuild it with the SDK that belongs to this program (`fapo tenant build`)"
            }
            LoadError::Asynchronous => "build it against the contract's functions, which are all synchronous",
            LoadError::Forbidden { imports, .. } if imports.iter().any(|import| import.starts_with("wasi:")) => {
                "guests have no files, sockets, HTTP or threads: take the use out; a JavaScript guest is built with \
                 componentize-js and disableFeatures [\"stdio\", \"random\", \"clocks\", \"http\", \"fetch-event\"], \
                 a Python guest with componentize-py and --stub-wasi"
            }
            LoadError::Forbidden { .. } => {
                "take the use out of the component: a scorer has no model, no index and no node, a node calls no node"
            }
        }
    }
}

/// Checks a component's bytes; nothing of it runs or is compiled.
///
/// # Errors
/// See [`LoadError`]: too large, no component, no role, another version, a forbidden import.
pub fn inspect(bytes: &[u8], component_bytes_max: u64) -> Result<ComponentInfo, LoadError> {
    if bytes.len() as u64 > component_bytes_max {
        return Err(LoadError::TooLarge { bytes: bytes.len(), limit: component_bytes_max });
    }
    let (imports, exports, sdk) = names(bytes)?;
    let versioned = |name: &str| name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/')).map(str::to_string);
    let mut roles = BTreeSet::new();
    for (list, exported) in [(&exports, true), (&imports, false)] {
        for name in list {
            let Some(rest) = versioned(name) else {
                continue;
            };
            let (interface, version) = rest.split_once('@').unwrap_or((&rest, ""));
            if version != VERSION {
                return Err(LoadError::OtherVersion { found: name.clone(), sdk });
            }
            if exported {
                let role = ROLES.into_iter().find(|r| r.name() == interface);
                roles.extend(role);
            }
        }
    }
    if roles.is_empty() {
        return Err(LoadError::NoRole);
    }
    let refused: Vec<String> = imports.iter().filter(|name| !allowed(name, &roles)).cloned().collect();
    if !refused.is_empty() {
        let names: Vec<&str> = roles.iter().map(|r| r.name()).collect();
        return Err(LoadError::Forbidden { imports: refused, roles: format!("a {} component", names.join(" and ")) });
    }
    Ok(ComponentInfo {
        digest: fapo_core::digest::of_bytes(bytes),
        bytes: bytes.len(),
        roles: roles.into_iter().collect(),
        imports,
        sdk,
    })
}

fn allowed(import: &str, roles: &BTreeSet<Role>) -> bool {
    let name = import.split('@').next().unwrap_or(import);
    if virtual_wasi::ALLOWED.contains(&name) {
        return true;
    }
    let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_prefix('/'));
    interface.is_some_and(|interface| roles.iter().any(|role| role.imports().contains(&interface)))
}

/// Whether a canonical function belongs to the asynchronous part of the component model, which this host keeps out.
fn is_asynchronous(function: &CanonicalFunction) -> bool {
    use CanonicalFunction::{Lift, Lower, ResourceDrop, ResourceNew, ResourceRep};
    match function {
        Lift { options, .. } | Lower { options, .. } => {
            options.iter().any(|o| matches!(o, CanonicalOption::Async | CanonicalOption::Callback(_)))
        }
        ResourceNew { .. } | ResourceDrop { .. } | ResourceRep { .. } => false,
        _ => true,
    }
}

type Names = (Vec<String>, Vec<String>, Option<String>);

/// Top-level imports and exports, sorted, and the SDK's stamp.
fn names(bytes: &[u8]) -> Result<Names, LoadError> {
    // The parser's words may run over several lines.
    let wrong = |e: &dyn std::fmt::Display| {
        LoadError::NotAComponent(e.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (mut imports, mut exports, mut sdk) = (Vec::new(), Vec::new(), None);
    let (mut depth, mut core_modules) = (0usize, 0usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|e| wrong(&e))? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(wrong(&"it is a core module"));
                }
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(wrong(&format!("nested deeper than {NESTING_MAX} levels")));
                }
                core_modules += usize::from(encoding == Encoding::Module);
                if core_modules > CORE_MODULES_MAX {
                    return Err(wrong(&format!("more than {CORE_MODULES_MAX} core modules")));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(|e| wrong(&e))?.name.name.to_string());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(|e| wrong(&e))?.name.name.to_string());
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    if is_asynchronous(&function.map_err(|e| wrong(&e))?) {
                        return Err(LoadError::Asynchronous);
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == SDK_SECTION => {
                let stamp = std::str::from_utf8(section.data()).map_err(|e| wrong(&e))?.trim_matches('\0');
                let version = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
                if stamp.len() > SDK_BYTES_MAX || !stamp.chars().all(version) {
                    return Err(wrong(&format!(
                        "its section {SDK_SECTION} is no version of at most {SDK_BYTES_MAX} bytes"
                    )));
                }
                match &sdk {
                    Some(other) if other != stamp => {
                        return Err(wrong(&format!("two sections {SDK_SECTION} that say {other} and {stamp}")));
                    }
                    _ => sdk = Some(stamp.to_string()),
                }
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(wrong(&"it ends in the middle"));
    }
    imports.sort();
    exports.sort();
    Ok((imports, exports, sdk))
}
