//! Policy sets of a tenant: what a tenant writes may only tighten, what an administrator writes replaces.

mod bounds;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, Done};
use super::body::{Body, Path, Query};
use super::caller::Caller;
use super::etag::IfMatch;
use super::fields;
use super::page::{Page, Window};
use super::policies::objections;
use super::problem::{Code, Fault, Problem};
use portcullis_access::Power;
use portcullis_store::policysets::{self, Attachment, New, PolicySet};
use portcullis_store::tenants::{self, Tenant};
use portcullis_store::{Tx, projects};
use portcullis_tenancy::snapshot::Rule;

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
    /// What it is for.
    #[serde(default)]
    #[schema(max_length = 1000)]
    description: String,
    /// Mode of every rule that has none.
    #[schema(schema_with = fields::mode, required = false)]
    mode: Option<String>,
    /// What it sets. The rules of all sets of a tenant have at most 262,144 bytes as JSON, those that the tenant itself
    /// keeps half of that; parameters nest at most 32 deep.
    #[schema(max_items = 100)]
    rules: Vec<RulePut>,
    /// Where it holds, each place once; absent or empty means the whole tenant.
    #[serde(default)]
    #[schema(max_items = 100)]
    attached_to: Vec<Attachment>,
}

/// What a set says of one policy.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulePut {
    /// Its id.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z][-a-z0-9]*$",
        example = "vela-workflow-steps"
    )]
    policy: String,
    /// The mode it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = fields::mode, required = false)]
    mode: Option<String>,
    /// Parameters by name.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(schema_with = fields::params, required = false)]
    params: serde_json::Map<String, serde_json::Value>,
}

/// The query of a list without labels.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlainQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
}

/// A policy set that comes with the law.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuiltIn {
    /// Its name, as plans have it.
    name: String,
    /// What it is for.
    description: String,
    /// What it sets.
    #[schema(value_type = Vec<Object>)]
    rules: Vec<Rule>,
}

/// What has no labels is found without a selector.
pub(super) static NO_LABELS: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();

impl PlainQuery {
    /// What it asks for.
    ///
    /// # Errors
    /// As [`super::page::ListQuery::window`].
    pub fn window(&self) -> Result<Window, Problem> {
        Window::new(self.limit, self.cursor.as_deref(), None)
    }
}

/// Lists policy sets.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant)): Path<(String, String)>,
    Query(query): Query<PlainQuery>,
) -> Result<Answer<Page<PolicySet>>, Problem> {
    let mut filling = query.window()?.filling().large();
    let mut tx = api.read(&caller).await?;
    let tenant = tenants::get(&mut tx, &cluster, &tenant).await?;
    while let Some((after, limit)) = filling.wants() {
        let rows = policysets::list(&mut tx, &tenant.id, after.as_deref(), limit).await?;
        filling.take_large(rows, |set| &set.id, |_| &NO_LABELS);
    }
    Ok(Answer::new(filling.page()))
}

/// Makes a policy set.
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

/// Shows a policy set, by id or name.
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

/// Replaces a policy set.
pub async fn replace(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, set)): Path<(String, String, String)>,
    wanted: IfMatch,
    Body(put): Body<PolicySetPut>,
) -> Result<Answer<PolicySet>, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = policysets::get(&mut tx, &tenant.id, &set).await?;
    wanted.check(was.version)?;
    own(&tx, &was)?;
    let new = checked(&api, &mut tx, &tenant, put, Some(&was)).await?;
    let set = policysets::replace(&mut tx, &tenant, was, &new).await?;
    let version = set.version;
    caller.commit(tx, Answer::versioned(set, version)).await
}

/// Deletes a policy set.
pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((cluster, tenant, set)): Path<(String, String, String)>,
    wanted: IfMatch,
) -> Result<Done, Problem> {
    let mut tx = api.write(&caller).await?;
    let tenant = tenants::change(&mut tx, &cluster, &tenant).await?;
    let was = policysets::get(&mut tx, &tenant.id, &set).await?;
    wanted.check(was.version)?;
    own(&tx, &was)?;
    policysets::remove(&mut tx, &tenant, was).await?;
    caller.commit(tx, Done).await
}

/// Lists the policy sets that come with the law, for plans to name.
pub async fn catalog(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
) -> Result<Answer<Page<BuiltIn>>, Problem> {
    let mut tx = api.read(&caller).await?;
    portcullis_store::clusters::get(&mut tx, &cluster).await?;
    let law = api.layers()?.live().load();
    let set = |(name, set): (&String, &portcullis_policy::bundle::BuiltIn)| BuiltIn {
        name: name.clone(),
        description: set.description.clone(),
        rules: set.rules.clone(),
    };
    Ok(Answer::new(Page { items: law.sets.iter().map(set).collect(), next_cursor: None }))
}

/// What the platform has attached is the platform's to take away.
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
    faults.extend(bounds::bounds(tx, tenant, &rules, places.len(), tenant_speaks, was).await?);
    faults
        .extend(objections(api, tx, tenant, &rules, tenant_speaks, was.map(|was| was.name.as_str())).await?);
    if faults.is_empty() {
        return Ok(New { name, description, mode, rules, attached_to });
    }
    Err(Problem::faults(Code::PolicyInvalid, faults))
}
