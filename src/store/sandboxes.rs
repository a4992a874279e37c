//! Sandboxes, numbered within their project with the lowest free number. A number is free again when its namespace no longer
//! exists in the cluster.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::audit::Entry;
use crate::error::StoreError;
use crate::namespaces::{self, Owner};
use crate::projects::Project;
use crate::tenants::row::Tenant;
use crate::{Part, Time, Tx, released, settings};
use portcullis_tenancy::name::SANDBOXES as ORDINALS;
use portcullis_tenancy::settings::SANDBOXES;

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// UUID.
    pub id: String,
    /// Number within the project, `sbx-001` to `sbx-999`.
    #[schema(example = "sbx-001")]
    pub name: String,
    /// Display name; empty if none was given.
    pub display_name: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// UUID of its project.
    pub project_id: String,
    /// UUID of its cluster.
    pub cluster_id: String,
    /// Its namespace.
    #[schema(example = "tn-acme-shop-sbx-001")]
    pub namespace: String,
    /// Creator: `issuer#sub`.
    pub created_by: String,
    /// Time of automatic deletion, RFC 3339; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_at: Option<Time>,
    /// `active`, or `deleting` while its namespace still exists.
    #[schema(example = "active")]
    pub state: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change.
    pub version: i64,
}

/// Start of every statement that reads sandboxes.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.ordinal, s.display_name, s.tenant_id, s.project_id, s.cluster_id, s.created_by, s.expires_at, \
             s.state, s.created_at, s.updated_at, s.version, n.name AS namespace \
             FROM sandboxes s JOIN namespaces n ON n.sandbox_id = s.id WHERE ",
            $rest
        )
    };
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: String,
    ordinal: i64,
    display_name: String,
    tenant_id: String,
    project_id: String,
    cluster_id: String,
    created_by: String,
    expires_at: Option<i64>,
    state: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    namespace: String,
}

impl Row {
    fn read(self) -> Sandbox {
        Sandbox {
            id: self.id,
            name: name(self.ordinal),
            display_name: self.display_name,
            tenant_id: self.tenant_id,
            project_id: self.project_id,
            cluster_id: self.cluster_id,
            namespace: self.namespace,
            created_by: self.created_by,
            expires_at: self.expires_at.map(Time),
            state: self.state,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        }
    }
}

/// `sbx-001`
pub fn name(ordinal: i64) -> String {
    format!("sbx-{ordinal:03}")
}

