//! Policy sets of a tenant. A set that a tenant writes may only tighten; a set that an administrator writes replaces.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Created, NoContent};
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::page::{Page, PageQuery, no_labels};
use super::policies::objections;
use super::problem::{Code, Fault, Problem};
use super::{Api, fields};
use portcullis_access::Power;
use portcullis_store::policysets::{self, Attachment, New, PolicySet};
use portcullis_store::tenants::{self, Tenant};
use portcullis_store::{Tx, projects, snapshot};
use portcullis_tenancy::snapshot::{
    Origin, PARAMS_DEPTH_MAX, RULES_BYTES_MAX, Rule, SETS_MAX, depth, rules_bytes,
};

/// A policy set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicySetPut {
    /// One DNS label, unique in the tenant.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$",
        example = "few-steps"
    )]
    name: String,
    /// Description.
    #[serde(default)]
    #[schema(max_length = 1000)]
    description: String,
    /// Mode of rules without one.
    #[schema(schema_with = fields::mode, required = false)]
    mode: Option<String>,
    /// Rules. The rules of all sets of a tenant have at most 262,144 bytes as JSON, those of the tenant's own sets at most
    /// half of that; parameters nest at most 32 levels.
    #[schema(max_items = 100)]
    rules: Vec<RulePut>,
    /// Targets of the set, each once; absent or empty means the whole tenant.
    #[serde(default)]
    #[schema(max_items = 100)]
    attached_to: Vec<Attachment>,
}

/// A rule for one policy.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulePut {
    /// Id of the policy.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z][-a-z0-9]*$",
        example = "vela-workflow-steps"
    )]
    policy: String,
    /// Mode of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = fields::mode, required = false)]
    mode: Option<String>,
    /// Parameters by name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(schema_with = fields::params, required = false)]
    params: serde_json::Map<String, serde_json::Value>,
}

/// A policy set that is part of the policies.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuiltIn {
    /// Its name, as plans have it.
    name: String,
    /// Description.
    description: String,
    /// What it sets.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<Rule>,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<PolicySet>>, Problem> {
    let mut builder = query.window()?.builder().large();
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = policysets::list(&mut tx, &tenant.id, after.as_deref(), limit).await?;
        builder.add_large(rows, |set| &set.id, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Body(put): Body<PolicySetPut>,
) -> Result<Created<PolicySet>, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let new = checked(&api, &mut tx, &tenant, put, None).await?;
    let set = policysets::create(&mut tx, &tenant, &new).await?;
    let at = format!("/api/v1/clusters/{}/tenants/{}/policysets/{}", tenant.cluster_id, tenant.id, set.id);
    let version = set.version;
    caller.commit(tx, Created::at(at, set, version)).await
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, set)): Path<(String, String, String)>,
) -> Result<Answer<PolicySet>, Problem> {
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    let set = policysets::get(&mut tx, &tenant.id, &set).await?;
    let version = set.version;
    Ok(Answer::versioned(set, version))
}

pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, set)): Path<(String, String, String)>,
    if_match: IfMatch,
    Body(put): Body<PolicySetPut>,
) -> Result<Answer<PolicySet>, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = policysets::get(&mut tx, &tenant.id, &set).await?;
    if_match.check(was.version)?;
    own(&tx, &was)?;
    let new = checked(&api, &mut tx, &tenant, put, Some(&was)).await?;
    let set = policysets::replace(&mut tx, &tenant, was, &new).await?;
    let version = set.version;
    caller.commit(tx, Answer::versioned(set, version)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, set)): Path<(String, String, String)>,
    if_match: IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = policysets::get(&mut tx, &tenant.id, &set).await?;
    if_match.check(was.version)?;
    own(&tx, &was)?;
    policysets::remove(&mut tx, &tenant, was).await?;
    caller.commit(tx, NoContent).await
}

pub async fn catalog(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
) -> Result<Answer<Page<BuiltIn>>, Problem> {
    let mut tx = api.read(&caller).await?;
    portcullis_store::clusters::get(&mut tx, &cluster).await?;
    let policies = api.layers()?.policies().load();
    let set = |(name, set): (&String, &portcullis_policy::bundle::BundledSet)| BuiltIn {
        name: name.clone(),
        description: set.description.clone(),
        rules: set.rules.clone(),
    };
    Ok(Answer::new(Page { items: policies.sets.iter().map(set).collect(), next_cursor: None }))
}

