//! Settings: what holds for all tenants, one row a key, every change kept.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::audit::Entry as Deed;
use super::{Part, StoreError, Time, Tx, document as read, new_id};
use portcullis_tenancy::Entry;
use portcullis_tenancy::settings::{self, Bystander, KEYS, OWN_KEYS};

/// A setting.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// One of `prefix`, `labelPrefix`, `registries`, `identities`, `connect`, `workloadWrites`, `sandboxes`, `nameReuse`.
    #[schema(example = "registries")]
    pub key: String,
    /// Its value, as the snapshot has it.
    #[schema(value_type = Value)]
    pub value: Value,
    /// When it was last set, RFC 3339; null where nobody has, and the value is the default.
    #[schema(required = true)]
    pub updated_at: Option<Time>,
    /// What `ETag` says; 0 where nobody has set it.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    value: String,
    updated_at: i64,
    version: i64,
}

/// Every setting, in the order of the document.
pub async fn all(tx: &mut Tx) -> Result<Vec<Setting>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT key, value, updated_at, version FROM settings WHERE tenant_id IS NULL ORDER BY key",
    )
    .fetch_all(tx.sql())
    .await?;
    let mut defaults = settings::defaults();
    defaults.extend(settings::own_defaults());
    let setting = |key: &str| {
        let default = defaults.remove(key).unwrap_or(Value::Null);
        let Some(row) = rows.iter().find(|row| row.key == key) else {
            return Ok(Setting { key: key.to_owned(), value: default, updated_at: None, version: 0 });
        };
        let (value, updated_at) = (read("a setting", &row.value)?, Some(Time(row.updated_at)));
        Ok(Setting { key: key.to_owned(), value, updated_at, version: row.version })
    };
    KEYS.into_iter().chain(OWN_KEYS).map(setting).collect()
}

/// A setting by key.
pub async fn get(tx: &mut Tx, key: &str) -> Result<Setting, StoreError> {
    let found = all(tx).await?.into_iter().find(|setting| setting.key == key);
    found.ok_or(StoreError::NotFound("setting"))
}

/// Nothing outside of it is ever admitted.
pub async fn ceiling(tx: &mut Tx) -> Result<Vec<Entry>, StoreError> {
    let stored: Option<String> =
        sqlx::query_scalar("SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'registries'")
            .fetch_optional(tx.sql())
            .await?;
    ceiling_of(stored.as_deref())
}

/// The same of the stored setting `registries`, where there is one; without it, nothing.
pub(super) fn ceiling_of(stored: Option<&str>) -> Result<Vec<Entry>, StoreError> {
    let Some(stored) = stored else { return Ok(Vec::new()) };
    let stored: Value = read("the setting `registries`", stored)?;
    let list = stored.get("ceiling").and_then(Value::as_array).into_iter().flatten();
    Ok(list.filter_map(|entry| Entry::parse(entry.as_str()?).ok()).collect())
}

/// Whether a group is trusted as one of administrators: no tenant's people may be it.
pub async fn is_privileged(tx: &mut Tx, group: &str) -> Result<bool, StoreError> {
    let identities = get(tx, "identities").await?.value;
    let admin = |identity: &Value| identity["class"] == "admin" && identity["group"] == group;
    Ok(identities.as_array().into_iter().flatten().any(admin))
}

/// Holds off whoever would make a tenant, or anything inside of one, until the commit: what settings were checked
/// against must still be so then. Those who do either lock one of these rows first.
pub async fn alone(tx: &mut Tx) -> Result<(), StoreError> {
    for statement in ["UPDATE clusters SET version = version", "UPDATE tenants SET version = version"] {
        sqlx::query(statement).execute(tx.sql()).await?;
    }
    Ok(())
}

/// Live tenants, as far as settings concern them.
pub async fn bystanders(tx: &mut Tx) -> Result<Vec<Bystander>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT slug, id, dev_group FROM tenants WHERE deleted_at IS NULL ORDER BY slug")
            .fetch_all(tx.sql())
            .await?;
    Ok(rows.into_iter().map(|(slug, id, group)| Bystander { slug, id, groups: vec![group] }).collect())
}

/// Whether anything is named by the prefix.
pub async fn any_namespace(tx: &mut Tx) -> Result<bool, StoreError> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT name FROM namespaces LIMIT 1").fetch_optional(tx.sql()).await?;
    Ok(found.is_some())
}

/// The value of each key as the document of a snapshot has it.
pub fn document(settings: &[Setting]) -> Map<String, Value> {
    settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
}

/// Sets what was read as `was` in this transaction; the value was checked.
pub async fn put(tx: &mut Tx, was: Setting, value: Value) -> Result<Setting, StoreError> {
    let now = tx.now();
    let text = value.to_string();
    let statement = sqlx::query(
        "INSERT INTO settings (id, created_at, updated_at, scope, key, value) VALUES ($1, $2, $2, 'global', $3, $4) \
         ON CONFLICT (key) WHERE tenant_id IS NULL DO UPDATE SET value = excluded.value, \
         updated_at = excluded.updated_at, version = settings.version + 1 WHERE settings.version = $5",
    )
    .bind(new_id())
    .bind(now)
    .bind(was.key.clone())
    .bind(text.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let actor = tx.scope().actor().name.clone();
    sqlx::query(
        "INSERT INTO settings_history (id, key, old, new, actor, at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new_id())
    .bind(was.key.clone())
    .bind(was.updated_at.is_some().then(|| was.value.to_string()))
    .bind(text)
    .bind(actor)
    .bind(now)
    .execute(tx.sql())
    .await?;
    let is = get(tx, &was.key).await?;
    let deed = Deed { resource_name: Some(was.key.clone()), ..Deed::new("settings.update", "setting") };
    tx.audit(deed.before(json!(was.value)).after(json!(is.value)));
    tx.touch(Part::Settings);
    Ok(is)
}
