//! Renders the ledger as the snapshot document: whole, or the parts that a transaction changed. Both use the same statement
//! per table, so they cannot differ. A patch (RFC 7396) names every key of what it renders, absent ones as null.

mod document;
mod rows;

pub use document::{FORMAT_MIN, render_down, render_text_down};

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::error::StoreError;
use crate::released::{Whereabouts, whereabouts};
use crate::revision::{LedgerHead, Part};
use crate::snapshot::document::{DocumentWriter, without_nulls};
use crate::tx::Tx;
use portcullis_tenancy::snapshot::{FORMAT_VERSION, PolicySet, Section};

/// Above this number of changed entries the whole table is read.
const SINGLE_KEYS_MAX: usize = 16;

/// The document of the revision that this transaction sees, limited to one cluster if named. The transaction must be
/// read-only and see every tenant.
pub async fn whole(tx: &mut Tx, cluster: Option<&str>) -> Result<Vec<u8>, StoreError> {
    let now = tx.ledger().await?;
    whole_on(tx.sql(), &now, cluster).await
}

pub(super) async fn whole_on(
    on: &mut AnyConnection,
    now: &LedgerHead,
    cluster: Option<&str>,
) -> Result<Vec<u8>, StoreError> {
    let mut document = DocumentWriter::new();
    document.put("version", &FORMAT_VERSION.into())?;
    document.put("ledger", &now.ledger.as_str().into())?;
    document.put("revision", &now.revision.into())?;
    document.put("settings", &without_nulls(rows::settings(on).await?))?;
    let policies = rows::policies(on).await?;
    if !policies.is_null() {
        document.put("policies", &policies)?;
    }
    document.open("tenants")?;
    rows::tenants(on, None, cluster, |key, value| document.entry(&key, value)).await?;
    document.open("projects")?;
    rows::projects(on, None, cluster, |key, value| document.entry(&key, value)).await?;
    document.open("apps")?;
    rows::apps(on, None, cluster, |key, value| document.entry(&key, value)).await?;
    document.open("namespaces")?;
    rows::namespaces(on, None, cluster, |key, value| document.entry(&key, value)).await?;
    document.open("exceptions")?;
    for (key, value) in rows::exceptions(on, None, cluster).await? {
        document.entry(&key, value)?;
    }
    document.open("breakglass")?;
    for (key, value) in rows::breakglass(on, None).await? {
        document.entry(&key, value)?;
    }
    Ok(document.close())
}

/// Entries in memory, for few keys.
async fn table(
    on: &mut AnyConnection,
    section: Section,
    key: Option<&str>,
    cluster: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let mut found = Map::new();
    let add = |key, value| {
        found.insert(key, value);
        Ok(())
    };
    match section {
        Section::Tenants => rows::tenants(on, key, cluster, add).await,
        Section::Projects => rows::projects(on, key, cluster, add).await,
        Section::Apps => rows::apps(on, key, cluster, add).await,
        Section::Namespaces => rows::namespaces(on, key, cluster, add).await,
    }
    .map(|()| found)
}

/// The document of one tenant and one of its projects, without apps and namespaces.
pub async fn of_tenant(
    tx: &mut Tx,
    tenant: Option<&str>,
    project: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let now = tx.ledger().await?;
    let on = tx.sql();
    let settings = rows::settings(on).await?;
    let mut document = Map::new();
    let cleaned = |found: Map<String, Value>| -> Map<String, Value> {
        found.into_iter().map(|(key, value)| (key, without_nulls(value))).collect()
    };
    if let Some(tenant) = tenant {
        let found = table(on, Section::Tenants, Some(tenant), None).await?;
        document.insert("tenants".to_owned(), cleaned(found).into());
        if let Some(project) = project {
            let found = table(on, Section::Projects, Some(&format!("{tenant}/{project}")), None).await?;
            document.insert("projects".to_owned(), cleaned(found).into());
        }
    }
    document.insert("version".to_owned(), FORMAT_VERSION.into());
    document.insert("ledger".to_owned(), now.ledger.into());
    document.insert("revision".to_owned(), now.revision.into());
    document.insert("settings".to_owned(), without_nulls(settings));
    Ok(document)
}

/// The document of a missing cluster would be empty.
pub async fn has_cluster(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let found =
        sqlx::query("SELECT 1 FROM clusters WHERE name = $1").bind(name).fetch_optional(tx.sql()).await?;
    Ok(found.is_some())
}

/// A merge patch over any older document of the same ledger and cluster; deleted entries are null.
pub async fn patch(tx: &mut Tx, parts: &BTreeSet<Part>, cluster: Option<&str>) -> Result<Value, StoreError> {
    let now = tx.ledger().await?;
    let mut patch = render(tx.sql(), parts, cluster).await?;
    patch.insert("revision".to_owned(), now.revision.into());
    Ok(Value::Object(patch))
}

