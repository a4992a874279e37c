//! What a policy can read of its input, as a trie that the decoder walks.
//!
//! A trie never says less than the policy can see: the end of a reference means everything below it, and an
//! unknown key means every key.

use std::collections::HashMap;

use super::Value;
use super::analysis::Step;

/// A place in the input: what below it can be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reads {
    all: bool,
    named: HashMap<Box<str>, (Value, Reads), foldhash::fast::RandomState>,
    any: Option<Box<Reads>>,
}

impl Reads {
    /// Everything.
    pub fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether everything below is read.
    pub const fn is_everything(&self) -> bool {
        self.all
    }

    /// Whether nothing below is read.
    pub fn is_nothing(&self) -> bool {
        !self.all && self.named.is_empty() && self.any.is_none()
    }

    /// What is read below a key of an object, and the key as an engine value where it is known.
    pub fn key(&self, key: &str) -> Option<(Option<&Value>, &Self)> {
        if self.all {
            return Some((None, self));
        }
        match self.named.get(key) {
            Some((value, reads)) => Some((Some(value), reads)),
            None => self.any.as_deref().map(|reads| (None, reads)),
        }
    }

    /// What is read below every element of an array.
    pub fn element(&self) -> Option<&Self> {
        if self.all { Some(self) } else { self.any.as_deref() }
    }

    /// What is read below a constant path; `None` where nothing is.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        if self.all {
            return Some(self);
        }
        self.key(first).and_then(|(_, below)| below.at(rest))
    }

    /// Whether a constant path, something below it or something above it is read.
    pub fn touches(&self, path: &[&str]) -> bool {
        self.at(path).is_some_and(|reads| !reads.is_nothing())
    }

    /// The values that are read of a document, in an order that is always the same; what is absent, or below a null, is
    /// undefined. `None` where something else stands in the place of an object.
    pub fn values<'v>(&self, document: &'v Value, found: &mut Vec<&'v Value>) -> Option<()> {
        if self.all || self.any.is_some() {
            found.push(document);
            return Some(());
        }
        for (key, below) in self.named.values() {
            let value = match document {
                Value::Object(fields) => fields.get(key).unwrap_or(&Value::Undefined),
                Value::Undefined | Value::Null => &Value::Undefined,
                _ => return None,
            };
            below.values(value, found)?;
        }
        Some(())
    }

    /// Adds a path, and everything below it.
    pub fn add(&mut self, path: &[Step]) {
        self.graft(path, &Self::everything());
    }

    /// Adds what `below` reads under a path.
    pub fn graft(&mut self, path: &[Step], below: &Self) {
        if self.all {
            return;
        }
        match path.split_first() {
            None => self.merge(below),
            Some((Step::Any, rest)) => {
                self.any.get_or_insert_default().graft(rest, below);
                for (_, named) in self.named.values_mut() {
                    named.graft(rest, below);
                }
            }
            Some((Step::Name(name), rest)) => {
                // A key known by name is also one of the unknown keys, so it starts from what those read.
                let start = self.any.as_deref().cloned().unwrap_or_default();
                let entry = self.named.entry(name.as_str().into());
                entry.or_insert_with(|| (Value::from(name.as_str()), start)).1.graft(rest, below);
            }
        }
    }

    /// Adds all that another reads.
    pub fn merge(&mut self, other: &Self) {
        if self.all {
            return;
        }
        if other.all {
            *self = Self::everything();
            return;
        }
        if let Some(any) = &other.any {
            self.graft(&[Step::Any], any);
        }
        for (name, (_, reads)) in &other.named {
            self.graft(&[Step::Name(name.to_string())], reads);
        }
    }
}

#[cfg(test)]
mod tests;
