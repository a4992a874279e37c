//! Registries in bodies: their grammar is shape (400), where they lie is meaning (422).

use crate::problem::{Code, Fault, Problem};
use portcullis_store::tenants::{Registries, Word};
use portcullis_tenancy::Entry;

/// What was sent about registries, read.
#[derive(Debug, Default)]
pub struct Sent {
    /// The list of a grant, where there is one in the body.
    granted: Option<Vec<Entry>>,
    /// The narrowing.
    narrowed: Option<Vec<Entry>>,
}

impl Sent {
    /// Reads both lists; every fault of grammar is added.
    pub fn read(granted: Option<&Registries>, narrowed: Option<&[String]>, faults: &mut Vec<Fault>) -> Self {
        let list = match granted {
            Some(Registries::List(list)) => Some(list.as_slice()),
            Some(Registries::Word(Word::Inherit)) | None => None,
        };
        Self {
            granted: list.map(|list| entries(list, "/registries", faults)),
            narrowed: narrowed.map(|list| entries(list, "/narrowedRegistries", faults)),
        }
    }

    /// Whether they lie where they may: a grant inside the ceiling, a narrowing inside the grant, which is `base` where
    /// the body holds none.
    ///
    /// # Errors
    /// `REGISTRY_NOT_ALLOWED` with every entry that does not.
    pub fn check(&self, ceiling: &[Entry], base: Option<&Registries>) -> Result<(), Problem> {
        let mut faults = Vec::new();
        if let Some(granted) = &self.granted {
            outside(granted, ceiling, "/registries", "is outside the ceiling of the platform", &mut faults);
        }
        if let Some(narrowed) = &self.narrowed {
            let at = "/narrowedRegistries";
            match base {
                None => faults.push(Fault::new(at, "narrows nothing: the tenant has no registries")),
                Some(Registries::Word(Word::Inherit)) => {
                    outside(narrowed, ceiling, at, "is outside the ceiling of the platform", &mut faults);
                }
                Some(Registries::List(list)) => {
                    let list: Vec<_> = list.iter().filter_map(|entry| Entry::parse(entry).ok()).collect();
                    outside(narrowed, &list, at, "is outside the tenant's registries", &mut faults);
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::faults(Code::RegistryNotAllowed, faults)) }
    }
}

fn entries(list: &[String], at: &str, faults: &mut Vec<Fault>) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match Entry::parse(text) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.push(Fault::new(format!("{at}/{index}"), error.to_string())),
        }
    }
    entries
}

fn outside(list: &[Entry], wider: &[Entry], at: &str, why: &str, faults: &mut Vec<Fault>) {
    for (index, entry) in list.iter().enumerate() {
        if !wider.iter().any(|wide| entry.is_within(wide)) {
            faults.push(Fault::new(format!("{at}/{index}"), why));
        }
    }
}
