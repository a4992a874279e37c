//! The ledger as the document that gates decide from: whole, or only what a transaction touched.
//!
//! Both come from the same statements, one a table, so a patch and the whole cannot disagree. A patch names every key of
//! what it renders, absent ones as null: laid over an older document (RFC 7396) it leaves nothing of what was there.

pub mod cluster;
mod document;
mod down;
mod law;
mod leave;
mod policy_sets;
mod rows;
mod settings;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sqlx::AnyConnection;

use super::error::StoreError;
use super::part::Part;
use super::revision::Now;
use super::tx::Tx;
use document::Document;
use portcullis_tenancy::snapshot::{FORMAT_VERSION, PolicySet, Section};

pub use down::{FORMAT_MIN, render_down, render_text_down};

/// Above so many parts of one kind their whole table is read at once.
const SINGLY_MAX: usize = 16;

/// The document of the revision that this transaction sees, as JSON: `version ledger revision settings tenants projects apps
/// namespaces`. With a cluster's name, only what is on that cluster. Its transaction must be a reading one that sees
/// every tenant.
pub async fn whole(tx: &mut Tx, cluster: Option<&str>) -> Result<Vec<u8>, StoreError> {
    let now = tx.ledger().await?;
    whole_on(tx.sql(), &now, cluster).await
}

/// The same on a connection whose transaction sees the ledger at `now`.
pub(super) async fn whole_on(
    on: &mut AnyConnection,
    now: &Now,
    cluster: Option<&str>,
) -> Result<Vec<u8>, StoreError> {
    let mut document = Document::new();
    document.put("version", &FORMAT_VERSION.into())?;
    document.put("ledger", &now.ledger.as_str().into())?;
    document.put("revision", &now.revision.into())?;
    document.put("settings", &without_nulls(settings::document(on).await?))?;
    let law = law::newest(on).await?;
    if !law.is_null() {
        document.put("law", &law)?;
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
    for (key, value) in leave::exceptions(on, None, cluster).await? {
        document.entry(&key, value)?;
    }
    document.open("breakglass")?;
    for (key, value) in leave::breakglass(on, None).await? {
        document.entry(&key, value)?;
    }
    Ok(document.close())
}

/// Entries of a table in memory: for few keys.
async fn table(
    on: &mut AnyConnection,
    section: Section,
    key: Option<&str>,
    cluster: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let mut found = Map::new();
    let take = |key, value| {
        found.insert(key, value);
        Ok(())
    };
    match section {
        Section::Tenants => rows::tenants(on, key, cluster, take).await,
        Section::Projects => rows::projects(on, key, cluster, take).await,
        Section::Apps => rows::apps(on, key, cluster, take).await,
        Section::Namespaces => rows::namespaces(on, key, cluster, take).await,
    }
    .map(|()| found)
}

/// The document of one tenant and one of its projects, by slugs, and of no other; without apps and namespaces.
pub async fn around(
    tx: &mut Tx,
    tenant: Option<&str>,
    project: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let now = tx.ledger().await?;
    let on = tx.sql();
    let settings = settings::document(on).await?;
    let mut document = Map::new();
    let plain = |found: Map<String, Value>| -> Map<String, Value> {
        found.into_iter().map(|(key, value)| (key, without_nulls(value))).collect()
    };
    if let Some(tenant) = tenant {
        let found = table(on, Section::Tenants, Some(tenant), None).await?;
        document.insert("tenants".to_owned(), plain(found).into());
        if let Some(project) = project {
            let found = table(on, Section::Projects, Some(&format!("{tenant}/{project}")), None).await?;
            document.insert("projects".to_owned(), plain(found).into());
        }
    }
    document.insert("version".to_owned(), FORMAT_VERSION.into());
    document.insert("ledger".to_owned(), now.ledger.into());
    document.insert("revision".to_owned(), now.revision.into());
    document.insert("settings".to_owned(), without_nulls(settings));
    Ok(document)
}

/// Whether there is a cluster of this name. The document of one that is not there would be an empty world.
pub async fn has_cluster(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let found =
        sqlx::query("SELECT 1 FROM clusters WHERE name = $1").bind(name).fetch_optional(tx.sql()).await?;
    Ok(found.is_some())
}

/// Parts of the document as this transaction sees them: a merge patch over any older document of the same ledger and
/// cluster. What is gone is null in it.
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
                let found = leave::exceptions(&mut *on, Some(id), cluster).await?;
                put(&mut patch, "exceptions", std::slice::from_ref(id), Some(id), found);
            }
            Part::Breakglass(id) => {
                let found = leave::breakglass(&mut *on, Some(id)).await?;
                put(&mut patch, "breakglass", std::slice::from_ref(id), Some(id), found);
            }
            Part::Bundle => drop(patch.insert("law".to_owned(), law::newest(&mut *on).await?)),
            Part::Settings => {}
        }
    }
    if parts.contains(&Part::Settings) {
        // The ceiling bounds what a tenant has, so every tenant's list may be another now.
        let mut lists = Map::new();
        let take = |slug, tenant: Value| {
            lists.insert(slug, registries_of(&tenant));
            Ok(())
        };
        rows::tenants(on, None, cluster, take).await?;
        patch.insert("tenants".to_owned(), Value::Object(lists));
        patch.insert("settings".to_owned(), settings::document(on).await?);
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

/// One statement a key while there are few, and one for the whole table (`None`) when there are many.
fn chunks(keys: &[String]) -> Vec<Option<&str>> {
    if keys.len() > SINGLY_MAX { vec![None] } else { keys.iter().map(|key| Some(key.as_str())).collect() }
}

/// Puts what was found under its table, and null for what was asked for and is not there.
fn put(
    patch: &mut Map<String, Value>,
    table: &str,
    asked: &[String],
    chosen: Option<&str>,
    mut found: Map<String, Value>,
) {
    let place = patch.entry(table).or_insert_with(|| json!({}));
    let Value::Object(place) = place else { return };
    for key in asked.iter().filter(|key| chosen.is_none_or(|chosen| chosen == key.as_str())) {
        place.insert(key.clone(), found.remove(key).unwrap_or(Value::Null));
    }
}

fn registries_of(tenant: &Value) -> Value {
    json!({ "registries": tenant.get("registries").cloned().unwrap_or(Value::Null) })
}

/// The policy sets of a tenant by its slug, as gates see them.
pub async fn policy_sets(tx: &mut Tx, tenant: &str) -> Result<Vec<PolicySet>, StoreError> {
    let mut found = table(tx.sql(), Section::Tenants, Some(tenant), None).await?;
    let found = found.get_mut(tenant).and_then(|tenant| tenant.get_mut("policySets")).map(Value::take);
    let found = found.filter(Value::is_array).unwrap_or_else(|| json!([]));
    let mut sets: Vec<PolicySet> = serde_json::from_value(found)
        .map_err(|source| StoreError::Document { what: "the policy sets of a tenant".to_owned(), source })?;
    sets.sort_by_key(|set| (set.origin, !set.projects.is_empty()));
    Ok(sets)
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, value| !value.is_null());
    }
    value
}
