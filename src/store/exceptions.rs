//! Exceptions: leave from one policy, for some subjects and objects, until a day. Owners ask, administrators grant.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::select::Select;
use super::{Part, Time, Tx, new_id};
use portcullis_access::Power;

/// An exception.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// UUID.
    #[schema(format = "uuid")]
    pub id: String,
    /// UUID of the tenant it is for; absent means every tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant_id: Option<String>,
    /// Id of the policy.
    pub policy: String,
    /// Usernames and groups it is for; empty means everybody.
    pub subjects: Vec<String>,
    /// Objects it is for.
    pub objects: Vec<Exempt>,
    /// Why.
    pub reason: String,
    /// `requested`, `active` or `expired`.
    pub state: String,
    /// Who asked.
    pub requested_by: String,
    /// Who granted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approved_by: Option<String>,
    /// When it ends.
    pub expires: Time,
    /// Counts its changes.
    pub version: i64,
    /// When it was asked for.
    pub created_at: Time,
}

/// Objects that an exception is for; an absent field is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exempt {
    /// Namespace, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 63)]
    pub namespace: Option<String>,
    /// Resource in kubectl notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 253)]
    pub resource: Option<String>,
    /// Name, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 253)]
    pub name: Option<String>,
}

/// What an exception is made of; every field was checked.
#[derive(Debug, Clone)]
pub struct New {
    /// Id of the tenant it is for.
    pub tenant_id: Option<String>,
    /// Id of the policy.
    pub policy: String,
    /// Usernames and groups.
    pub subjects: Vec<String>,
    /// Objects.
    pub objects: Vec<Exempt>,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub expires: Time,
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT id, tenant_id, policy, subjects, objects, reason, state, requested_by, approved_by, expires_at, \
             version, created_at FROM exceptions WHERE ",
            $end
        )
    };
}

/// Exceptions in order of ids, after one of them.
pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Exception>, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let select = Select::new(select!("1 = 1")).and("tenant_id = $?", tenant.as_deref());
    let select = select.and("id > $?", Some(after.unwrap_or_default())).order_by("id").limit(limit);
    let rows = select.query().fetch_all(tx.sql()).await?;
    rows.iter().map(|row| read(row, now)).collect()
}

/// An exception.
pub async fn get(tx: &mut Tx, id: &str) -> Result<Exception, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let row = sqlx::query(select!("id = $1 AND ($2 IS NULL OR tenant_id = $2)"))
        .bind(id.to_owned())
        .bind(tenant)
        .fetch_optional(tx.sql())
        .await?;
    row.map(|row| read(&row, now)).transpose()?.ok_or(StoreError::NotFound("exception"))
}

