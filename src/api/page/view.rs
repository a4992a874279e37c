//! Lists of things with long parts: these are left out unless they are asked for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// How much of each item a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// All but what may be long.
    #[default]
    Basic,
    /// All of it.
    Full,
}

impl View {
    /// The schema of a parameter of it.
    pub(crate) fn parameter() -> Object {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["basic", "full"]))
            .description(Some("`full` shows what a list leaves out by default, because it may be long"))
            .build()
    }

    /// Whether the long parts are shown.
    pub fn is_full(self) -> bool {
        self == Self::Full
    }
}

/// Something with fields that may be long.
pub trait Long: ToSchema {
    /// The name of its schema where a list shows it.
    const LISTED: &'static str;
    /// The fields that a basic view leaves out; `a/b` is the field `b` of `a`.
    const FIELDS: &'static [&'static str];
}

/// An item of a list of such things.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    item: T,
    view: View,
}

impl<T> Listed<T> {
    /// An item in this view.
    pub const fn new(item: T, view: View) -> Self {
        Self { item, view }
    }

    /// What is shown.
    pub const fn item(&self) -> &T {
        &self.item
    }
}

impl<T: Serialize + Long> Serialize for Listed<T> {
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

impl<T: Long> PartialSchema for Listed<T> {
    fn schema() -> RefOr<Schema> {
        match T::schema() {
            // A part that is flattened is a reference; its fields are among those that are left out.
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

impl<T: Long> ToSchema for Listed<T> {
    fn name() -> Cow<'static, str> {
        T::LISTED.into()
    }

    fn schemas(all: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(all);
    }
}

/// A field of a schema that stands inline, alone or with a description beside it.
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

/// The schema, of which these fields are there with `view=full` only.
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
