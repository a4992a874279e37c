//! The snapshot for gates: the ledger as one document, or the changes since a revision.
//!
//! A gate names the ledger and the revision that it has, and is answered as soon as there is another, after 30 s at the
//! latest. While it waits it waits on a number in memory ([`ChangeBuffer`]), not on the database.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Api;
use super::caller::Caller;
use super::extract::Query;
use super::problem::{Code, Problem};
use super::route::{NamedSchema, Signature, SignaturePart, Success};
use portcullis_store::change_buffer::{ChangeBuffer, LedgerContact, Next, Variant};
use portcullis_store::revision::{self, Change, DIGEST_HEADER, FORMAT_HEADER, LedgerHead, Position};
use portcullis_store::snapshot::{Cluster, FORMAT_MIN};
use portcullis_store::{SchemaState, StoreError, snapshot};
use portcullis_telemetry::gzip;
use portcullis_tenancy::snapshot::FORMAT_VERSION;

/// Seconds after which a long poll without a change is answered.
const WAIT_SECONDS: u16 = 30;

/// The snapshot that the gate has.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotQuery {
    /// Id of the ledger of the gate's snapshot. Absent or another ledger returns the whole document at once.
    #[schema(nullable = false, format = "uuid", max_length = 36)]
    ledger: Option<String>,
    /// Revision of the gate's snapshot; absent returns the whole document at once.
    #[schema(nullable = false)]
    since: Option<u64>,
    /// Seconds to wait for a change; 30 by default.
    #[schema(nullable = false, minimum = 1, maximum = 30)]
    wait: Option<u16>,
    /// Only this cluster's part. A gate's token is for one cluster, which is the default; another name is 403.
    #[schema(nullable = false, min_length = 1, max_length = 63)]
    cluster: Option<String>,
}

/// The whole document, or a merge patch from `since` to `revision`, which is empty if nothing changed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotAnswer {
    /// Id of the ledger.
    #[schema(format = "uuid")]
    pub ledger: String,
    /// Revision after this response.
    pub revision: u64,
    /// Digest of all changes up to that revision; absent until the first. A gate sends it in the header
    /// `Portcullis-Snapshot-Digest` of its next request, and gets a patch only if the digests match.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(value_type = Option<String>, nullable = false, max_length = 64)]
    pub digest: Arc<str>,
    /// Format of the document and of patches over it: the newest that this build writes and the gate reads, by
    /// the header `Portcullis-Snapshot-Format`.
    pub format: u32,
    /// The document (`docs/snapshot.schema.json`), instead of a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub whole: Option<Value>,
    /// The revision that the patch is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub since: Option<u64>,
    /// An RFC 7396 merge patch over the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub patch: Option<Value>,
}

/// A serialized response: a whole document is serialized and compressed once for all gates.
pub struct SnapshotResponse {
    bytes: Bytes,
    compressed: bool,
}

/// Whether the caller takes gzip.
pub struct TakesGzip(bool);

const OTHER_CLUSTER: &str = "this token is for another cluster; omit `cluster` or name the token's cluster";

