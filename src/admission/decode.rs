//! Building only what the law reads: a deserializer that walks a [`Reads`] trie and checks what it skips.
//!
//! It must never fail open. The skipped part is checked like the built one: same depth (128, the parser's own
//! bound), UTF-8 (the body as a whole, before), and no key twice, because two readers of the same text could
//! disagree about which value counts.

mod keys;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use self::keys::Seen;
pub use self::keys::interned;
use crate::policy::Value;
use crate::policy::engine::reads::Reads;

/// Builds an engine value of what `reads` names, and skips the rest.
pub struct Build<'a>(pub &'a Reads);

/// Checks a value and keeps nothing.
pub struct Skip;

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let Some(below) = self.0.element() else {
            // No policy looks at an element, so none can tell this from the real one.
            while items.next_element_seed(Skip)?.is_some() {}
            return Ok(Value::new_array());
        };
        let mut built = Vec::new();
        while let Some(item) = items.next_element_seed(Build(below))? {
            built.push(item);
        }
        Ok(Value::from(built))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut built: BTreeMap<Value, Value> = BTreeMap::new();
        if self.0.is_everything() {
            while let Some(key) = entries.next_key_seed(Key)? {
                let value = entries.next_value_seed(Build(self.0))?;
                if built.contains_key(&key) {
                    return Err(duplicate(key.as_string().map_or("", AsRef::as_ref)));
                }
                built.insert(key, value);
            }
            return Ok(Value::from(built));
        }
        let mut seen = Seen::default();
        while let Some(found) = entries.next_key_seed(Choose { reads: self.0, seen: &mut seen })? {
            match found {
                Chosen::Build(key, below) => {
                    let value = entries.next_value_seed(Build(below))?;
                    built.insert(key, value);
                }
                Chosen::Skip => entries.next_value_seed(Skip)?,
            }
        }
        Ok(Value::from(built))
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Skip)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while entries.next_key_seed(Mark(&mut seen))?.is_some() {
            entries.next_value_seed(Skip)?;
        }
        Ok(())
    }
}

enum Chosen<'r> {
    Build(Value, &'r Reads),
    Skip,
}

/// A key of an object that is read in part.
struct Choose<'r, 's> {
    reads: &'r Reads,
    seen: &'s mut Seen,
}

impl<'de, 'r> DeserializeSeed<'de> for Choose<'r, '_> {
    type Value = Chosen<'r>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Chosen<'r>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'r> Visitor<'_> for Choose<'r, '_> {
    type Value = Chosen<'r>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Chosen<'r>, E> {
        if !self.seen.first(key) {
            return Err(duplicate(key));
        }
        Ok(match self.reads.key(key) {
            Some((known, below)) => Chosen::Build(known.cloned().unwrap_or_else(|| interned(key)), below),
            None => Chosen::Skip,
        })
    }
}

/// A key of an object that is read whole.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Value, E> {
        Ok(interned(key))
    }
}

/// A key of an object that is skipped.
struct Mark<'s>(&'s mut Seen);

impl<'de> DeserializeSeed<'de> for Mark<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Mark<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if self.0.first(key) { Ok(()) } else { Err(duplicate(key)) }
    }
}

fn duplicate<E: serde::de::Error>(key: &str) -> E {
    let short: String = key.chars().take(64).collect();
    E::custom(format_args!("key `{}` stands twice in one object", short.escape_debug()))
}

#[cfg(test)]
mod tests;
