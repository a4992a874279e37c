//! Rotation of the master key: encrypts the data key of every row with another master key. Values stay as they are.

use serde_json::json;

use super::audit::Entry;
use super::envelope::{MasterKey, Sealed};
use super::error::StoreError;
use super::ledger::Ledger;
use portcullis_access::Scope;

/// Rows per transaction; a value has at most half a megabyte.
const PAGE: i64 = 20;

/// How often rows that changed concurrently are tried again.
const PASSES: usize = 5;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationSummary {
    pub rewrapped: u64,
    /// Rows that already used the new key.
    pub already: u64,
    /// Clusters whose credentials decrypt with neither key; they stay unchanged.
    pub broken: Vec<String>,
    /// Rows that another process changed in every pass.
    pub changed: u64,
}

enum RowResult {
    Rewrapped,
    Already,
    Broken,
    Changed,
}

/// Commits page by page, so that an interrupted rotation can continue. A row is written only if its value decrypts with the
/// new key.
pub async fn rotate(
    ledger: &Ledger,
    scope: &Scope,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<RotationSummary, StoreError> {
    let mut all = RotationSummary::default();
    for _ in 0..PASSES {
        let pass = pass(ledger, scope, old, new).await?;
        let rewrapped = all.rewrapped + pass.rewrapped;
        // Rows of an earlier pass now use the new key.
        let already = pass.already.saturating_sub(all.rewrapped);
        all = RotationSummary { rewrapped, already, ..pass };
        if all.changed == 0 {
            break;
        }
    }
    Ok(all)
}

async fn pass(
    ledger: &Ledger,
    scope: &Scope,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<RotationSummary, StoreError> {
    let mut done = RotationSummary::default();
    let mut after = String::new();
    loop {
        let mut tx = ledger.write(scope).await?;
        let rows: Vec<(String, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT id, name, kubeconfig_enc, dek_enc FROM clusters \
             WHERE kubeconfig_enc IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
        )
        .bind(&after)
        .bind(PAGE)
        .fetch_all(tx.sql())
        .await?;
        let Some((last, ..)) = rows.last() else {
            tx.rollback().await?;
            return Ok(done);
        };
        after.clone_from(last);
        let mut rewrapped = 0_u64;
        for (id, name, value, dek) in rows {
            match rotate_row(&mut tx, old, new, &id, Sealed { value, dek }).await? {
                RowResult::Rewrapped => rewrapped += 1,
                RowResult::Already => done.already += 1,
                RowResult::Broken => done.broken.push(name),
                RowResult::Changed => done.changed += 1,
            }
        }
        if rewrapped == 0 {
            tx.rollback().await?;
            continue;
        }
        done.rewrapped += rewrapped;
        tx.audit(Entry::new("masterKey.rotate", "masterKey").after(json!({ "rewrapped": rewrapped })));
        tx.commit().await?;
    }
}

async fn rotate_row(
    tx: &mut super::Tx,
    old: &MasterKey,
    new: &MasterKey,
    id: &str,
    sealed: Sealed,
) -> Result<RowResult, StoreError> {
    let dek = match new.rewrap(old, id, &sealed.dek) {
        Ok(None) => return Ok(RowResult::Already),
        Ok(Some(dek)) => dek,
        Err(_) => return Ok(RowResult::Broken),
    };
    let moved = Sealed { value: sealed.value, dek };
    if new.open(id, &moved).is_err() {
        return Ok(RowResult::Broken);
    }
    // The version stays, because the value is unchanged.
    let statement = sqlx::query("UPDATE clusters SET dek_enc = $1 WHERE id = $2 AND dek_enc = $3");
    let done = statement.bind(moved.dek).bind(id).bind(sealed.dek).execute(tx.sql()).await?;
    Ok(if done.rows_affected() == 1 { RowResult::Rewrapped } else { RowResult::Changed })
}
