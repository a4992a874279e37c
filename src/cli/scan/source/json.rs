//! Reads a JSON text value by value and a list item by item, so that memory does not grow with the list.

use std::cell::Cell;
use std::fmt;
use std::io::{BufRead, Read};
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::cli::review::read::is_list_of_known;

use super::{Content, DOCUMENT_BYTES_MAX, Emit, ListDefaults, Location, Piece, line};

/// One object per line.
pub(super) fn lines(source: &Arc<str>, reader: &mut dyn BufRead, emit: Emit<'_>) -> anyhow::Result<()> {
    let (mut bytes, mut number) = (Vec::new(), 0);
    loop {
        bytes.clear();
        number += 1;
        match line(reader, &mut bytes, DOCUMENT_BYTES_MAX) {
            Ok(0) => return Ok(()),
            Ok(_) if bytes.trim_ascii().is_empty() => {}
            Ok(_) => match String::from_utf8(bytes.trim_ascii().to_vec()) {
                Ok(text) => emit(piece(source, number, text, None))?,
                Err(_) => emit(Piece::broken(source, number, "this is not UTF-8"))?,
            },
            Err(error) => return emit(Piece::broken(source, number, error.to_string())),
        }
    }
}

/// Consecutive values. After a broken one the reader cannot find the next, so it stops.
pub(super) fn values(source: &Arc<str>, reader: &mut dyn BufRead, emit: Emit<'_>) -> anyhow::Result<()> {
    let (feeds, since) = (Cell::new(0), Cell::new(0));
    let mut stream =
        serde_json::Deserializer::from_reader(Counting { inner: reader, feeds: &feeds, since: &since });
    let mut failure = None;
    while stream.end().is_err() {
        let mut out = Out { source, feeds: &feeds, since: &since, emit: &mut *emit, failure: &mut failure };
        let read = Value(&mut out).deserialize(&mut stream);
        if let Some(error) = failure {
            return Err(error);
        }
        if let Err(error) = read {
            let why = format!("{}; nothing after it was read", sentence(&error));
            return emit(Piece::broken(source, error.line(), why));
        }
    }
    Ok(())
}

/// serde's message without its position, which is reported separately.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before).to_owned()
}

fn piece(source: &Arc<str>, line: usize, text: String, of: Option<Arc<ListDefaults>>) -> Piece {
    Piece { place: Location { source: Arc::clone(source), line }, content: Content::Json(text, of) }
}

/// Counts bytes, for line numbers and to stop at a value that is too long.
struct Counting<'a> {
    inner: &'a mut dyn BufRead,
    feeds: &'a Cell<usize>,
    since: &'a Cell<usize>,
}

impl Read for Counting<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        let feeds = into.iter().take(read).filter(|byte| **byte == b'\n').count();
        self.feeds.set(self.feeds.get() + feeds);
        self.since.set(self.since.get() + read);
        if self.since.get() > DOCUMENT_BYTES_MAX {
            return Err(std::io::Error::other(format!("an object of more than {DOCUMENT_BYTES_MAX} bytes")));
        }
        Ok(read)
    }
}

struct Out<'a> {
    source: &'a Arc<str>,
    feeds: &'a Cell<usize>,
    since: &'a Cell<usize>,
    emit: Emit<'a>,
    failure: &'a mut Option<anyhow::Error>,
}

impl Out<'_> {
    fn give<E: serde::de::Error>(&mut self, piece: Piece) -> Result<(), E> {
        self.since.set(0);
        (self.emit)(piece).map_err(|error| {
            *self.failure = Some(error);
            E::custom("the reader was cancelled")
        })
    }

    fn raw<E: serde::de::Error>(&mut self, raw: &RawValue, of: Option<Arc<ListDefaults>>) -> Result<(), E> {
        let within = raw.get().bytes().filter(|byte| *byte == b'\n').count();
        let line = self.feeds.get() + 1 - within;
        let text = raw.get().to_owned();
        self.give(piece(self.source, line, text, of))
    }
}

/// A top-level value: an object, a list object, or an array.
struct Value<'a, 'b>(&'a mut Out<'b>);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Kubernetes object or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Items { out: self.0, of: None }.visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let begins = self.0.feeds.get() + 1;
        let (mut head, mut fields, mut listed) = (Head::default(), Vec::new(), false);
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" && head.may_list() {
                map.next_value_seed(Items { out: &mut *self.0, of: head.of() })?;
                listed = true;
                continue;
            }
            let raw: Box<RawValue> = map.next_value()?;
            head.see(&key, &raw);
            fields.push((key, raw));
        }
        if !listed {
            let text = object(&fields).map_err(A::Error::custom)?;
            return self.0.give(piece(self.0.source, begins, text, None));
        }
        match head.kind {
            Some(kind) if kind.ends_with("List") => Ok(()),
            _ => {
                let why =
                    "`items` stands before `kind`, so its items were read as those of a List, and it is none";
                self.0.give(Piece::broken(self.0.source, begins, why))
            }
        }
    }
}

/// The fields of an object before its items.
#[derive(Default)]
struct Head {
    kind: Option<String>,
    version: Option<String>,
    /// Set once `metadata` was read: whether it has a name, which no list has.
    named: Option<bool>,
}

impl Head {
    fn see(&mut self, key: &str, raw: &RawValue) {
        let text = || serde_json::from_str::<String>(raw.get()).ok();
        match key {
            "kind" => self.kind = text(),
            "apiVersion" => self.version = text(),
            "metadata" => {
                let read = serde_json::from_str::<serde_json::Value>(raw.get()).unwrap_or_default();
                let has =
                    |key| read.get(key).and_then(|name| name.as_str()).is_some_and(|name| !name.is_empty());
                self.named = Some(has("name") || has("generateName"));
            }
            _ => {}
        }
    }

    /// kubectl sorts keys, so `items` precedes `kind: List`; no other kind of `v1` has top-level items. A custom kind may
    /// end in `List`, so it is read whole while it may still have a name.
    fn may_list(&self) -> bool {
        let version = self.version.as_deref().unwrap_or_default();
        match &self.kind {
            None => version == "v1",
            Some(kind) if is_list_of_known(kind, version) => true,
            Some(kind) => kind.ends_with("List") && self.named == Some(false),
        }
    }

    /// The items of a typed list take kind and version from the list.
    fn of(&self) -> Option<Arc<ListDefaults>> {
        let kind = self.kind.as_deref()?.strip_suffix("List").filter(|kind| !kind.is_empty())?;
        Some(Arc::new(ListDefaults {
            kind: kind.to_owned(),
            api_version: self.version.clone()?,
            resource: None,
        }))
    }
}

struct Items<'a, 'b> {
    out: &'a mut Out<'b>,
    of: Option<Arc<ListDefaults>>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<Box<RawValue>>()? {
            self.out.raw(&raw, self.of.clone())?;
        }
        Ok(())
    }
}

/// Rebuilds the text of an object, duplicate keys included.
fn object(fields: &[(String, Box<RawValue>)]) -> Result<String, serde_json::Error> {
    let mut text = String::from("{");
    for (at, (key, raw)) in fields.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        text += &format!("{comma}{}:{}", serde_json::to_string(key)?, raw.get());
    }
    Ok(text + "}")
}

#[cfg(test)]
mod tests;
