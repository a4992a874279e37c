//! Clusters. The pattern for other entities: wire types with their bounds, then handlers of a few lines.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created, NoContent};
use super::caller::Caller;
use super::etag::IfMatch;
use super::extract::{Body, Path, Query};
use super::fields::{self, Labels, LabelsPatch};
use super::page::{ListQuery, Page};
use super::problem::{Code, Fault, Problem};
use portcullis_store::Time;
use portcullis_store::clusters::{self, ClusterUpdate, New};
use portcullis_store::envelope::Sealed;

/// A new cluster.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterNew {
    /// Unique, and its name in paths.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$", example = "eu-1")]
    name: String,
    /// Display name.
    #[serde(default)]
    #[schema(schema_with = fields::display_name, required = false)]
    display_name: String,
    /// kubeconfig in base64; stored encrypted and never returned.
    #[schema(min_length = 1, max_length = 524_288, pattern = "^[A-Za-z0-9+/]+={0,2}$", nullable = false)]
    kubeconfig: Option<String>,
    /// URL of its Capsule proxy.
    #[schema(min_length = 9, max_length = 2048, pattern = "^https://[!-~]+$")]
    capsule_proxy_url: Option<String>,
    /// PEM of the CA that signs the certificate of the proxy.
    #[schema(min_length = 1, max_length = 65_536)]
    capsule_proxy_ca: Option<String>,
    /// Labels, for selectors.
    #[serde(default)]
    labels: Labels,
}

/// Changes to a cluster: a merge patch (RFC 7396): absent fields stay, null removes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClusterPatch {
    /// Display name.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = fields::display_name_or_null, required = false)]
    display_name: Option<Option<String>>,
    /// URL of its Capsule proxy.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<String>, min_length = 9, max_length = 2048, pattern = "^https://[!-~]+$")]
    capsule_proxy_url: Option<Option<String>>,
    /// PEM of the CA that signs the certificate of the proxy.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 65_536)]
    capsule_proxy_ca: Option<Option<String>>,
    /// kubeconfig in base64; null removes it. Stored encrypted and never returned.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(
        value_type = Option<String>,
        min_length = 1,
        max_length = 524_288,
        pattern = "^[A-Za-z0-9+/]+={0,2}$"
    )]
    kubeconfig: Option<Option<String>>,
    /// Labels, for selectors.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<LabelsPatch>)]
    labels: Option<Option<LabelsPatch>>,
}

/// A cluster. Members of a tenant see the name and id of those it is on, and nothing else.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// UUID.
    #[schema(format = "uuid")]
    id: String,
    /// Unique.
    #[schema(example = "eu-1")]
    name: String,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    display_name: Option<String>,
    /// Labels, for selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    labels: Option<Labels>,
    /// URL of its Capsule proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    capsule_proxy_url: Option<String>,
    /// PEM of the CA that signs the certificate of the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    capsule_proxy_ca: Option<String>,
    /// Conditions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    conditions: Option<Vec<Condition>>,
    /// When it was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    created_at: Option<Time>,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    updated_at: Option<Time>,
    /// Version, increased by every change; the same as `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<i64>,
}

/// A condition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `CredentialsStored`.
    r#type: &'static str,
    /// `True` or `False`.
    status: &'static str,
}

pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Answer<Page<Cluster>>, Problem> {
    let mut builder = query.window()?.builder();
    let mut tx = api.read(&caller).await?;
    while let Some((after, limit)) = builder.next_query() {
        let rows = clusters::list(&mut tx, after.as_deref(), limit).await?;
        builder.add(rows, |row| &row.id, |row| &row.labels);
    }
    Ok(Answer::new(builder.build().map(|row| shown(row, &caller))))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<ClusterNew>,
) -> Result<Created<Cluster>, Problem> {
    if let Some(fault) = fields::uuid_shaped("/name", &new.name) {
        return Err(Problem::invalid(vec![fault]));
    }
    let kubeconfig = new.kubeconfig.as_deref().map(decoded).transpose()?;
    let row = New {
        name: new.name,
        display_name: new.display_name,
        labels: new.labels.0,
        capsule_proxy_url: new.capsule_proxy_url,
        capsule_proxy_ca: new.capsule_proxy_ca,
    };
    let mut tx = api.write(&caller).await?;
    let row = clusters::create(&mut tx, row, |id| sealed(&api, id, kubeconfig)).await?;
    let (id, version) = (row.id.clone(), row.version);
    let answer = Created::at(format!("/api/v1/clusters/{id}"), shown(row, &caller), version);
    caller.commit(tx, answer).await
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
) -> Result<Answer<Cluster>, Problem> {
    let mut tx = api.read(&caller).await?;
    let row = clusters::get(&mut tx, &cluster).await?;
    let version = row.version;
    Ok(Answer::versioned(shown(row, &caller), version))
}

pub async fn update(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    IfMatch(expected): IfMatch,
    Body(patch): Body<ClusterPatch>,
) -> Result<Answer<Cluster>, Problem> {
    let kubeconfig = match patch.kubeconfig {
        None => None,
        Some(None) => Some(None),
        Some(Some(text)) => Some(Some(decoded(&text)?)),
    };
    let mut tx = api.write(&caller).await?;
    let was = clusters::get_and_lock(&mut tx, &cluster).await?;
    let kubeconfig = match kubeconfig {
        None => None,
        Some(plain) => Some(sealed(&api, &was.id, plain)?),
    };
    let change = ClusterUpdate {
        display_name: patch.display_name.map(Option::unwrap_or_default),
        labels: fields::merged(&was.labels, patch.labels)?,
        capsule_proxy_url: patch.capsule_proxy_url,
        capsule_proxy_ca: patch.capsule_proxy_ca,
        kubeconfig,
    };
    let row = clusters::update(&mut tx, &cluster, expected, change).await?;
    let version = row.version;
    caller.commit(tx, Answer::versioned(shown(row, &caller), version)).await
}

pub async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(cluster): Path<String>,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, Problem> {
    let mut tx = api.write(&caller).await?;
    clusters::delete(&mut tx, &cluster, expected).await?;
    caller.commit(tx, NoContent).await
}

/// Validates the kubeconfig early: an invalid one would only fail when it is used.
fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| Problem::invalid(vec![Fault::new("/kubeconfig", "is not base64")]))?;
    let kind = serde_saphyr::from_slice::<serde_json::Value>(&bytes).ok();
    let config = kind.is_some_and(|value| value.get("clusters").is_some_and(serde_json::Value::is_array));
    if config {
        return Ok(bytes);
    }
    Err(Problem::meaning(
        Code::UnprocessableEntity,
        "/kubeconfig",
        "is not a kubeconfig: it has no `clusters`",
    ))
}

fn sealed(api: &Api, id: &str, kubeconfig: Option<Vec<u8>>) -> Result<Option<Sealed>, Problem> {
    let Some(plain) = kubeconfig else { return Ok(None) };
    let key = api.master_key().ok_or_else(|| {
        let detail = "cannot be stored: start the server with `--master-key-file`";
        Problem::meaning(Code::MasterKeyMissing, "/kubeconfig", detail)
    })?;
    key.seal(id, &plain).map(Some).map_err(|error| Problem::internal(&error))
}

fn shown(row: clusters::Cluster, caller: &Caller) -> Cluster {
    if caller.scope().tenant().is_some() {
        return Cluster { id: row.id, name: row.name, ..Cluster::default() };
    }
    let status = if row.has_kubeconfig { "True" } else { "False" };
    Cluster {
        id: row.id,
        name: row.name,
        display_name: Some(row.display_name),
        labels: Some(Labels(row.labels)),
        capsule_proxy_url: row.capsule_proxy_url,
        capsule_proxy_ca: row.capsule_proxy_ca,
        conditions: Some(vec![Condition { r#type: "CredentialsStored", status }]),
        created_at: Some(row.created_at),
        updated_at: Some(row.updated_at),
        version: Some(row.version),
    }
}