/// Asks for an exception; an administrator's takes effect at once.
pub async fn create(tx: &mut Tx, new: New) -> Result<Exception, StoreError> {
    let (id, now) = (new_id(), tx.now());
    let by = tx.scope().actor().name.clone();
    let granted = matches!(tx.scope().power(), Power::Admin).then(|| by.clone());
    sqlx::query(
        "INSERT INTO exceptions (id, created_at, updated_at, tenant_id, policy, subjects, objects, reason, state, \
         requested_by, approved_by, expires_at) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(new.tenant_id)
    .bind(new.policy)
    .bind(json!(new.subjects).to_string())
    .bind(json!(new.objects).to_string())
    .bind(new.reason)
    .bind(if granted.is_some() { "active" } else { "requested" })
    .bind(by)
    .bind(granted)
    .bind(new.expires.0)
    .execute(tx.sql())
    .await?;
    let made = get(tx, &id).await?;
    tx.audit(entry("exception.create", &made).after(json!(made)).because(&made.reason));
    if made.state == "active" {
        tx.touch(Part::Exception(id));
    }
    Ok(made)
}

/// Grants what was asked for.
///
/// # Errors
/// `Conflict` for one that is granted already, or over.
pub async fn approve(tx: &mut Tx, was: Exception) -> Result<Exception, StoreError> {
    if was.state != "requested" {
        return Err(StoreError::conflict("exceptions_state", format!("the exception is {}", was.state)));
    }
    let (now, by) = (tx.now(), tx.scope().actor().name.clone());
    let statement = sqlx::query(
        "UPDATE exceptions SET state = 'active', approved_by = $1, updated_at = $2, version = version + 1 \
         WHERE id = $3 AND version = $4",
    )
    .bind(by)
    .bind(now)
    .bind(was.id.clone())
    .bind(was.version);
    match tx.change_one(statement).await {
        Err(StoreError::Stale) => return Err(moved_on(tx, &was).await),
        done => done?,
    }
    let is = get(tx, &was.id).await?;
    tx.audit(entry("exception.approve", &is).before(json!(was)).after(json!(is)));
    tx.touch(Part::Exception(was.id));
    Ok(is)
}

/// Ends an exception.
pub async fn remove(tx: &mut Tx, was: Exception) -> Result<(), StoreError> {
    let tenant = tx.tenant();
    let statement =
        "DELETE FROM exceptions WHERE id = $1 AND version = $2 AND ($3 IS NULL OR tenant_id = $3)";
    let statement = sqlx::query(statement).bind(was.id.clone()).bind(was.version).bind(tenant);
    match tx.change_one(statement).await {
        Err(StoreError::Stale) => return Err(moved_on(tx, &was).await),
        done => done?,
    }
    tx.audit(entry("exception.delete", &was).before(json!(was)));
    if was.state != "requested" {
        release(tx, was).await?;
    }
    Ok(())
}

async fn release(tx: &mut Tx, was: Exception) -> Result<(), StoreError> {
    let Some(tenant) = was.tenant_id else {
        tx.release_everywhere(Part::Exception(was.id));
        return Ok(());
    };
    let clusters: Vec<String> =
        sqlx::query_scalar("SELECT cluster_id FROM tenant_clusters WHERE tenant_id = $1")
            .bind(&tenant)
            .fetch_all(tx.sql())
            .await?;
    for cluster in clusters {
        tx.release(&tenant, &cluster, Part::Exception(was.id.clone()));
    }
    Ok(())
}

/// Why what was read could not be changed. An owner may not lock the row before it reads, so this is told afterwards.
async fn moved_on(tx: &mut Tx, was: &Exception) -> StoreError {
    match get(tx, &was.id).await {
        Ok(is) => {
            StoreError::conflict("exceptions_state", format!("the exception is {} meanwhile", is.state))
        }
        Err(error) => error,
    }
}

/// Takes out what is over, as whoever serves the ledger may; how many there were.
pub(super) async fn end(tx: &mut Tx) -> Result<usize, StoreError> {
    let now = tx.now();
    let rows = sqlx::query(
        "UPDATE exceptions SET state = 'expired', updated_at = $1, version = version + 1 \
         WHERE state = 'active' AND expires_at <= $1 RETURNING id, policy, tenant_id",
    )
    .bind(now)
    .fetch_all(tx.sql())
    .await?;
    for row in &rows {
        let (id, policy): (String, String) = (row.try_get("id")?, row.try_get("policy")?);
        let entry = Entry::new("exception.expire", "exception").of(&id, &policy);
        tx.audit(match row.try_get::<Option<String>, _>("tenant_id")? {
            Some(tenant) => entry.tenant(&tenant),
            None => entry,
        });
        tx.touch(Part::Exception(id));
    }
    Ok(rows.len())
}

fn entry(action: &'static str, of: &Exception) -> Entry {
    let entry = Entry::new(action, "exception").of(&of.id, &of.policy);
    match &of.tenant_id {
        Some(tenant) => entry.tenant(tenant),
        None => entry,
    }
}

fn read(row: &AnyRow, now: i64) -> Result<Exception, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let expires: i64 = row.try_get("expires_at")?;
    let state = if expires <= now { "expired".to_owned() } else { text("state")? };
    Ok(Exception {
        id: text("id")?,
        tenant_id: row.try_get("tenant_id")?,
        policy: text("policy")?,
        subjects: parse("the subjects of an exception", &text("subjects")?)?,
        objects: parse("the objects of an exception", &text("objects")?)?,
        reason: text("reason")?,
        state,
        requested_by: text("requested_by")?,
        approved_by: row.try_get("approved_by")?,
        expires: Time(expires),
        version: row.try_get("version")?,
        created_at: Time(row.try_get("created_at")?),
    })
}
