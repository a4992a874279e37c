//! Walking the chains: is the past as it was written?

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Row as _, any::AnyRow};
use thiserror::Error;

use super::chain::{GENESIS, Row};
use crate::Tx;
use crate::db::Kind;
use crate::error::StoreError;

/// Rows read at a time.
const BATCH: i64 = 1000;

/// What the walk proves, and what it cannot, for people.
pub const PROVES: &str = "\
Proven: since these rows were written no row was changed, removed from the middle, put in, or taken off the end of a \
chain, by anybody who could not also rewrite every later row of its chain and the chain's head.
Not proven: the owner of the tables can disable the triggers, and a superuser (or, with SQLite, whoever may write the \
file) can rewrite chains and heads alike. Keep the heads printed here somewhere else, and compare them next time: a head \
that is still in its chain shows that nothing before it was rewritten.";

/// What was found of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// A tenant's id, or `system`.
    pub chain: String,
    /// Rows that were walked.
    pub rows: u64,
    /// Number of the newest row that was walked.
    pub seq: i64,
    /// Hash of it.
    pub hash: String,
    /// Where it begins after older rows were taken out and that was recorded; 0 where it is whole.
    pub anchored_at: i64,
    /// The first thing that is wrong.
    pub fault: Option<String>,
}

/// What was found of all chains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// By name.
    pub chains: Vec<Chain>,
    /// Triggers that keep the log append-only and are missing or disabled.
    pub unguarded: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.unguarded.is_empty() && self.chains.iter().all(|chain| chain.fault.is_none())
    }
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Fault {
    #[error("row {0} is not as it was written")]
    Changed(i64),
    #[error("row {0} does not follow the row before it")]
    Unlinked(i64),
    #[error("row {0} is missing")]
    Missing(i64),
    #[error("rows {0} to {1} are missing from its end")]
    Cut(i64, i64),
    #[error("its head says {0}, and there are rows up to {1}")]
    HeadBehind(i64, i64),
    #[error("its head holds another hash than its last row")]
    HeadChanged,
    #[error("it has rows and no head")]
    NoHead,
}

/// A chain on its way.
struct Walk {
    found: Chain,
    fault: Option<Fault>,
}

/// Walks every chain that the scope sees. The transaction is a reading one, so that what is written meanwhile is not
/// half seen.
pub async fn verify(tx: &mut Tx) -> Result<Report, StoreError> {
    let anchors = anchors(tx).await?;
    let mut walks: BTreeMap<String, Walk> = BTreeMap::new();
    let (mut chain, mut seq) = (String::new(), 0_i64);
    loop {
        let rows = batch(tx, &chain, seq).await?;
        let Some(last) = rows.last() else { break };
        (chain, seq) = (last.0.chain.clone(), last.0.seq);
        for (row, prev_hash, hash) in &rows {
            let walk =
                walks.entry(row.chain.clone()).or_insert_with(|| Walk::begin(row, prev_hash, &anchors));
            walk.step(row, prev_hash, hash);
        }
    }
    let heads =
        sqlx::query("SELECT chain, seq, hash FROM audit_heads ORDER BY chain").fetch_all(tx.sql()).await?;
    let mut heads = heads
        .iter()
        .map(|row| Ok((row.try_get("chain")?, (row.try_get("seq")?, row.try_get("hash")?))))
        .collect::<Result<BTreeMap<String, (i64, String)>, StoreError>>()?;
    let mut chains: Vec<Chain> = walks
        .into_iter()
        .map(|(name, walk)| {
            let head = heads.remove(&name);
            walk.end(head)
        })
        .collect();
    chains.extend(heads.into_iter().filter(|(_, (seq, _))| *seq > 0).map(|(chain, (seq, hash))| {
        let anchored = anchors.get(&(chain.clone(), seq)).is_some_and(|anchor| *anchor == hash);
        let fault = (!anchored).then(|| Fault::Cut(1, seq).to_string());
        let anchored_at = if anchored { seq } else { 0 };
        Chain { chain, rows: 0, seq: anchored_at, hash, anchored_at, fault }
    }));
    chains.sort_by(|one, other| one.chain.cmp(&other.chain));
    Ok(Report { chains, unguarded: unguarded(tx).await? })
}

impl Walk {
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

/// The triggers without which a statement could change the log.
async fn unguarded(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let (wanted, sql): (&[&str], _) = match tx.kind() {
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
    Ok(wanted
        .iter()
        .filter(|name| !found.iter().any(|found| found == *name))
        .map(|name| (*name).to_owned())
        .collect())
}
