//! JSON as serde_json reads it, and no key twice: what our own reader is held against, wherever that is done.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// What a text holds; an error for a duplicate key.
pub struct Strict(pub Json);

/// Reads a text of any depth.
pub fn read(text: &str) -> serde_json::Result<Json> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let Strict(json) = Strict::deserialize(&mut reader)?;
    reader.end()?;
    Ok(json)
}

struct Visit;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit).map(Strict)
    }
}

impl<'de> Visitor<'de> for Visit {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut read = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(read.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut read = serde_json::Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if read.contains_key(&key) {
                let short: String = key.chars().take(64).collect();
                let short = short.escape_debug();
                return Err(A::Error::custom(format_args!("duplicate key `{short}` in one object")));
            }
            let Strict(value) = entries.next_value()?;
            read.insert(key, value);
        }
        Ok(read.into())
    }
}
