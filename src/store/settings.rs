//! Settings for all tenants: one row per key, with a history of changes.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::audit::Entry as AuditEntry;
use super::{Part, StoreError, Time, Tx, document as parse_document, new_id};
use portcullis_tenancy::RegistryEntry;
use portcullis_tenancy::settings::{self, KEYS, SERVICE_KEYS, TenantGroups};

/// A setting.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// One of `prefix`, `labelPrefix`, `registries`, `identities`, `connect`, `workloadWrites`, `sandboxes`, `nameReuse`.
    #[schema(example = "registries")]
    pub key: String,
    /// Value, as in the snapshot.
    #[schema(value_type = Value)]
    pub value: Value,
    /// Time of the last change, RFC 3339; null if the value is the default.
    #[schema(required = true)]
    pub updated_at: Option<Time>,
    /// Value of `ETag`; 0 if the setting was never set.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    key: String,
    value: String,
    updated_at: i64,
    version: i64,
}

/// In the order of the document.
pub async fn all(tx: &mut Tx) -> Result<Vec<Setting>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT key, value, updated_at, version FROM settings WHERE tenant_id IS NULL ORDER BY key",
    )
    .fetch_all(tx.sql())
    .await?;
    let mut defaults = settings::defaults();
    defaults.extend(settings::service_defaults());
    let setting = |key: &str| {
        let default = defaults.remove(key).unwrap_or(Value::Null);
        let Some(row) = rows.iter().find(|row| row.key == key) else {
            return Ok(Setting { key: key.to_owned(), value: default, updated_at: None, version: 0 });
        };
        let (value, updated_at) = (parse_document("a setting", &row.value)?, Some(Time(row.updated_at)));
        Ok(Setting { key: key.to_owned(), value, updated_at, version: row.version })
    };
    KEYS.into_iter().chain(SERVICE_KEYS).map(setting).collect()
}

pub async fn get(tx: &mut Tx, key: &str) -> Result<Setting, StoreError> {
    let found = all(tx).await?.into_iter().find(|setting| setting.key == key);
    found.ok_or(StoreError::NotFound("setting"))
}

/// Registries outside of it are never admitted.
pub async fn ceiling(tx: &mut Tx) -> Result<Vec<RegistryEntry>, StoreError> {
    let stored: Option<String> =
        sqlx::query_scalar("SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'registries'")
            .fetch_optional(tx.sql())
            .await?;
    ceiling_of(stored.as_deref())
}

pub(super) fn ceiling_of(stored: Option<&str>) -> Result<Vec<RegistryEntry>, StoreError> {
    let Some(stored) = stored else { return Ok(Vec::new()) };
    let stored: Value = parse_document("the setting `registries`", stored)?;
    let list = stored.get("ceiling").and_then(Value::as_array).into_iter().flatten();
    Ok(list.filter_map(|entry| RegistryEntry::parse(entry.as_str()?).ok()).collect())
}

/// Whether the group belongs to administrators, so that no tenant may use it.
pub async fn is_privileged(tx: &mut Tx, group: &str) -> Result<bool, StoreError> {
    let identities = get(tx, "identities").await?.value;
    let admin = |identity: &Value| identity["class"] == "admin" && identity["group"] == group;
    Ok(identities.as_array().into_iter().flatten().any(admin))
}

/// Blocks changes of tenants until the commit, because settings were validated against them.
pub async fn lock_tenants(tx: &mut Tx) -> Result<(), StoreError> {
    for statement in ["UPDATE clusters SET version = version", "UPDATE tenants SET version = version"] {
        sqlx::query(statement).execute(tx.sql()).await?;
    }
    Ok(())
}

pub async fn affected_tenants(tx: &mut Tx) -> Result<Vec<TenantGroups>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT slug, id, dev_group FROM tenants WHERE deleted_at IS NULL ORDER BY slug")
            .fetch_all(tx.sql())
            .await?;
    Ok(rows.into_iter().map(|(slug, id, group)| TenantGroups { slug, id, groups: vec![group] }).collect())
}

/// Whether a namespace exists that uses the prefix.
pub async fn any_namespace(tx: &mut Tx) -> Result<bool, StoreError> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT name FROM namespaces LIMIT 1").fetch_optional(tx.sql()).await?;
    Ok(found.is_some())
}

/// Value by key, as in the snapshot.
pub fn document(settings: &[Setting]) -> Map<String, Value> {
    settings.iter().map(|setting| (setting.key.clone(), setting.value.clone())).collect()
}

/// Replaces the setting that was read as `was`; the value is validated by the caller.
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
    let entry =
        AuditEntry { resource_name: Some(was.key.clone()), ..AuditEntry::new("settings.update", "setting") };
    tx.audit(entry.before(json!(was.value)).after(json!(is.value)));
    tx.mark_changed(Part::Settings);
    Ok(is)
}
