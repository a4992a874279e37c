//! Parts of a tenant that are replaced as a whole.

use axum::extract::State;

use super::body::{Amounts, NetworkPolicies, Owners, PlanOf};
use super::{no_plan, refuse, versioned};
use crate::Api;
use crate::answer::Answer;
use crate::body::{Body, Path};
use crate::caller::Caller;
use crate::etag::IfMatch;
use crate::problem::{Fault, Problem};
use crate::subject;
use portcullis_store::members;
use portcullis_store::tenants::{self, Tenant};

/// Replaces the owners; who is none any more is no member.
pub async fn owners(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Body(body): Body<Owners>,
) -> Result<Answer<Tenant>, Problem> {
    let mut faults = Vec::new();
    let owners = subject::read_all(&api, &body.owners, "/owners", &mut faults);
    refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    let tenant = members::set_owners(&mut tx, was, &owners).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// Replaces the quotas.
pub async fn quotas(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Body(Amounts(quotas)): Body<Amounts>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    let tenant = tenants::set_quotas(&mut tx, was, &quotas).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// Replaces the limits.
pub async fn limits(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Body(Amounts(limits)): Body<Amounts>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    let tenant = tenants::set_limits(&mut tx, was, &limits).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// Replaces the network policies.
pub async fn network_policies(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Body(body): Body<NetworkPolicies>,
) -> Result<Answer<Tenant>, Problem> {
    let twice = |index: usize| {
        body.items
            .iter()
            .take(index)
            .any(|other| Some(&other.name) == body.items.get(index).map(|item| &item.name))
    };
    let faults = (0..body.items.len()).filter(|index| twice(*index));
    refuse(faults.map(|index| Fault::new(format!("/items/{index}/name"), "stands here twice")).collect())?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    let tenant = tenants::set_network_policies(&mut tx, was, &body.items).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// Puts a tenant on a plan.
pub async fn plan(
    State(api): State<Api>,
    caller: Caller,
    Path(tenant): Path<String>,
    wanted: IfMatch,
    Body(body): Body<PlanOf>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change_anywhere(&mut tx, &tenant).await?;
    wanted.check(was.version)?;
    let tenant = tenants::put_on_plan(&mut tx, was, &body.name).await;
    let tenant = tenant.map_err(|error| no_plan(error, "/name"))?;
    caller.commit(tx, versioned(tenant)).await
}
