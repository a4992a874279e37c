//! Reads the log, newest first.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sqlx::{Row as _, any::AnyRow};
use utoipa::ToSchema;

use crate::Tx;
use crate::error::StoreError;
use crate::revision::parse;

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The chain: a tenant's id, or `system`.
    pub chain: String,
    /// Number in the chain, from 1.
    pub seq: i64,
    /// Time, RFC 3339; for several attempts, that of the last one.
    #[schema(format = DateTime)]
    pub at: String,
    /// Id of the request.
    pub request_id: String,
    /// The caller as `issuer#sub`.
    pub actor: String,
    /// The caller that created the token, if the actor used a token of another caller.
    pub minted_by: Option<String>,
    /// Roles of the actor at that time.
    pub actor_roles: Vec<String>,
    /// Tenant of the resource; for a denied attempt, tenant of the caller.
    pub tenant_id: Option<String>,
    /// The action.
    #[schema(example = "tenant.update")]
    pub action: String,
    /// Kind of the resource.
    pub resource_type: String,
    /// Id of the resource.
    pub resource_id: Option<String>,
    /// Name of the resource.
    pub resource_name: Option<String>,
    /// `ok`, `denied` or `error`.
    pub result: String,
    /// Number of attempts that the row represents.
    pub attempts: i64,
    /// Time of the first of several attempts, RFC 3339.
    #[schema(format = DateTime)]
    pub first_at: Option<String>,
    /// State before the action, without credentials.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// State after the action, without credentials.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
    /// Reason that the caller gave, or reason of a denial.
    pub reason: Option<String>,
    /// SHA-256 of the row and the previous row, hex.
    pub hash: String,
    /// Where a list continues after this row.
    #[serde(skip)]
    pub cursor: String,
}

/// Absent fields do not filter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub tenant_id: Option<String>,
    pub action: Option<String>,
    /// Unix milliseconds, inclusive.
    pub since: Option<i64>,
}

/// Rows that the scope may see, after a [`Record::cursor`]; an invalid cursor starts at the beginning. With `full` false
/// `before` and `after` are not read.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    after: Option<&str>,
    limit: i64,
    full: bool,
) -> Result<Vec<Record>, StoreError> {
    let own = tx.tenant();
    let (at, chain, seq) = after
        .and_then(parse_cursor)
        .map_or((None, None, None), |(at, chain, seq)| (Some(at), Some(chain.to_owned()), Some(seq)));
    // Absent filters are omitted from the statement, because an optional condition uses no index.
    let long =
        if full { "before, after" } else { "CAST(NULL AS TEXT) AS before, CAST(NULL AS TEXT) AS after" };
    let mut statement = format!(
        "SELECT chain, seq, at, request_id, actor, minted_by, actor_roles, tenant_id, action, resource_type, \
         resource_id, resource_name, result, attempts, first_at, {long}, reason, hash FROM audit_log WHERE 1 = 1"
    );
    let mut number = 0;
    let mut and = |present: bool, condition: &str| {
        if present {
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

fn parse_cursor(cursor: &str) -> Option<(i64, &str, i64)> {
    let (at, rest) = cursor.split_once('.')?;
    let (chain, seq) = rest.rsplit_once('.')?;
    Some((at.parse().ok()?, chain, seq.parse().ok()?))
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
