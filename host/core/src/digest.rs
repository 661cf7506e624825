//! Content digests: `sha256:` and 64 hex digits, over bytes or over canonical JSON.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Digest of bytes.
pub fn of_bytes(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// A digest that is made piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn finish(self) -> String {
        format!("sha256:{:x}", self.0.finalize())
    }
}

/// Digest of all that a reader gives, read piece by piece.
///
/// # Errors
/// Those of the reader.
pub fn of_reader(mut reader: impl std::io::Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut reader, &mut hasher)?;
    Ok(format!("sha256:{:x}", hasher.finalize()))
}

/// Digest of a value's canonical JSON: keys sorted, no blanks, raw UTF-8 (formats of the original, run identity).
pub fn of_json(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    of_bytes(text.as_bytes())
}

/// Digest of pieces in their order, each after its length: what one piece ends with, the next cannot begin with.
pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Hasher::default();
    for piece in pieces {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    }
    hasher.finish()
}

/// A number drawn from a value: equal values draw equal numbers.
pub fn number(value: &Value) -> u64 {
    let hex = of_json(value);
    u64::from_str_radix(&hex["sha256:".len()..][..16], 16).expect("a digest is hex")
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(&map[key], out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pieces_are_told_apart() {
        let of = |pieces: &[&str]| of_pieces(pieces.iter().map(|piece| piece.as_bytes()));
        assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
        for other in [&["a", "bc"][..], &["abc"], &["ab", "c", ""], &["ab", "", "c"], &["c", "ab"]] {
            assert_ne!(of(&["ab", "c"]), of(other), "{other:?}");
        }
    }

    #[test]
    fn key_order_does_not_matter_and_values_do() {
        let a: Value = serde_json::from_str(r#"{"b":1,"a":[1,"é"]}"#).expect("valid");
        assert_eq!(of_json(&a), of_json(&json!({"a": [1, "é"], "b": 1})));
        assert_ne!(of_json(&a), of_json(&json!({"a": [1, "e"], "b": 1})));
    }
}
