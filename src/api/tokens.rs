//! Tokens: minted for others within what the minter may give, and revoked.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::caller::{Caller, read_subject};
use super::extract::{Body, Path, Query};
use super::fields;
use super::page::{Page, PageQuery, no_labels};
use super::problem::{Code, Fault, Problem};
use portcullis_access::mint::{self, Grant, Membership, MintError, TokenRequest};
use portcullis_access::token::{IssueError, LIFETIME_SECONDS_MAX, now};
use portcullis_access::{Clusters, Contradiction, Limit, Role, TenantRef};
use portcullis_store::tokens::{self, Minted};
use portcullis_store::{Entry, StoreError, Time, Tx, clusters, identities, tenants};

/// A token to mint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TokenNew {
    /// Subject of the token. An owner may name members of the tenant.
    #[schema(schema_with = fields::subject)]
    subject: String,
    /// Roles.
    #[schema(min_items = 1, max_items = 5)]
    roles: Vec<Role>,
    /// Tenant by id or slug; required for tenant roles.
    #[schema(min_length = 1, max_length = 36, nullable = false)]
    tenant: Option<String>,
    /// Projects that the token is limited to, by id or slug.
    #[schema(max_items = 100, nullable = false)]
    projects: Option<Vec<Reference>>,
    /// Cluster of a gate, by id or name; required for the role `service`. The token reads only this cluster's part of the
    /// snapshot.
    #[schema(min_length = 1, max_length = 63, nullable = false)]
    cluster: Option<String>,
    /// Lifetime in seconds: one hour by default, at most thirty days, at most one day for owners.
    #[schema(minimum = 60, maximum = 2_592_000, nullable = false)]
    ttl_seconds: Option<i64>,
}

/// A reference by id or slug.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(min_length = 1, max_length = 36)]
pub struct Reference(String);

/// A minted token. It is returned only once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMinted {
    /// The token, for `Authorization: Bearer …`.
    token: String,
    /// Expiry.
    expires_at: Time,
    /// Id of the token, for revocation.
    #[schema(format = "uuid")]
    jti: String,
}

/// Lists tokens that were minted here and have not ended: an administrator all, an owner those of its tenant, others their
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Minted>>, Problem> {
    let mut builder = query.window()?.builder();
    let own = (caller.scope().limit() == Some(Limit::OwnTokens)).then(|| caller.identity().name());
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = tokens::list(&mut tx, own.as_deref(), after.as_deref(), limit).await?;
        builder.add(rows, |row| &row.jti, no_labels);
    }
    Ok(Answer::new(builder.build()))
}

pub async fn mint(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<TokenNew>,
) -> Result<Created<TokenMinted>, Problem> {
    let scope = match &new.tenant {
        Some(tenant) => caller.scope_in(tenant)?,
        None => caller.scope().clone(),
    };
    let mut tx = api.ledger().write(&scope).await?;
    if let Some(tenant) = new.tenant.as_ref().filter(|_| scope.tenant().is_some()) {
        // Refuses a suspended tenant's owner.
        tenants::change_anywhere(&mut tx, tenant).await?;
    }
    let (wish, member) = wish(&api, &mut tx, new).await?;
    let grant = mint::grant(&scope, wish, member.as_ref()).map_err(refused)?;
    let issued = api.authenticator().issuers().own().issue(&grant, now()).map_err(unsigned)?;
    let (jti, expires) = (issued.claims.jti, issued.claims.exp);
    tx.audit(recorded(&grant, &issued.claims.iss, &jti, expires));
    let row = Minted {
        jti: jti.clone(),
        subject: format!("{}#{}", issued.claims.iss, grant.subject()),
        roles: grant.roles().iter().map(ToString::to_string).collect(),
        tenant_id: grant.tenant().map(|tenant| tenant.id.clone()),
        projects: grant.projects().map(<[String]>::to_vec),
        cluster_id: cluster_of(&grant).map(str::to_owned),
        minted_by: caller.identity().name(),
        created_at: Time(tx.now()),
        expires_at: Time(expires.saturating_mul(1000)),
        revoked: false,
    };
    tokens::store(&mut tx, &row).await?;
    let token = TokenMinted { token: issued.token, expires_at: Time(expires.saturating_mul(1000)), jti };
    let location = format!("/api/v1/tokens/{}", token.jti);
    caller.commit(tx, Created::fixed_at(location, token)).await
}

