//! Decodes JSON into engine values, but only the parts that policies read; the rest is checked and skipped.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use serde_json::Value as Json;

use portcullis_policy::Value;
use portcullis_rego::reads::Reads;
use portcullis_strict_json::{Error, Kind, Number, Reader};

/// The nesting, from the top of the review, up to which values are decoded. Deeper values become null and set
/// [`Decoded::cut`].
pub const DEPTH_MAX: u16 = 127;

/// A decoded value.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// A part that `reads` names is nested too deep and null.
    pub(crate) cut: bool,
}

/// Decodes the parts of the reader's next value that `reads` names.
///
/// # Errors
/// Invalid JSON, or a duplicate key.
pub(crate) fn decode(reader: &mut Reader<'_>, reads: &Reads) -> Result<Decoded, Error> {
    let mut cut = false;
    let value = value(reader, reads, &mut cut)?;
    Ok(Decoded { value, cut })
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
        // No policy reads an element, so an empty list does.
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
    // Half of the objects in a Pod are decoded as `{}`.
    Ok(if built.is_empty() { EMPTY.with(Value::clone) } else { Value::from(BTreeMap::from_iter(built)) })
}

/// Converts the parts of a document that `reads` names, to the same value as [`decode`] its text.
pub(crate) fn project(json: &Json, reads: &Reads) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::String(text.as_str().into()),
        Json::Array(items) => {
            let below = reads.element();
            Value::from(
                below
                    .into_iter()
                    .flat_map(|below| items.iter().map(|item| project(item, below)))
                    .collect::<Vec<_>>(),
            )
        }
        Json::Object(fields) => {
            let read = fields.iter().filter_map(|(key, value)| {
                let (known, below) = reads.key(key)?;
                Some((known.cloned().unwrap_or_else(|| interned(key)), project(value, below)))
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

/// The keys that a thread caches, so that `containers` is allocated once and not for each object.
const INTERNED_MAX: usize = 1024;

thread_local! {
    static KEYS: RefCell<HashMap<Box<str>, Value, RandomState>> = RefCell::new(HashMap::default());
    // One for each thread, to avoid contention on its reference count.
    static EMPTY: Value = Value::new_object();
}

/// A key as an engine value; common keys share an allocation.
pub(crate) fn interned(key: &str) -> Value {
    if key.len() > 48 {
        return Value::String(key.into());
    }
    KEYS.with_borrow_mut(|keys| {
        if let Some(value) = keys.get(key) {
            return value.clone();
        }
        let value = Value::String(key.into());
        if keys.len() < INTERNED_MAX {
            keys.insert(key.into(), value.clone());
        }
        value
    })
}

#[cfg(test)]
mod json;
#[cfg(test)]
mod tests;
