//! What there is of a tenant.

use super::{Quantities, Tenant};
use crate::error::StoreError;
use crate::{Tx, plans, projects};

/// What there is of a tenant, as far as the scope reaches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Holdings {
    /// Names of namespaces, sorted.
    pub namespaces: Vec<String>,
    /// How many projects.
    pub projects: usize,
    /// How many apps.
    pub apps: usize,
    /// How many sandboxes.
    pub sandboxes: usize,
    /// The plan's quotas with the tenant's own over them.
    pub quotas: Quantities,
    /// The plan's limits with the tenant's own over them.
    pub limits: Quantities,
}

/// Counts what there is.
pub async fn holdings(tx: &mut Tx, tenant: &Tenant) -> Result<Holdings, StoreError> {
    let mut holdings = Holdings::default();
    if let Some(plan) = &tenant.plan {
        let plan = plans::get(tx, plan).await?;
        (holdings.quotas, holdings.limits) = (plan.quotas, plan.limits);
    }
    holdings.quotas.extend(tenant.quotas.clone());
    holdings.limits.extend(tenant.limits.clone());
    let mut own = projects::all(tx, &tenant.id).await?;
    own.retain(|project| tx.scope().may_project(&project.id));
    holdings.projects = own.len();
    let namespaces: Vec<(String, String, String)> =
        sqlx::query_as("SELECT name, kind, project_id FROM namespaces WHERE tenant_id = $1 ORDER BY name")
            .bind(tenant.id.clone())
            .fetch_all(tx.sql())
            .await?;
    for (name, kind, project) in namespaces {
        if tx.scope().may_project(&project) {
            // Each app has exactly one namespace, and each sandbox.
            if kind == "app" {
                holdings.apps += 1;
            } else {
                holdings.sandboxes += 1;
            }
            holdings.namespaces.push(name);
        }
    }
    Ok(holdings)
}
