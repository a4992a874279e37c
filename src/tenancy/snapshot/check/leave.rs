//! Leave from laws: exceptions, and break-glass documents under their own ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::error::At;
use super::super::exceptions::{self, Exception};
use super::super::wire::{Document, Keyed};
use super::Checker;
use crate::breakglass::Entry;
use crate::text::quoted;

impl Checker<'_> {
    /// Takes what is few and not a tenant's: the law, exceptions, break-glass documents.
    pub(in super::super) fn others(&mut self, document: &mut Document) {
        if let Some(law) = &document.law {
            let hex = law.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if law.sha256.len() != 64 || !hex || law.revision == 0 {
                let allowed = "a revision from 1 on, and 64 lower-case hexadecimal digits";
                self.problems.add("law", quoted(&law.sha256), allowed);
            }
        }
        self.next.law = document.law.take();
        self.exempt(std::mem::take(&mut document.exceptions), std::mem::take(&mut document.breakglass));
    }

    fn exempt(&mut self, exceptions: Keyed<Exception>, breakglass: Keyed<Entry>) {
        for (id, exception) in &exceptions.0 {
            exceptions::check(id, exception, self.problems);
        }
        for (id, entry) in &breakglass.0 {
            let at = At::item("breakglass", id);
            match (&entry.document, &entry.signature, entry.closed) {
                (Some(document), Some(_), false) if *document.id == **id => {}
                (None, None, true) => {}
                (Some(document), Some(_), false) => {
                    let allowed = format_args!("`{}`, the document's own id", document.id);
                    self.problems.add(at, "the key is another id than the document's", allowed);
                }
                _ => self.problems.add(
                    at,
                    "neither a signed document nor a closed one",
                    "`document` and `signature`, or `closed: true` alone",
                ),
            }
        }
        self.next.exceptions = Arc::new(self.by_id("exceptions", exceptions));
        self.next.breakglass = Arc::new(self.by_id("breakglass", breakglass));
    }

    fn by_id<T>(&mut self, section: &'static str, entries: Keyed<T>) -> BTreeMap<Arc<str>, T> {
        let mut all = BTreeMap::new();
        for (id, entry) in entries.0 {
            let id: Arc<str> = id.into();
            let again = all.insert(Arc::clone(&id), entry).is_some();
            self.once(At::item(section, &id), again);
        }
        all
    }
}
