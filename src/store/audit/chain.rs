//! Rows of the audit log, their hashes, and how they are appended. Denied attempts are counted in memory and written a few at
//! a time, so that failing requests cannot fill the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row as _};

use crate::audit::{Entry, Outcome, SYSTEM};
use crate::db::{Kind, Session};
use crate::error::StoreError;
use crate::ledger::Ledger;
use portcullis_access::Scope;

/// Previous hash of the first row.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) chain: String,
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) request_id: String,
    pub(super) actor: String,
    pub(super) minted_by: Option<String>,
    pub(super) actor_roles: String,
    pub(super) tenant_id: Option<String>,
    pub(super) action: String,
    pub(super) resource_type: String,
    pub(super) resource_id: Option<String>,
    pub(super) resource_name: Option<String>,
    pub(super) result: String,
    pub(super) attempts: i64,
    pub(super) first_at: Option<i64>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) reason: Option<String>,
}

pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) hash: String,
    pub(super) at: i64,
}

impl Row {
    /// The format is documented in `audit`.
    pub(super) fn hash(&self, prev_hash: &str) -> String {
        let mut state = Sha256::new();
        state.update(b"portcullis-audit-1\n");
        let mut field = |text: Option<&str>| match text {
            None => state.update([0]),
            Some(text) => {
                state.update([1]);
                state.update((text.len() as u64).to_be_bytes());
                state.update(text.as_bytes());
            }
        };
        field(Some(prev_hash));
        field(Some(&self.chain));
        field(Some(&self.seq.to_string()));
        field(Some(&self.at.to_string()));
        field(Some(&self.request_id));
        field(Some(&self.actor));
        field(self.minted_by.as_deref());
        field(Some(&self.actor_roles));
        field(self.tenant_id.as_deref());
        field(Some(&self.action));
        field(Some(&self.resource_type));
        field(self.resource_id.as_deref());
        field(self.resource_name.as_deref());
        field(Some(&self.result));
        field(Some(&self.attempts.to_string()));
        field(self.first_at.map(|at| at.to_string()).as_deref());
        field(self.before.as_deref());
        field(self.after.as_deref());
        field(self.reason.as_deref());
        hex::encode(state.finalize())
    }

    fn of(entry: &Entry, scope: &Scope, at: i64) -> Self {
        let tenant_id = entry.tenant_id.clone().or_else(|| scope.tenant().map(str::to_owned));
        let actor = scope.actor();
        let roles: Vec<Value> = actor.roles.iter().map(|role| role.to_string().into()).collect();
        let text = |document: &Option<Value>| document.as_ref().map(Value::to_string);
        Self {
            chain: tenant_id.clone().unwrap_or_else(|| SYSTEM.to_owned()),
            seq: 0,
            at,
            request_id: scope.request_id().to_owned(),
            actor: actor.name.clone(),
            minted_by: actor.minted_by.clone(),
            actor_roles: Value::Array(roles).to_string(),
            tenant_id,
            action: entry.action.to_owned(),
            resource_type: entry.resource_type.to_owned(),
            resource_id: entry.resource_id.clone(),
            resource_name: entry.resource_name.clone(),
            result: entry.outcome.as_str().to_owned(),
            attempts: 1,
            first_at: None,
            before: text(&entry.before),
            after: text(&entry.after),
            reason: entry.reason.clone(),
        }
    }
}

pub(crate) async fn append(
    session: &mut Session,
    kind: Kind,
    scope: &Scope,
    at: i64,
    entries: &[Entry],
) -> Result<(), StoreError> {
    write(session, kind, entries.iter().map(|entry| Row::of(entry, scope, at))).await
}

/// Numbers the rows. Chains are locked in the order of their names, so that two transactions never deadlock.
pub(super) async fn write(
    session: &mut Session,
    kind: Kind,
    rows: impl Iterator<Item = Row>,
) -> Result<(), StoreError> {
    let mut chains: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        chains.entry(row.chain.clone()).or_default().push(row);
    }
    for (chain, rows) in chains {
        let mut head = lock(session.connection(), &chain).await?;
        for mut row in rows {
            row.seq = head.seq + 1;
            // A transaction that began earlier may commit later, and clocks differ; the times of a chain must not decrease.
            row.at = row.at.max(head.at);
            let hash = row.hash(&head.hash);
            insert(session.connection(), kind, &row, &head.hash, &hash).await?;
            head = Head { seq: row.seq, hash, at: row.at };
        }
    }
    Ok(())
}

/// Locks the head until the end of the transaction and creates it for a new chain. One statement, which on both databases
/// waits for earlier writers and then sees their head.
async fn lock(on: &mut AnyConnection, chain: &str) -> Result<Head, StoreError> {
    let row = sqlx::query(
        "INSERT INTO audit_heads (chain, seq, hash) VALUES ($1, 0, $2) \
         ON CONFLICT (chain) DO UPDATE SET seq = audit_heads.seq RETURNING seq, hash, at",
    )
    .bind(chain)
    .bind(GENESIS)
    .fetch_one(on)
    .await?;
    Ok(Head { seq: row.try_get("seq")?, hash: row.try_get("hash")?, at: row.try_get("at")? })
}

macro_rules! insert_row {
    () => {
        "INSERT INTO audit_log (chain, seq, at, request_id, actor, minted_by, actor_roles, tenant_id, action, \
         resource_type, resource_id, resource_name, result, attempts, first_at, before, after, reason, prev_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
    };
}

