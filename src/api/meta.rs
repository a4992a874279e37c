//! Version, features, documents and keys of the server, and the caller's own identity.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::Answer;
use super::caller::Caller;
use super::problem::Problem;
use super::route::{Signature, SignaturePart, Success};
use portcullis_access::Role;
use portcullis_store::identities::Membership;

/// The running version.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the name in JSON")]
pub struct Version {
    /// Version of the program.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// Git commit of the build, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub git_commit: Option<&'static str>,
    /// Digest of the policies in force, if this process has a gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub policy_revision: Option<String>,
}

/// Features of this server by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Features(BTreeMap<&'static str, bool>);

/// The caller, as the server sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// `issuer#sub`.
    #[schema(example = "ledger#alice")]
    pub subject: String,
    /// Roles; empty for a member of several tenants without the header `X-Portcullis-Tenant`.
    pub roles: Vec<Role>,
    /// Tenant of the roles; absent for platform roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid")]
    pub tenant_id: Option<String>,
    /// Ids of the projects that the caller is limited to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub projects: Option<Vec<String>>,
    /// Expiry of the token, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exp: Option<i64>,
    /// Memberships by slug of the tenant, at most 1,000; absent if the token itself contains the roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub memberships: Vec<OwnMembership>,
}

/// A tenant of which the caller is a member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnMembership {
    /// Slug of the tenant, for the header `X-Portcullis-Tenant`.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Id of the tenant, also valid in that header.
    #[schema(format = "uuid")]
    pub tenant_id: String,
    /// The caller's role in the tenant.
    pub role: Role,
    /// Ids of the projects that the caller is limited to in the tenant.
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

pub async fn version(State(api): State<Api>) -> Result<Answer<Version>, Problem> {
    Ok(Answer::new(Version {
        version: env!("CARGO_PKG_VERSION"),
        git_commit: option_env!("PORTCULLIS_GIT_COMMIT"),
        policy_revision: api.gate().ok().map(|gate| gate.policies.load().digest.clone()),
    }))
}

pub async fn features(State(api): State<Api>) -> Result<Answer<Features>, Problem> {
    let all = [("gate", api.gate().is_ok()), ("secrets", api.master_key().is_some())];
    Ok(Answer::new(Features(all.into_iter().collect())))
}

pub async fn openapi(State(api): State<Api>) -> Result<Text, Problem> {
    let kind = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok(Text((kind, api.document().to_owned()).into_response()))
}

pub async fn docs(State(api): State<Api>) -> Result<Html, Problem> {
    Ok(Html(api.page().answer()))
}

pub async fn jwks(State(api): State<Api>) -> Result<Answer<Jwks>, Problem> {
    Ok(Answer::new(Jwks(api.authenticator().jwks())))
}

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

impl From<&Membership> for OwnMembership {
    fn from(membership: &Membership) -> Self {
        let Membership { tenant, role, projects } = membership;
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

fn page(signature: &mut Signature, kind: &'static str) {
    signature.success.push(Success { status: 200, body: Some((kind, None)), location: false, etag: false });
}

impl SignaturePart for Text {
    fn describe(signature: &mut Signature) {
        page(signature, "application/json");
    }
}

impl SignaturePart for Html {
    fn describe(signature: &mut Signature) {
        page(signature, "text/html; charset=utf-8");
    }
}
