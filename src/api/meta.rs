//! What the server says of itself, and what the caller is to it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::problem::Problem;
use super::route::{Part, Shape, Success};
use portcullis_access::Role;
use portcullis_store::identities::Standing;

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Of the program.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Of its sources, where the build knew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub git_commit: Option<&'static str>,
    /// Digest of the law in force in this process, where it is a gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub policy_revision: Option<String>,
}

/// What this server can do, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Features(BTreeMap<&'static str, bool>);

/// The caller, as the server sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// `issuer#sub`.
    #[schema(example = "ledger#alice")]
    pub subject: String,
    /// What it is; empty for a member of several tenants who names none in `X-Portcullis-Tenant`.
    pub roles: Vec<Role>,
    /// Where it is that, if not everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    pub tenant_id: Option<String>,
    /// Ids of the projects it is limited to, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub projects: Option<Vec<String>>,
    /// When its token ends, unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exp: Option<i64>,
    /// The tenants of which it is a member, in the order of their slugs, at most 1,000; absent where the token itself says
    /// what the caller is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub memberships: Vec<OwnMembership>,
}

/// A tenant of which the caller is a member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnMembership {
    /// What to send as `X-Portcullis-Tenant`.
    #[schema(example = "acme")]
    pub tenant: String,
    /// The same tenant's id, which will do as well.
    #[schema(format = "uuid")]
    pub tenant_id: String,
    /// What the caller is there.
    pub role: Role,
    /// Ids of the projects it is limited to there, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub projects: Option<Vec<String>>,
}

/// Memberships that are listed.
const MEMBERSHIPS_MAX: usize = 1000;

/// The public keys, as RFC 7517 has them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub struct Jwks(serde_json::Value);

/// A document that is served as it stands.
pub struct Text(Response);

/// The reference page.
pub struct Html(Response);

/// What is running.
pub async fn version(State(api): State<Api>) -> Result<Answer<Version>, Problem> {
    Ok(Answer::new(Version {
        version: env!("CARGO_PKG_VERSION"),
        git_commit: option_env!("PORTCULLIS_GIT_COMMIT"),
        policy_revision: api.gate().ok().map(|gate| gate.law.load().digest.clone()),
    }))
}

/// What this server can do.
pub async fn features(State(api): State<Api>) -> Result<Answer<Features>, Problem> {
    let all = [("gate", api.gate().is_ok()), ("secrets", api.master_key().is_some())];
    Ok(Answer::new(Features(all.into_iter().collect())))
}

/// The OpenAPI document.
pub async fn openapi(State(api): State<Api>) -> Result<Text, Problem> {
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok(Text((kind, api.document().to_owned()).into_response()))
}

/// The reference page.
pub async fn docs(State(api): State<Api>) -> Result<Html, Problem> {
    Ok(Html(api.page().answer()))
}

/// The public keys of tokens.
pub async fn jwks(State(api): State<Api>) -> Result<Answer<Jwks>, Problem> {
    Ok(Answer::new(Jwks(api.door().jwks())))
}

/// Who the caller is.
pub async fn me(caller: Caller) -> Result<Answer<Me>, Problem> {
    let who = caller.identity();
    Ok(Answer::new(Me {
        subject: who.name(),
        roles: who.roles.clone(),
        tenant_id: who.tenant.as_ref().map(|tenant| tenant.id.clone()),
        projects: who.projects.clone(),
        exp: who.expires,
        memberships: caller.memberships().iter().take(MEMBERSHIPS_MAX).map(OwnMembership::from).collect(),
    }))
}

impl From<&Standing> for OwnMembership {
    fn from(standing: &Standing) -> Self {
        let Standing { tenant, role, projects } = standing;
        let (tenant, tenant_id) = (tenant.slug.clone(), tenant.id.clone());
        Self { tenant, tenant_id, role: *role, projects: projects.clone() }
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        self.0
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        self.0
    }
}

fn page(shape: &mut Shape, kind: &'static str) {
    shape.success.push(Success { status: 200, body: Some((kind, None)), location: false, etag: false });
}

impl Part for Text {
    fn describe(shape: &mut Shape) {
        page(shape, "application/json");
    }
}

impl Part for Html {
    fn describe(shape: &mut Shape) {
        page(shape, "text/html; charset=utf-8");
    }
}