pub(super) async fn render(
    on: &mut AnyConnection,
    parts: &BTreeSet<Part>,
    cluster: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let mut patch = Map::new();
    let (mut tenants, mut projects, mut apps, mut namespaces) = (vec![], vec![], vec![], vec![]);
    for part in parts {
        match part {
            Part::Tenant(tenant) => tenants.push(tenant.clone()),
            Part::Project(tenant, project) => projects.push(format!("{tenant}/{project}")),
            Part::App(tenant, project, app) => apps.push(format!("{tenant}/{project}/{app}")),
            Part::Namespace(name) => namespaces.push(name.clone()),
            Part::Exception(id) => {
                let found = rows::exceptions(&mut *on, Some(id), cluster).await?;
                put(&mut patch, "exceptions", std::slice::from_ref(id), Some(id), found);
            }
            Part::Breakglass(id) => {
                let found = rows::breakglass(&mut *on, Some(id)).await?;
                put(&mut patch, "breakglass", std::slice::from_ref(id), Some(id), found);
            }
            Part::Policies => drop(patch.insert("policies".to_owned(), rows::policies(&mut *on).await?)),
            Part::Settings => {}
        }
    }
    if parts.contains(&Part::Settings) {
        // The ceiling limits the registries of every tenant, so all of them may have changed.
        let mut lists = Map::new();
        let add = |slug, tenant: Value| {
            lists.insert(slug, registries_of(&tenant));
            Ok(())
        };
        rows::tenants(on, None, cluster, add).await?;
        patch.insert("tenants".to_owned(), Value::Object(lists));
        patch.insert("settings".to_owned(), rows::settings(on).await?);
    }
    for (section, keys) in [
        (Section::Tenants, tenants),
        (Section::Projects, projects),
        (Section::Apps, apps),
        (Section::Namespaces, namespaces),
    ] {
        for chosen in chunks(&keys) {
            let found = table(on, section, chosen, cluster).await?;
            put(&mut patch, section.as_str(), &keys, chosen, found);
        }
    }
    Ok(patch)
}

/// One statement per key, or `None` for the whole table.
fn chunks(keys: &[String]) -> Vec<Option<&str>> {
    if keys.len() > SINGLE_KEYS_MAX {
        vec![None]
    } else {
        keys.iter().map(|key| Some(key.as_str())).collect()
    }
}

/// Adds found entries to their table, and null for requested keys that do not exist.
fn put(
    patch: &mut Map<String, Value>,
    table: &str,
    requested: &[String],
    chosen: Option<&str>,
    mut found: Map<String, Value>,
) {
    let entries = patch.entry(table).or_insert_with(|| json!({}));
    let Value::Object(entries) = entries else { return };
    for key in requested.iter().filter(|key| chosen.is_none_or(|chosen| chosen == key.as_str())) {
        entries.insert(key.clone(), found.remove(key).unwrap_or(Value::Null));
    }
}

fn registries_of(tenant: &Value) -> Value {
    json!({ "registries": tenant.get("registries").cloned().unwrap_or(Value::Null) })
}

/// Policy sets of a tenant by slug, as gates see them.
pub async fn policy_sets(tx: &mut Tx, tenant: &str) -> Result<Vec<PolicySet>, StoreError> {
    let mut found = table(tx.sql(), Section::Tenants, Some(tenant), None).await?;
    let found = found.get_mut(tenant).and_then(|tenant| tenant.get_mut("policySets")).map(Value::take);
    let found = found.filter(Value::is_array).unwrap_or_else(|| json!([]));
    let mut sets: Vec<PolicySet> = serde_json::from_value(found)
        .map_err(|source| StoreError::Document { what: "the policy sets of a tenant".to_owned(), source })?;
    sets.sort_by_key(|set| (set.origin, !set.projects.is_empty()));
    Ok(sets)
}

/// Above this number of deleted keys the whole document is cheaper.
const DELETED_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub id: String,
    pub name: String,
}

pub async fn cluster_by_name(tx: &mut Tx, name: &str) -> Result<Cluster, StoreError> {
    let row = sqlx::query("SELECT id, name FROM clusters WHERE name = $1").bind(name);
    read_cluster(row.fetch_optional(tx.sql()).await?)
}

pub async fn cluster_by_id(tx: &mut Tx, id: &str) -> Result<Cluster, StoreError> {
    let row = sqlx::query("SELECT id, name FROM clusters WHERE id = $1").bind(id);
    read_cluster(row.fetch_optional(tx.sql()).await?)
}

fn read_cluster(row: Option<sqlx::any::AnyRow>) -> Result<Cluster, StoreError> {
    let row = row.ok_or(StoreError::NotFound("cluster"))?;
    Ok(Cluster { id: row.try_get("id")?, name: row.try_get("name")? })
}

/// As [`patch`] over revision `since`, without any key of other clusters, not even deleted ones. `None` where only the whole
/// document can guarantee that.
pub async fn cluster_patch(
    tx: &mut Tx,
    parts: &BTreeSet<Part>,
    cluster: &Cluster,
    since: u64,
) -> Result<Option<Value>, StoreError> {
    let now = tx.ledger().await?;
    let mut patch = render(tx.sql(), parts, Some(&cluster.name)).await?;
    for table in ["tenants", "projects", "apps", "namespaces", "exceptions"] {
        let Some(Value::Object(entries)) = patch.get_mut(table) else { continue };
        let deleted: Vec<String> =
            entries.iter().filter(|(_, entry)| entry.is_null()).map(|(key, _)| key.clone()).collect();
        if deleted.len() > DELETED_MAX {
            return Ok(None);
        }
        for key in deleted {
            match whereabouts(tx.sql(), table, &key, &cluster.id, since).await? {
                Whereabouts::Here => {}
                Whereabouts::Elsewhere => drop(entries.remove(&key)),
                Whereabouts::Unknown => return Ok(None),
            }
        }
        if entries.is_empty() {
            patch.remove(table);
        }
    }
    patch.insert("revision".to_owned(), now.revision.into());
    Ok(Some(Value::Object(patch)))
}
