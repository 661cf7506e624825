//! JSON from people and guests: no key twice, no deep nesting. serde_json alone keeps the last of two equal keys, so
//! that two readers of one text could see two different things.

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Deepest nesting.
pub const DEPTH_MAX: usize = 32;

/// Reads one JSON text.
///
/// # Errors
/// It is no JSON, holds a key twice in one object, or nests deeper than [`DEPTH_MAX`] levels.
pub fn read(text: &str) -> Result<Value, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Level(DEPTH_MAX).deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// Levels that may still be opened.
#[derive(Clone, Copy)]
struct Level(usize);

impl Level {
    fn below<E: Error>(self) -> Result<Level, E> {
        self.0.checked_sub(1).map(Level).ok_or_else(|| E::custom(format!("nested deeper than {DEPTH_MAX} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(b.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Value, E> {
        Number::from_f64(n).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(below)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut map = Map::new();
        while let Some(key) = object.next_key::<Key>()? {
            let value = object.next_value_seed(below)?;
            if map.insert(key.0.clone(), value).is_some() {
                return Err(A::Error::custom(format!("the key {:?} stands twice in one object", key.0)));
            }
        }
        Ok(map.into())
    }
}

#[derive(Deserialize)]
struct Key(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in ["null", "[1, -2, 2.5, \"a\\n\", true]", "{\"b\": {\"a\": []}, \"a\": 18446744073709551615}"] {
            assert_eq!(read(text).expect(text), serde_json::from_str::<Value>(text).expect(text));
        }
    }

    #[test]
    fn bombs_are_refused() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&deep(DEPTH_MAX)).is_ok());
        for (text, why) in [
            (deep(DEPTH_MAX + 1).as_str(), "deeper than 32"),
            (deep(100_000).as_str(), "deeper than 32"),
            ("{\"a\": 1, \"a\": 2}", "the key \"a\" stands twice"),
            ("[{\"x\": {\"a\": 1, \"a\": 1}}]", "stands twice"),
            ("1e999999999", "number out of range"),
            ("{} {}", "trailing characters"),
        ] {
            let said = read(text).expect_err(why).to_string();
            assert!(said.contains(why), "{said}");
        }
    }
}
