//! Parameters put into the settings of a node.

use crate::NodeSpec;
use serde_json::{Map, Value};

/// Deepest nesting of settings.
const DEPTH_MAX: usize = 16;

/// The settings of a node with every `{"param": "<name>"}` replaced by that parameter's value.
///
/// # Errors
/// A parameter that is not among `params`, or settings nested too deep.
pub fn resolve_settings(node: &NodeSpec, params: &[(String, Value)]) -> Result<Map<String, Value>, String> {
    node.settings
        .iter()
        .map(|(name, value)| {
            Ok((name.clone(), resolve(value, params, 0).map_err(|why| format!("settings.{name}: {why}"))?))
        })
        .collect()
}

/// Names of the parameters a node's settings refer to, in order.
pub fn parameters_of(node: &NodeSpec) -> Vec<&str> {
    let mut names = Vec::new();
    for value in node.settings.values() {
        collect(value, &mut names);
    }
    names
}

fn collect<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
    match value {
        Value::Object(entries) => match parameter(entries) {
            Some(name) => names.push(name),
            None => entries.values().for_each(|entry| collect(entry, names)),
        },
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

fn parameter(entries: &Map<String, Value>) -> Option<&str> {
    if entries.len() == 1 { entries.get("param").and_then(Value::as_str) } else { None }
}

fn resolve(value: &Value, params: &[(String, Value)], depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("nested deeper than {DEPTH_MAX} levels"));
    }
    match value {
        Value::Object(entries) => match parameter(entries) {
            Some(name) => params
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| format!("no parameter is called {name:?}")),
            None => entries
                .iter()
                .map(|(name, entry)| Ok((name.clone(), resolve(entry, params, depth + 1)?)))
                .collect::<Result<Map<_, _>, String>>()
                .map(Value::Object),
        },
        Value::Array(items) => items
            .iter()
            .map(|item| resolve(item, params, depth + 1))
            .collect::<Result<Vec<_>, String>>()
            .map(Value::Array),
        other => Ok(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(settings: Value, expect: Result<Value, &str>) {
        let node: NodeSpec =
            serde_json::from_value(json!({"name": "n", "kind": "k", "settings": settings})).expect("node");
        let params = [("k".to_string(), json!(7)), ("none".to_string(), Value::Null)];
        let resolved = resolve_settings(&node, &params).map(Value::Object);
        assert_eq!(resolved, expect.map_err(str::to_string));
    }

    #[test]
    fn parameters_stand_anywhere() {
        check(json!({"k": {"param": "k"}, "a": 1}), Ok(json!({"k": 7, "a": 1})));
        check(json!({"a": [{"param": "none"}, {"b": {"param": "k"}}]}), Ok(json!({"a": [null, {"b": 7}]})));
        check(json!({"a": {"param": "k", "more": 1}}), Ok(json!({"a": {"param": "k", "more": 1}})));
        check(json!({"a": {"param": "x"}}), Err("settings.a: no parameter is called \"x\""));
    }

    #[test]
    fn references_are_listed() {
        let node: NodeSpec = serde_json::from_value(
            json!({"name": "n", "kind": "k", "settings": {"k": {"param": "k"}, "a": [{"param": "b"}]}}),
        )
        .expect("node");
        assert_eq!(parameters_of(&node), ["k", "b"]);
    }
}
