//! The settings of the document, from rows of one key each.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row as _};

use crate::error::StoreError;
use crate::revision::parse;
use portcullis_tenancy::settings;

static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(settings::defaults);

/// The object under `settings`, every key in it.
pub(super) async fn document(on: &mut AnyConnection) -> Result<Value, StoreError> {
    let rows = sqlx::query("SELECT key, value FROM settings WHERE tenant_id IS NULL").fetch_all(on).await?;
    let mut document = DEFAULTS.clone();
    for row in rows {
        let key: String = row.try_get("key")?;
        // Other keys are the service's own.
        if let Some(place) = settings::KEYS.contains(&key.as_str()).then(|| document.entry(key)) {
            let value = parse("a setting", &row.try_get::<String, _>("value")?)?;
            lay(place.or_insert(Value::Null), value);
        }
    }
    Ok(Value::Object(document))
}

/// A value over its default. A patch merges objects key by key, so each must name all of its own.
fn lay(default: &mut Value, value: Value) {
    match (default, value) {
        (Value::Object(all), Value::Object(set)) => all.extend(set),
        (default, value) => *default = value,
    }
}
