//! Which names have a value at a place.

use std::collections::BTreeSet;

use super::Known;

/// Names around a query, and those of its own that have got a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'a> {
    /// Declared by `some`, `:=`, `every` or as an argument: no rule or import is meant by them any more.
    declared: BTreeSet<&'a str>,
    /// Have a value.
    valued: BTreeSet<&'a str>,
}

impl<'a> Scope<'a> {
    /// A name of its own from here on, without a value yet.
    pub(super) fn declare(&mut self, name: &'a str) {
        self.declared.insert(name);
        self.valued.remove(name);
    }

    /// A name has a value from here on. `_` never has: each is another variable.
    pub(super) fn give(&mut self, name: &'a str) {
        if name != "_" {
            self.valued.insert(name);
        }
    }

    /// Whether a name has a value: a variable that was given one, a rule, an import, a root.
    pub(super) fn has(&self, name: &str, known: &Known<'_>) -> bool {
        self.valued.contains(name) || (!self.declared.contains(name) && is_global(name, known))
    }

    /// Whether it was given a value as a variable.
    pub(super) fn gave(&self, name: &str) -> bool {
        self.valued.contains(name)
    }

    /// Names that a misspelt one could have meant.
    pub(super) fn names<'s>(&'s self, known: &'s Known<'_>) -> impl Iterator<Item = &'s str> {
        self.valued.iter().copied().chain(known.names.iter().map(String::as_str)).chain(["input", "data"])
    }
}

fn is_global(name: &str, known: &Known<'_>) -> bool {
    matches!(name, "input" | "data") || known.names.contains(name)
}
