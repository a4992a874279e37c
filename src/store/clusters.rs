//! Clusters. They belong to no tenant; a tenant sees the clusters it is on.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::envelope::Sealed;
use super::{Entry, StoreError, Time, Tx, document, new_id};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub labels: BTreeMap<String, String>,
    /// URL of the Capsule proxy.
    pub capsule_proxy_url: Option<String>,
    /// CA of the proxy, PEM; `None` for scopes that are limited to a tenant.
    pub capsule_proxy_ca: Option<String>,
    /// Whether credentials are stored; `false` for scopes that are limited to a tenant.
    pub has_kubeconfig: bool,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: i64,
}

#[derive(Debug, Clone, Default)]
pub struct New {
    pub name: String,
    pub display_name: String,
    pub labels: BTreeMap<String, String>,
    pub capsule_proxy_url: Option<String>,
    pub capsule_proxy_ca: Option<String>,
}

/// `None` leaves a field unchanged, `Some(None)` removes it.
#[derive(Debug, Clone, Default)]
pub struct ClusterUpdate {
    pub display_name: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub capsule_proxy_url: Option<Option<String>>,
    pub capsule_proxy_ca: Option<Option<String>>,
    /// Encrypted for the id of the cluster.
    pub kubeconfig: Option<Option<Sealed>>,
}

const PUBLIC_COLUMNS: &str =
    "id, name, display_name, labels, capsule_proxy_url, created_at, updated_at, version";

const ALL_COLUMNS: &str = "id, name, display_name, labels, capsule_proxy_url, created_at, updated_at, version, \
     capsule_proxy_ca, CASE WHEN kubeconfig_enc IS NULL THEN 0 ELSE 1 END AS has_kubeconfig";

/// Clusters that the scope sees; `$1` is the tenant.
const VISIBLE: &str = "($1 IS NULL OR id IN (SELECT cluster_id FROM tenant_clusters WHERE tenant_id = $1))";

pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Cluster>, StoreError> {
    let (tenant, columns) = (tx.tenant(), columns(tx));
    let text = format!("SELECT {columns} FROM clusters WHERE {VISIBLE} AND id > $2 ORDER BY id LIMIT $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(tenant)
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.iter().map(read).collect()
}

/// By id or name.
pub async fn get(tx: &mut Tx, reference: &str) -> Result<Cluster, StoreError> {
    let (tenant, columns) = (tx.tenant(), columns(tx));
    let text = format!("SELECT {columns} FROM clusters WHERE {VISIBLE} AND (id = $2 OR name = $2)");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(tenant).bind(reference).fetch_optional(tx.sql()).await?;
    read(&row.ok_or(StoreError::NotFound("cluster"))?)
}

/// As [`get`], and locks the row until the commit.
pub async fn get_and_lock(tx: &mut Tx, reference: &str) -> Result<Cluster, StoreError> {
    // Changes nothing, but locks the row on both databases, so that later reads stay valid.
    sqlx::query("UPDATE clusters SET version = version WHERE id = $1 OR name = $1")
        .bind(reference)
        .execute(tx.sql())
        .await?;
    get(tx, reference).await
}

/// `encrypt` receives the new id and returns the encrypted credentials, if any.
pub async fn create<E: From<StoreError>>(
    tx: &mut Tx,
    new: New,
    encrypt: impl FnOnce(&str) -> Result<Option<Sealed>, E>,
) -> Result<Cluster, E> {
    let id = new_id();
    let sealed = encrypt(&id)?;
    insert(tx, &id, &new, sealed).await.map_err(E::from)
}

async fn insert(tx: &mut Tx, id: &str, new: &New, sealed: Option<Sealed>) -> Result<Cluster, StoreError> {
    let (value, dek) = sealed.map(|sealed| (sealed.value, sealed.dek)).unzip();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO clusters (id, created_at, updated_at, name, display_name, labels, kubeconfig_enc, dek_enc, \
         capsule_proxy_url, capsule_proxy_ca) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(now)
    .bind(&new.name)
    .bind(&new.display_name)
    .bind(json!(new.labels).to_string())
    .bind(value)
    .bind(dek)
    .bind(&new.capsule_proxy_url)
    .bind(&new.capsule_proxy_ca)
    .execute(tx.sql())
    .await?;
    let cluster = get(tx, id).await?;
    tx.audit(Entry::new("cluster.create", "cluster").of(id, &cluster.name).after(audit_document(&cluster)));
    Ok(cluster)
}

/// `Stale` where the version differs from `expected`.
pub async fn update(
    tx: &mut Tx,
    reference: &str,
    expected: Option<i64>,
    update: ClusterUpdate,
) -> Result<Cluster, StoreError> {
    let before = lock_version(tx, reference, expected).await?;
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE clusters SET display_name = $1, labels = $2, capsule_proxy_url = $3, capsule_proxy_ca = $4, \
         updated_at = $5, version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(update.display_name.unwrap_or_else(|| before.display_name.clone()))
    .bind(json!(update.labels.as_ref().unwrap_or(&before.labels)).to_string())
    .bind(update.capsule_proxy_url.unwrap_or_else(|| before.capsule_proxy_url.clone()))
    .bind(update.capsule_proxy_ca.unwrap_or_else(|| before.capsule_proxy_ca.clone()))
    .bind(now)
    .bind(&before.id)
    .bind(before.version);
    tx.change_one(statement).await?;
    // The audit log has no credentials; a change of them is in the reason.
    let credentials = match &update.kubeconfig {
        None => None,
        Some(None) => Some("its kubeconfig was removed"),
        Some(Some(_)) => Some("its kubeconfig was replaced"),
    };
    if let Some(sealed) = update.kubeconfig {
        set_kubeconfig(tx, &before.id, sealed).await?;
    }
    let after = get(tx, &before.id).await?;
    let entry = Entry::new("cluster.update", "cluster").of(&after.id, &after.name);
    let entry = entry.before(audit_document(&before)).after(audit_document(&after));
    tx.audit(match credentials {
        Some(reason) => entry.because(reason),
        None => entry,
    });
    Ok(after)
}

/// The version is already incremented in this transaction.
async fn set_kubeconfig(tx: &mut Tx, id: &str, sealed: Option<Sealed>) -> Result<(), StoreError> {
    let (value, dek) = sealed.map(|sealed| (sealed.value, sealed.dek)).unzip();
    sqlx::query("UPDATE clusters SET kubeconfig_enc = $1, dek_enc = $2 WHERE id = $3")
        .bind(value)
        .bind(dek)
        .bind(id)
        .execute(tx.sql())
        .await?;
    Ok(())
}

/// `Dependents` where tenants are on it.
pub async fn delete(tx: &mut Tx, reference: &str, expected: Option<i64>) -> Result<(), StoreError> {
    let cluster = lock_version(tx, reference, expected).await?;
    let tenants: i64 = sqlx::query_scalar("SELECT count(*) FROM tenant_clusters WHERE cluster_id = $1")
        .bind(&cluster.id)
        .fetch_one(tx.sql())
        .await?;
    if tenants > 0 {
        let children = if tenants == 1 { "1 tenant".to_owned() } else { format!("{tenants} tenants") };
        return Err(StoreError::Dependents { what: "cluster", children });
    }
    let statement = sqlx::query("DELETE FROM clusters WHERE id = $1 AND version = $2");
    tx.change_one(statement.bind(&cluster.id).bind(cluster.version)).await?;
    let entry = Entry::new("cluster.delete", "cluster").of(&cluster.id, &cluster.name);
    tx.audit(entry.before(audit_document(&cluster)));
    Ok(())
}

async fn lock_version(tx: &mut Tx, reference: &str, expected: Option<i64>) -> Result<Cluster, StoreError> {
    let cluster = get_and_lock(tx, reference).await?;
    if expected.is_some_and(|version| version != cluster.version) {
        return Err(StoreError::Stale);
    }
    Ok(cluster)
}

fn columns(tx: &Tx) -> &'static str {
    if tx.scope().tenant().is_some() { PUBLIC_COLUMNS } else { ALL_COLUMNS }
}

fn read(row: &AnyRow) -> Result<Cluster, StoreError> {
    Ok(Cluster {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        labels: document("a cluster's labels", &row.try_get::<String, _>("labels")?)?,
        capsule_proxy_url: row.try_get("capsule_proxy_url")?,
        capsule_proxy_ca: row.try_get("capsule_proxy_ca").unwrap_or_default(),
        has_kubeconfig: row.try_get::<i64, _>("has_kubeconfig").is_ok_and(|flag| flag != 0),
        created_at: Time(row.try_get("created_at")?),
        updated_at: Time(row.try_get("updated_at")?),
        version: row.try_get("version")?,
    })
}

fn audit_document(cluster: &Cluster) -> serde_json::Value {
    json!({
        "name": cluster.name,
        "displayName": cluster.display_name,
        "labels": cluster.labels,
        "capsuleProxyUrl": cluster.capsule_proxy_url,
        "capsuleProxyCa": cluster.capsule_proxy_ca,
        "hasKubeconfig": cluster.has_kubeconfig,
        "version": cluster.version,
    })
}
