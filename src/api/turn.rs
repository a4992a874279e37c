//! Lists of things that carry no labels.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::page::{Filling, View, Window};
use super::problem::Problem;

/// The query of such a list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Turn {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
}

/// The query of a list of things with long parts.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ViewTurn {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// `full` shows what is left out by default, because it may be long.
    #[schema(schema_with = View::parameter, required = false)]
    pub view: Option<View>,
}

impl ViewTurn {
    /// The page that it asks for, and how much of each item it shows.
    ///
    /// # Errors
    /// As [`Turn::filling`].
    pub fn filling<T>(&self) -> Result<(Filling<T>, View), Problem> {
        let window = Window::new(self.limit, self.cursor.as_deref(), None)?;
        Ok((window.filling(), self.view.unwrap_or_default()))
    }
}

static NONE: BTreeMap<String, String> = BTreeMap::new();

impl Turn {
    /// The page that it asks for.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for a cursor that is none of ours.
    pub fn filling<T>(&self) -> Result<Filling<T>, Problem> {
        Ok(Window::new(self.limit, self.cursor.as_deref(), None)?.filling())
    }
}

/// What such a thing has for labels.
pub fn no_labels<T>(_: &T) -> &BTreeMap<String, String> {
    &NONE
}