/// A shorter answer is sent as it is: it fits into one packet.
const COMPRESS_FROM: usize = 1200;

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    TakesGzip(gzip): TakesGzip,
    Digest(digest): Digest,
    Format(format): Format,
    Query(query): Query<SnapshotQuery>,
) -> Result<SnapshotResponse, Problem> {
    let buffer = api.change_buffer()?;
    let at = query.ledger.as_deref().zip(query.since);
    let digest = digest.as_deref();
    let position = at.map(|(ledger, revision)| Position { ledger, revision, digest });
    let cluster = cluster_of(&api, &caller, query.cluster.as_deref()).await?;
    let cluster = cluster.as_ref();
    let variant = Variant { cluster: cluster.map(|cluster| cluster.name.clone()), gzip, format };
    let wait = Duration::from_secs(query.wait.unwrap_or(WAIT_SECONDS).into());
    match buffer.next(position, wait).await {
        Next::Unavailable(LedgerContact::Invalid)
            if let SchemaState::RolledBack { seen, found } = *api.ledger().state().borrow() =>
        {
            Err(StoreError::RolledBack { seen, found }.into())
        }
        Next::Unavailable(LedgerContact::Invalid) => {
            Err(Problem::new(Code::ServiceUnavailable, "this server cannot read the snapshot of the ledger"))
        }
        Next::Unavailable(_) => {
            Err(Problem::new(Code::ServiceUnavailable, "this server has no contact with the ledger"))
        }
        Next::Unchanged => {
            let Some(at) = position else { return Err(Problem::of(Code::Internal)) };
            let digest = at.digest.unwrap_or_default().into();
            let now = LedgerHead { ledger: at.ledger.to_owned(), revision: at.revision, digest };
            patched(&now, at.revision, json!({}), &variant).await
        }
        Next::Changes(now, changes) => {
            let Some(at) = position else { return Err(Problem::of(Code::Internal)) };
            let Some(cluster) = cluster else {
                return patched(&now, at.revision, revision::compose(&changes)?, &variant).await;
            };
            let make = of_cluster(&api, &caller, cluster, &now, (at.revision, changes), &variant);
            match buffer.patch(&variant, at.revision, &now, make).await? {
                Some((bytes, compressed)) => Ok(SnapshotResponse { bytes, compressed }),
                None => whole(&api, &caller, buffer, &variant, &now).await,
            }
        }
        Next::Whole(now) => whole(&api, &caller, buffer, &variant, &now).await,
    }
}

async fn patched(
    now: &LedgerHead,
    since: u64,
    patch: Value,
    variant: &Variant,
) -> Result<SnapshotResponse, Problem> {
    let (bytes, compressed) = written(now, since, patch, variant).await?;
    Ok(SnapshotResponse { bytes, compressed })
}

/// A patch as it is sent, and whether it is compressed.
async fn written(
    now: &LedgerHead,
    since: u64,
    mut patch: Value,
    variant: &Variant,
) -> Result<(Bytes, bool), Problem> {
    let Variant { gzip, format, .. } = *variant;
    snapshot::render_down(&mut patch, format);
    let LedgerHead { ledger, revision, digest } = now.clone();
    let (since, patch) = (Some(since), Some(patch));
    let answer = SnapshotAnswer { ledger, revision, digest, format, whole: None, since, patch };
    let bytes = bytes(&answer)?;
    let compressed = gzip && bytes.len() >= COMPRESS_FROM;
    Ok((if compressed { compress(bytes).await? } else { bytes }, compressed))
}

/// Away from the workers: a document of 100,000 namespaces takes a tenth of a second.
async fn compress(bytes: Bytes) -> Result<Bytes, Problem> {
    let compressed = tokio::task::spawn_blocking(move || gzip::compress(&bytes)).await;
    let compressed = compressed.map_err(|error| Problem::internal(&error))?;
    Ok(compressed.map_err(|error| Problem::internal(&error))?.into())
}

/// The cluster whose part is answered; `None` is the whole ledger. A gate's token is for one cluster, and another name is
/// rejected before the lookup, so the response does not reveal whether it exists.
async fn cluster_of(api: &Api, caller: &Caller, requested: Option<&str>) -> Result<Option<Cluster>, Problem> {
    let own = caller.scope().cluster();
    if own.is_none() && requested.is_none() {
        return Ok(None);
    }
    let mut tx = api.read(caller).await?;
    let cluster = match (own, requested) {
        (Some(own), requested) => {
            let cluster = snapshot::cluster_by_id(&mut tx, own).await?;
            if requested.is_some_and(|requested| requested != cluster.name) {
                return Err(Problem::new(Code::Forbidden, OTHER_CLUSTER));
            }
            Some(cluster)
        }
        (None, Some(requested)) => Some(snapshot::cluster_by_name(&mut tx, requested).await?),
        (None, None) => None,
    };
    tx.rollback().await?;
    Ok(cluster)
}

/// The changes as a patch for one cluster. `None` if only the whole document can express them.
async fn of_cluster(
    api: &Api,
    caller: &Caller,
    cluster: &Cluster,
    now: &LedgerHead,
    (since, changes): (u64, Vec<Change>),
    variant: &Variant,
) -> Result<Option<(Bytes, bool)>, Problem> {
    let mut tx = api.read(caller).await?;
    tx.check_follows(now).await?;
    let parts: BTreeSet<_> = changes.iter().flat_map(|change| change.parts.iter().cloned()).collect();
    let patch = snapshot::cluster_patch(&mut tx, &parts, cluster, since).await?;
    tx.rollback().await?;
    let Some(mut patch) = patch else { return Ok(None) };
    // The transaction may have seen more than is answered here; what it has seen too soon, the next patch says again.
    if let Some(fields) = patch.as_object_mut() {
        fields.insert("revision".to_owned(), now.revision.into());
    }
    written(now, since, patch, variant).await.map(Some)
}

