//! A validator for the part of JSON Schema that settings and parameters need.
//!
//! Small on purpose: it is compiled into every chain component, and the crates that know all of draft 2020-12 weigh
//! more than a whole guest. Read: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`,
//! `minimum`, `maximum`, `minLength`, `maxLength`, `items`, `minItems`, `maxItems`. [`understood`] refuses a schema
//! that says more, so that nothing is silently not checked.

use serde_json::{Map, Value};

/// Keywords that constrain nothing.
const NOTES: &[&str] = &["$schema", "$id", "$comment", "title", "description", "default", "examples"];
/// Keywords this validator enforces.
const ENFORCED: &[&str] = &[
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "items",
    "minItems",
    "maxItems",
];
/// Deepest nesting followed, in schemas and values: settings are flat, and a guest's stack is small.
const DEPTH_MAX: usize = 16;

/// Checks a value against a schema.
///
/// # Errors
/// The first violation, with the path of the value: `$.stop[1]: …`.
pub fn validate(schema: &Value, value: &Value) -> Result<(), String> {
    at("$", schema, value, 0)
}

/// Checks that a schema uses only keywords that [`validate`] enforces.
///
/// # Errors
/// The first keyword or shape it does not know, with its path.
pub fn understood(schema: &Value) -> Result<(), String> {
    schema_at("$", schema, 0)
}

fn at(path: &str, schema: &Value, value: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{path}: nested deeper than {DEPTH_MAX} levels"));
    }
    let rules = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err(format!("{path}: nothing is allowed here")),
        Value::Object(rules) => rules,
        _ => {
            return Err(format!("{path}: the schema is neither an object nor a boolean"));
        }
    };
    types(path, rules, value)?;
    choices(path, rules, value)?;
    match value {
        Value::Number(number) => range(path, rules, ["minimum", "maximum"], number.as_f64(), &value.to_string()),
        Value::String(text) => {
            let length = text.chars().count();
            range(
                path,
                rules,
                ["minLength", "maxLength"],
                Some(length as f64),
                &format!("a text of {length} characters"),
            )
        }
        Value::Array(items) => {
            let count = items.len();
            range(path, rules, ["minItems", "maxItems"], Some(count as f64), &format!("a list of {count}"))?;
            let Some(schema) = rules.get("items") else {
                return Ok(());
            };
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| at(&format!("{path}[{index}]"), schema, item, depth + 1))
        }
        Value::Object(entries) => object(path, rules, entries, depth),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn types(path: &str, rules: &Map<String, Value>, value: &Value) -> Result<(), String> {
    let allowed: Vec<&str> = match rules.get("type") {
        None => return Ok(()),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) => {
            return Err(format!("{path}: the schema's `type` is neither a text nor a list"));
        }
    };
    if allowed.iter().any(|name| is_of(name, value)) {
        return Ok(());
    }
    Err(format!("{path}: expected {}, found {}", allowed.join(" or "), kind_of(value)))
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "integer" => is_integer(value),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// By the draft 7.0 is an integer too.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn choices(path: &str, rules: &Map<String, Value>, value: &Value) -> Result<(), String> {
    if let Some(Value::Array(allowed)) = rules.get("enum")
        && !allowed.contains(value)
    {
        let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return Err(format!("{path}: {value} is none of {}", list.join(", ")));
    }
    match rules.get("const") {
        Some(only) if only != value => Err(format!("{path}: {value} is not {only}")),
        _ => Ok(()),
    }
}

fn range(
    path: &str,
    rules: &Map<String, Value>,
    [low, high]: [&str; 2],
    number: Option<f64>,
    shown: &str,
) -> Result<(), String> {
    let Some(number) = number else {
        return Err(format!("{path}: {shown} is no usable number"));
    };
    let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
    match (bound(low), bound(high)) {
        (Some(least), _) if number < least => Err(format!("{path}: {shown} is below the {low} {least}")),
        (_, Some(most)) if number > most => Err(format!("{path}: {shown} is above the {high} {most}")),
        _ => Ok(()),
    }
}

fn object(path: &str, rules: &Map<String, Value>, entries: &Map<String, Value>, depth: usize) -> Result<(), String> {
    if let Some(Value::Array(required)) = rules.get("required") {
        for name in required.iter().filter_map(Value::as_str) {
            if !entries.contains_key(name) {
                return Err(format!("{path}: {name:?} is missing"));
            }
        }
    }
    let properties = rules.get("properties").and_then(Value::as_object);
    for (name, entry) in entries {
        let path = format!("{path}.{name}");
        match (properties.and_then(|known| known.get(name)), rules.get("additionalProperties")) {
            (Some(schema), _) => at(&path, schema, entry, depth + 1)?,
            (None, Some(Value::Bool(false))) => return Err(unknown_entry(&path, properties)),
            (None, Some(schema)) => at(&path, schema, entry, depth + 1)?,
            (None, None) => {}
        }
    }
    Ok(())
}

