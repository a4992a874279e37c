//! Lists in pages of at most 200 items, with a cursor to the next page.
//!
//! Lists are ordered by id, and ids are ordered by time. So rows that are added between two pages come last, and no row is
//! skipped or shown twice. A page ends early at 1 MiB.

mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Fault, Problem};
use portcullis_tenancy::label::Selector;
use portcullis_tenancy::snapshot::json_len;

pub(crate) use view::{Listed, LongFields, View, ViewQuery};

/// Items of a page by default.
pub const LIMIT: u16 = 50;

/// Rows that one request reads at most while it filters by labels. Then the page ends early, with a cursor.
const ROWS_READ_MAX: usize = 2_000;

/// Rows of one query with a label selector.
const BATCH: usize = 500;

/// Version prefix of a cursor. A digest of the list's path and the key of the last item follow it.
const CURSOR_VERSION: &str = "2.";

/// Digits of the path digest. It catches a mistake, not an attack: a list shows only what the caller may see.
const PATH_TAG_LENGTH: usize = 8;

tokio::task_local! {
    /// Digest of the path of the current request.
    static LIST: String;
}

/// Runs a handler so that cursors belong to the list at this path.
pub(super) async fn of_list<F: Future>(path: &str, answer: F) -> F::Output {
    let digest = hex::encode(Sha256::digest(path));
    LIST.scope(digest.chars().take(PATH_TAG_LENGTH).collect(), answer).await
}

fn list_tag() -> String {
    LIST.try_with(String::clone).unwrap_or_default()
}

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListQuery {
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Labels that an item must carry, as kubectl writes them: `tier=gold,zone in (a, b),!legacy`.
    #[schema(max_length = 1024, nullable = false)]
    pub label_selector: Option<String>,
}

/// The query of a list without labels.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
}

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// The labels of rows that have none.
pub(crate) fn no_labels<T>(_: &T) -> &BTreeMap<String, String> {
    &NO_LABELS
}

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last page. A page may hold fewer items than requested and not be the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Builds a page. A list without a selector needs one query; one with a selector may need several, and ends early instead
/// of reading the whole ledger:
///
/// ```text
/// let mut builder = query.window()?.builder();
/// while let Some((after, limit)) = builder.next_query() {
///     let rows = clusters::list(&mut tx, after.as_deref(), limit).await?;
///     builder.add(rows, |row| &row.id, |row| &row.labels);
/// }
/// Ok(Answer::new(builder.build()))
/// ```
#[derive(Debug)]
pub struct PageBuilder<T> {
    limit: usize,
    batch: usize,
    selector: Selector,
    after: Option<String>,
    rows_read: usize,
    bytes: usize,
    items: Vec<T>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Filling,
    /// More rows follow `after`.
    More,
    Last,
}

/// The checked query of a list.
#[derive(Debug, Clone)]
pub struct Window {
    pub limit: usize,
    /// Key of the last item of the previous page.
    pub after: Option<String>,
    selector: Selector,
}

// === impl Window ===

impl ListQuery {
    /// # Errors
    /// `VALIDATION_ERROR` for an invalid cursor or selector.
    pub fn window(&self) -> Result<Window, Problem> {
        Window::new(self.limit, self.cursor.as_deref(), self.label_selector.as_deref())
    }
}

impl PageQuery {
    /// The builder of the page.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for an invalid cursor.
    pub fn builder<T>(&self) -> Result<PageBuilder<T>, Problem> {
        Ok(self.window()?.builder())
    }

    /// # Errors
    /// `VALIDATION_ERROR` for an invalid cursor.
    pub fn window(&self) -> Result<Window, Problem> {
        Window::new(self.limit, self.cursor.as_deref(), None)
    }
}

impl Window {
    /// The window of a query with more parameters than [`ListQuery`].
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for an invalid cursor or selector.
    pub fn new(limit: Option<u16>, cursor: Option<&str>, selector: Option<&str>) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let after = cursor.map(decode);
        if after == Some(None) {
            faults.push(Fault::new("?cursor", "is not a cursor of this list"));
        }
        let selector = Selector::parse(selector.unwrap_or_default()).unwrap_or_else(|error| {
            faults.push(Fault::new("?labelSelector", error.to_string()));
            Selector::default()
        });
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
        Ok(Self { limit: limit.unwrap_or(LIMIT).into(), after: after.flatten(), selector })
    }

    pub fn builder<T>(self) -> PageBuilder<T> {
        let Self { limit, after, selector } = self;
        // One row more than the page holds shows whether another page follows.
        let batch = if selector.is_empty() { limit + 1 } else { BATCH };
        PageBuilder {
            limit,
            batch,
            selector,
            after,
            rows_read: 0,
            bytes: 0,
            items: Vec::new(),
            state: State::Filling,
        }
    }
}

// === impl PageBuilder ===

impl<T> PageBuilder<T> {
    /// The next query: rows after this key, and how many. `None` once the page is complete.
    pub fn next_query(&self) -> Option<(Option<String>, i64)> {
        let filling = self.state == State::Filling;
        filling.then(|| (self.after.clone(), i64::try_from(self.batch).unwrap_or(i64::MAX)))
    }

    /// Adds the rows of the query. `key` is what the next query takes as `after`.
    pub fn add(
        &mut self,
        rows: Vec<T>,
        key: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) {
        self.add_sized(rows, key, labels, |_| 0);
    }

    pub fn build(self) -> Page<T> {
        let next_cursor = self.after.filter(|_| self.state == State::More).map(|key| encode(&key));
        Page { items: self.items, next_cursor }
    }
}

// === impl Page ===

impl<T> Page<T> {
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), next_cursor: self.next_cursor }
    }
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).max_items(Some(200));
        let cursor = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Cursor of the next page; absent on the last page. A page may hold fewer items than requested and not be the last."));
        ObjectBuilder::new()
            .property("items", items)
            .required("items")
            .property("nextCursor", cursor)
            .description(Some("A page of a list."))
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(all: &mut Vec<(String, RefOr<Schema>)>) {
        all.push((T::name().into_owned(), T::schema()));
        T::schemas(all);
    }
}

pub(super) fn encode(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR_VERSION}{}.{key}", list_tag()))
}

fn decode(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (list, key) = text.strip_prefix(CURSOR_VERSION)?.split_once('.')?;
    if list != list_tag() {
        return None;
    }
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    plain.then(|| key.to_owned())
}

/// Bytes of a page as JSON; a single item may be larger.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Rows of one query: an app or an audit record may be as long as a request body.
const LARGE_BATCH: usize = 8;

impl<T> PageBuilder<T> {
    pub(super) fn add_sized(
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
            self.rows_read += 1;
            self.bytes = bytes;
            if matches {
                self.items.push(row);
            }
        }
        if last {
            self.state = State::Last;
        } else if self.rows_read >= ROWS_READ_MAX {
            self.state = State::More;
        }
    }
}

impl<T: Serialize> PageBuilder<T> {
    /// Reads few rows per query.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.batch = self.batch.min(LARGE_BATCH);
        self
    }

    /// As [`PageBuilder::add`], and ends the page at its byte limit.
    pub fn add_large(
        &mut self,
        rows: Vec<T>,
        key: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) {
        self.add_sized(rows, key, labels, |row| json_len(row));
    }
}

#[cfg(test)]
mod tests;
