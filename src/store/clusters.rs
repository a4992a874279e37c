//! Clusters: where tenants live. They belong to no tenant; a tenant sees those it is on.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::seal::Sealed;
use super::{Entry, StoreError, Time, Tx, document, new_id};

/// A cluster, without its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// UUID.
    pub id: String,
    /// Unique.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Where its Capsule proxy answers.
    pub capsule_proxy_url: Option<String>,
    /// PEM of the authority that vouches for the proxy. Nothing for whoever is limited to a tenant.
    pub capsule_proxy_ca: Option<String>,
    /// Whether credentials are kept for it. False for whoever is limited to a tenant.
    pub has_kubeconfig: bool,
    /// When it was registered.
    pub created_at: Time,
    /// When it was changed last.
    pub updated_at: Time,
    /// Counted up by every change.
    pub version: i64,
}

/// What a cluster is registered with.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// Unique.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Where its Capsule proxy answers.
    pub capsule_proxy_url: Option<String>,
    /// PEM.
    pub capsule_proxy_ca: Option<String>,
}

/// What of a cluster is to be something else; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// For people.
    pub display_name: Option<String>,
    /// All of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// `Some(None)` takes it away.
    pub capsule_proxy_url: Option<Option<String>>,
    /// Likewise.
    pub capsule_proxy_ca: Option<Option<String>>,
    /// `Some(None)` takes the credentials away; others are sealed for the cluster's id.
    pub kubeconfig: Option<Option<Sealed>>,
}

/// The columns that everybody may read who may read the row.
const SEEN: &str = "id, name, display_name, labels, capsule_proxy_url, created_at, updated_at, version";

/// And those that administrators read.
const ALL: &str = "id, name, display_name, labels, capsule_proxy_url, created_at, updated_at, version, \
     capsule_proxy_ca, CASE WHEN kubeconfig_enc IS NULL THEN 0 ELSE 1 END AS has_kubeconfig";

/// The clusters that the scope sees, of which `$1` is the tenant.
const MINE: &str = "($1 IS NULL OR id IN (SELECT cluster_id FROM tenant_clusters WHERE tenant_id = $1))";

/// Up to `limit` of them in the order of ids, from the one after `after`.
pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Cluster>, StoreError> {
    let (tenant, columns) = (tx.tenant(), columns(tx));
    let text = format!("SELECT {columns} FROM clusters WHERE {MINE} AND id > $2 ORDER BY id LIMIT $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(text))
        .bind(tenant)
        .bind(after.unwrap_or_default())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.iter().map(read).collect()
}

/// One, by id or name.
pub async fn get(tx: &mut Tx, reference: &str) -> Result<Cluster, StoreError> {
    let (tenant, columns) = (tx.tenant(), columns(tx));
    let text = format!("SELECT {columns} FROM clusters WHERE {MINE} AND (id = $2 OR name = $2)");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(tenant).bind(reference).fetch_optional(tx.sql()).await?;
    read(&row.ok_or(StoreError::NotFound("cluster"))?)
}

/// The same for whoever is about to change it by what it is now: its row is locked until the commit.
pub async fn locked(tx: &mut Tx, reference: &str) -> Result<Cluster, StoreError> {
    // Changes nothing, and locks the row on both databases; what is read after that stays so.
    sqlx::query("UPDATE clusters SET version = version WHERE id = $1 OR name = $1")
        .bind(reference)
        .execute(tx.sql())
        .await?;
    get(tx, reference).await
}

/// Registers one. `seal` is given its id, and seals its credentials for that, where there are any.
pub async fn create<E: From<StoreError>>(
    tx: &mut Tx,
    new: New,
    seal: impl FnOnce(&str) -> Result<Option<Sealed>, E>,
) -> Result<Cluster, E> {
    let id = new_id();
    let sealed = seal(&id)?;
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
    tx.audit(Entry::new("cluster.create", "cluster").of(id, &cluster.name).after(told(&cluster)));
    Ok(cluster)
}

/// Changes one, if it still has the version that `expected` names.
pub async fn update(
    tx: &mut Tx,
    reference: &str,
    expected: Option<i64>,
    change: Change,
) -> Result<Cluster, StoreError> {
    let before = current(tx, reference, expected).await?;
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE clusters SET display_name = $1, labels = $2, capsule_proxy_url = $3, capsule_proxy_ca = $4, \
         updated_at = $5, version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(change.display_name.unwrap_or_else(|| before.display_name.clone()))
    .bind(json!(change.labels.as_ref().unwrap_or(&before.labels)).to_string())
    .bind(change.capsule_proxy_url.unwrap_or_else(|| before.capsule_proxy_url.clone()))
    .bind(change.capsule_proxy_ca.unwrap_or_else(|| before.capsule_proxy_ca.clone()))
    .bind(now)
    .bind(&before.id)
    .bind(before.version);
    tx.change_one(statement).await?;
    // What the log tells of credentials is that there are some; that they are others it tells in words.
    let credentials = match &change.kubeconfig {
        None => None,
        Some(None) => Some("its kubeconfig was taken away"),
        Some(Some(_)) => Some("its kubeconfig was replaced"),
    };
    if let Some(sealed) = change.kubeconfig {
        set_kubeconfig(tx, &before.id, sealed).await?;
    }
    let after = get(tx, &before.id).await?;
    let entry = Entry::new("cluster.update", "cluster").of(&after.id, &after.name);
    let entry = entry.before(told(&before)).after(told(&after));
    tx.audit(match credentials {
        Some(reason) => entry.because(reason),
        None => entry,
    });
    Ok(after)
}

/// In the transaction that has counted up the cluster's version.
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

/// Removes one that no tenant is on.
pub async fn delete(tx: &mut Tx, reference: &str, expected: Option<i64>) -> Result<(), StoreError> {
    let cluster = current(tx, reference, expected).await?;
    let tenants: i64 = sqlx::query_scalar("SELECT count(*) FROM tenant_clusters WHERE cluster_id = $1")
        .bind(&cluster.id)
        .fetch_one(tx.sql())
        .await?;
    if tenants > 0 {
        let children = if tenants == 1 { "a tenant".to_owned() } else { format!("{tenants} tenants") };
        return Err(StoreError::Dependents { what: "cluster", children });
    }
    let statement = sqlx::query("DELETE FROM clusters WHERE id = $1 AND version = $2");
    tx.change_one(statement.bind(&cluster.id).bind(cluster.version)).await?;
    let entry = Entry::new("cluster.delete", "cluster").of(&cluster.id, &cluster.name);
    tx.audit(entry.before(told(&cluster)));
    Ok(())
}

/// One as it is now, locked, if it has the version that is expected.
async fn current(tx: &mut Tx, reference: &str, expected: Option<i64>) -> Result<Cluster, StoreError> {
    let cluster = locked(tx, reference).await?;
    if expected.is_some_and(|version| version != cluster.version) {
        return Err(StoreError::Stale);
    }
    Ok(cluster)
}

fn columns(tx: &Tx) -> &'static str {
    if tx.scope().tenant().is_some() { SEEN } else { ALL }
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

/// As the audit log tells it.
fn told(cluster: &Cluster) -> serde_json::Value {
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
