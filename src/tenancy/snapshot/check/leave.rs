//! Leave from laws: exceptions, and break-glass documents under their own ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::error::At;
use super::super::exceptions::{self, Exception};
use super::super::wire::Keyed;
use super::Checker;
use crate::tenancy::breakglass::Entry;

impl Checker<'_> {
    pub(super) fn leave(&mut self, exceptions: Keyed<Exception>, breakglass: Keyed<Entry>) {
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
