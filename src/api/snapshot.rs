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
use crate::store::mirror::{Mirror, Next, Touch, Variant};
use crate::store::revision::{self, Change, Now, Position};
use crate::store::{Stage, StoreError, Tx, snapshot};
use crate::telemetry::gzip;

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
    /// Only what is on this cluster.
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
    let cluster = query.cluster.as_deref();
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
            patched(&now, at.revision, json!({}), format, gzip).await
        }
        Next::Changes(now, changes) => {
            let Some(at) = position else { return Err(Problem::of(Code::Internal)) };
            let patch = match cluster {
                None => revision::compose(&changes)?,
                Some(cluster) => of_cluster(&api, &caller, cluster, &now, changes).await?,
            };
            patched(&now, at.revision, patch, format, gzip).await
        }
        Next::Whole(now) => {
            whole(&api, &caller, mirror, Variant { cluster: cluster.map(str::to_owned), gzip, format }, &now)
                .await
        }
    }
}

async fn patched(now: &Now, since: u64, mut patch: Value, format: u32, gzip: bool) -> Result<Feed, Problem> {
    snapshot::render_down(&mut patch, format);
    let Now { ledger, revision, digest } = now.clone();
    let (since, patch) = (Some(since), Some(patch));
    let answer = SnapshotAnswer { ledger, revision, digest, format, whole: None, since, patch };
    let bytes = bytes(&answer)?;
    let compressed = gzip && bytes.len() >= COMPRESS_FROM;
    Ok(Feed { bytes: if compressed { compress(bytes).await? } else { bytes }, compressed })
}

/// Away from the workers: a document of 100,000 namespaces takes a tenth of a second.
async fn compress(bytes: Bytes) -> Result<Bytes, Problem> {
    let compressed = tokio::task::spawn_blocking(move || gzip::compress(&bytes)).await;
    let compressed = compressed.map_err(|error| Problem::internal(&error))?;
    Ok(compressed.map_err(|error| Problem::internal(&error))?.into())
}

/// What changes mean to one cluster: their parts, as they are there now.
async fn of_cluster(
    api: &Api,
    caller: &Caller,
    cluster: &str,
    now: &Now,
    changes: Vec<Change>,
) -> Result<Value, Problem> {
    let mut tx = api.read(caller).await?;
    known(&mut tx, cluster).await?;
    tx.is_after(now).await?;
    let parts: BTreeSet<_> = changes.iter().flat_map(|change| change.parts.iter().cloned()).collect();
    let mut patch = snapshot::patch(&mut tx, &parts, Some(cluster)).await?;
    tx.rollback().await?;
    // The transaction may have seen more than is answered here; what it has seen too soon, the next patch says again.
    if let Some(fields) = patch.as_object_mut() {
        fields.insert("revision".to_owned(), now.revision.into());
    }
    Ok(patch)
}

async fn whole(
    api: &Api,
    caller: &Caller,
    mirror: &Mirror,
    variant: Variant,
    now: &Now,
) -> Result<Feed, Problem> {
    let Variant { gzip, format, .. } = variant;
    let cluster = variant.cluster.as_deref();
    let make = async {
        let mut tx = api.read(caller).await?;
        if let Some(cluster) = cluster {
            known(&mut tx, cluster).await?;
        }
        let now = tx.ledger().await?;
        let mut whole = snapshot::whole(&mut tx, cluster).await?;
        tx.rollback().await?;
        snapshot::render_down(&mut whole, format);
        let answer = SnapshotAnswer {
            ledger: now.ledger.clone(),
            revision: now.revision,
            digest: Arc::clone(&now.digest),
            format,
            whole: Some(whole),
            since: None,
            patch: None,
        };
        let bytes = bytes(&answer)?;
        Ok::<_, Problem>((now, if gzip { compress(bytes).await? } else { bytes }))
    };
    let bytes = mirror.document(&variant, now, make).await?;
    Ok(Feed { bytes, compressed: gzip })
}

/// The document of a cluster that is not there would be an empty world, in which tenants write nowhere.
async fn known(tx: &mut Tx, cluster: &str) -> Result<(), Problem> {
    let known = snapshot::has_cluster(tx, cluster).await?;
    if known { Ok(()) } else { Err(StoreError::NotFound("cluster").into()) }
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
