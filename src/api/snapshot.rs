//! What gates decide by: the ledger as one document, or what changed of it since they last asked.
//!
//! A gate names the ledger and the revision that it has, and is answered as soon as there is another, after 30 s at the
//! latest. While it waits it waits on a number in memory ([`Mirror`]), not on the database.

mod has;

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

use self::has::{Digest, Format};
use super::Api;
use super::body::Query;
use super::caller::Caller;
use super::problem::{Code, Problem};
use super::route::{Named, Part, Shape, Success};
use portcullis_store::mirror::{Mirror, Next, Touch, Variant};
use portcullis_store::revision::{self, Change, Now, Position};
use portcullis_store::snapshot::cluster::Cluster;
use portcullis_store::{Stage, StoreError, snapshot};
use portcullis_telemetry::gzip;

/// How long a gate is kept waiting when nothing changes, in seconds.
const PATIENCE: u16 = 30;

/// What a gate has.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotQuery {
    /// The ledger whose snapshot the gate has; another than ours is answered with the whole at once, and so is none.
    #[schema(nullable = false, format = "uuid", max_length = 36)]
    ledger: Option<String>,
    /// The revision that it has; without it the whole is answered at once.
    #[schema(nullable = false)]
    since: Option<u64>,
    /// Seconds to wait for something new, instead of 30.
    #[schema(nullable = false, minimum = 1, maximum = 30)]
    wait: Option<u16>,
    /// Only what is on this cluster. A gate's token is for one cluster: another's name is 403, and without a name it is
    /// that one.
    #[schema(nullable = false, min_length = 1, max_length = 63)]
    cluster: Option<String>,
}

/// The whole document, or a merge patch from `since` to `revision`, which is empty where nothing changed meanwhile.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotAnswer {
    /// Whose history it is.
    #[schema(format = "uuid")]
    pub ledger: String,
    /// The revision that the gate has afterwards.
    pub revision: u64,
    /// Digest of all changes up to that revision; absent until the first. A gate says it in the header
    /// `Portcullis-Snapshot-Digest` when it asks again, and gets a patch only where it follows.
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schema(value_type = Option<String>, nullable = false, max_length = 64)]
    pub digest: Arc<str>,
    /// Format of the document and of patches over it: the newest that this build writes and the gate reads, as it says in
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

/// An answer that is bytes already: a whole document is written, and compressed, once for all who ask for it.
pub struct Feed {
    bytes: Bytes,
    compressed: bool,
}

/// Whether the caller takes gzip.
pub struct TakesGzip(bool);

const OTHER_CLUSTER: &str =
    "this token is for the gates of another cluster; leave `cluster` out, or name its own";

/// A shorter answer is sent as it is: it fits into one packet.
const COMPRESS_FROM: usize = 1200;

/// Waits for what is new to a gate.
pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    TakesGzip(gzip): TakesGzip,
    Digest(digest): Digest,
    Format(format): Format,
    Query(query): Query<SnapshotQuery>,
) -> Result<Feed, Problem> {
    let mirror = api.mirror()?;
    let at = query.ledger.as_deref().zip(query.since);
    let digest = digest.as_deref();
    let position = at.map(|(ledger, revision)| Position { ledger, revision, digest });
    let cluster = cluster_of(&api, &caller, query.cluster.as_deref()).await?;
    let cluster = cluster.as_ref();
    let variant = Variant { cluster: cluster.map(|cluster| cluster.name.clone()), gzip, format };
    let patience = Duration::from_secs(query.wait.unwrap_or(PATIENCE).into());
    match mirror.next(position, patience).await {
        Next::Away(Touch::Refuses)
            if let Stage::TurnedBack { seen, found } = *api.ledger().stage().borrow() =>
        {
            Err(StoreError::TurnedBack { seen, found }.into())
        }
        Next::Away(Touch::Refuses) => {
            Err(Problem::new(Code::ServiceUnavailable, "this server cannot read the ledger's document"))
        }
        Next::Away(_) => {
            Err(Problem::new(Code::ServiceUnavailable, "this server is out of touch with the ledger"))
        }
        Next::Nothing => {
            let Some(at) = position else { return Err(Problem::of(Code::Internal)) };
            let digest = at.digest.unwrap_or_default().into();
            let now = Now { ledger: at.ledger.to_owned(), revision: at.revision, digest };
            patched(&now, at.revision, json!({}), &variant).await
        }
        Next::Changes(now, changes) => {
            let Some(at) = position else { return Err(Problem::of(Code::Internal)) };
            let Some(cluster) = cluster else {
                return patched(&now, at.revision, revision::compose(&changes)?, &variant).await;
            };
            let make = of_cluster(&api, &caller, cluster, &now, (at.revision, changes), &variant);
            match mirror.patch(&variant, at.revision, &now, make).await? {
                Some((bytes, compressed)) => Ok(Feed { bytes, compressed }),
                None => whole(&api, &caller, mirror, &variant, &now).await,
            }
        }
        Next::Whole(now) => whole(&api, &caller, mirror, &variant, &now).await,
    }
}

