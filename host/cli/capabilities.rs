//! What a tenant asks for beside what it was given and what it used.

use super::lines::{CapabilityKind, CapabilityLine, Line};
use super::printer::Printer;
use fapo_core::grants::OperatorFile;
use fapo_core::tenant::TenantManifest;

/// Everything that a tenant requests, with what the operator's file gives for it.
pub(super) fn requested(manifest: &TenantManifest, operator: &OperatorFile) -> Vec<CapabilityLine> {
    let none = Default::default();
    let granted = operator.tenants.get(&manifest.id).unwrap_or(&none);
    let line = |capability, name: &String, granted: Option<String>| CapabilityLine {
        capability,
        name: name.clone(),
        granted,
        calls: None,
    };
    let requests = &manifest.requests;
    let judge = |name| granted.judges.get(name).map(|j| format!("{}, {} calls a run", j.model, j.calls_max));
    let models = requests
        .models
        .iter()
        .map(|name| line(CapabilityKind::Model, name, granted.models.get(name).map(|routes| routes.join(", "))));
    let indexes =
        requests.indexes.iter().map(|name| line(CapabilityKind::Index, name, granted.indexes.get(name).cloned()));
    let components = requests
        .components
        .iter()
        .map(|name| line(CapabilityKind::Component, name, granted.components.get(name).cloned()));
    let judges = requests.judges.iter().map(|name| line(CapabilityKind::Judge, name, judge(name)));
    models.chain(indexes).chain(components).chain(judges).collect()
}

/// Prints them; the number of calls only where it is known.
pub(super) fn print(lines: Vec<CapabilityLine>, printer: Printer) {
    let counted = lines.iter().any(|line| line.calls.is_some());
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let mut row = vec![
                line.capability.word().to_string(),
                line.name.clone(),
                line.granted.clone().unwrap_or_else(|| "not granted".into()),
            ];
            row.extend(line.calls.map(|calls| calls.to_string()));
            row
        })
        .collect();
    if !rows.is_empty() {
        printer.text("");
        let head = ["requests", "name", "granted", "used"];
        printer.table(if counted { &head } else { &head[..3] }, rows);
    }
    lines.into_iter().for_each(|line| printer.line(&Line::Capability(line)));
}
