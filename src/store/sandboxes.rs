//! Sandboxes: numbered within their project, lowest free number first, and a number is free again when its namespace is
//! gone from the cluster.

mod row;

pub use row::Sandbox;

use serde_json::{Value, json};

use self::row::Row;
use super::audit::Entry;
use super::error::StoreError;
use super::namespaces::{self, Owner};
use super::projects::Project;
use super::tenants::Tenant;
use super::{Part, Tx, released, settings};
use portcullis_tenancy::name;
use portcullis_tenancy::settings::SANDBOXES;

/// Sandboxes of a project in order of ids, after one of them.
pub async fn list(
    tx: &mut Tx,
    project: &Project,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Sandbox>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(row::select!(
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

/// A sandbox of a project by id or name.
pub async fn get(tx: &mut Tx, project: &Project, sandbox: &str) -> Result<Sandbox, StoreError> {
    let ordinal = row::ordinal(sandbox).unwrap_or_default();
    let row = sqlx::query_as::<_, Row>(row::select!(
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

/// Whether developers make sandboxes; the setting `sandboxes` may leave that to owners.
pub async fn open_to_developers(tx: &mut Tx) -> Result<bool, StoreError> {
    let setting = settings::get(tx, SANDBOXES).await?;
    Ok(setting.value.get("developers").and_then(Value::as_bool).unwrap_or(true))
}

/// How many sandboxes a tenant has.
pub async fn count(tx: &mut Tx, tenant: &str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM sandboxes WHERE tenant_id = $1");
    Ok(count.bind(tenant.to_owned()).fetch_one(tx.sql()).await?)
}

/// Makes a sandbox with the lowest number that is free. `expires_at` is in unix milliseconds.
///
/// # Errors
/// `Exhausted` after number 999.
pub async fn create(
    tx: &mut Tx,
    (tenant, project): (&Tenant, &Project),
    display_name: &str,
    expires_at: Option<i64>,
) -> Result<Sandbox, StoreError> {
    lock(tx, project).await?;
    let ordinal = free(tx, tenant, project).await?;
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

/// Two makers of sandboxes in one project take turns, whatever else they have locked.
async fn lock(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    sqlx::query("UPDATE projects SET version = version WHERE tenant_id = $1 AND id = $2")
        .bind(project.tenant_id.clone())
        .bind(project.id.clone())
        .execute(tx.sql())
        .await?;
    Ok(())
}

/// The lowest number that is free. One that was deleted counts until its namespace has been seen to be gone, and then for
/// as long as names of what was deleted do.
async fn free(tx: &mut Tx, tenant: &Tenant, project: &Project) -> Result<u16, StoreError> {
    let settled = settle(tx, project).await?;
    let [first, last] = [name::SANDBOXES.start(), name::SANDBOXES.end()];
    let first = namespaces::of_sandbox(tx, &tenant.name, &project.name, *first).await?;
    let last = namespaces::of_sandbox(tx, &tenant.name, &project.name, *last).await?;
    let released = released::not_free(tx, &first, &last, settled).await?;
    let stem = first.trim_end_matches(|c: char| c.is_ascii_digit());
    let released = |number: u16| released.contains(&format!("{stem}{number:03}"));
    let taken: Vec<i64> = sqlx::query_scalar(
        "SELECT ordinal FROM sandboxes WHERE tenant_id = $1 AND project_id = $2 ORDER BY ordinal",
    )
    .bind(project.tenant_id.clone())
    .bind(project.id.clone())
    .fetch_all(tx.sql())
    .await?;
    let mut numbers = name::SANDBOXES;
    let free = numbers.find(|number| taken.binary_search(&i64::from(*number)).is_err() && !released(*number));
    let what = "number for a sandbox (those of deleted ones are free again as the setting `nameReuse` says)";
    free.ok_or_else(|| StoreError::Exhausted { what: what.to_owned() })
}

/// Removes what was deleted and whose namespace is gone meanwhile; the names.
async fn settle(tx: &mut Tx, project: &Project) -> Result<Vec<String>, StoreError> {
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

/// Deletes a sandbox of a tenant that is locked. Where its namespace has been seen in the cluster, it stays as `deleting`
/// until that is gone, so that nobody moves into what somebody else has left there.
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
    tx.touch(Part::Namespace(was.namespace.clone()));
    Ok(())
}

fn entry(action: &'static str, sandbox: &Sandbox) -> Entry {
    Entry::new(action, "sandbox").of(&sandbox.id, &sandbox.namespace).tenant(&sandbox.tenant_id)
}
