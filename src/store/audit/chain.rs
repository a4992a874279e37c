//! Rows and their hashes, and how they are appended.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row as _};

use super::{Entry, SYSTEM};
use crate::db::{Kind, Session};
use crate::error::StoreError;
use portcullis_access::Scope;

/// What stands before the first row of a chain.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A row as it is stored, without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) chain: String,
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) request_id: String,
    pub(super) actor: String,
    pub(super) minted_by: Option<String>,
    /// JSON list.
    pub(super) actor_roles: String,
    pub(super) tenant_id: Option<String>,
    pub(super) action: String,
    pub(super) resource_type: String,
    pub(super) resource_id: Option<String>,
    pub(super) resource_name: Option<String>,
    pub(super) result: String,
    pub(super) attempts: i64,
    pub(super) first_at: Option<i64>,
    /// JSON.
    pub(super) before: Option<String>,
    /// JSON.
    pub(super) after: Option<String>,
    pub(super) reason: Option<String>,
}

/// The newest row of a chain, locked.
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) hash: String,
    /// When it was.
    pub(super) at: i64,
}

impl Row {
    /// The hash, as documented in `audit`.
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

/// Appends what a transaction did to the chains it belongs to.
pub(crate) async fn append(
    session: &mut Session,
    kind: Kind,
    scope: &Scope,
    at: i64,
    entries: &[Entry],
) -> Result<(), StoreError> {
    write(session, kind, entries.iter().map(|entry| Row::of(entry, scope, at))).await
}

/// Appends rows, whose numbers are given here. Chains are locked in order of their names, as everybody does.
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
            // A transaction that began earlier may commit later, and clocks differ: by its time, too, a row is after the
            // one before it, so that the log's order is the chain's.
            row.at = row.at.max(head.at);
            let hash = row.hash(&head.hash);
            insert(session.connection(), kind, &row, &head.hash, &hash).await?;
            head = Head { seq: row.seq, hash, at: row.at };
        }
    }
    Ok(())
}

/// Locks the head of a chain to the end of the transaction; a chain that is new gets its head. One statement, which on
/// both databases waits for whoever is before us and then sees what they wrote.
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

/// Writes a row and moves the head to it. The head is locked and others wait for it, so where one statement can do both,
/// one does.
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
