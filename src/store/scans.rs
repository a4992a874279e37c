//! Results of the last scans of existing resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::{Time, Tx, new_id};

/// Older scans are deleted when a new one is added.
const RETAINED: i64 = 20;

/// A scan.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// UUID.
    #[schema(format = "uuid")]
    pub id: String,
    /// Start time.
    pub started_at: Time,
    /// Digest of the policies that were evaluated.
    pub policy_revision: String,
    /// Findings by policy; a tenant sees only its own.
    pub counts: BTreeMap<String, i64>,
    /// Time of the upload.
    pub created_at: Time,
}

/// A finding of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScanFinding {
    /// UUID of the tenant of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid", min_length = 36, max_length = 36)]
    pub tenant_id: Option<String>,
    /// Id of the policy.
    #[schema(min_length = 1, max_length = 63)]
    pub policy: String,
    /// `namespace/resource/name`.
    #[schema(min_length = 1, max_length = 600)]
    pub object: String,
    /// Message of the policy.
    #[schema(min_length = 1, max_length = 1024)]
    pub message: String,
}

pub async fn list(tx: &mut Tx) -> Result<Vec<Scan>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, started_at, law_revision, counts, created_at FROM scans ORDER BY created_at DESC, id DESC LIMIT 50",
    )
    .fetch_all(tx.sql())
    .await?;
    let mut scans = Vec::with_capacity(rows.len());
    for row in &rows {
        scans.push(with_visible_counts(tx, read(row)?).await?);
    }
    Ok(scans)
}

pub async fn get(tx: &mut Tx, id: &str) -> Result<(Scan, Vec<ScanFinding>), StoreError> {
    let row = sqlx::query("SELECT id, started_at, law_revision, counts, created_at FROM scans WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    let scan = read(&row.ok_or(StoreError::NotFound("scan"))?)?;
    let tenant = tx.tenant();
    let rows = sqlx::query(
        "SELECT tenant_id, policy, object, message FROM scan_findings \
         WHERE scan_id = $1 AND ($2 IS NULL OR tenant_id = $2) ORDER BY id",
    )
    .bind(id.to_owned())
    .bind(tenant)
    .fetch_all(tx.sql())
    .await?;
    let finding = |row: &AnyRow| -> Result<ScanFinding, StoreError> {
        Ok(ScanFinding {
            tenant_id: row.try_get("tenant_id")?,
            policy: row.try_get("policy")?,
            object: row.try_get("object")?,
            message: row.try_get("message")?,
        })
    };
    let findings = rows.iter().map(finding).collect::<Result<_, _>>()?;
    Ok((with_visible_counts(tx, scan).await?, findings))
}

/// Stores a scan and deletes the oldest.
pub async fn add(
    tx: &mut Tx,
    started_at: Time,
    policy_revision: &str,
    findings: &[ScanFinding],
) -> Result<Scan, StoreError> {
    let (id, now) = (new_id(), tx.now());
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for finding in findings {
        *counts.entry(&finding.policy).or_default() += 1;
    }
    sqlx::query(
        "INSERT INTO scans (id, created_at, started_at, law_revision, counts) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(started_at.0)
    .bind(policy_revision.to_owned())
    .bind(json!(counts).to_string())
    .execute(tx.sql())
    .await?;
    for finding in findings {
        sqlx::query(
            "INSERT INTO scan_findings (id, created_at, scan_id, tenant_id, policy, object, message) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new_id())
        .bind(now)
        .bind(id.clone())
        .bind(finding.tenant_id.clone())
        .bind(finding.policy.clone())
        .bind(finding.object.clone())
        .bind(finding.message.clone())
        .execute(tx.sql())
        .await?;
    }
    sqlx::query(
        "DELETE FROM scans WHERE id NOT IN (SELECT id FROM scans ORDER BY created_at DESC, id DESC LIMIT $1)",
    )
    .bind(RETAINED)
    .execute(tx.sql())
    .await?;
    tx.audit(Entry::new("scan.create", "scan").of(&id, policy_revision).after(json!(counts)));
    Ok(get(tx, &id).await?.0)
}

/// A tenant sees only the counts of its own objects.
async fn with_visible_counts(tx: &mut Tx, mut scan: Scan) -> Result<Scan, StoreError> {
    let Some(tenant) = tx.tenant() else { return Ok(scan) };
    let rows = sqlx::query(
        "SELECT policy, COUNT(*) AS found FROM scan_findings WHERE scan_id = $1 AND tenant_id = $2 GROUP BY policy",
    )
    .bind(scan.id.clone())
    .bind(tenant)
    .fetch_all(tx.sql())
    .await?;
    let count = |row: &AnyRow| -> Result<(String, i64), StoreError> {
        Ok((row.try_get("policy")?, row.try_get("found")?))
    };
    scan.counts = rows.iter().map(count).collect::<Result<_, _>>()?;
    Ok(scan)
}

fn read(row: &AnyRow) -> Result<Scan, StoreError> {
    Ok(Scan {
        id: row.try_get("id")?,
        started_at: Time(row.try_get("started_at")?),
        policy_revision: row.try_get("law_revision")?,
        counts: parse("the counts of a scan", &row.try_get::<String, _>("counts")?)?,
        created_at: Time(row.try_get("created_at")?),
    })
}
