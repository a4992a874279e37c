//! Policies in force, with a tenant's effective parameters and modes and their origin.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::extract::{Path, Query};
use super::page::Page;
use super::problem::{Code, Fault, Problem};
use portcullis_policy::effective::{self, Sourced};
use portcullis_policy::{Policy, PolicySet};
use portcullis_store::tenants::{self, Tenant};
use portcullis_store::{Tx, snapshot};
use portcullis_tenancy::snapshot::{Origin, PolicySet as Attached, Rule};

/// Tenant and project for the effective values.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesQuery {
    /// A tenant by slug or id, for its effective modes and parameters; the caller's own tenant by default.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    tenant: Option<String>,
    /// One of its projects, by slug.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    project: Option<String>,
}

/// A policy in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// Id of the policy.
    #[schema(example = "registry-allowlist")]
    id: String,
    /// One line.
    title: String,
    /// Description.
    description: String,
    /// `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// `enforce`, `warn`, `audit` or `off`, as the policy declares it.
    mode: &'static str,
    /// Effect of an evaluation error: `deny` or `allow`.
    on_error: &'static str,
    /// Whether no higher layer may replace the policy.
    locked: bool,
    /// JSON Schema of its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    params_schema: Option<Json>,
    /// Digest of the policies in force.
    revision: String,
    /// Effective mode and parameters for the tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    effective: Option<Effective>,
}

/// Effective mode and parameters.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The mode, and where it comes from.
    mode: From,
    /// Parameters by name.
    params: BTreeMap<String, From>,
    /// Rules of policy sets that have no effect, with the reason.
    without_effect: Vec<String>,
}

/// A value and where it comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ValueAndSource)]
pub struct From {
    /// The value of the parameter or the mode.
    #[schema(value_type = Value)]
    value: Json,
    /// `bundle`, or `plan`, `platform` or `tenant` and the name of the policy set; the lowest layer first.
    #[schema(example = json!(["bundle", "tenant: few-steps"]))]
    from: Vec<String>,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PoliciesQuery>,
) -> Result<Answer<Page<PolicyView>>, Problem> {
    let policies = api.layers()?.policies().load();
    let sets = sets(&api, &caller, &policies, &query).await?;
    let view = |policy: &Policy| view(&policies, policy, sets.as_deref(), query.project.as_deref());
    Ok(Answer::new(Page { items: policies.policies.iter().map(view).collect(), next_cursor: None }))
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PoliciesQuery>,
) -> Result<Answer<PolicyView>, Problem> {
    let policies = api.layers()?.policies().load();
    let sets = sets(&api, &caller, &policies, &query).await?;
    let policy = policies.policy(&id).ok_or_else(|| Problem::of(Code::PolicyNotFound))?;
    Ok(Answer::new(view(&policies, policy, sets.as_deref(), query.project.as_deref())))
}

/// The policy sets of the tenant in the query, or of the caller's own tenant.
async fn sets(
    api: &Api,
    caller: &Caller,
    policies: &PolicySet,
    query: &PoliciesQuery,
) -> Result<Option<Vec<Attached>>, Problem> {
    let own = caller.identity().tenant.as_ref().map(|tenant| tenant.id.clone());
    let Some(tenant) = query.tenant.clone().or(own) else { return Ok(None) };
    let scope = caller.scope_in(&tenant)?;
    let mut tx = api.ledger().read(&scope).await?;
    let tenant = tenants::anywhere(&mut tx, &tenant).await?;
    Ok(Some(policies.expanded(&snapshot::policy_sets(&mut tx, &tenant.name).await?)))
}

fn view(
    policies: &PolicySet,
    policy: &Policy,
    sets: Option<&[Attached]>,
    project: Option<&str>,
) -> PolicyView {
    let manifest = &policy.manifest;
    let effective = sets.map(|sets| {
        let found = effective::explain(manifest, params(policies, &manifest.id).as_ref(), sets, project);
        let from = |sourced: Sourced| From { value: sourced.value, from: sourced.from };
        let bundle = || From { value: manifest.mode.as_str().into(), from: vec!["bundle".to_owned()] };
        Effective {
            mode: found.mode.map_or_else(bundle, from),
            params: found.params.into_iter().map(|(name, sourced)| (name, from(sourced))).collect(),
            without_effect: found.without_effect.into_iter().chain(found.broken).collect(),
        }
    });
    PolicyView {
        id: manifest.id.clone(),
        title: manifest.title.clone(),
        description: manifest.description.clone(),
        severity: manifest.severity.as_str(),
        mode: manifest.mode.as_str(),
        on_error: manifest.on_error.as_str(),
        locked: manifest.locked,
        params_schema: manifest.params_schema.as_deref().cloned(),
        revision: policies.digest.clone(),
        effective,
    }
}

fn params(policies: &PolicySet, id: &str) -> Option<Json> {
    serde_json::to_value(&policies.params).ok()?.get_mut(id).map(Json::take)
}

/// What is wrong with the rules of a policy set: policies that there are not, and where a tenant speaks, what does not
/// tighten. `replaced` is the set that is being replaced.
pub(super) async fn objections(
    api: &Api,
    tx: &mut Tx,
    tenant: &Tenant,
    rules: &[Rule],
    tenant_speaks: bool,
    replaced: Option<&str>,
) -> Result<Vec<Fault>, Problem> {
    let policies = api.layers()?.policies().load();
    let mut sets = policies.expanded(&snapshot::policy_sets(tx, &tenant.name).await?);
    sets.retain(|set| set.origin == Origin::Plan || replaced != Some(&*set.name));
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(policy) = policies.policy(&rule.policy) else {
            let detail = format!("no policy `{}` exists; `portcullis policy list` shows all", rule.policy);
            faults.push(Fault::new(format!("/rules/{index}/policy"), detail));
            continue;
        };
        let manifest = &policy.manifest;
        let base = params(&policies, &manifest.id);
        faults.extend(rule.params.iter().filter_map(|(name, value)| {
            let why = manifest.param_violation(name, value)?;
            Some(Fault::new(format!("/rules/{index}/params/{name}"), why))
        }));
        if tenant_speaks {
            let before = effective::explain(manifest, base.as_ref(), &sets, None);
            let found = effective::objections(manifest, &before, manifest.mode, rule);
            faults.extend(found.into_iter().map(|(at, why)| Fault::new(format!("/rules/{index}{at}"), why)));
        }
    }
    Ok(faults)
}
