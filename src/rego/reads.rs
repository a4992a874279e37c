//! The paths of its input that a policy can read, as a trie for the decoder.
//!
//! A trie never holds less than the policy can read: the end of a reference stands for everything below it, an unknown
//! key for every key.

use std::collections::HashMap;

use super::Value;
use super::analysis::Step;

/// What can be read below one path of the input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reads {
    all: bool,
    named: HashMap<Box<str>, (Value, Reads), foldhash::fast::RandomState>,
    any: Option<Box<Reads>>,
}

impl Reads {
    pub fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub fn nothing() -> Self {
        Self::default()
    }

    pub const fn is_everything(&self) -> bool {
        self.all
    }

    pub fn is_nothing(&self) -> bool {
        !self.all && self.named.is_empty() && self.any.is_none()
    }

    /// What is read below a key, and the key as an engine value if it is a known one.
    pub fn key(&self, key: &str) -> Option<(Option<&Value>, &Self)> {
        if self.all {
            return Some((None, self));
        }
        match self.named.get(key) {
            Some((value, reads)) => Some((Some(value), reads)),
            None => self.any.as_deref().map(|reads| (None, reads)),
        }
    }

    pub fn element(&self) -> Option<&Self> {
        if self.all { Some(self) } else { self.any.as_deref() }
    }

    /// What is read below a constant path; `None` for nothing.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        let Some((first, rest)) = path.split_first() else { return Some(self) };
        if self.all {
            return Some(self);
        }
        self.key(first).and_then(|(_, below)| below.at(rest))
    }

    /// Whether a constant path, or a path above or below it, is read.
    pub fn touches(&self, path: &[&str]) -> bool {
        self.at(path).is_some_and(|reads| !reads.is_nothing())
    }

    /// The values of a document that are read, in a stable order. What is absent or below null is undefined. `None` if a value
    /// that is no object stands where keys are read.
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

    pub fn add(&mut self, path: &[Step]) {
        self.graft(path, &Self::everything());
    }

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
                // A named key is also one of the unknown keys, so it starts with what those read.
                let start = self.any.as_deref().cloned().unwrap_or_default();
                let entry = self.named.entry(name.as_str().into());
                entry.or_insert_with(|| (Value::from(name.as_str()), start)).1.graft(rest, below);
            }
        }
    }

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
