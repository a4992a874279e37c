//! Pages of things that may be large: a page ends early once it holds enough bytes, and few rows are read at a time.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Filling, LOOKED_AT_MAX, State};
use portcullis_tenancy::snapshot::bytes_of;

/// Bytes of a page, as JSON; one item alone may be more.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Rows of one query: of an app or a row of the audit log each may be as long as a request's body.
const BATCH: usize = 8;

impl<T> Filling<T> {
    pub(super) fn take_sized(
        &mut self,
        rows: Vec<T>,
        key: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
        length: impl Fn(&T) -> usize,
    ) {
        let last = rows.len() < self.batch;
        for row in rows {
            let matches = self.selector.matches(labels(&row));
            let bytes = if matches { self.bytes.saturating_add(length(&row)) } else { self.bytes };
            let full = bytes > PAGE_BYTES_MAX && !self.items.is_empty();
            if self.items.len() == self.limit || full {
                self.state = State::More;
                return;
            }
            self.after = Some(key(&row).to_owned());
            self.looked_at += 1;
            self.bytes = bytes;
            if matches {
                self.items.push(row);
            }
        }
        if last {
            self.state = State::Last;
        } else if self.looked_at >= LOOKED_AT_MAX {
            self.state = State::More;
        }
    }
}

impl<T: Serialize> Filling<T> {
    /// Asks for few rows at a time.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.batch = self.batch.min(BATCH);
        self
    }

    /// As [`Filling::take`], counting bytes.
    pub fn take_large(
        &mut self,
        rows: Vec<T>,
        key: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) {
        self.take_sized(rows, key, labels, |row| bytes_of(row));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{UNLABELLED, Window};
    use super::*;

    fn id(item: &str) -> &str {
        item.get(..2).unwrap_or(item)
    }

    #[test]
    fn page_ends_early_and_the_next_goes_on() {
        let all: Vec<String> = (0..20).map(|n| format!("{n:02}{}", "x".repeat(300 * 1024))).collect();
        let (mut cursor, mut seen, mut pages) = (None::<String>, Vec::new(), 0);
        loop {
            let mut filling = Window::new(Some(200), cursor.as_deref(), None).unwrap().filling().large();
            while let Some((after, limit)) = filling.wants() {
                assert!(limit <= 8, "few at a time");
                let rest = all.iter().filter(|item| after.as_deref().is_none_or(|after| id(item) > after));
                let rows: Vec<String> = rest.take(usize::try_from(limit).unwrap()).cloned().collect();
                filling.take_large(rows, |item| id(item), |_| &UNLABELLED);
            }
            let page = filling.page();
            let bytes: usize = page.items.iter().map(String::len).sum();
            assert!(bytes <= PAGE_BYTES_MAX && !page.items.is_empty());
            seen.extend(page.items);
            pages += 1;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((seen, pages), (all, 7));
    }

    #[test]
    fn item_that_is_too_large_is_a_page_of_its_own() {
        let mut filling = Window::new(None, None, None).unwrap().filling().large();
        let rows = vec!["a".repeat(2 * PAGE_BYTES_MAX), "b".to_owned()];
        filling.take_large(rows, |item| id(item), |_| &UNLABELLED);
        let page = filling.page();
        assert_eq!((page.items.len(), page.next_cursor.is_some()), (1, true));
    }
}