/// `None` for an invalid name.
fn ordinal(name: &str) -> Option<i64> {
    let digits = name.strip_prefix("sbx-")?;
    let digits = Some(digits).filter(|d| d.len() == 3 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let number: u16 = digits.parse().ok()?;
    ORDINALS.contains(&number).then_some(number.into())
}

pub async fn list(
    tx: &mut Tx,
    project: &Project,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Sandbox>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(select!(
        "s.tenant_id = $1 AND s.project_id = $2 AND s.id > $3 ORDER BY s.id LIMIT $4"
    ))
    .bind(project.tenant_id.clone())
    .bind(project.id.clone())
    .bind(after.unwrap_or_default().to_owned())
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    Ok(rows.into_iter().map(Row::read).collect())
}

/// By id or name.
pub async fn get(tx: &mut Tx, project: &Project, sandbox: &str) -> Result<Sandbox, StoreError> {
    let ordinal = ordinal(sandbox).unwrap_or_default();
    let row = sqlx::query_as::<_, Row>(select!(
        "s.tenant_id = $1 AND s.project_id = $2 AND (s.id = $3 OR s.ordinal = $4)"
    ))
    .bind(project.tenant_id.clone())
    .bind(project.id.clone())
    .bind(sandbox.to_owned())
    .bind(ordinal)
    .fetch_optional(tx.sql())
    .await?;
    row.map(Row::read).ok_or(StoreError::NotFound("sandbox"))
}

/// The setting `sandboxes`; otherwise only owners create sandboxes.
pub async fn developers_may_create(tx: &mut Tx) -> Result<bool, StoreError> {
    let setting = settings::get(tx, SANDBOXES).await?;
    Ok(setting.value.get("developers").and_then(Value::as_bool).unwrap_or(true))
}

pub async fn count(tx: &mut Tx, tenant: &str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM sandboxes WHERE tenant_id = $1");
    Ok(count.bind(tenant.to_owned()).fetch_one(tx.sql()).await?)
}

/// `Exhausted` when no number is free. `expires_at` is in Unix milliseconds.
pub async fn create(
    tx: &mut Tx,
    (tenant, project): (&Tenant, &Project),
    display_name: &str,
    expires_at: Option<i64>,
) -> Result<Sandbox, StoreError> {
    lock(tx, project).await?;
    let ordinal = lowest_free(tx, tenant, project).await?;
    let namespace = namespaces::of_sandbox(tx, &tenant.name, &project.name, ordinal).await?;
    let id = uuid::Uuid::now_v7().to_string();
    let (now, actor) = (tx.now(), tx.scope().actor().name.clone());
    sqlx::query(
        "INSERT INTO sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal, display_name, \
         created_by, expires_at) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(project.id.clone())
    .bind(tenant.cluster_id.clone())
    .bind(i64::from(ordinal))
    .bind(display_name.to_owned())
    .bind(actor)
    .bind(expires_at)
    .execute(tx.sql())
    .await?;
    namespaces::allocate(tx, tenant, project, &namespace, Owner::Sandbox(&id)).await?;
    let sandbox = get(tx, project, &id).await?;
    tx.audit(entry("sandbox.create", &sandbox).after(json!(sandbox)));
    Ok(sandbox)
}

/// Serializes the creation of sandboxes in one project.
async fn lock(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    sqlx::query("UPDATE projects SET version = version WHERE tenant_id = $1 AND id = $2")
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .execute(tx.sql())
        .await?;
    Ok(())
}

/// The number of a deleted sandbox is taken until its namespace is gone and its name can be reused.
async fn lowest_free(tx: &mut Tx, tenant: &Tenant, project: &Project) -> Result<u16, StoreError> {
    let purged = purge_deleted(tx, project).await?;
    let [first, last] = [ORDINALS.start(), ORDINALS.end()];
    let first = namespaces::of_sandbox(tx, &tenant.name, &project.name, *first).await?;
    let last = namespaces::of_sandbox(tx, &tenant.name, &project.name, *last).await?;
    let released = released::unavailable_names(tx, &first, &last, purged).await?;
    let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let released = |number: u16| released.contains(&format!("{stem}{number:03}"));
    let taken: Vec<i64> = sqlx::query_scalar(
        "SELECT ordinal FROM sandboxes WHERE tenant_id = $1 AND project_id = $2 ORDER BY ordinal",
    )
    .bind(project.tenant_id.clone())
    .bind(project.id.clone())
    .fetch_all(tx.sql())
    .await?;
    let mut numbers = ORDINALS;
    let number =
        numbers.find(|number| taken.binary_search(&i64::from(*number)).is_err() && !released(*number));
    let what =
        "sandbox number (numbers of deleted sandboxes become free again after the setting `nameReuse`)";
    number.ok_or_else(|| StoreError::Exhausted { what: what.to_owned() })
}

/// Deletes rows whose namespace is gone from the cluster, and returns the names.
async fn purge_deleted(tx: &mut Tx, project: &Project) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let gone: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT s.id, n.name, n.cluster_id FROM sandboxes s JOIN namespaces n ON n.sandbox_id = s.id WHERE s.tenant_id = $1 \
         AND s.project_id = $2 AND s.state = 'deleting' AND n.observed_uid IS NULL",
    )
    .bind(project.tenant_id.clone())
    .bind(project.id.clone())
    .fetch_all(tx.sql())
    .await?;
    for (id, name, cluster) in gone {
        sqlx::query("DELETE FROM sandboxes WHERE tenant_id = $1 AND id = $2")
            .bind(project.tenant_id.clone())
            .bind(id)
            .execute(tx.sql())
            .await?;
        tx.release(&project.tenant_id, &cluster, Part::Namespace(name.clone()));
        names.push(name);
    }
    Ok(names)
}

/// If its namespace was observed in the cluster, the row stays as `deleting` until the namespace is gone, so that no new
/// sandbox receives its contents. The tenant must be locked.
pub async fn remove(tx: &mut Tx, was: &Sandbox, reason: Option<&str>) -> Result<(), StoreError> {
    let now = tx.now();
    let observed: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM namespaces WHERE tenant_id = $1 AND sandbox_id = $2 AND observed_uid IS NOT NULL",
    )
    .bind(was.tenant_id.clone())
    .bind(was.id.clone())
    .fetch_one(tx.sql())
    .await?;
    if observed == 0 {
        let statement =
            sqlx::query("DELETE FROM sandboxes WHERE tenant_id = $1 AND id = $2 AND version = $3");
        tx.change_one(statement.bind(was.tenant_id.clone()).bind(was.id.clone()).bind(was.version)).await?;
        tx.release(&was.tenant_id, &was.cluster_id, Part::Namespace(was.namespace.clone()));
    } else if was.state == "deleting" {
        return Ok(());
    } else {
        let statement = sqlx::query(
            "UPDATE sandboxes SET state = 'deleting', updated_at = $1, version = version + 1 \
             WHERE tenant_id = $2 AND id = $3 AND version = $4",
        )
        .bind(now)
        .bind(was.tenant_id.clone())
        .bind(was.id.clone())
        .bind(was.version);
        tx.change_one(statement).await?;
    }
    let entry = entry("sandbox.delete", was).before(json!(was));
    tx.audit(match reason {
        Some(reason) => entry.because(reason),
        None => entry,
    });
    tx.mark_changed(Part::Namespace(was.namespace.clone()));
    Ok(())
}

fn entry(action: &'static str, sandbox: &Sandbox) -> Entry {
    Entry::new(action, "sandbox").of(&sandbox.id, &sandbox.namespace).tenant(&sandbox.tenant_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_name_has_one_form() {
        for number in [1, 42, 999] {
            assert_eq!(ordinal(&name(number)), Some(number));
        }
        for none in ["sbx-1", "sbx-000", "sbx-1000", "sbx-+01", "sbx-00a", "001", "SBX-001", "sbx--01", ""] {
            assert_eq!(ordinal(none), None, "{none}");
        }
    }
}
