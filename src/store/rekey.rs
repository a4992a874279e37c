//! The rotation of the master key: the key of every row is encrypted under another one. Values stay as they are.

use serde_json::json;

use super::audit::Entry;
use super::error::StoreError;
use super::ledger::Ledger;
use super::seal::{MasterKey, Sealed};
use portcullis_access::Scope;

/// Rows of one transaction: a value has half a megabyte at most.
const PAGE: i64 = 20;

/// How often rows are looked at again that changed meanwhile.
const PASSES: usize = 5;

/// Of rows with a sealed value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Whose key is now under the new master key.
    pub rewrapped: u64,
    /// Whose key was so already.
    pub already: u64,
    /// Names of clusters whose credentials open with neither key; they stay as they are.
    pub broken: Vec<String>,
    /// Rows that another process changed at the same time, each time they were looked at.
    pub changed: u64,
}

/// What became of a row.
enum Row {
    Rewrapped,
    Already,
    Broken,
    Changed,
}

/// Encrypts the key of every row under `new` instead of `old`, in pages that are committed one by one: a rotation that was
/// broken off goes on where it was. A row is written only once its value has been opened with the new key.
///
/// # Errors
/// The ledger cannot be read or written; what was committed before stays.
pub async fn rotate(
    ledger: &Ledger,
    scope: &Scope,
    old: &MasterKey,
    new: &MasterKey,
) -> Result<Rotated, StoreError> {
    let mut all = Rotated::default();
    for _ in 0..PASSES {
        let pass = pass(ledger, scope, old, new).await?;
        let rewrapped = all.rewrapped + pass.rewrapped;
        // Those of an earlier pass are under the new key now.
        let already = pass.already.saturating_sub(all.rewrapped);
        all = Rotated { rewrapped, already, ..pass };
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
) -> Result<Rotated, StoreError> {
    let mut done = Rotated::default();
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
            match row(&mut tx, old, new, &id, Sealed { value, dek }).await? {
                Row::Rewrapped => rewrapped += 1,
                Row::Already => done.already += 1,
                Row::Broken => done.broken.push(name),
                Row::Changed => done.changed += 1,
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

async fn row(
    tx: &mut super::Tx,
    old: &MasterKey,
    new: &MasterKey,
    id: &str,
    sealed: Sealed,
) -> Result<Row, StoreError> {
    let dek = match new.rewrap(old, id, &sealed.dek) {
        Ok(None) => return Ok(Row::Already),
        Ok(Some(dek)) => dek,
        Err(_) => return Ok(Row::Broken),
    };
    let moved = Sealed { value: sealed.value, dek };
    if new.open(id, &moved).is_err() {
        return Ok(Row::Broken);
    }
    // The version stays: what is kept is the same as before.
    let statement = sqlx::query("UPDATE clusters SET dek_enc = $1 WHERE id = $2 AND dek_enc = $3");
    let done = statement.bind(moved.dek).bind(id).bind(sealed.dek).execute(tx.sql()).await?;
    Ok(if done.rows_affected() == 1 { Row::Rewrapped } else { Row::Changed })
}
