//! Changing a tenant: each function locks it, compares its version with the one the change is meant for, writes, records
//! what it was and is, and names the part of the snapshot that changed.

use std::collections::BTreeMap;

use serde_json::json;

use super::row::{NetworkPolicy, Registries, Status, Tenant};
use super::{Quantities, find};
use crate::audit::Entry;
use crate::error::StoreError;
use crate::{Part, Tx, plans};

/// A change of some fields; what is absent stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Amendment {
    /// Name for people; empty takes it away.
    pub display_name: Option<String>,
    /// All labels, as they shall be.
    pub labels: Option<BTreeMap<String, String>>,
    /// The grant; none within is no policy.
    pub registries: Option<Option<Registries>>,
    /// The narrowing; none within takes it away.
    pub narrowed_registries: Option<Option<Vec<String>>>,
}

/// Amends a tenant that [`super::change`] has locked.
pub async fn amend(tx: &mut Tx, was: Tenant, amendment: Amendment) -> Result<Tenant, StoreError> {
    let Amendment { display_name, labels, registries, narrowed_registries } = amendment;
    let registries = registries.unwrap_or_else(|| was.registries.clone());
    let narrowed = narrowed_registries.unwrap_or_else(|| was.narrowed_registries.clone());
    // Without a grant there is nothing to narrow, and a later grant must not find an old narrowing.
    let narrowed = narrowed.filter(|_| registries.is_some());
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE tenants SET display_name = $1, labels = $2, registries = $3, narrowed_registries = $4, \
         updated_at = $5, version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(display_name.unwrap_or_else(|| was.display_name.clone()))
    .bind(json!(labels.as_ref().unwrap_or(&was.labels)).to_string())
    .bind(registries.map(|registries| json!(registries).to_string()))
    .bind(narrowed.map(|narrowed| json!(narrowed).to_string()))
    .bind(now)
    .bind(&was.id)
    .bind(was.version);
    tx.change_one(statement).await?;
    done(tx, was).await
}

/// Replaces the quotas.
pub async fn set_quotas(tx: &mut Tx, was: Tenant, quotas: &Quantities) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET quotas = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set(tx, was, statement, json!(quotas).to_string()).await
}

/// Replaces the limits.
pub async fn set_limits(tx: &mut Tx, was: Tenant, limits: &Quantities) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET limits = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set(tx, was, statement, json!(limits).to_string()).await
}

/// Replaces the network policies.
pub async fn set_network_policies(
    tx: &mut Tx,
    was: Tenant,
    policies: &[NetworkPolicy],
) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET network_policies = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set(tx, was, statement, json!(policies).to_string()).await
}

/// Suspends a tenant, or resumes it. One that is so already stays as it is, its version too: to say it twice is no harm.
pub async fn set_status(tx: &mut Tx, was: Tenant, status: Status) -> Result<Tenant, StoreError> {
    if was.status == status {
        return Ok(was);
    }
    let statement = "UPDATE tenants SET status = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set(tx, was, statement, status.as_str().to_owned()).await
}

/// Puts a tenant on a plan by name.
///
/// # Errors
/// `NotFound("plan")`.
pub async fn put_on_plan(tx: &mut Tx, was: Tenant, plan: &str) -> Result<Tenant, StoreError> {
    let plan = plans::get(tx, plan).await?;
    let statement = "UPDATE tenants SET plan_id = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set(tx, was, statement, plan.id).await
}

async fn set(tx: &mut Tx, was: Tenant, statement: &'static str, value: String) -> Result<Tenant, StoreError> {
    let now = tx.now();
    tx.change_one(sqlx::query(statement).bind(value).bind(now).bind(&was.id).bind(was.version)).await?;
    done(tx, was).await
}

/// Reads it again, records both, and names what changed.
async fn done(tx: &mut Tx, was: Tenant) -> Result<Tenant, StoreError> {
    let is = find(tx, None, &was.id).await?;
    let action = tx.scope().action().as_str();
    let entry = Entry::new(action, "tenant").of(&is.id, &is.name).tenant(&is.id);
    // Of a tenant the snapshot holds no more than this; a revision wakes every gate.
    let seen = |tenant: &Tenant| (tenant.status, tenant.plan.clone(), tenant.effective_registries.clone());
    if seen(&was) != seen(&is) {
        tx.touch(Part::Tenant(is.name.clone()));
    }
    tx.audit(entry.before(json!(was)).after(json!(is)));
    Ok(is)
}
