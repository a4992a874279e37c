//! Tenants of a cluster.

pub(crate) mod body;

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::body::{
    Amounts, DeleteOptions, NetworkPolicies, Owners, PlanName, RegistryLists, TenantNew, TenantPatch,
};
use super::answer::{Answer, Created, NoContent};
use super::caller::{Caller, read_subject, read_subjects};
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, Window};
use super::problem::{Code, Fault, Problem};
use super::{Api, fields};
use portcullis_access::Limit;
use portcullis_store::tenants::{self, New, Quantities, Status, Tenant, TenantUpdate};
use portcullis_store::{StoreError, settings};

/// The query of a list of tenants.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantsQuery {
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Labels that a tenant must carry, as kubectl writes them: `tier=gold,zone in (a, b),!legacy`.
    #[schema(max_length = 1024, nullable = false)]
    pub label_selector: Option<String>,
    /// Tenants that this subject owns.
    #[schema(min_length = 1, max_length = 512, nullable = false, example = "https://id.example.com#ada")]
    pub owner: Option<String>,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    Query(query): Query<TenantsQuery>,
) -> Result<Answer<Page<Tenant>>, Problem> {
    let TenantsQuery { limit, cursor, label_selector, owner } = query;
    let window = Window::new(limit, cursor.as_deref(), label_selector.as_deref())?;
    let owner = owner.map(|owner| read_subject(&api, &owner, "?owner")).transpose();
    let owner = owner.map_err(|fault| Problem::invalid(vec![fault]))?;
    let mut tx = api.read(&caller).await?;
    let mut builder = window.builder();
    while let Some((after, limit)) = builder.next_query() {
        let rows = tenants::list(&mut tx, &cluster, owner.as_deref(), after.as_deref(), limit).await?;
        builder.add(rows, |tenant| &tenant.id, |tenant| &tenant.labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    Body(new): Body<TenantNew>,
) -> Result<Created<Tenant>, Problem> {
    let mut faults = Vec::new();
    let owners = read_subjects(&api, &new.owners, "/owners", &mut faults);
    let sent = RegistryLists::read(new.registries.as_ref(), None, &mut faults);
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

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.read(&caller).await?;
    Ok(versioned(tenants::get(&mut tx, &cluster, &tenant).await?))
}

pub async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Body(patch): Body<TenantPatch>,
) -> Result<Answer<Tenant>, Problem> {
    if patch.registries.is_some() && caller.scope().limit() == Some(Limit::NotRegistries) {
        let detail = "only administrators may change `registries`; owners may set `narrowedRegistries`";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let mut faults = Vec::new();
    let granted = patch.registries.as_ref().and_then(Option::as_ref);
    let narrowed = patch.narrowed_registries.as_ref().and_then(Option::as_deref);
    let sent = RegistryLists::read(granted, narrowed, &mut faults);
    refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    let base = patch.registries.as_ref().map_or(was.registries.as_ref(), Option::as_ref);
    sent.check(&settings::ceiling(&mut tx).await?, base)?;
    let labels = fields::merged(&was.labels, patch.labels)?;
    let amendment = TenantUpdate {
        display_name: patch.display_name.map(Option::unwrap_or_default),
        labels,
        registries: patch.registries,
        narrowed_registries: patch.narrowed_registries,
    };
    let tenant = tenants::update(&mut tx, was, amendment).await?;
    caller.commit(tx, versioned(tenant)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Query(DeleteOptions { cascade }): Query<DeleteOptions>,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    tenants::delete(&mut tx, was, cascade).await?;
    caller.commit(tx, NoContent).await
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
            Problem::meaning(Code::UnprocessableEntity, pointer, "is not the name of a plan")
        }
        other => other.into(),
    }
}

/// Summary of a tenant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// ProjectPath of its namespaces, sorted; to those who are limited to projects, those of these.
    pub namespaces: Vec<String>,
    /// Quotas of the plan, overridden by the tenant's own.
    pub quotas: Quantities,
    /// Container limits of the plan, overridden by the tenant's own.
    pub limits: Quantities,
    /// Numbers of `projects`, `apps` and `sandboxes`.
    #[schema(example = json!({ "projects": 2, "apps": 3, "sandboxes": 1 }))]
    pub usages: BTreeMap<&'static str, usize>,
    /// Name of its plan.
    #[schema(required = true)]
    pub plan: Option<String>,
}

pub async fn suspend(
    State(api): State<Api>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Answer<Tenant>, Problem> {
    set(&api, &caller, path, Status::Suspended).await
}

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

pub async fn owners(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Body(body): Body<Owners>,
) -> Result<Answer<Tenant>, Problem> {
    let mut faults = Vec::new();
    let owners = read_subjects(&api, &body.owners, "/owners", &mut faults);
    refuse(faults)?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    let tenant = tenants::set_owners(&mut tx, was, &owners).await?;
    caller.commit(tx, versioned(tenant)).await
}

pub async fn quotas(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Body(Amounts(quotas)): Body<Amounts>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    let tenant = tenants::set_quotas(&mut tx, was, &quotas).await?;
    caller.commit(tx, versioned(tenant)).await
}

pub async fn limits(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Body(Amounts(limits)): Body<Amounts>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    let tenant = tenants::set_limits(&mut tx, was, &limits).await?;
    caller.commit(tx, versioned(tenant)).await
}

pub async fn network_policies(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    if_match: IfMatch,
    Body(body): Body<NetworkPolicies>,
) -> Result<Answer<Tenant>, Problem> {
    let twice = |index: usize| {
        body.items
            .iter()
            .take(index)
            .any(|other| Some(&other.name) == body.items.get(index).map(|item| &item.name))
    };
    let faults = (0..body.items.len()).filter(|index| twice(*index));
    refuse(faults.map(|index| Fault::new(format!("/items/{index}/name"), "is listed twice")).collect())?;
    let mut tx = api.write(&caller).await?;
    let was = tenants::change(&mut tx, &cluster, &tenant).await?;
    if_match.check(was.version)?;
    let tenant = tenants::set_network_policies(&mut tx, was, &body.items).await?;
    caller.commit(tx, versioned(tenant)).await
}

pub async fn plan(
    State(api): State<Api>,
    caller: Caller,
    Path(tenant): Path<String>,
    if_match: IfMatch,
    Body(body): Body<PlanName>,
) -> Result<Answer<Tenant>, Problem> {
    let mut tx = api.write(&caller).await?;
    let was = tenants::change_anywhere(&mut tx, &tenant).await?;
    if_match.check(was.version)?;
    let tenant = tenants::put_on_plan(&mut tx, was, &body.name).await;
    let tenant = tenant.map_err(|error| no_plan(error, "/name"))?;
    caller.commit(tx, versioned(tenant)).await
}