fn unknown_entry(path: &str, properties: Option<&Map<String, Value>>) -> String {
    let known: Vec<&str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    if known.is_empty() {
        format!("{path}: unknown; there are none")
    } else {
        format!("{path}: unknown; known are {}", known.join(", "))
    }
}

fn schema_at(path: &str, schema: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("{path}: nested deeper than {DEPTH_MAX} levels"));
    }
    let rules = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(rules) => rules,
        _ => return Err(format!("{path}: neither an object nor a boolean")),
    };
    for (keyword, rule) in rules {
        let path = format!("{path}.{keyword}");
        match (keyword.as_str(), rule) {
            ("properties", Value::Object(properties)) => properties
                .iter()
                .try_for_each(|(name, schema)| schema_at(&format!("{path}.{name}"), schema, depth + 1))?,
            ("items" | "additionalProperties", schema) => schema_at(&path, schema, depth + 1)?,
            ("type", Value::String(_) | Value::Array(_)) | ("enum" | "required", Value::Array(_)) | ("const", _) => {}
            ("minimum" | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems", Value::Number(_)) => {}
            (note, _) if NOTES.contains(&note) => {}
            (known, _) if ENFORCED.contains(&known) => {
                return Err(format!("{path}: not a value this keyword takes"));
            }
            _ => {
                return Err(format!("{path}: keyword not supported; supported are {}", ENFORCED.join(", ")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: Value, value: Value, expect: Result<(), &str>) {
        let result = validate(&schema, &value);
        assert_eq!(result.as_ref().map_err(String::as_str).copied(), expect, "{schema} {value}");
    }

    #[test]
    fn numbers_have_both_bounds() {
        let k = json!({"type": "integer", "minimum": 1, "maximum": 100});
        for (value, expect) in [
            (json!(1), Ok(())),
            (json!(100), Ok(())),
            (json!(7.0), Ok(())),
            (json!(0), Err("$: 0 is below the minimum 1")),
            (json!(101), Err("$: 101 is above the maximum 100")),
            (json!(1.5), Err("$: expected integer, found a number")),
            (json!("7"), Err("$: expected integer, found a text")),
            (json!(true), Err("$: expected integer, found a boolean")),
        ] {
            check(k.clone(), value, expect);
        }
        check(json!({"type": ["integer", "null"]}), json!(null), Ok(()));
        check(json!({"type": ["integer", "null"]}), json!("x"), Err("$: expected integer or null, found a text"));
    }

    #[test]
    fn objects_know_their_entries() {
        let schema = json!({
            "type": "object",
            "properties": {"field": {"type": "string", "maxLength": 3}, "k": {"type": "integer"}},
            "required": ["field"],
            "additionalProperties": false,
        });
        check(schema.clone(), json!({"field": "abc"}), Ok(()));
        check(schema.clone(), json!({}), Err("$: \"field\" is missing"));
        check(
            schema.clone(),
            json!({"field": "abcd"}),
            Err("$.field: a text of 4 characters is above the maxLength 3"),
        );
        check(schema, json!({"field": "a", "g": 1}), Err("$.g: unknown; known are field, k"));
        check(
            json!({"additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            Err("$.a: expected string, found a number"),
        );
        check(json!({"additionalProperties": false}), json!({"a": 1}), Err("$.a: unknown; there are none"));
    }

    #[test]
    fn lists_name_the_position() {
        let stop = json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2});
        check(stop.clone(), json!(["a", "b"]), Ok(()));
        check(stop.clone(), json!([]), Err("$: a list of 0 is below the minItems 1"));
        check(stop.clone(), json!(["a", "b", "c"]), Err("$: a list of 3 is above the maxItems 2"));
        check(stop, json!(["a", 2]), Err("$[1]: expected string, found a number"));
    }

    #[test]
    fn choices_are_listed() {
        check(json!({"enum": ["a", "b"]}), json!("b"), Ok(()));
        check(json!({"enum": ["a", "b"]}), json!("c"), Err("$: \"c\" is none of \"a\", \"b\""));
        check(json!({"const": 1}), json!(2), Err("$: 2 is not 1"));
        check(json!(true), json!(2), Ok(()));
        check(json!(false), json!(2), Err("$: nothing is allowed here"));
    }

    #[test]
    fn nesting_has_a_bound() {
        let (mut schema, mut value) = (json!({}), json!(1));
        for _ in 0..=DEPTH_MAX {
            schema = json!({"items": schema});
            value = json!([value]);
        }
        assert!(validate(&schema, &value).expect_err("deep").contains("nested deeper"));
        assert!(understood(&schema).expect_err("deep").contains("nested deeper"));
    }

    #[test]
    fn a_schema_that_says_more_is_refused() {
        assert_eq!(understood(&json!({"type": "string", "description": "x", "default": 1})), Ok(()));
        let error = understood(&json!({"properties": {"a": {"pattern": "^a"}}})).expect_err("pattern");
        assert!(error.starts_with("$.properties.a.pattern: keyword not supported"), "{error}");
        assert!(understood(&json!({"minimum": "1"})).expect_err("text").contains("not a value"));
    }
}
