//! Tenants of a cluster.

pub mod body;

mod lifecycle;
mod parts;
mod registries;

pub use lifecycle::{Summary, resume, summary, suspend};
pub use parts::{limits, network_policies, owners, plan, quotas};

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use self::body::{Deletion, TenantNew, TenantPatch};
use self::registries::Sent;
use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::fields;
use super::page::{Page, Window};
use super::problem::{Code, Fault, Problem};
use super::subject;
use portcullis_access::Limit;
use portcullis_store::tenants::{self, Amendment, New, Tenant};
use portcullis_store::{StoreError, settings};

/// The query of a list of tenants.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantsQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Labels that a tenant must carry, as kubectl writes them: `tier=gold,zone in (a, b),!legacy`.
    #[schema(max_length = 1024, nullable = false)]
    pub label_selector: Option<String>,
    /// Tenants that this subject owns.
    #[schema(min_length = 1, max_length = 512, nullable = false, example = "https://id.example.com#ada")]
    pub owner: Option<String>,
}

/// Lists tenants of a cluster; who is of one sees that one.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    Query(query): Query<TenantsQuery>,
) -> Result<Answer<Page<Tenant>>, Problem> {
    let TenantsQuery { limit, cursor, label_selector, owner } = query;
    let window = Window::new(limit, cursor.as_deref(), label_selector.as_deref())?;
    let owner = owner.map(|owner| subject::read(&api, &owner, "?owner")).transpose();
    let owner = owner.map_err(|fault| Problem::invalid(vec![fault]))?;
    let mut tx = api.read(&caller).await?;
    let mut filling = window.filling();
    while let Some((after, limit)) = filling.wants() {
        let rows = tenants::list(&mut tx, &cluster, owner.as_deref(), after.as_deref(), limit).await?;
        filling.take(rows, |tenant| &tenant.id, |tenant| &tenant.labels);
    }
    Ok(Answer::new(filling.page()))
}

/// Makes a tenant.
pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    Body(new): Body<TenantNew>,
) -> Result<Created<Tenant>, Problem> {
    let mut faults = Vec::new();
    let owners = subject::read_all(&api, &new.owners, "/owners", &mut faults);
    let sent = Sent::read(new.registries.as_ref(), None, &mut faults);
    refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    sent.check(&settings::ceiling(&mut tx).await?, None)?;
    let TenantNew { name, display_name, labels, plan, registries, .. } = new;
    let new = New { name, display_name, owners, labels: labels.0, plan, registries };
    let tenant = tenants::create(&mut tx, &cluster, new).await.map_err(|error| no_plan(error, "/plan"))?;
    let at = format!("/api/v1/clusters/{}/tenants/{}", tenant.cluster_id, tenant.id);
    let version = tenant.version;
    caller.commit(tx, Created::at(at, tenant, version)).await
}

/// Shows a tenant.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.read(&caller).await?;
    Ok(versioned(tenants::get(&mut tx, &cluster, &tenant).await?))
}

/// Changes a tenant by a merge patch.
pub async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Body(patch): Body<TenantPatch>,
) -> Result<Answer<Tenant>, Problem> {
    if patch.registries.is_some() && caller.scope().limit() == Some(Limit::NotRegistries) {
        let detail = "only administrators change `registries`; owners narrow them by `narrowedRegistries`";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let mut faults = Vec::new();
    let granted = patch.registries.as_ref().and_then(Option::as_ref);
    let narrowed = patch.narrowed_registries.as_ref().and_then(Option::as_deref);
    let sent = Sent::read(granted, narrowed, &mut faults);
    refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    let base = patch.registries.as_ref().map_or(was.registries.as_ref(), Option::as_ref);
    sent.check(&settings::ceiling(&mut tx).await?, base)?;
    let labels = fields::merged(&was.labels, patch.labels)?;
    let amendment = Amendment {
        display_name: patch.display_name.map(Option::unwrap_or_default),
        labels,
        registries: patch.registries,
        narrowed_registries: patch.narrowed_registries,
    };
    let tenant = tenants::amend(&mut tx, was, amendment).await?;
    caller.commit(tx, versioned(tenant)).await
}

/// Deletes a tenant.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    wanted: IfMatch,
    Query(Deletion { cascade }): Query<Deletion>,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    wanted.check(was.version)?;
    tenants::delete(&mut tx, was, cascade).await?;
    caller.commit(tx, Done).await
}

pub(super) fn versioned(tenant: Tenant) -> Answer<Tenant> {
    let version = tenant.version;
    Answer::versioned(tenant, version)
}

/// 400 where there is any fault.
pub(super) fn refuse(faults: Vec<Fault>) -> Result<(), Problem> {
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// A plan that a body names is meaning, not a path.
fn no_plan(error: StoreError, pointer: &str) -> Problem {
    match error {
        StoreError::NotFound("plan") => {
            Problem::meaning(Code::UnprocessableEntity, pointer, "is the name of no plan")
        }
        other => other.into(),
    }
}