async fn whole(
    api: &Api,
    caller: &Caller,
    buffer: &ChangeBuffer,
    variant: &Variant,
    now: &LedgerHead,
) -> Result<SnapshotResponse, Problem> {
    let Variant { gzip, format, .. } = *variant;
    let cluster = variant.cluster.as_deref();
    let make = async {
        let mut tx = api.read(caller).await?;
        let now = tx.ledger().await?;
        let whole = snapshot::whole(&mut tx, cluster).await?;
        tx.rollback().await?;
        let whole = snapshot::render_text_down(whole, format)?;
        let bytes = with_whole(&now, format, &whole)?;
        drop(whole);
        Ok::<_, Problem>((now, if gzip { compress(bytes).await? } else { bytes }))
    };
    let bytes = buffer.document(variant, now, make).await?;
    Ok(SnapshotResponse { bytes, compressed: gzip })
}

/// A [`SnapshotAnswer`] around a document that is text already.
fn with_whole(now: &LedgerHead, format: u32, whole: &[u8]) -> Result<Bytes, Problem> {
    let LedgerHead { ledger, revision, digest } = now.clone();
    let head = SnapshotAnswer { ledger, revision, digest, format, whole: None, since: None, patch: None };
    let answer = bytes(&head)?;
    let fields = answer.strip_suffix(b"}").unwrap_or(&answer);
    Ok([fields, b",\"whole\":", whole, b"}"].concat().into())
}

fn bytes(answer: &SnapshotAnswer) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|error| Problem::internal(&error))
}

impl IntoResponse for SnapshotResponse {
    fn into_response(self) -> Response {
        let encoding = self.compressed.then_some([(header::CONTENT_ENCODING, "gzip")]);
        let kind = [(header::CONTENT_TYPE, "application/json"), (header::VARY, "accept-encoding")];
        (kind, encoding.map(AppendHeaders), self.bytes).into_response()
    }
}

impl FromRequestParts<Api> for TakesGzip {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let values = parts.headers.get_all(header::ACCEPT_ENCODING).iter();
        Ok(Self(gzip::is_accepted(values.filter_map(|value| value.to_str().ok()))))
    }
}

impl SignaturePart for TakesGzip {
    fn describe(_: &mut Signature) {}
}

impl SignaturePart for SnapshotResponse {
    fn describe(signature: &mut Signature) {
        let body = Some(("application/json", Some(NamedSchema::of::<SnapshotAnswer>())));
        signature.success.push(Success { status: 200, body, location: false, etag: false });
    }
}

/// Longer is no digest.
const DIGEST_MAX: usize = 64;

/// The digest of the gate's revision, if it sends one.
pub struct Digest(pub Option<String>);

impl FromRequestParts<Api> for Digest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        let value = parts.headers.get(DIGEST_HEADER).and_then(|value| value.to_str().ok());
        // A text that is not a digest is not one that is known here, so the gate gets the whole.
        Ok(Self(value.map(|value| value.chars().take(DIGEST_MAX).collect())))
    }
}

/// The format in which the gate is answered: the newest that it reads and that this build writes.
pub struct Format(pub u32);

impl FromRequestParts<Api> for Format {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(FORMAT_HEADER) else { return Ok(Self(FORMAT_MIN)) };
        let read = value.to_str().ok().and_then(|value| value.parse::<u32>().ok());
        match read.map(|read| read.min(FORMAT_VERSION)) {
            Some(format) if format >= FORMAT_MIN => Ok(Self(format)),
            _ => {
                let detail =
                    format!("{FORMAT_HEADER}: must be a format from {FORMAT_MIN} to {FORMAT_VERSION}");
                Err(Problem::new(Code::ValidationError, detail))
            }
        }
    }
}

impl SignaturePart for Format {
    fn describe(_: &mut Signature) {}
}

impl SignaturePart for Digest {
    fn describe(_: &mut Signature) {}
}
