//! Lists in pages: at most 200 at once, and a cursor that says where the next page begins.
//!
//! A list is in the order of ids, which are made in the order of time; so what is added while somebody pages comes at
//! the end, nothing is shown twice, and what was there from the first page to the last is shown once.

mod bytes;
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

pub use view::{Listed, Long, View};

/// Items of a page where the caller does not say.
pub const LIMIT: u16 = 50;

/// Rows that one request looks at when it filters by labels. Past that the page ends early, with a cursor.
const LOOKED_AT_MAX: usize = 2_000;

/// Rows of one query when it filters.
const BATCH: usize = 500;

/// First word of a cursor, so that a later form can be told from this one. After it come a digest of the list's path, which
/// tells a cursor of another list, and the key of the last item.
const FORM: &str = "2.";

/// Digits of a path's digest: a cursor of another list is a slip and no attack, for lists show what their caller may see.
const TAG: usize = 8;

tokio::task_local! {
    /// Digest of the path that is being answered.
    static LIST: String;
}

/// Answers a request for this path: cursors that it makes and takes are of this list.
pub(super) async fn of_list<F: Future>(path: &str, answer: F) -> F::Output {
    let digest = hex::encode(Sha256::digest(path));
    LIST.scope(digest.chars().take(TAG).collect(), answer).await
}

fn list_tag() -> String {
    LIST.try_with(String::clone).unwrap_or_default()
}

/// The query of a list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ListQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Labels that an item must carry, as kubectl writes them: `tier=gold,zone in (a, b),!legacy`.
    #[schema(max_length = 1024, nullable = false)]
    pub label_selector: Option<String>,
}

/// The query of a list of things without labels.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
}

/// The labels of what has none, for [`Filling::take`].
pub static UNLABELLED: BTreeMap<String, String> = BTreeMap::new();

/// A page of a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last. A page with fewer items than asked for is not therefore the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A page while it fills. A list without labels needs one query; one that filters may need some, and ends early rather
/// than look at the whole ledger:
///
/// ```text
/// let mut filling = query.window()?.filling();
/// while let Some((after, limit)) = filling.wants() {
///     let rows = clusters::list(&mut tx, after.as_deref(), limit).await?;
///     filling.take(rows, |row| &row.id, |row| &row.labels);
/// }
/// Ok(Answer::new(filling.page()))
/// ```
#[derive(Debug)]
pub struct Filling<T> {
    limit: usize,
    batch: usize,
    selector: Selector,
    after: Option<String>,
    looked_at: usize,
    bytes: usize,
    items: Vec<T>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Neither is it full, nor is the list at its end.
    Hungry,
    /// There is more after `after`.
    More,
    /// The list is at its end.
    Last,
}

/// What a list's query asks for, checked.
#[derive(Debug, Clone)]
pub struct Window {
    /// Items of the page.
    pub limit: usize,
    /// The last one of the page before.
    pub after: Option<String>,
    selector: Selector,
}

// === impl Window ===

impl ListQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a cursor that is none of ours, or a selector that is none.
    pub fn window(&self) -> Result<Window, Problem> {
        Window::new(self.limit, self.cursor.as_deref(), self.label_selector.as_deref())
    }
}

impl PageQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a cursor that is none of ours.
    pub fn window(&self) -> Result<Window, Problem> {
        Window::new(self.limit, self.cursor.as_deref(), None)
    }
}

impl Window {
    /// The same for queries that have more parameters than [`ListQuery`].
    ///
    /// # Errors
    /// As [`ListQuery::window`].
    pub fn new(limit: Option<u16>, cursor: Option<&str>, selector: Option<&str>) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let after = cursor.map(decode);
        if after == Some(None) {
            faults.push(Fault::new("?cursor", "is no cursor of this list"));
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

    /// What fills the page, query by query.
    pub fn filling<T>(self) -> Filling<T> {
        let Self { limit, after, selector } = self;
        // One row more than the page holds tells whether there is another.
        let batch = if selector.is_empty() { limit + 1 } else { BATCH };
        Filling {
            limit,
            batch,
            selector,
            after,
            looked_at: 0,
            bytes: 0,
            items: Vec::new(),
            state: State::Hungry,
        }
    }
}

// === impl Filling ===

impl<T> Filling<T> {
    /// What to ask the ledger for next: rows after this key, and how many. `None` once the page is made.
    pub fn wants(&self) -> Option<(Option<String>, i64)> {
        let hungry = self.state == State::Hungry;
        hungry.then(|| (self.after.clone(), i64::try_from(self.batch).unwrap_or(i64::MAX)))
    }

    /// Takes the rows that were asked for. `key` is what the ledger's list takes as `after`.
    pub fn take(
        &mut self,
        rows: Vec<T>,
        key: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) {
        self.take_sized(rows, key, labels, |_| 0);
    }

    /// The page.
    pub fn page(self) -> Page<T> {
        let next_cursor = self.after.filter(|_| self.state == State::More).map(|key| encode(&key));
        Page { items: self.items, next_cursor }
    }
}

// === impl Page ===

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(each).collect(), next_cursor: self.next_cursor }
    }
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).max_items(Some(200));
        let cursor = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Where the next page begins; absent on the last. A page with fewer items than asked for is not therefore the last."));
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
    URL_SAFE_NO_PAD.encode(format!("{FORM}{}.{key}", list_tag()))
}

fn decode(cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (list, key) = text.strip_prefix(FORM)?.split_once('.')?;
    if list != list_tag() {
        return None;
    }
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
    plain.then(|| key.to_owned())
}

#[cfg(test)]
mod tests;
