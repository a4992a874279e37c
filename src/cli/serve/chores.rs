//! What a server does for the ledger while nobody asks: denied attempts are written down, what is over is forgotten.

use std::convert::Infallible;
use std::time::Duration;

use portcullis_access::{Action, Identity, authorize};
use portcullis_store::{Ledger, StoreError, idempotency, identities, released, tokens};

/// Between two purges. What they remove is not believed any more anyhow; several servers that do it disturb nobody.
const PURGE_EVERY: Duration = Duration::from_mins(10);

/// Before the first purge.
const PURGE_FIRST: Duration = Duration::from_mins(1);

/// Does it for as long as it is polled.
pub async fn keep(ledger: Ledger) -> Infallible {
    let purging = async {
        // Not at once: a new ledger has no tables yet.
        let first = tokio::time::Instant::now() + PURGE_FIRST;
        let mut ticks = tokio::time::interval_at(first, PURGE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match purge(&ledger).await {
                Ok(0) => {}
                Ok(rows) => tracing::debug!(rows, "kept answers and revocations that are over were removed"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what is over could not be removed"
                ),
            }
        }
    };
    tokio::select! {
        () = ledger.keep_audit() => {}
        () = purging => {}
    }
    // Neither ends.
    std::future::pending().await
}

/// The last of what was counted, before the process ends.
pub async fn end(ledger: &Ledger) {
    if let Err(error) = ledger.write_denied().await {
        tracing::warn!(%error, "denied attempts were counted, and could not be written");
    }
}

async fn purge(ledger: &Ledger) -> Result<u64, StoreError> {
    let who = Identity::process("janitor");
    let Ok(scope) = authorize(&who, Action::TokensRevoke, None, "janitor") else { return Ok(0) };
    let mut tx = ledger.write(&scope).await?;
    let answers = idempotency::purge(&mut tx).await?;
    let revocations = identities::purge(&mut tx).await? + tokens::purge(&mut tx).await?;
    let names = released::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(answers + revocations + names)
}
