//! Audit reports of existing resources, as `portcullis scan` uploads them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, Created};
use super::caller::Caller;
use super::extract::{Body, Path};
use super::page::Page;
use super::problem::{Fault, Problem};
use portcullis_store::Time;
use portcullis_store::scans::{self, Scan, ScanFinding};

/// A scan to upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScanNew {
    /// Start, RFC 3339.
    #[schema(format = DateTime, min_length = 20, max_length = 40)]
    started_at: String,
    /// Digest of the policies of the scan.
    #[schema(min_length = 8, max_length = 64, pattern = "^[0-9a-f]+$")]
    policy_revision: String,
    /// The findings.
    #[schema(max_items = 5000)]
    findings: Vec<ScanFinding>,
}

/// A scan with its findings.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScanView {
    /// The scan.
    #[serde(flatten)]
    scan: Scan,
    /// The findings; a tenant sees its own.
    findings: Vec<ScanFinding>,
}

pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Answer<Page<Scan>>, Problem> {
    let mut tx = api.read(&caller).await?;
    Ok(Answer::new(Page { items: scans::list(&mut tx).await?, next_cursor: None }))
}

pub async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(new): Body<ScanNew>,
) -> Result<Created<Scan>, Problem> {
    let started: jiff::Timestamp = new
        .started_at
        .parse()
        .map_err(|_| Problem::invalid(vec![Fault::new("/startedAt", "is not an RFC 3339 time")]))?;
    let mut tx = api.write(&caller).await?;
    let started = Time(started.as_millisecond());
    let scan = scans::add(&mut tx, started, &new.policy_revision, &new.findings).await?;
    let at = format!("/api/v1/scans/{}", scan.id);
    caller.commit(tx, Created::fixed_at(at, scan)).await
}

pub async fn get(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<ScanView>, Problem> {
    let mut tx = api.read(&caller).await?;
    let (scan, findings) = scans::get(&mut tx, &id).await?;
    Ok(Answer::new(ScanView { scan, findings }))
}
