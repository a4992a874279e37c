//! The settings of the document, from rows of one key each.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row as _};

use crate::store::error::StoreError;
use crate::store::revision::parse;
use crate::tenancy::{Entry, settings};

/// What the rows say.
pub(super) struct Settings {
    /// The object under `settings`, every key in it.
    pub(super) document: Value,
    /// `registries.ceiling`.
    pub(super) ceiling: Vec<Entry>,
}

static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(settings::defaults);

impl Settings {
    pub(super) async fn load(on: &mut AnyConnection) -> Result<Self, StoreError> {
        let rows =
            sqlx::query("SELECT key, value FROM settings WHERE tenant_id IS NULL").fetch_all(on).await?;
        let mut document = DEFAULTS.clone();
        for row in rows {
            let key: String = row.try_get("key")?;
            // Other keys are the service's own.
            if let Some(place) = settings::KEYS.contains(&key.as_str()).then(|| document.entry(key)) {
                let value = parse("a setting", &row.try_get::<String, _>("value")?)?;
                lay(place.or_insert(Value::Null), value);
            }
        }
        let ceiling = document.get("registries").and_then(|registries| registries.get("ceiling"));
        let ceiling = ceiling.and_then(Value::as_array).into_iter().flatten();
        let ceiling = ceiling.filter_map(|entry| Entry::parse(entry.as_str()?).ok()).collect();
        Ok(Self { document: Value::Object(document), ceiling })
    }
}

/// A value over its default. A patch merges objects key by key, so each must name all of its own.
fn lay(default: &mut Value, value: Value) {
    match (default, value) {
        (Value::Object(all), Value::Object(set)) => all.extend(set),
        (default, value) => *default = value,
    }
}
