//! Policies in force, and what they mean for a tenant: its parameters and modes, each with where it comes from.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::body::{Path, Query};
use super::caller::Caller;
use super::page::Page;
use super::problem::{Code, Fault, Problem};
use portcullis_policy::effective::{self, Sourced};
use portcullis_policy::{Policy, PolicySet};
use portcullis_store::tenants::{self, Tenant};
use portcullis_store::{Tx, snapshot};
use portcullis_tenancy::snapshot::{Origin, PolicySet as Attached, Rule};

/// Whose policies are asked for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoliciesQuery {
    /// A tenant, by slug or id: what holds for it, and why. A tenant's own people are asked about their own.
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
    /// Its id.
    #[schema(example = "registry-allowlist")]
    id: String,
    /// One line.
    title: String,
    /// What it is for.
    description: String,
    /// `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// `enforce`, `warn`, `audit` or `off`, as the law has it.
    mode: &'static str,
    /// What a failure answers: `deny` or `allow`.
    on_error: &'static str,
    /// Whether no layer above may replace it.
    locked: bool,
    /// JSON Schema of its parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, nullable = false)]
    params_schema: Option<Json>,
    /// Digest of the law that it is part of.
    revision: String,
    /// What holds for the tenant that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    effective: Option<Effective>,
}

/// What holds somewhere.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// The mode, and where it comes from.
    mode: From,
    /// Parameters by name.
    params: BTreeMap<String, From>,
    /// What a policy set asks for and does not get, with the reason.
    without_effect: Vec<String>,
}

/// A value and where it comes from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ValueAndSource)]
pub struct From {
    /// The value, whatever the parameter's schema says; of the mode its word.
    #[schema(value_type = Value)]
    value: Json,
    /// `bundle`, or `plan`, `platform` or `tenant` and the name of the policy set; the lowest layer first.
    #[schema(example = json!(["bundle", "tenant: few-steps"]))]
    from: Vec<String>,
}

/// Lists the policies in force.
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PoliciesQuery>,
) -> Result<Answer<Page<PolicyView>>, Problem> {
    let law = api.layers()?.live().load();
    let sets = sets(&api, &caller, &law, &query).await?;
    let view = |policy: &Policy| view(&law, policy, sets.as_deref(), query.project.as_deref());
    Ok(Answer::new(Page { items: law.policies.iter().map(view).collect(), next_cursor: None }))
}

/// Shows a policy in force.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<PoliciesQuery>,
) -> Result<Answer<PolicyView>, Problem> {
    let law = api.layers()?.live().load();
    let sets = sets(&api, &caller, &law, &query).await?;
    let policy = law.policy(&id).ok_or_else(|| Problem::of(Code::PolicyNotFound))?;
    Ok(Answer::new(view(&law, policy, sets.as_deref(), query.project.as_deref())))
}

/// The policy sets of the tenant that is asked for; one's own where it is not said.
async fn sets(
    api: &Api,
    caller: &Caller,
    law: &PolicySet,
    query: &PoliciesQuery,
) -> Result<Option<Vec<Attached>>, Problem> {
    let own = caller.identity().tenant.as_ref().map(|tenant| tenant.id.clone());
    let Some(tenant) = query.tenant.clone().or(own) else { return Ok(None) };
    let scope = caller.scope_in(&tenant)?;
    let mut tx = api.ledger().read(&scope).await?;
    let tenant = tenants::anywhere(&mut tx, &tenant).await?;
    Ok(Some(law.expanded(&snapshot::policy_sets(&mut tx, &tenant.name).await?)))
}

fn view(law: &PolicySet, policy: &Policy, sets: Option<&[Attached]>, project: Option<&str>) -> PolicyView {
    let manifest = &policy.manifest;
    let effective = sets.map(|sets| {
        let found = effective::explain(manifest, params(law, &manifest.id).as_ref(), sets, project);
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
        revision: law.digest.clone(),
        effective,
    }
}

fn params(law: &PolicySet, id: &str) -> Option<Json> {
    serde_json::to_value(&law.params).ok()?.get_mut(id).map(Json::take)
}

/// What is wrong with the rules of a policy set: policies that there are not, and where a tenant speaks, what does not
/// tighten. `besides` is the set that is being replaced.
pub(super) async fn objections(
    api: &Api,
    tx: &mut Tx,
    tenant: &Tenant,
    rules: &[Rule],
    tenant_speaks: bool,
    besides: Option<&str>,
) -> Result<Vec<Fault>, Problem> {
    let law = api.layers()?.live().load();
    let mut sets = law.expanded(&snapshot::policy_sets(tx, &tenant.name).await?);
    sets.retain(|set| set.origin == Origin::Plan || besides != Some(&*set.name));
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let Some(policy) = law.policy(&rule.policy) else {
            let detail = format!("there is no policy `{}`; `portcullis policy list` shows all", rule.policy);
            faults.push(Fault::new(format!("/rules/{index}/policy"), detail));
            continue;
        };
        let manifest = &policy.manifest;
        let base = params(&law, &manifest.id);
        faults.extend(rule.params.iter().filter_map(|(name, value)| {
            let why = manifest.misfit(name, value)?;
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
