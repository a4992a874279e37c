//! Keys of deleted snapshot entries by cluster. They answer which gates must learn of a deletion, and when a name is free
//! again.

use std::collections::BTreeSet;

use sqlx::AnyConnection;

use super::error::StoreError;
use super::revision::Part;
use super::tx::Tx;
use super::{Time, settings};
use portcullis_tenancy::settings::NAME_REUSE;

/// Cluster of entries that belong to no tenant and are in the document of every cluster.
const EVERYWHERE: &str = "";

/// Revisions for which keys are stored: more than the change buffer holds, so that a patch always names deletions.
const REVISIONS: i64 = 4096;

#[derive(Debug, Clone)]
pub(super) struct Released {
    tenant: String,
    cluster: String,
    part: Part,
}

/// Where a key is or was that the document of a cluster does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// In the document of this cluster at the requested revision.
    Here,
    /// Only in the documents of other clusters.
    Elsewhere,
    /// No longer stored.
    Unknown,
}

impl Tx {
    /// Marks a deleted part, so that only gates of its cluster learn of it and its name stays reserved for a while.
    pub(super) fn release(&mut self, tenant: &str, cluster: &str, part: Part) {
        self.mark_changed(part.clone());
        self.released().push(Released { tenant: tenant.to_owned(), cluster: cluster.to_owned(), part });
    }

    pub(super) fn release_everywhere(&mut self, part: Part) {
        self.release(EVERYWHERE, EVERYWHERE, part);
    }
}