/// The wish with its names resolved, and what the subject is in that tenant.
async fn wish(api: &Api, tx: &mut Tx, new: TokenNew) -> Result<(TokenRequest, Option<Membership>), Problem> {
    let TokenNew { subject, roles, tenant, projects, cluster, ttl_seconds } = new;
    let name = read_subject(api, &subject, "/subject").map_err(|fault| Problem::invalid(vec![fault]))?;
    let own = api.authenticator().issuers().own().names().issuer();
    let Some(subject) = name.strip_prefix(own).and_then(|rest| rest.strip_prefix('#')).map(str::to_owned)
    else {
        let detail = format!("has another issuer; this server mints tokens of `{own}` only");
        return Err(Problem::meaning(Code::UnprocessableEntity, "/subject", detail));
    };
    let tenant = match tenant {
        Some(reference) => Some(identities::tenant(tx, &reference).await?),
        None => None,
    };
    let projects = match (projects, &tenant) {
        (Some(projects), Some(tenant)) => Some(project_ids(tx, tenant, projects).await?),
        (Some(_), None) => {
            return Err(Problem::meaning(Code::UnprocessableEntity, "/projects", "need `tenant`"));
        }
        (None, _) => None,
    };
    let clusters = match cluster {
        Some(reference) => Some(Clusters::One(cluster_id(tx, &reference).await?)),
        None => None,
    };
    let own = match &tenant {
        Some(tenant) => identities::memberships(tx, &name).await?.into_iter().find(|s| s.tenant == *tenant),
        None => None,
    };
    let member = own.map(|standing| Membership { role: standing.role, projects: standing.projects });
    let ttl_seconds = ttl_seconds.unwrap_or(mint::TTL_SECONDS);
    Ok((TokenRequest { subject, roles, tenant, projects, clusters, ttl_seconds }, member))
}

async fn cluster_id(tx: &mut Tx, reference: &str) -> Result<String, Problem> {
    let found = clusters::get(tx, reference).await.map_err(|error| match error {
        StoreError::NotFound(_) => Problem::meaning(Code::UnprocessableEntity, "/cluster", "does not exist"),
        error => error.into(),
    })?;
    Ok(found.id)
}

async fn project_ids(
    tx: &mut Tx,
    tenant: &TenantRef,
    references: Vec<Reference>,
) -> Result<Vec<String>, Problem> {
    let known = identities::projects(tx, &tenant.id).await?;
    let mut faults = Vec::new();
    let mut ids = Vec::new();
    for (n, Reference(reference)) in references.into_iter().enumerate() {
        match known.iter().find(|(id, slug)| *id == reference || *slug == reference) {
            Some((id, _)) => ids.push(id.clone()),
            None => faults.push(Fault::new(format!("/projects/{n}"), "is not a project of the tenant")),
        }
    }
    if faults.is_empty() { Ok(ids) } else { Err(Problem::faults(Code::UnprocessableEntity, faults)) }
}

/// Never the token itself.
fn recorded(grant: &Grant, issuer: &str, jti: &str, expires: i64) -> Entry {
    let subject = format!("{issuer}#{}", grant.subject());
    let entry = Entry::new("token.mint", "token").of(jti, &subject).after(json!({
        "subject": subject,
        "roles": grant.roles(),
        "tenantId": grant.tenant().map(|tenant| &tenant.id),
        "projects": grant.projects(),
        "clusterId": cluster_of(grant),
        "exp": expires,
        "mintedBy": grant.minted_by(),
    }));
    match grant.tenant() {
        Some(tenant) => entry.tenant(&tenant.id),
        None => entry,
    }
}

fn cluster_of(grant: &Grant) -> Option<&str> {
    grant.clusters().map(Clusters::as_str)
}

fn refused(error: MintError) -> Problem {
    let pointer = match &error {
        MintError::NotYours | MintError::TooMuch(_) => {
            return Problem::new(Code::Forbidden, error.to_string());
        }
        MintError::NoMember | MintError::Subject(_) => "/subject",
        MintError::Projects | MintError::Ids => "/projects",
        MintError::Lifetime { .. } => "/ttlSeconds",
        MintError::AllClusters
        | MintError::Contradiction(Contradiction::NoCluster | Contradiction::ClusterOf(_)) => "/cluster",
        MintError::NoRole | MintError::Contradiction(_) => "/roles",
    };
    let code = if matches!(error, MintError::Subject(_)) {
        Code::ValidationError
    } else {
        Code::UnprocessableEntity
    };
    Problem::meaning(code, pointer, error.to_string())
}

fn unsigned(error: IssueError) -> Problem {
    match error {
        IssueError::TooLong(_) => Problem::meaning(Code::UnprocessableEntity, "/projects", error.to_string()),
        error => Problem::internal(&error),
    }
}

/// Revokes a token. An administrator may revoke any, minted here or not; others what was minted here and is theirs to
pub async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(jti): Path<String>,
) -> Result<NoContent, Problem> {
    let jti = uuid::Uuid::try_parse(&jti).map_err(|_| unknown())?.to_string();
    let mut tx = api.write(&caller).await?;
    let minted = tokens::find(&mut tx, &jti).await?;
    let who = caller.identity();
    let shown = who.jti.as_ref() == Some(&jti);
    let may = match caller.scope().limit() {
        None => true,
        Some(Limit::OwnTenant) => shown || minted.is_some(),
        Some(_) => shown || minted.as_ref().is_some_and(|minted| minted.subject == who.name()),
    };
    if !may {
        return Err(unknown());
    }
    let end = minted.map(|minted| minted.expires_at.0 / 1000).or(who.expires.filter(|_| shown));
    identities::revoke(&mut tx, &jti, end.unwrap_or_else(|| now().saturating_add(LIFETIME_SECONDS_MAX)))
        .await?;
    caller.commit(tx, NoContent).await
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, StoreError::NotFound("token").to_string())
}
