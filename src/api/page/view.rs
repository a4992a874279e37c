//! Lists of things with long fields, which are omitted unless the query asks for them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{PageBuilder, Window};
use crate::problem::Problem;

/// How much of each item a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// Without long fields.
    #[default]
    Basic,
    Full,
}

impl View {
    pub(crate) fn parameter() -> Object {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["basic", "full"]))
            .description(Some("`full` includes long fields, which a list omits by default"))
            .build()
    }

    pub fn is_full(self) -> bool {
        self == Self::Full
    }
}

/// A type with fields that may be long.
pub trait LongFields: ToSchema {
    /// The name of its schema in lists.
    const LISTED: &'static str;
    /// The fields that the basic view omits; `a/b` is the field `b` of `a`.
    const FIELDS: &'static [&'static str];
}

/// An item of such a list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    item: T,
    view: View,
}

impl<T> Listed<T> {
    pub const fn new(item: T, view: View) -> Self {
        Self { item, view }
    }

    pub const fn item(&self) -> &T {
        &self.item
    }
}

impl<T: Serialize + LongFields> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.view.is_full() {
            return self.item.serialize(serializer);
        }
        let mut item = serde_json::to_value(&self.item).map_err(serde::ser::Error::custom)?;
        for field in T::FIELDS {
            let (parent, field) = field.split_once('/').map_or((None, *field), |(a, b)| (Some(a), b));
            let parent = match parent {
                Some(parent) => item.get_mut(parent),
                None => Some(&mut item),
            };
            if let Some(Value::Object(fields)) = parent {
                fields.remove(field);
            }
        }
        item.serialize(serializer)
    }
}

impl<T: LongFields> PartialSchema for Listed<T> {
    fn schema() -> RefOr<Schema> {
        match T::schema() {
            // A flattened part is a reference; its fields are among the omitted ones.
            RefOr::T(Schema::AllOf(all)) => {
                let own = all.items.into_iter().find_map(|part| match part {
                    RefOr::T(Schema::Object(own)) => Some(own),
                    _ => None,
                });
                RefOr::T(Schema::Object(optional(own.unwrap_or_default(), T::FIELDS)))
            }
            RefOr::T(Schema::Object(own)) => RefOr::T(Schema::Object(optional(own, T::FIELDS))),
            other => other,
        }
    }
}

impl<T: LongFields> ToSchema for Listed<T> {
    fn name() -> Cow<'static, str> {
        T::LISTED.into()
    }

    fn schemas(all: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(all);
    }
}

fn not_required(schema: &mut Schema, field: &str) {
    match schema {
        Schema::Object(object) => object.required.retain(|name| name != field),
        Schema::AllOf(all) => all.items.iter_mut().for_each(|part| {
            if let RefOr::T(part) = part {
                not_required(part, field);
            }
        }),
        _ => {}
    }
}

fn optional(mut object: Object, fields: &[&str]) -> Object {
    const TEXT: &str = "Absent unless `view=full`.";
    for path in fields {
        if let Some((parent, field)) = path.split_once('/') {
            if let Some(RefOr::T(parent)) = object.properties.get_mut(parent) {
                not_required(parent, field);
            }
            continue;
        }
        object.required.retain(|name| name != path);
        match object.properties.get_mut(*path) {
            Some(RefOr::T(Schema::Object(property))) => {
                let text = property.description.get_or_insert_default();
                text.push(' ');
                text.push_str(TEXT);
            }
            _ => {
                let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(TEXT));
                object.properties.insert((*path).to_owned(), any.into());
            }
        }
    }
    object
}

/// The query of a list of things with long fields.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ViewQuery {
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// `full` includes long fields, which a list omits by default.
    #[schema(schema_with = View::parameter, required = false)]
    pub view: Option<View>,
}

impl ViewQuery {
    /// The builder of the page, and which fields each item shows.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for an invalid cursor.
    pub fn builder<T>(&self) -> Result<(PageBuilder<T>, View), Problem> {
        let window = Window::new(self.limit, self.cursor.as_deref(), None)?;
        Ok((window.builder(), self.view.unwrap_or_default()))
    }
}