pub(super) async fn insert(
    on: &mut AnyConnection,
    released: Vec<Released>,
    revision: u64,
    now: i64,
) -> Result<(), StoreError> {
    for Released { tenant, cluster, part } in released {
        let Some((kind, name)) = key(&part) else { continue };
        sqlx::query(
            "INSERT INTO released_keys (tenant_id, cluster_id, kind, name, released_at, revision) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kind, name, cluster_id, tenant_id) \
             DO UPDATE SET released_at = excluded.released_at, revision = excluded.revision",
        )
        .bind(tenant)
        .bind(cluster)
        .bind(kind)
        .bind(name)
        .bind(now)
        .bind(signed(revision))
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// Kind and key in the document; `None` for parts that are never deleted.
fn key(part: &Part) -> Option<(&'static str, String)> {
    Some(match part {
        Part::Tenant(tenant) => ("tenants", tenant.clone()),
        Part::Project(tenant, project) => ("projects", format!("{tenant}/{project}")),
        Part::App(tenant, project, app) => ("apps", format!("{tenant}/{project}/{app}")),
        Part::Namespace(name) => ("namespaces", name.clone()),
        Part::Exception(id) => ("exceptions", id.clone()),
        Part::Settings | Part::Breakglass(_) | Part::Policies => return None,
    })
}

/// Where an entry is, or was at revision `since`, that the document of the cluster does not have now.
pub(super) async fn whereabouts(
    on: &mut AnyConnection,
    table: &str,
    name: &str,
    cluster: &str,
    since: u64,
) -> Result<Whereabouts, StoreError> {
    let were: Vec<(String, i64)> =
        sqlx::query_as("SELECT cluster_id, revision FROM released_keys WHERE kind = $1 AND name = $2")
            .bind(table)
            .bind(name)
            .fetch_all(&mut *on)
            .await?;
    let here = |was: &(String, i64)| was.0 == cluster || was.0 == EVERYWHERE;
    if were.iter().any(|was| here(was) && was.1 > signed(since)) {
        return Ok(Whereabouts::Here);
    }
    if !were.is_empty() {
        return Ok(Whereabouts::Elsewhere);
    }
    let mut slugs = name.split('/');
    let [first, second, third] = [(); 3].map(|()| slugs.next().unwrap_or_default());
    let live = match table {
        "tenants" => sqlx::query("SELECT 1 FROM tenants WHERE slug = $1 AND deleted_at IS NULL").bind(first),
        "projects" => sqlx::query(
            "SELECT 1 FROM tenants t JOIN projects p ON p.tenant_id = t.id AND p.slug = $2 \
             WHERE t.slug = $1 AND t.deleted_at IS NULL",
        )
        .bind(first)
        .bind(second),
        "apps" => sqlx::query(
            "SELECT 1 FROM tenants t JOIN projects p ON p.tenant_id = t.id AND p.slug = $2 \
             JOIN apps a ON a.project_id = p.id AND a.slug = $3 WHERE t.slug = $1 AND t.deleted_at IS NULL",
        )
        .bind(first)
        .bind(second)
        .bind(third),
        "namespaces" => sqlx::query("SELECT 1 FROM namespaces WHERE name = $1").bind(name),
        // An ended exception still has its row; it was in the document of the clusters of its tenant only.
        "exceptions" => return exception(on, name, cluster).await,
        _ => return Ok(Whereabouts::Unknown),
    };
    let live = live.fetch_optional(on).await?;
    Ok(live.map_or(Whereabouts::Unknown, |_| Whereabouts::Elsewhere))
}

async fn exception(on: &mut AnyConnection, id: &str, cluster: &str) -> Result<Whereabouts, StoreError> {
    let row: Option<(Option<String>, i64)> = sqlx::query_as(
        "SELECT e.tenant_id, (SELECT COUNT(*) FROM tenant_clusters o WHERE o.tenant_id = e.tenant_id \
         AND o.cluster_id = $2) FROM exceptions e WHERE e.id = $1",
    )
    .bind(id)
    .bind(cluster)
    .fetch_optional(on)
    .await?;
    Ok(match row {
        None => Whereabouts::Unknown,
        Some((Some(_), 0)) => Whereabouts::Elsewhere,
        Some(_) => Whereabouts::Here,
    })
}

/// The setting `nameReuse`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReuseDelay {
    hours: i64,
}

impl ReuseDelay {
    pub(super) async fn read(tx: &mut Tx) -> Result<Self, StoreError> {
        let value = settings::get(tx, NAME_REUSE).await?.value;
        let hours = value.get("hours").and_then(serde_json::Value::as_i64);
        Ok(Self { hours: hours.unwrap_or(DEFAULT_HOURS) })
    }

    const fn ms(self) -> i64 {
        self.hours.saturating_mul(60 * 60 * 1000)
    }
}

/// Used where the setting is invalid.
const DEFAULT_HOURS: i64 = 24;

/// `Conflict` where an object with this name was deleted too recently, on any cluster.
pub(super) async fn check_free(tx: &mut Tx, part: &Part) -> Result<(), StoreError> {
    let Some((kind, name)) = key(part) else { return Ok(()) };
    let (own, now) = (tx.tenant(), tx.now());
    let released: Option<i64> = sqlx::query_scalar(
        "SELECT MAX(released_at) FROM released_keys WHERE kind = $1 AND name = $2 AND ($3 IS NULL OR tenant_id = $3)",
    )
    .bind(kind)
    .bind(name.clone())
    .bind(own)
    .fetch_one(tx.sql())
    .await?;
    // Most names were never used before, so the setting is not read.
    let Some(released) = released else { return Ok(()) };
    let reuse = ReuseDelay::read(tx).await?;
    let free = released.saturating_add(reuse.ms());
    if free <= now {
        return Ok(());
    }
    let what = kind.strip_suffix('s').unwrap_or(kind);
    let detail = format!(
        "the {what} `{name}` was deleted recently; its name can be used again at {} (setting `{NAME_REUSE}`: {} hours)",
        Time(free),
        reuse.hours
    );
    Err(StoreError::conflict("name.reuse", detail))
}

/// Sandbox namespaces between `first` and `last` that were deleted too recently, and those of this transaction.
pub(super) async fn unavailable_names(
    tx: &mut Tx,
    first: &str,
    last: &str,
    just_deleted: Vec<String>,
) -> Result<BTreeSet<String>, StoreError> {
    let own = tx.tenant();
    let mut released: Vec<(String, i64)> = sqlx::query_as(
        "SELECT name, released_at FROM released_keys WHERE kind = 'namespaces' AND name BETWEEN $1 AND $2 \
         AND ($3 IS NULL OR tenant_id = $3)",
    )
    .bind(first)
    .bind(last)
    .bind(own)
    .fetch_all(tx.sql())
    .await?;
    let now = tx.now();
    released.extend(just_deleted.into_iter().map(|name| (name, now)));
    if released.is_empty() {
        return Ok(BTreeSet::new());
    }
    let reuse = ReuseDelay::read(tx).await?;
    let taken = released.into_iter().filter(|(_, at)| at.saturating_add(reuse.ms()) > now);
    Ok(taken.map(|(name, _)| name).collect())
}

/// Deletes keys whose names are free and that no change buffer needs any more.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    let before = tx.now().saturating_sub(ReuseDelay::read(tx).await?.ms());
    let done = sqlx::query(
        "DELETE FROM released_keys WHERE released_at < $1 \
         AND revision < (SELECT revision FROM ledger WHERE id = 1) - $2",
    )
    .bind(before)
    .bind(REVISIONS)
    .execute(tx.sql())
    .await?;
    Ok(done.rows_affected())
}
