//! Strict JSON for bodies: one value, no duplicate keys, bounded nesting, no NUL characters.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::{Code, Fault, Problem};

/// How deep a body may nest. A Kubernetes object nests some twenty deep; a schema inside of one, some forty.
pub const DEPTH_MAX: usize = 64;

/// Reads a body.
///
/// # Errors
/// `MALFORMED_JSON` with line and column.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Err(Problem::new(Code::MalformedJson, "the body is empty"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: 0 }.deserialize(&mut deserializer);
    read.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        // An unknown key or a value may be anything, a secret too: the parser's sentences about our own findings
        // hold none, and its own name none.
        Problem::new(Code::MalformedJson, format!("the body is not valid JSON: {error}"))
    })
}

/// Every text or key with a NUL character, which PostgreSQL cannot store.
pub fn nul_faults(value: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    look(value, &mut String::new(), &mut faults);
    faults
}

fn look(value: &Value, pointer: &mut String, faults: &mut Vec<Fault>) {
    let nested: Vec<(String, &Value)> = match value {
        Value::String(text) if text.contains('\0') => {
            faults.push(Fault::new(pointer.as_str(), "contains a NUL character"));
            return;
        }
        Value::Array(items) => items.iter().enumerate().map(|(n, item)| (n.to_string(), item)).collect(),
        Value::Object(entries) => entries.iter().map(|(key, item)| (escape(key), item)).collect(),
        _ => return,
    };
    for (step, item) in nested {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&step);
        if step.contains('\0') {
            faults.push(Fault::new(pointer.replace('\0', "\u{fffd}"), "has a name with a NUL character"));
        } else {
            look(item, pointer, faults);
        }
        pointer.truncate(length);
    }
}

/// A key as a step of a JSON pointer (RFC 6901).
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom(format_args!("nests deeper than {DEPTH_MAX}")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self { depth: self.depth + 1 })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self { depth: self.depth + 1 })?;
            // Which of the two is meant, readers disagree about; so one of them could be checked and the other used.
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is given twice in one object"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_bodies_are_rejected_with_the_reason() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        let wrong = [
            (deep(DEPTH_MAX + 2), "nests deeper"),
            (deep(100_000), "nests deeper"),
            (
                r#"{"a":1,"b":{"c":1,"c":2}}"#.to_owned(),
                "a key is given twice in one object at line 1 column",
            ),
            (r#"{"a":1,"\u0061":2}"#.to_owned(), "twice"),
            ("{\n \"a\": }".to_owned(), "line 2 column 7"),
            ("{} {}".to_owned(), "trailing"),
            (r#""\ud800""#.to_owned(), "hex escape"),
            ("1e999".to_owned(), "number out of range"),
            ("nul".to_owned(), "line 1"),
            (String::new(), "body is empty"),
        ];
        for (text, sentence) in wrong {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), Code::MalformedJson);
            assert!(problem.detail().contains(sentence), "{} does not contain {sentence}", problem.detail());
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn every_nul_is_found() {
        let value = parse(br#"{"a":"\u0000","b":[1,{"c/d":"x\u0000"}],"e\u0000":1,"f":"fine"}"#).unwrap();
        let pointers: Vec<_> = nul_faults(&value).into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/a", "/b/1/c~1d", "/e\u{fffd}"]);
    }
}
