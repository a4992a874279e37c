//! Verifies the hash chains, and maintains the log: writes denied attempts and creates partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};

use crate::Tx;
use crate::audit::chain::{GENESIS, Row};
use crate::db::Kind;
use crate::error::StoreError;
use crate::ledger::{Ledger, SchemaState};

const BATCH: i64 = 1000;

/// What verification proves and what it does not, for users.
pub const PROVES: &str = "\
Proven: no row was changed, inserted or removed since it was written, except by someone who can also rewrite all later \
rows of its chain and the head of the chain.
Not proven: the owner of the tables can disable the triggers, and a superuser (with SQLite, anyone who can write the file) \
can rewrite chains and heads. Store the heads printed here elsewhere and compare them next time: a head that is still in \
its chain shows that no earlier row was rewritten.";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Id of a tenant, or `system`.
    pub chain: String,
    pub rows: u64,
    /// Number of the newest verified row.
    pub seq: i64,
    pub hash: String,
    /// Where the chain begins after older rows were removed and recorded in an anchor; 0 for a complete chain.
    pub anchored_at: i64,
    pub fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub chains: Vec<Chain>,
    /// Missing or disabled triggers that make the log append-only.
    pub unguarded: Vec<String>,
}

impl Report {
    pub fn is_intact(&self) -> bool {
        self.unguarded.is_empty() && self.chains.iter().all(|chain| chain.fault.is_none())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Fault {
    #[error("row {0} was changed after it was written")]
    Changed(i64),
    #[error("row {0} does not follow the row before it")]
    Unlinked(i64),
    #[error("row {0} is missing")]
    Missing(i64),
    #[error("rows {0} to {1} are missing at the end")]
    Cut(i64, i64),
    #[error("its head is at row {0}, but the chain has rows up to {1}")]
    HeadBehind(i64, i64),
    #[error("the hash in its head differs from that of its last row")]
    HeadChanged,
    #[error("its head is missing")]
    NoHead,
}

struct ChainCheck {
    found: Chain,
    fault: Option<Fault>,
}

/// Verifies every chain that the scope sees. The transaction must be read-only, so that concurrent writes are not half visible.
pub async fn verify(tx: &mut Tx) -> Result<Report, StoreError> {
    let anchors = anchors(tx).await?;
    let mut checks: BTreeMap<String, ChainCheck> = BTreeMap::new();
    let (mut chain, mut seq) = (String::new(), 0_i64);
    loop {
        let rows = batch(tx, &chain, seq).await?;
        let Some(last) = rows.last() else { break };
        (chain, seq) = (last.0.chain.clone(), last.0.seq);
        for (row, prev_hash, hash) in &rows {
            let check = checks
                .entry(row.chain.clone())
                .or_insert_with(|| ChainCheck::begin(row, prev_hash, &anchors));
            check.step(row, prev_hash, hash);
        }
    }
    let heads =
        sqlx::query("SELECT chain, seq, hash FROM audit_heads ORDER BY chain").fetch_all(tx.sql()).await?;
    let mut heads = heads
        .iter()
        .map(|row| Ok((row.try_get("chain")?, (row.try_get("seq")?, row.try_get("hash")?))))
        .collect::<Result<BTreeMap<String, (i64, String)>, StoreError>>()?;
    let mut chains: Vec<Chain> = checks
        .into_iter()
        .map(|(name, check)| {
            let head = heads.remove(&name);
            check.end(head)
        })
        .collect();
    chains.extend(heads.into_iter().filter(|(_, (seq, _))| *seq > 0).map(|(chain, (seq, hash))| {
        let anchored = anchors.get(&(chain.clone(), seq)).is_some_and(|anchor| *anchor == hash);
        let fault = (!anchored).then(|| Fault::Cut(1, seq).to_string());
        let anchored_at = if anchored { seq } else { 0 };
        Chain { chain, rows: 0, seq: anchored_at, hash, anchored_at, fault }
    }));
    chains.sort_by(|one, other| one.chain.cmp(&other.chain));
    Ok(Report { chains, unguarded: missing_triggers(tx).await? })
}

impl ChainCheck {
    fn begin(row: &Row, prev_hash: &str, anchors: &BTreeMap<(String, i64), String>) -> Self {
        let before = row.seq - 1;
        let anchor = anchors.get(&(row.chain.clone(), before)).filter(|hash| **hash == prev_hash);
        let (seq, hash) = anchor.map_or((0, GENESIS), |hash| (before, hash.as_str()));
        let found = Chain {
            chain: row.chain.clone(),
            rows: 0,
            seq,
            hash: hash.to_owned(),
            anchored_at: seq,
            fault: None,
        };
        Self { found, fault: None }
    }

    fn step(&mut self, row: &Row, prev_hash: &str, hash: &str) {
        let Chain { rows, seq, hash: before, .. } = &mut self.found;
        *rows += 1;
        if self.fault.is_some() {
            return;
        }
        self.fault = if row.seq != *seq + 1 {
            Some(Fault::Missing(*seq + 1))
        } else if prev_hash != before {
            Some(Fault::Unlinked(row.seq))
        } else if row.hash(prev_hash) != hash {
            Some(Fault::Changed(row.seq))
        } else {
            None
        };
        if self.fault.is_none() {
            *seq = row.seq;
            hash.clone_into(before);
        }
    }

    fn end(self, head: Option<(i64, String)>) -> Chain {
        let Self { mut found, fault } = self;
        let fault = fault.or_else(|| match head {
            None => Some(Fault::NoHead),
            Some((seq, _)) if seq > found.seq => Some(Fault::Cut(found.seq + 1, seq)),
            Some((seq, _)) if seq < found.seq => Some(Fault::HeadBehind(seq, found.seq)),
            Some((_, hash)) if hash != found.hash => Some(Fault::HeadChanged),
            Some(_) => None,
        });
        found.fault = fault.map(|fault| fault.to_string());
        found
    }
}

async fn anchors(tx: &mut Tx) -> Result<BTreeMap<(String, i64), String>, StoreError> {
    let rows = sqlx::query("SELECT chain, seq, hash FROM audit_anchors").fetch_all(tx.sql()).await?;
    rows.iter().map(|row| Ok(((row.try_get("chain")?, row.try_get("seq")?), row.try_get("hash")?))).collect()
}

async fn batch(tx: &mut Tx, chain: &str, seq: i64) -> Result<Vec<(Row, String, String)>, StoreError> {
    let rows = sqlx::query(
        "SELECT chain, seq, at, request_id, actor, minted_by, actor_roles, tenant_id, action, resource_type, \
         resource_id, resource_name, result, attempts, first_at, before, after, reason, prev_hash, hash \
         FROM audit_log WHERE (chain, seq) > ($1, $2) ORDER BY chain, seq LIMIT $3",
    )
    .bind(chain)
    .bind(seq)
    .bind(BATCH)
    .fetch_all(tx.sql())
    .await?;
    rows.iter().map(|row| Ok((read(row)?, row.try_get("prev_hash")?, row.try_get("hash")?))).collect()
}

fn read(row: &AnyRow) -> Result<Row, StoreError> {
    Ok(Row {
        chain: row.try_get("chain")?,
        seq: row.try_get("seq")?,
        at: row.try_get("at")?,
        request_id: row.try_get("request_id")?,
        actor: row.try_get("actor")?,
        minted_by: row.try_get("minted_by")?,
        actor_roles: row.try_get("actor_roles")?,
        tenant_id: row.try_get("tenant_id")?,
        action: row.try_get("action")?,
        resource_type: row.try_get("resource_type")?,
        resource_id: row.try_get("resource_id")?,
        resource_name: row.try_get("resource_name")?,
        result: row.try_get("result")?,
        attempts: row.try_get("attempts")?,
        first_at: row.try_get("first_at")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
        reason: row.try_get("reason")?,
    })
}

/// Triggers without which a statement could change the log.
async fn missing_triggers(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let (expected, sql): (&[&str], _) = match tx.kind() {
        Kind::Sqlite => (
            &["audit_log_no_update", "audit_log_no_delete", "audit_log_no_replace"],
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'",
        ),
        Kind::Postgres => (
            &["append_only", "no_truncate"],
            "SELECT tgname::text AS name FROM pg_trigger WHERE tgrelid = 'audit_log'::regclass AND tgenabled IN ('O', 'A')",
        ),
    };
    let rows = sqlx::query(sql).fetch_all(tx.sql()).await?;
    let found = rows.iter().map(|row| row.try_get("name")).collect::<Result<Vec<String>, _>>()?;
    Ok(expected
        .iter()
        .filter(|name| !found.iter().any(|found| found == *name))
        .map(|name| (*name).to_owned())
        .collect())
}

const WRITE_INTERVAL: Duration = Duration::from_secs(5);

const PARTITION_INTERVAL: Duration = Duration::from_hours(12);

/// Longer than a month.
const PARTITION_AHEAD_MS: i64 = 35 * 24 * 60 * 60 * 1000;

impl Ledger {
    /// Waits for the schema, then writes denied attempts and creates partitions until it is dropped. Failures are logged and
    /// tried again.
    pub async fn maintain_audit(&self) {
        // On a new ledger without tables the partitions would fail and be tried again only after twelve hours.
        if self.state().wait_for(|state| *state == SchemaState::Ready).await.is_err() {
            return;
        }
        let (mut write, mut partitions) = (interval(WRITE_INTERVAL), interval(PARTITION_INTERVAL));
        write.set_missed_tick_behavior(MissedTickBehavior::Delay);
        partitions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = write.tick() => self.write_denied().await.map(drop),
                _ = partitions.tick() => self.create_audit_partitions().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "maintenance of the audit log failed and will be tried again");
            }
        }
    }

    /// Creates the partitions of this month and the next, so that they can be detached later. No effect on SQLite.
    pub async fn create_audit_partitions(&self) -> Result<(), StoreError> {
        if self.kind() == Kind::Sqlite {
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_millisecond();
        let mut session = self.begin_system().await?;
        for at in [now, now + PARTITION_AHEAD_MS] {
            let create = sqlx::query("SELECT portcullis_audit_partition($1)").bind(at);
            create.execute(session.connection()).await?;
        }
        session.commit().await
    }
}
