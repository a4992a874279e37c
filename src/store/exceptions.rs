//! Exceptions from one policy for some subjects and objects until a date. Owners request them, administrators approve them.

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
    /// UUID of the tenant; absent for all tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant_id: Option<String>,
    /// Id of the policy.
    pub policy: String,
    /// Usernames and groups; empty for all.
    pub subjects: Vec<String>,
    /// Objects to which the exception applies.
    pub objects: Vec<Exempt>,
    /// Reason.
    pub reason: String,
    /// `requested`, `active` or `expired`.
    pub state: String,
    /// Requester.
    pub requested_by: String,
    /// Approver.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approved_by: Option<String>,
    /// Expiry.
    pub expires: Time,
    /// Grows with each change.
    pub version: i64,
    /// Creation time.
    pub created_at: Time,
}

/// Objects to which an exception applies; an absent field matches any.
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

/// Validated by the caller.
#[derive(Debug, Clone)]
pub struct New {
    pub tenant_id: Option<String>,
    pub policy: String,
    pub subjects: Vec<String>,
    pub objects: Vec<Exempt>,
    pub reason: String,
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

pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Exception>, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let select = Select::new(select!("1 = 1")).and("tenant_id = $?", tenant.as_deref());
    let select = select.and("id > $?", Some(after.unwrap_or_default())).order_by("id").limit(limit);
    let rows = select.query().fetch_all(tx.sql()).await?;
    rows.iter().map(|row| read(row, now)).collect()
}

pub async fn get(tx: &mut Tx, id: &str) -> Result<Exception, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let row = sqlx::query(select!("id = $1 AND ($2 IS NULL OR tenant_id = $2)"))
        .bind(id.to_owned())
        .bind(tenant)
        .fetch_optional(tx.sql())
        .await?;
    row.map(|row| read(&row, now)).transpose()?.ok_or(StoreError::NotFound("exception"))
}

/// An exception that an administrator creates is active at once.
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
    let created = get(tx, &id).await?;
    tx.audit(entry("exception.create", &created).after(json!(created)).because(&created.reason));
    if created.state == "active" {
        tx.mark_changed(Part::Exception(id));
    }
    Ok(created)
}

/// `Conflict` unless it is `requested`.
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
        Err(StoreError::Stale) => return Err(state_conflict(tx, &was).await),
        done => done?,
    }
    let is = get(tx, &was.id).await?;
    tx.audit(entry("exception.approve", &is).before(json!(was)).after(json!(is)));
    tx.mark_changed(Part::Exception(was.id));
    Ok(is)
}

pub async fn remove(tx: &mut Tx, was: Exception) -> Result<(), StoreError> {
    let tenant = tx.tenant();
    let statement =
        "DELETE FROM exceptions WHERE id = $1 AND version = $2 AND ($3 IS NULL OR tenant_id = $3)";
    let statement = sqlx::query(statement).bind(was.id.clone()).bind(was.version).bind(tenant);
    match tx.change_one(statement).await {
        Err(StoreError::Stale) => return Err(state_conflict(tx, &was).await),
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

/// Explains why a change failed. An owner cannot lock the row before it reads, so the state is read afterwards.
async fn state_conflict(tx: &mut Tx, was: &Exception) -> StoreError {
    match get(tx, &was.id).await {
        Ok(is) => StoreError::conflict("exceptions_state", format!("the exception is now {}", is.state)),
        Err(error) => error,
    }
}

/// Ends all expired exceptions and returns their number.
pub(super) async fn expire(tx: &mut Tx) -> Result<usize, StoreError> {
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
        tx.mark_changed(Part::Exception(id));
    }
    Ok(rows.len())
}

fn entry(action: &'static str, exception: &Exception) -> Entry {
    let entry = Entry::new(action, "exception").of(&exception.id, &exception.policy);
    match &exception.tenant_id {
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
