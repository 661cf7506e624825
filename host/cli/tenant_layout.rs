//! The files a tenant is made of beside its configs: documents, their index, storage, the scope contract.

use super::doctor::Checks;
use crate::tenant_folder::TenantFolder;
use fapo_core::InputError;
use fapo_core::scope::ScopeContract;
use serde_json::Value;

/// Documents of a tenant with the `##` headings each must have (formats of the original, §8 and §9).
const DOCUMENTS: [(&str, &[&str]); 5] = [
    (
        "tenant-profile.md",
        &[
            "Organization Profile",
            "Security Environment Assumptions",
            "Threat Model Focus",
            "Known Safe Patterns",
            "Tenant Terminology",
        ],
    ),
    (
        "data-contract.md",
        &["Dataset Inventory", "Case Schema", "Label Taxonomy", "Check Expectations", "Dataset Update Procedure"],
    ),
    (
        "prompt-contract.md",
        &["Output Format Contract", "Decision Policy", "Defang and Safety Rules", "Variant Strategy", "Non-Goals"],
    ),
    (
        "eval-operations.md",
        &["Config Matrix", "Standard Eval Commands", "Success Criteria", "Failure Triage", "Output Management"],
    ),
    (
        "iteration-playbook.md",
        &["Prerequisites", "Iteration Loop", "Stop Criteria", "Regression Prevention", "Lessons Logging"],
    ),
];

/// Documents without headings of their own.
const FURTHER: [&str; 2] = ["README.md", "docs/change-log.md"];

/// Checks all of them; each fault is a line.
pub(super) fn check(folder: &TenantFolder, checks: &mut Checks) {
    for name in FURTHER {
        let path = format!("tenants/{}/{name}", folder.id());
        if folder.has(&path) {
            checks.ok(&path, "stands");
        } else {
            checks
                .warning(InputError::new(path, "missing").hint("write it: what the tenant is, and what changed when"));
        }
    }
    documents(folder, checks);
    index(folder, checks);
    storage(folder, checks);
    scope(folder, checks);
}

fn documents(folder: &TenantFolder, checks: &mut Checks) {
    for (name, headings) in DOCUMENTS {
        let path = format!("tenants/{}/docs/{name}", folder.id());
        if !folder.has(&path) {
            checks.warning(
                InputError::new(path, "missing")
                    .hint(format!("write it with the headings ## {}", headings.join(", ## "))),
            );
            continue;
        }
        match folder.text("docs", &path) {
            Ok(text) => {
                let missing: Vec<&str> = headings
                    .iter()
                    .copied()
                    .filter(|heading| !text.lines().any(|line| line.trim_end() == format!("## {heading}")))
                    .collect();
                if missing.is_empty() {
                    checks.ok(&path, "has its headings");
                } else {
                    checks.warning(
                        InputError::new(path, format!("lacks the headings: {}", missing.join(", ")))
                            .hint("each is a line `## <heading>`"),
                    );
                }
            }
            Err(e) => checks.error(e),
        }
    }
}

/// `docs/docs-index.yaml`: a list of `key: value`, with the documents' paths below `canonical_docs`.
fn index(folder: &TenantFolder, checks: &mut Checks) {
    let path = format!("tenants/{}/docs/docs-index.yaml", folder.id());
    if !folder.has(&path) {
        checks.warning(InputError::new(path, "missing").hint("`fapo tenant new` shows its shape"));
        return;
    }
    let text = match folder.text("docs", &path) {
        Ok(text) => text,
        Err(e) => return checks.error(e),
    };
    let before = checks.errors();
    let pairs = text.lines().enumerate().filter_map(|(at, line)| {
        let (key, value) = line.split_once(':')?;
        Some((at + 1, key.trim(), value.trim().trim_matches('"')))
    });
    let mut tenant = None;
    for (line, key, value) in pairs {
        if key == "tenant_id" {
            tenant = Some(value);
            if value != folder.id() {
                checks.error(
                    InputError::new(format!("{path}:{line}"), format!("tenant_id {value:?} is not the folder's name"))
                        .hint(format!("write tenant_id: {}", folder.id())),
                );
            }
        } else if value.starts_with("docs/") && !folder.has(&format!("tenants/{}/{value}", folder.id())) {
            checks.error(
                InputError::new(format!("{path}:{line}"), format!("{value} is no file of the tenant"))
                    .hint("write the document, or take the line out"),
            );
        }
    }
    if tenant.is_none() {
        checks.error(InputError::new(&path, "names no tenant_id").hint(format!("write tenant_id: {}", folder.id())));
    }
    if checks.errors() == before {
        checks.ok(&path, "names the tenant and documents that stand");
    }
}

/// `storage/config.json`, where the tenant has one: every path lies below the tenant's folder.
fn storage(folder: &TenantFolder, checks: &mut Checks) {
    let path = format!("tenants/{}/storage/config.json", folder.id());
    if !folder.has(&path) {
        return;
    }
    let read = folder.text("storage", &path).and_then(|text| {
        serde_json::from_str::<Value>(&text)
            .map_err(|e| InputError::new(format!("{path}:{}", e.line()), e.to_string()).hint("write one JSON object"))
    });
    let value = match read {
        Ok(value) => value,
        Err(e) => return checks.error(e),
    };
    let below = format!("tenants/{}/", folder.id());
    let before = checks.errors();
    if value["tenant_id"] != folder.id() {
        checks.error(
            InputError::new(format!("{path}, tenant_id"), format!("{} is not the folder's name", value["tenant_id"]))
                .hint(format!("write {:?}", folder.id())),
        );
    }
    for (name, local) in value["paths"].as_object().into_iter().flatten() {
        let inside = local.as_str().and_then(|local| local.strip_prefix(&below));
        if inside.is_none_or(|rest| rest.trim_matches('/').is_empty() || rest.split('/').any(|part| part == "..")) {
            checks.error(
                InputError::new(format!("{path}, paths.{name}"), format!("{local} is no folder below {below}"))
                    .hint(format!("name one such as {below}datasets")),
            );
        }
    }
    if checks.errors() == before {
        checks.ok(&path, "its paths lie below the tenant's folder");
    }
}

/// The scope block of the playbook.
fn scope(folder: &TenantFolder, checks: &mut Checks) {
    let path = format!("tenants/{}/docs/iteration-playbook.md", folder.id());
    if !folder.has(&path) {
        return;
    }
    let subject = format!("{path}, scope");
    match folder.text("docs", &path).and_then(|text| ScopeContract::from_playbook(&path, &text)) {
        Ok(scope) if scope.levels.is_empty() => checks.warning(
            InputError::new(subject, "opens no level: nothing may be changed")
                .hint("add a block ```toml scope with levels = [\"prompt\"] and the files that may change"),
        ),
        Ok(scope) => {
            let levels: Vec<&str> = scope.levels.iter().map(|level| level.word()).collect();
            checks.ok(&subject, &format!("opens {}", levels.join(", ")));
        }
        Err(e) => checks.error(e),
    }
}
