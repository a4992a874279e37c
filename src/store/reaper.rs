//! Ends what has a time and is over, exceptions and break-glass documents, and deletes sandboxes whose time is over, as anybody may who serves the ledger's API: any number of processes at once.
//!
//! Each is deleted in a transaction of its own that locks its tenant and looks again. So whoever comes second finds it gone,
//! and what cannot be deleted now keeps nothing else from it. Until it is deleted, gates let nobody of its tenant write in it.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::sandboxes::{self, Sandbox};
use super::{Ledger, breakglass, exceptions, projects, tenants};
use portcullis_access::{Action, Denied, Identity, Scope, authorize};

/// How often it is looked for what has expired.
const ROUND: Duration = Duration::from_secs(10);

/// At most so many in a round: a flood of them must not starve those who wait to write.
const ROUND_MAX: i64 = 100;

/// Why the reaper failed.
#[derive(Debug, thiserror::Error)]
pub enum ReapError {
    /// The ledger cannot be read or written just now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process may not do what it does.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// Something that has expired.
struct Expired {
    id: String,
    tenant_id: String,
    project_id: String,
}

/// Deletes what expires, until told to stop.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn run(ledger: Ledger, stop: CancellationToken) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(ROUND) => {}
        }
        match round(&ledger).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "sandboxes whose time was over are deleted"),
            // The database being away is told by those who need it more.
            Err(error) => tracing::debug!(%error, "looking for expired sandboxes failed"),
        }
        if let Err(error) = leave(&ledger).await {
            tracing::debug!(%error, "looking for leave that is over failed");
        }
    }
}

/// Takes out leave from laws that is over; how many there were. Gates look at the time themselves, so nobody waits for this.
///
/// # Errors
/// The ledger cannot be written.
pub async fn leave(ledger: &Ledger) -> Result<usize, ReapError> {
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
    let count = exceptions::end(&mut tx).await? + breakglass::end(&mut tx).await?;
    tx.commit().await?;
    Ok(count)
}

/// One round; how many were deleted.
///
/// # Errors
/// The ledger cannot be read; what cannot be deleted is told and left for the next round.
pub async fn round(ledger: &Ledger) -> Result<usize, ReapError> {
    let scope = authorize(&Identity::process("reaper"), Action::SandboxesDelete, None, &request_id())?;
    let mut tx = ledger.read(&scope).await?;
    let now = tx.now();
    let rows = sqlx::query(
        "SELECT id, tenant_id, project_id FROM sandboxes WHERE expires_at <= $1 AND state = 'active' \
         ORDER BY expires_at, id LIMIT $2",
    )
    .bind(now)
    .bind(ROUND_MAX)
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
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(sandbox = expired.id, %error, "an expired sandbox cannot be deleted")
            }
        }
    }
    Ok(count)
}

/// Deletes one, unless somebody else has, or has given it more time.
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
    sandboxes::remove(&mut tx, &sandbox, Some("its time was over")).await?;
    tx.commit().await?;
    Ok(true)
}

fn request_id() -> String {
    format!("reaper-{}", super::new_id())
}