/// Writes a row and the head; in one statement on PostgreSQL, because other writers wait for the head.
async fn insert(
    on: &mut AnyConnection,
    kind: Kind,
    row: &Row,
    prev_hash: &str,
    hash: &str,
) -> Result<(), StoreError> {
    let statement = match kind {
        Kind::Sqlite => insert_row!(),
        Kind::Postgres => concat!(
            "WITH written AS (",
            insert_row!(),
            ") UPDATE audit_heads SET seq = $2, at = $3, hash = $20 WHERE chain = $1"
        ),
    };
    sqlx::query(statement)
        .bind(&row.chain)
        .bind(row.seq)
        .bind(row.at)
        .bind(&row.request_id)
        .bind(&row.actor)
        .bind(&row.minted_by)
        .bind(&row.actor_roles)
        .bind(&row.tenant_id)
        .bind(&row.action)
        .bind(&row.resource_type)
        .bind(&row.resource_id)
        .bind(&row.resource_name)
        .bind(&row.result)
        .bind(row.attempts)
        .bind(row.first_at)
        .bind(&row.before)
        .bind(&row.after)
        .bind(&row.reason)
        .bind(prev_hash)
        .bind(hash)
        .execute(&mut *on)
        .await?;
    if kind == Kind::Sqlite {
        sqlx::query("UPDATE audit_heads SET seq = $1, hash = $2, at = $3 WHERE chain = $4")
            .bind(row.seq)
            .bind(hash)
            .bind(row.at)
            .bind(&row.chain)
            .execute(on)
            .await?;
    }
    Ok(())
}

/// Written every five seconds, so at most three rows per second.
const ROWS_MAX: usize = 16;

/// Further actors are counted together by action.
const DISTINCT_MAX: usize = 256;

const TEXT_MAX: usize = 256;

const OTHERS: &str = "(others)";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// `issuer#sub`, or a word such as `anonymous`; cut at 256 bytes.
    pub actor: String,
    pub tenant_id: Option<String>,
    pub action: &'static str,
    pub resource_type: &'static str,
    pub reason: &'static str,
}

#[derive(Debug, Clone)]
struct Attempts {
    count: i64,
    first: i64,
    last: i64,
    request_id: String,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<BTreeMap<Denial, Attempts>>>);

impl Denials {
    fn count(&self, mut denial: Denial, attempts: Attempts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DISTINCT_MAX && !known.contains_key(&denial) {
            denial = Denial { actor: OTHERS.to_owned(), tenant_id: None, ..denial };
        }
        known
            .entry(denial)
            .and_modify(|before| {
                before.count = before.count.saturating_add(attempts.count);
                before.first = before.first.min(attempts.first);
                if attempts.last >= before.last {
                    before.last = attempts.last;
                    before.request_id.clone_from(&attempts.request_id);
                }
            })
            .or_insert(attempts);
    }

    /// The oldest attempts first, so that each is written eventually.
    fn take(&self) -> Vec<(Denial, Attempts)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order: Vec<(i64, Denial)> =
            known.iter().map(|(denial, attempts)| (attempts.first, denial.clone())).collect();
        order.sort();
        order.truncate(ROWS_MAX);
        order.into_iter().filter_map(|(_, denial)| known.remove_entry(&denial)).collect()
    }
}

impl Ledger {
    /// Counts a denied attempt; does not block or fail.
    pub fn denied(&self, mut denial: Denial, request_id: &str) {
        let end = denial.actor.floor_char_boundary(TEXT_MAX);
        denial.actor.truncate(end);
        let now = jiff::Timestamp::now().as_millisecond();
        let end = request_id.floor_char_boundary(TEXT_MAX);
        let request_id = request_id.get(..end).unwrap_or_default().to_owned();
        self.denials().count(denial, Attempts { count: 1, first: now, last: now, request_id });
    }

    /// Writes up to 16 rows into the chain `system` and returns their number; after a failure the attempts stay counted.
    pub async fn write_denied(&self) -> Result<usize, StoreError> {
        let taken = self.denials().take();
        if taken.is_empty() {
            return Ok(0);
        }
        let written = self.append(&taken).await;
        if written.is_err() {
            taken
                .iter()
                .for_each(|(denial, attempts)| self.denials().count(denial.clone(), attempts.clone()));
        }
        written.map(|()| taken.len())
    }

    async fn append(&self, denials: &[(Denial, Attempts)]) -> Result<(), StoreError> {
        let mut session = self.begin_anonymous().await?;
        write(&mut session, self.kind(), denials.iter().map(|(denial, attempts)| row(denial, attempts)))
            .await?;
        session.commit().await
    }
}

fn row(denial: &Denial, attempts: &Attempts) -> Row {
    Row {
        chain: SYSTEM.to_owned(),
        seq: 0,
        at: attempts.last,
        request_id: attempts.request_id.clone(),
        actor: denial.actor.clone(),
        minted_by: None,
        actor_roles: "[]".to_owned(),
        tenant_id: denial.tenant_id.clone(),
        action: denial.action.to_owned(),
        resource_type: denial.resource_type.to_owned(),
        resource_id: None,
        resource_name: None,
        result: Outcome::Denied.as_str().to_owned(),
        attempts: attempts.count,
        first_at: Some(attempts.first),
        before: None,
        after: None,
        reason: Some(denial.reason.to_owned()),
    }
}
