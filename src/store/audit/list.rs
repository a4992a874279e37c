//! Reading the log, newest first.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sqlx::{Row as _, any::AnyRow};
use utoipa::ToSchema;

use crate::Tx;
use crate::error::StoreError;
use crate::revision::parse;

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The chain it stands in: a tenant's id, or `system`.
    pub chain: String,
    /// Its number in the chain, from 1.
    pub seq: i64,
    /// When, RFC 3339; the last time, of attempts that were counted together.
    #[schema(format = DateTime)]
    pub at: String,
    /// The request.
    pub request_id: String,
    /// Who: `issuer#sub`.
    pub actor: String,
    /// Who minted the token of it, where that was somebody else.
    pub minted_by: Option<String>,
    /// What it was when it acted.
    pub actor_roles: Vec<String>,
    /// Whose it is; for a denied attempt, the caller's tenant.
    pub tenant_id: Option<String>,
    /// What was done.
    #[schema(example = "tenant.update")]
    pub action: String,
    /// To what.
    pub resource_type: String,
    /// Its id.
    pub resource_id: Option<String>,
    /// Its name.
    pub resource_name: Option<String>,
    /// `ok`, `denied` or `error`.
    pub result: String,
    /// How many attempts the row stands for.
    pub attempts: i64,
    /// When the first of several was, RFC 3339.
    #[schema(format = DateTime)]
    pub first_at: Option<String>,
    /// What it was, without credentials.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What it is now, without credentials.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    /// Why.
    pub reason: Option<String>,
    /// SHA-256 of the row and the one before it, hex.
    pub hash: String,
    /// Where a list goes on after this row.
    #[serde(skip)]
    pub cursor: String,
}

/// Which rows are wanted; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one tenant, by id.
    pub tenant_id: Option<String>,
    /// Of one kind of deed: `tenant.update`.
    pub action: Option<String>,
    /// At or after this time, unix milliseconds.
    pub since: Option<i64>,
}

/// Rows that the scope may see, newest first, after a [`Record::cursor`]. A cursor of another form begins anew. With
/// `full` false `before` and `after` are not read.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<Record>, StoreError> {
    let own = tx.tenant();
    let (at, chain, seq) = after
        .and_then(place)
        .map_or((None, None, None), |(at, chain, seq)| (Some(at), Some(chain.to_owned()), Some(seq)));
    // What is not asked for does not stand in the statement: a condition that may be none takes no index.
    let long =
        if full { "before, after" } else { "CAST(NULL AS TEXT) AS before, CAST(NULL AS TEXT) AS after" };
    let mut statement = format!(
        "SELECT chain, seq, at, request_id, actor, minted_by, actor_roles, tenant_id, action, resource_type, \
         resource_id, resource_name, result, attempts, first_at, {long}, reason, hash FROM audit_log WHERE 1 = 1"
    );
    let mut number = 0;
    let mut and = |asked: bool, condition: &str| {
        if asked {
            number += 1;
            statement.push_str(" AND ");
            statement.push_str(&condition.replace('$', &format!("${number}")));
        }
    };
    and(own.is_some(), "tenant_id = $");
    and(filter.tenant_id.is_some(), "tenant_id = $");
    and(filter.action.is_some(), "action = $");
    and(filter.since.is_some(), "at >= $");
    and(at.is_some(), "at <= $");
    if at.is_some() {
        let (at, chain, seq) = (number, number + 1, number + 2);
        number = seq;
        let after = format!(" AND (at < ${at} OR chain > ${chain} OR (chain = ${chain} AND seq < ${seq}))");
        statement.push_str(&after);
    }
    let _ = write!(statement, " ORDER BY at DESC, chain, seq DESC LIMIT ${}", number + 1);
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement));
    for text in [own.as_ref(), filter.tenant_id.as_ref(), filter.action.as_ref()].into_iter().flatten() {
        query = query.bind(text.clone());
    }
    if let Some(since) = filter.since {
        query = query.bind(since);
    }
    if let (Some(at), Some(chain), Some(seq)) = (at, chain, seq) {
        query = query.bind(at).bind(chain).bind(seq);
    }
    let rows = query.bind(limit).fetch_all(tx.sql()).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Record, StoreError> {
    let document = |column: &str| -> Result<Option<Value>, StoreError> {
        row.try_get::<Option<String>, _>(column)?.map(|text| parse("an audit row", &text)).transpose()
    };
    let (chain, seq, at): (String, i64, i64) =
        (row.try_get("chain")?, row.try_get("seq")?, row.try_get("at")?);
    Ok(Record {
        cursor: format!("{at}.{chain}.{seq}"),
        chain,
        seq,
        at: time(at),
        request_id: row.try_get("request_id")?,
        actor: row.try_get("actor")?,
        minted_by: row.try_get("minted_by")?,
        actor_roles: parse("an audit row", &row.try_get::<String, _>("actor_roles")?)?,
        tenant_id: row.try_get("tenant_id")?,
        action: row.try_get("action")?,
        resource_type: row.try_get("resource_type")?,
        resource_id: row.try_get("resource_id")?,
        resource_name: row.try_get("resource_name")?,
        result: row.try_get("result")?,
        attempts: row.try_get("attempts")?,
        first_at: row.try_get::<Option<i64>, _>("first_at")?.map(time),
        before: document("before")?,
        after: document("after")?,
        reason: row.try_get("reason")?,
        hash: row.try_get("hash")?,
    })
}

fn place(cursor: &str) -> Option<(i64, &str, i64)> {
    let (at, rest) = cursor.split_once('.')?;
    let (chain, seq) = rest.rsplit_once('.')?;
    Some((at.parse().ok()?, chain, seq.parse().ok()?))
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
