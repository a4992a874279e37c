//! Suspending and resuming a tenant, and what there is of it.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::versioned;
use crate::Api;
use crate::answer::Answer;
use crate::body::Path;
use crate::caller::Caller;
use crate::problem::Problem;
use portcullis_store::tenants::{self, Quantities, Status, Tenant};

/// What there is of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Names of its namespaces, sorted; to those who are limited to projects, those of these.
    pub namespaces: Vec<String>,
    /// What it may use in all: its plan's quotas, and its own over them.
    pub quotas: Quantities,
    /// What one container may use: its plan's limits, and its own over them.
    pub limits: Quantities,
    /// How many `projects`, `apps` and `sandboxes` there are.
    #[schema(example = json!({ "projects": 2, "apps": 3, "sandboxes": 1 }))]
    pub usages: BTreeMap<&'static str, usize>,
    /// Name of its plan.
    #[schema(required = true)]
    pub plan: Option<String>,
}

/// Denies the writes of a tenant's people from now on; deletes pass, and controllers.
pub async fn suspend(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Answer<Tenant>, Problem> {
    set(&api, &caller, path, Status::Suspended).await
}

/// Lets a suspended tenant's people write again.
pub async fn resume(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Answer<Tenant>, Problem> {
    set(&api, &caller, path, Status::Active).await
}

async fn set(
    api: &Api,
    caller: &Caller,
    (cluster, tenant): (String, String),
    status: Status,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    let tenant = tenants::set_status(&mut tx, was, status).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// What there is of a tenant.
pub async fn summary(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
) -> Result<Answer<Summary>, Problem> {
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    let tenants::Holdings { namespaces, projects, apps, sandboxes, quotas, limits } =
        tenants::holdings(&mut tx, &tenant).await?;
    let usages = BTreeMap::from([("projects", projects), ("apps", apps), ("sandboxes", sandboxes)]);
    Ok(Answer::new(Summary { namespaces, quotas, limits, usages, plan: tenant.plan }))
}
