//! Building only what the law reads: a reader of JSON that walks a [`Reads`] trie, and passes over the rest.

mod keys;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use self::keys::empty;
pub use self::keys::interned;
use portcullis_policy::Value;
use portcullis_rego::reads::Reads;
use portcullis_strict_json::{Error, Kind, Number, Reader};

/// Objects and lists around a value that is built, itself included, from the top of the review. What lies deeper is
/// built as null, and [`Built::cut`] says so.
pub const DEPTH_MAX: u16 = 127;

/// An engine value, and whether something that `reads` names lies too deep in it.
#[derive(Debug, Clone)]
pub struct Built {
    /// What was built.
    pub value: Value,
    /// Whether something is missing.
    pub cut: bool,
}

/// An engine value of what `reads` names of the next value.
///
/// # Errors
/// What is read is no JSON, or says a thing twice.
pub fn build(reader: &mut Reader<'_>, reads: &Reads) -> Result<Built, Error> {
    let mut cut = false;
    let value = value(reader, reads, &mut cut)?;
    Ok(Built { value, cut })
}

fn value(reader: &mut Reader<'_>, reads: &Reads, cut: &mut bool) -> Result<Value, Error> {
    let kind = reader.kind()?;
    if reader.depth() >= DEPTH_MAX && matches!(kind, Kind::Object | Kind::List) {
        *cut |= !reads.is_nothing();
        reader.skip()?;
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Text => Value::String(reader.text()?.read().as_ref().into()),
        Kind::Object => object(reader, reads, cut)?,
        Kind::List => list(reader, reads, cut)?,
        Kind::Number => match reader.number()? {
            Number::Unsigned(value) => Value::from(value),
            Number::Signed(value) => Value::from(value),
            Number::Float(value) => Value::from(value),
        },
        Kind::Bool => Value::Bool(reader.boolean()?),
        Kind::Null => {
            reader.null()?;
            Value::Null
        }
    })
}

fn list(reader: &mut Reader<'_>, reads: &Reads, cut: &mut bool) -> Result<Value, Error> {
    let mut built = Vec::new();
    match reads.element() {
        Some(below) => reader.elements(|reader| {
            built.push(value(reader, below, cut)?);
            Ok(())
        })?,
        // No policy looks at an element, so none can tell this from the real one.
        None => reader.elements(Reader::skip)?,
    }
    Ok(Value::from(built))
}

fn object(reader: &mut Reader<'_>, reads: &Reads, cut: &mut bool) -> Result<Value, Error> {
    let mut built = Vec::new();
    reader.members(|reader, key| {
        let key = key.read();
        let Some((known, below)) = reads.key(&key) else { return reader.skip() };
        let known = known.cloned().unwrap_or_else(|| interned(&key));
        built.push((known, value(reader, below, cut)?));
        Ok(())
    })?;
    // Of the objects of a Pod every second is `{}`.
    Ok(if built.is_empty() { empty() } else { Value::from(BTreeMap::from_iter(built)) })
}

/// An engine value of what `reads` names of a document that is decoded already: the same that [`build`] makes of its text.
pub fn part(json: &Json, reads: &Reads) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => {
            let below = reads.element();
            Value::from(
                below
                    .into_iter()
                    .flat_map(|below| items.iter().map(|item| part(item, below)))
                    .collect::<Vec<_>>(),
            )
        }
        Json::Object(fields) => {
            let read = fields.iter().filter_map(|(key, value)| {
                let (known, below) = reads.key(key)?;
                Some((known.cloned().unwrap_or_else(|| interned(key)), part(value, below)))
            });
            Value::from(read.collect::<BTreeMap<_, _>>())
        }
        Json::Number(number) => number
            .as_u64()
            .map(Value::from)
            .or_else(|| number.as_i64().map(Value::from))
            .unwrap_or_else(|| Value::from(number.as_f64().unwrap_or_default())),
    }
}

#[cfg(test)]
mod json;
#[cfg(test)]
mod tests;