/// A tenant cannot change a policy set of the platform.
fn own(tx: &Tx, set: &PolicySet) -> Result<(), Problem> {
    let admin = matches!(tx.scope().power(), Power::Admin);
    if admin || set.origin == "tenant" {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, format!("policy set `{}` is the platform's", set.name)))
}

async fn checked(
    api: &Api,
    tx: &mut Tx,
    tenant: &Tenant,
    put: PolicySetPut,
    was: Option<&PolicySet>,
) -> Result<New, Problem> {
    let PolicySetPut { name, description, mode, rules, mut attached_to } = put;
    if attached_to.is_empty() {
        attached_to.push(Attachment::default());
    }
    let mut faults = Vec::new();
    let mut places = std::collections::BTreeSet::new();
    for (index, place) in attached_to.iter_mut().enumerate() {
        if let Some(named) = place.tenant.take().filter(|named| *named != tenant.id && *named != tenant.name)
        {
            faults.push(Fault::new(
                format!("/attachedTo/{index}/tenant"),
                format!("`{named}` is not the tenant of the path"),
            ));
        }
        if let Some(project) = &mut place.project {
            match projects::get(tx, &tenant.id, project).await {
                Ok(found) => *project = found.name,
                Err(portcullis_store::StoreError::NotFound(_)) => faults.push(Fault::new(
                    format!("/attachedTo/{index}/project"),
                    format!("there is no project `{project}` in this tenant"),
                )),
                Err(error) => return Err(error.into()),
            }
        }
        if !places.insert(place.project.clone()) {
            faults.push(Fault::new(format!("/attachedTo/{index}"), "is a place that stands here before"));
        }
    }
    let rules: Vec<Rule> = rules
        .into_iter()
        .map(|rule| Rule {
            policy: rule.policy.into(),
            mode: rule.mode.or_else(|| mode.clone()).map(Into::into),
            params: rule.params,
        })
        .collect();
    // A set that an administrator edits speaks with whose voice it had.
    let tenant_speaks = match was {
        Some(was) => was.origin == "tenant",
        None => !matches!(tx.scope().power(), Power::Admin),
    };
    faults.extend(size_faults(tx, tenant, &rules, places.len(), tenant_speaks, was).await?);
    faults
        .extend(objections(api, tx, tenant, &rules, tenant_speaks, was.map(|was| was.name.as_str())).await?);
    if faults.is_empty() {
        return Ok(New { name, description, mode, rules, attached_to });
    }
    Err(Problem::faults(Code::PolicyInvalid, faults))
}

/// What would make of a tenant's sets more than gates read. A tenant keeps half of the room, so that it cannot keep the
/// platform's sets out.
async fn size_faults(
    tx: &mut Tx,
    tenant: &Tenant,
    rules: &[Rule],
    places: usize,
    tenant_speaks: bool,
    was: Option<&PolicySet>,
) -> Result<Vec<Fault>, Problem> {
    let deep = |rule: &Rule| rule.params.values().any(|value| depth(value) > PARAMS_DEPTH_MAX);
    let deep = rules.iter().enumerate().filter(|(_, rule)| deep(rule)).map(|(index, _)| {
        let detail = format!("nests deeper than {PARAMS_DEPTH_MAX}");
        Fault::new(format!("/rules/{index}/params"), detail)
    });
    let mut faults: Vec<Fault> = deep.collect();
    let mut others = snapshot::policy_sets(tx, &tenant.name).await?;
    others.retain(|set| set.origin == Origin::Plan || was.is_none_or(|was| *set.name != *was.name));
    let half = if tenant_speaks { 2 } else { 1 };
    others.retain(|set| !tenant_speaks || set.origin == Origin::Tenant);
    // In the whole tenant and in projects, a set is two.
    let count = others.len() + places.min(2);
    if count > SETS_MAX / half {
        let detail = format!("gives the tenant {count} policy sets (allowed: at most {})", SETS_MAX / half);
        faults.push(Fault::new("/attachedTo", detail));
    }
    let bytes = places.min(2).saturating_mul(rules_bytes(rules));
    let bytes = others.iter().fold(bytes, |sum, set| sum.saturating_add(rules_bytes(&set.rules)));
    if bytes > RULES_BYTES_MAX / half {
        let most = RULES_BYTES_MAX / half;
        let detail =
            format!("gives the tenant's policy sets {bytes} bytes of rules (allowed: at most {most})");
        faults.push(Fault::new("/rules", detail));
    }
    Ok(faults)
}