async fn patched(now: &Now, since: u64, patch: Value, variant: &Variant) -> Result<Feed, Problem> {
    let (bytes, compressed) = written(now, since, patch, variant).await?;
    Ok(Feed { bytes, compressed })
}

/// A patch as it is sent, and whether it is compressed.
async fn written(
    now: &Now,
    since: u64,
    mut patch: Value,
    variant: &Variant,
) -> Result<(Bytes, bool), Problem> {
    let Variant { gzip, format, .. } = *variant;
    snapshot::render_down(&mut patch, format);
    let Now { ledger, revision, digest } = now.clone();
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
/// refused before it is looked up, so the answer does not tell whether there is such a cluster.
async fn cluster_of(api: &Api, caller: &Caller, asked: Option<&str>) -> Result<Option<Cluster>, Problem> {
    let own = caller.scope().cluster();
    if own.is_none() && asked.is_none() {
        return Ok(None);
    }
    let mut tx = api.read(caller).await?;
    let cluster = match (own, asked) {
        (Some(own), asked) => {
            let cluster = snapshot::cluster::by_id(&mut tx, own).await?;
            if asked.is_some_and(|asked| asked != cluster.name) {
                return Err(Problem::new(Code::Forbidden, OTHER_CLUSTER));
            }
            Some(cluster)
        }
        (None, Some(asked)) => Some(snapshot::cluster::named(&mut tx, asked).await?),
        (None, None) => None,
    };
    tx.rollback().await?;
    Ok(cluster)
}

/// What changes mean to one cluster: their parts, as they are there now. `None` where only the whole says it.
async fn of_cluster(
    api: &Api,
    caller: &Caller,
    cluster: &Cluster,
    now: &Now,
    (since, changes): (u64, Vec<Change>),
    variant: &Variant,
) -> Result<Option<(Bytes, bool)>, Problem> {
    let mut tx = api.read(caller).await?;
    tx.is_after(now).await?;
    let parts: BTreeSet<_> = changes.iter().flat_map(|change| change.parts.iter().cloned()).collect();
    let patch = snapshot::cluster::patch_of(&mut tx, &parts, cluster, since).await?;
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
    mirror: &Mirror,
    variant: &Variant,
    now: &Now,
) -> Result<Feed, Problem> {
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
    let bytes = mirror.document(variant, now, make).await?;
    Ok(Feed { bytes, compressed: gzip })
}

/// A [`SnapshotAnswer`] around a document that is text already.
fn with_whole(now: &Now, format: u32, whole: &[u8]) -> Result<Bytes, Problem> {
    let Now { ledger, revision, digest } = now.clone();
    let head = SnapshotAnswer { ledger, revision, digest, format, whole: None, since: None, patch: None };
    let answer = bytes(&head)?;
    let fields = answer.strip_suffix(b"}").unwrap_or(&answer);
    Ok([fields, b",\"whole\":", whole, b"}"].concat().into())
}

fn bytes(answer: &SnapshotAnswer) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|error| Problem::internal(&error))
}

impl IntoResponse for Feed {
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

impl Part for TakesGzip {
    fn describe(_: &mut Shape) {}
}

impl Part for Feed {
    fn describe(shape: &mut Shape) {
        let body = Some(("application/json", Some(Named::of::<SnapshotAnswer>())));
        shape.success.push(Success { status: 200, body, location: false, etag: false });
    }
}
