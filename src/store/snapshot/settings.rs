//! The settings of the document, from rows of one key each.

use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::store::error::StoreError;
use crate::store::revision::parse;

/// Keys of table `settings` that are part of the document; others are the service's own.
pub(super) const KEYS: [&str; 6] =
    ["prefix", "labelPrefix", "registries", "identities", "connect", "workloadWrites"];

/// What the rows say.
pub(super) struct Settings {
    /// The object under `settings`, every key in it, absent ones null.
    pub(super) document: Value,
    /// `registries.ceiling`.
    pub(super) ceiling: Vec<String>,
}

impl Settings {
    pub(super) async fn load(on: &mut AnyConnection) -> Result<Self, StoreError> {
        let rows =
            sqlx::query("SELECT key, value FROM settings WHERE tenant_id IS NULL").fetch_all(on).await?;
        let mut set = Map::new();
        for row in rows {
            let key: String = row.try_get("key")?;
            if KEYS.contains(&key.as_str()) {
                let value = parse("a setting", &row.try_get::<String, _>("value")?)?;
                set.insert(key, value);
            }
        }
        Ok(Self::of(set))
    }

    fn of(mut set: Map<String, Value>) -> Self {
        let mut document = Map::new();
        for key in KEYS {
            let value = set.remove(key).unwrap_or(Value::Null);
            // Objects are merged key by key, so each names all of its own.
            document.insert(key.to_owned(), complete(key, value));
        }
        let ceiling = document.get("registries").and_then(|registries| registries.get("ceiling"));
        let ceiling = ceiling.and_then(Value::as_array).into_iter().flatten();
        let ceiling = ceiling.filter_map(Value::as_str).map(str::to_owned).collect();
        Self { document: Value::Object(document), ceiling }
    }
}

fn complete(key: &str, value: Value) -> Value {
    let defaults = match key {
        "registries" => json!({"ceiling": [], "platform": []}),
        "connect" => json!({"exec": true, "attach": true, "portforward": false, "proxy": false}),
        // Whoever may do anything to the cluster anyhow. An empty list, written down, is nobody.
        "identities" if value.is_null() => {
            return json!([
                {"name": "masters", "class": "admin", "group": "system:masters"},
                {"name": "cluster-admins", "class": "admin", "group": "kubeadm:cluster-admins"},
            ]);
        }
        _ => return value,
    };
    match (defaults, value) {
        (Value::Object(mut all), Value::Object(set)) => {
            all.extend(set);
            Value::Object(all)
        }
        (defaults, _) => defaults,
    }
}
