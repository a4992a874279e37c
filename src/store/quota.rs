//! How many of something a tenant may have: what its own quotas say, else what its plan's do, else any number.

use super::error::StoreError;
use super::tenants::Tenant;
use super::{Tx, plans};

/// Whether a tenant that has `count` of something may have one more. `what` is the resource as quotas name it: `apps`,
/// `sandboxes`.
///
/// # Errors
/// `Conflict` of `quota` where it may not.
pub async fn one_more(tx: &mut Tx, tenant: &Tenant, what: &str, count: i64) -> Result<(), StoreError> {
    let plan = match (&tenant.plan, tenant.quotas.contains_key(what)) {
        (Some(plan), false) => plans::get(tx, plan).await?.quotas.remove(what),
        _ => None,
    };
    let Some(amount) = tenant.quotas.get(what).cloned().or(plan) else { return Ok(()) };
    // Of a thing that is counted there are whole ones; an amount that is none lets nothing more in.
    let most: i64 = amount.trim_start_matches('+').parse().unwrap_or(0);
    if count < most {
        return Ok(());
    }
    let detail = format!("the tenant's quota of {what} is {amount}, and it has {count}");
    Err(StoreError::conflict("quota", detail))
}
