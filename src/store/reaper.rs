//! Deletes expired sandboxes and ends expired exceptions and break-glass documents. Any number of processes may run it: each
//! sandbox is deleted in a transaction of its own that locks the tenant and checks again. Until then gates deny writes in it.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::sandboxes::{self, Sandbox};
use super::{Ledger, breakglass, exceptions, projects, tenants};
use portcullis_access::{Action, Denied, Identity, Scope, authorize};

const INTERVAL: Duration = Duration::from_secs(10);

/// Per run, so that other writers are not starved.
const BATCH_MAX: i64 = 100;

#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Denied(#[from] Denied),
}

struct Expired {
    id: String,
    tenant_id: String,
    project_id: String,
}

/// Runs until `stop` is cancelled.
pub async fn run(ledger: Ledger, stop: CancellationToken) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match delete_expired_sandboxes(&ledger).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "expired sandboxes deleted"),
            // The feed already reports an unavailable database.
            Err(error) => tracing::debug!(%error, "deleting expired sandboxes failed"),
        }
        if let Err(error) = end_expired_exemptions(&ledger).await {
            tracing::debug!(%error, "ending expired exemptions failed");
        }
    }
}

/// Number of ended exceptions and break-glass documents. Gates compare the expiry themselves.
async fn end_expired_exemptions(ledger: &Ledger) -> Result<usize, ReapError> {
    let scope = authorize(&Identity::process("reaper"), Action::ExceptionsDelete, None, &request_id())?;
    let mut tx = ledger.read(&scope).await?;
    let now = tx.now();
    let over = sqlx::query(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM exceptions WHERE state = 'active' AND expires_at <= $1) \
         OR EXISTS (SELECT 1 FROM breakglass WHERE closed_at IS NULL AND expires_at <= $1)",
    );
    let over = over.bind(now).fetch_optional(tx.sql()).await.map_err(StoreError::from)?;
    tx.rollback().await?;
    if over.is_none() {
        return Ok(0);
    }
    let mut tx = ledger.write(&scope).await?;
    let count = exceptions::expire(&mut tx).await? + breakglass::expire(&mut tx).await?;
    tx.commit().await?;
    Ok(count)
}

/// Number of deleted sandboxes; one that cannot be deleted is logged and tried again in the next run.
pub async fn delete_expired_sandboxes(ledger: &Ledger) -> Result<usize, ReapError> {
    let scope = authorize(&Identity::process("reaper"), Action::SandboxesDelete, None, &request_id())?;
    let mut tx = ledger.read(&scope).await?;
    let now = tx.now();
    let rows = sqlx::query(
        "SELECT id, tenant_id, project_id FROM sandboxes WHERE expires_at <= $1 AND state = 'active' \
         ORDER BY expires_at, id LIMIT $2",
    )
    .bind(now)
    .bind(BATCH_MAX)
    .fetch_all(tx.sql())
    .await
    .map_err(StoreError::from)?;
    tx.rollback().await?;
    let mut count = 0;
    for row in rows {
        let text = |column: &str| row.try_get::<String, _>(column).map_err(StoreError::from);
        let expired =
            Expired { id: text("id")?, tenant_id: text("tenant_id")?, project_id: text("project_id")? };
        match delete(ledger, &scope, &expired).await {
            Ok(true) => count += 1,
            Ok(false) => {}
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(sandbox = expired.id, %error, "an expired sandbox could not be deleted")
            }
        }
    }
    Ok(count)
}

/// `false` if another process deleted or extended it.
async fn delete(ledger: &Ledger, scope: &Scope, expired: &Expired) -> Result<bool, StoreError> {
    let mut tx = ledger.write(scope).await?;
    let tenant = match tenants::change_anywhere(&mut tx, &expired.tenant_id).await {
        Err(StoreError::NotFound(_)) => return Ok(false),
        found => found?,
    };
    let project = projects::get(&mut tx, &tenant.id, &expired.project_id).await;
    let sandbox: Sandbox = match project {
        Ok(project) => match sandboxes::get(&mut tx, &project, &expired.id).await {
            Err(StoreError::NotFound(_)) => return Ok(false),
            found => found?,
        },
        Err(StoreError::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let over = sandbox.expires_at.is_some_and(|at| at.0 <= tx.now());
    if !over || sandbox.state != "active" {
        tx.rollback().await?;
        return Ok(false);
    }
    sandboxes::remove(&mut tx, &sandbox, Some("expired")).await?;
    tx.commit().await?;
    Ok(true)
}

fn request_id() -> String {
    format!("reaper-{}", super::new_id())
}
