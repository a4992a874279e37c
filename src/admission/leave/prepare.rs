//! What a snapshot and a file say of leave, verified and ready to be held beside a review.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Kind, Leave, Place};
use portcullis_access::signature::Verifier;
use portcullis_tenancy::breakglass::{Document, Entry};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::{Exception, Snapshot};

/// What the gate was given to judge break-glass documents by, and those that came by a file.
#[derive(Debug, Clone, Default)]
pub struct Emergencies {
    /// Whose signature counts; without a key no document holds.
    pub verifier: Verifier,
    /// By id.
    pub file: BTreeMap<Arc<str>, Entry>,
}

/// Every leave there is. Dereferences to the list.
#[derive(Debug, Default, PartialEq)]
pub struct Leaves {
    all: Vec<Arc<Leave>>,
    /// Documents that do not hold, with the reason, by id.
    refused: BTreeMap<Arc<str>, String>,
}

impl Deref for Leaves {
    type Target = [Arc<Leave>];

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Leaves {
    /// Those of a snapshot, and the documents that verify, whichever way they came. One that is closed by either way
    /// is closed.
    pub fn of(snapshot: &Snapshot, emergencies: &Emergencies) -> Self {
        let mut leaves = Self::default();
        leaves.all.extend(snapshot.exceptions.iter().filter_map(|(id, exception)| granted(id, exception)));
        let both = || snapshot.breakglass.iter().chain(&emergencies.file);
        for (id, entry) in both() {
            let closed = both().any(|(other, entry)| other == id && entry.closed);
            let (Some(document), Some(signature)) = (&entry.document, &entry.signature) else { continue };
            if closed || leaves.all.iter().any(|leave| leave.kind == Kind::Breakglass && leave.id == *id) {
                continue;
            }
            match opened(document, signature, &emergencies.verifier) {
                Ok(leave) => leaves.all.push(leave),
                Err(why) => drop(leaves.refused.insert(Arc::clone(id), why)),
            }
        }
        leaves
    }

    /// From when until when each break-glass document holds.
    pub fn windows(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let emergencies = self.all.iter().filter(|leave| leave.kind == Kind::Breakglass);
        emergencies.map(|leave| (leave.from, leave.until))
    }

    /// Tells what is new against those of before.
    pub fn tell(&self, before: &Self) {
        for leave in self.all.iter().filter(|leave| leave.kind == Kind::Breakglass) {
            if !before.all.contains(leave) {
                tracing::warn!(id = %leave.id, from = %leave.from, until = %leave.until, laws = ?leave.policies,
                    people = ?leave.subjects, "break-glass is open");
            }
        }
        for leave in before.all.iter().filter(|leave| leave.kind == Kind::Breakglass) {
            if !self.all.iter().any(|other| other.id == leave.id) {
                tracing::warn!(id = %leave.id, "break-glass is closed");
            }
        }
        for (id, why) in self.refused.iter().filter(|(id, why)| before.refused.get(*id) != Some(*why)) {
            tracing::error!(%id, %why, "a break-glass document does not hold");
        }
    }
}

/// The snapshot was checked, so what cannot be read here is no leave.
fn granted(id: &Arc<str>, exception: &Exception) -> Option<Arc<Leave>> {
    let places = exception.objects.iter().map(|objects| {
        let resource = objects.resource.as_deref().map(Pattern::parse).transpose().ok()?;
        Some(Place { namespace: objects.namespace.clone(), resource, name: objects.name.clone() })
    });
    Some(Arc::new(Leave {
        kind: Kind::Exception,
        id: Arc::clone(id),
        policies: vec![Arc::clone(&exception.policy)],
        subjects: exception.subjects.clone(),
        tenant: exception.tenant.clone(),
        places: places.collect::<Option<_>>()?,
        from: Timestamp::MIN,
        until: exception.expires.parse().ok()?,
    }))
}

fn opened(document: &Document, signature: &str, verifier: &Verifier) -> Result<Arc<Leave>, String> {
    if verifier.is_empty() {
        return Err("this gate was given no key to verify it by (--breakglass-key)".to_owned());
    }
    if !verifier.verifies(&document.signed(), signature) {
        return Err("its signature is by none of the keys that this gate was given".to_owned());
    }
    let (from, until) = document.window().map_err(|error| error.to_string())?;
    let place =
        |namespace: &Arc<str>| Place { namespace: Some(Arc::clone(namespace)), resource: None, name: None };
    Ok(Arc::new(Leave {
        kind: Kind::Breakglass,
        id: Arc::clone(&document.id),
        policies: document.laws.clone(),
        subjects: document.people.clone(),
        tenant: None,
        places: document.namespaces.iter().map(place).collect(),
        from,
        until,
    }))
}
