//! Operators on the chain's parameters.

use super::{Ground, Suggestion};
use fapo_core::variant::Edit;
use serde_json::{Value, json};

pub(super) fn retrieval_depth(ground: &Ground<'_>) -> Vec<Suggestion> {
    let why = |value: u64, now: u64| {
        if value > now {
            format!("more passages ({value} for {now}) bring evidence that is missing")
        } else {
            format!("fewer passages ({value} for {now}) leave less to be misled by")
        }
    };
    scaled(ground, "k", why)
}

pub(super) fn output_cap(ground: &Ground<'_>) -> Vec<Suggestion> {
    let why = |value: u64, now: u64| {
        if value > now {
            format!("replies end at the cap of {now} tokens; {value} let them end by themselves")
        } else {
            format!("a cap of {value} tokens for {now} cuts what is said after the answer")
        }
    };
    scaled(ground, "output_tokens_max", why)
}

/// Twice and half of each whole number that a parameter gives to a setting of this name, held inside the scope.
fn scaled(ground: &Ground<'_>, setting: &str, why: impl Fn(u64, u64) -> String) -> Vec<Suggestion> {
    let mut suggestions = Vec::new();
    for name in parameters(ground, setting) {
        let Some(now) = ground.definition.params.iter().find(|(n, _)| *n == name).and_then(|(_, v)| v.as_u64()) else {
            continue;
        };
        for value in [now * 2, now / 2] {
            let value = within(ground, &name, value);
            if value == 0 || value == now || !ground.scope.allows_value(&name, &json!(value)) {
                continue;
            }
            suggestions.push(Suggestion {
                variation: format!("{name}={value}"),
                edit: Edit::Parameter { name: name.clone(), value: json!(value) },
                hypothesis: why(value, now),
            });
        }
    }
    suggestions
}

/// Parameters that some node's setting of this name stands for.
fn parameters(ground: &Ground<'_>, setting: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for node in &ground.definition.graph.nodes {
        if let Some(name) = node.settings.get(setting).and_then(|value| value.get("param")).and_then(Value::as_str)
            && !names.iter().any(|seen| seen == name)
        {
            names.push(name.to_string());
        }
    }
    names
}

/// The value, moved to the nearest end of the scope's range.
fn within(ground: &Ground<'_>, name: &str, value: u64) -> u64 {
    match ground.scope.parameters.get(name).map(Vec::as_slice) {
        Some([least, most]) => match (least.as_u64(), most.as_u64()) {
            (Some(least), Some(most)) if least <= most => value.clamp(least, most),
            _ => value,
        },
        _ => value,
    }
}
