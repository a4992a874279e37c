//! The four tables of the document, each one statement, for one key or for all, row by row.

use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::policy_sets;
use crate::error::StoreError;
use crate::revision::parse;
use crate::select::Select;
use portcullis_tenancy::{Entry, Registries, registries};

/// Takes one entry of a table: its key and its value.
pub(super) trait Take: FnMut(String, Value) -> Result<(), StoreError> + Send {}

impl<F: FnMut(String, Value) -> Result<(), StoreError> + Send> Take for F {}

/// Whether a tenant, whose id is `t.id`, is on a cluster.
const ON_CLUSTER: &str = "EXISTS (SELECT 1 FROM tenant_clusters o JOIN clusters c ON c.id = o.cluster_id \
     WHERE o.tenant_id = t.id AND c.name = $?)";

/// By slug: `{id, status, groups, registries, plan, policySets}`. One statement brings the ceiling and the policy sets
/// along: while a commit renders what it touched, all others wait.
pub(super) async fn tenants(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    mut take: impl Take,
) -> Result<(), StoreError> {
    let select = Select::new(
        "SELECT t.slug, t.id, t.status, t.dev_group, t.registries, t.narrowed_registries, \
         p.name AS plan, p.policysets AS plan_sets, s.name AS set_name, s.origin, s.mode, s.rules, s.attached_to, \
         (SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'registries') AS bounds \
         FROM tenants t LEFT JOIN plans p ON p.id = t.plan_id LEFT JOIN policysets s ON s.tenant_id = t.id \
         WHERE t.deleted_at IS NULL",
    );
    let select = select.and("t.slug = $?", key).and(ON_CLUSTER, cluster);
    let mut rows = select.order_by("t.id, s.created_at, s.id").query().fetch(on);
    let mut limit: Option<Vec<Entry>> = None;
    // Rows of one tenant follow each other, one for each of its policy sets.
    let mut current: Option<(String, Value)> = None;
    while let Some(row) = rows.try_next().await? {
        let slug = text(&row, "slug")?;
        if let Some((slug, done)) = current.take_if(|(known, _)| *known != slug) {
            take(slug, without_empty_sets(done))?;
        }
        let limit = match &mut limit {
            Some(known) => known,
            none => none.insert(ceiling(row.try_get("bounds")?)?),
        };
        let (_, tenant) = match &mut current {
            Some(known) => known,
            none => none.insert((slug, tenant(&row, limit)?)),
        };
        let sets = policy_sets::of_row(&row)?;
        if let Some(known) = tenant.get_mut("policySets").and_then(Value::as_array_mut) {
            known.extend(sets);
        }
    }
    match current {
        Some((slug, last)) => take(slug, without_empty_sets(last)),
        None => Ok(()),
    }
}

/// Absent rather than empty, as a document written by hand has it.
fn without_empty_sets(mut tenant: Value) -> Value {
    if let Some(sets) = tenant.get_mut("policySets")
        && sets.as_array().is_some_and(Vec::is_empty)
    {
        *sets = Value::Null;
    }
    tenant
}

fn tenant(row: &AnyRow, ceiling: &[Entry]) -> Result<Value, StoreError> {
    Ok(json!({
        "id": text(row, "id")?,
        "status": text(row, "status")?,
        "groups": [text(row, "dev_group")?],
        "registries": in_force(row, ceiling)?,
        "plan": row.try_get::<Option<String>, _>("plan")?,
        "policySets": policy_sets::of_plan(row)?,
    }))
}

/// `registries.ceiling` of the settings.
fn ceiling(setting: Option<String>) -> Result<Vec<Entry>, StoreError> {
    let Some(setting) = setting else { return Ok(Vec::new()) };
    let setting: Value = parse("the setting `registries`", &setting)?;
    let list = setting.get("ceiling").and_then(Value::as_array).into_iter().flatten();
    Ok(list.filter_map(|entry| Entry::parse(entry.as_str()?).ok()).collect())
}

/// What a tenant may pull from: what it was given, narrowed by itself, inside the ceiling; null where nothing was given.
fn in_force(row: &AnyRow, ceiling: &[Entry]) -> Result<Value, StoreError> {
    let stored = |column: &str| -> Result<Value, StoreError> {
        let text: Option<String> = row.try_get(column)?;
        text.map_or(Ok(Value::Null), |text| parse("a list of registries", &text))
    };
    // Entries were checked when they were written; one that does not read admits nothing.
    let entries = |list: &[Value]| -> Vec<Entry> {
        list.iter().filter_map(|entry| Entry::parse(entry.as_str()?).ok()).collect()
    };
    let granted = match stored("registries")? {
        Value::String(_) => Some(Registries::Inherit),
        Value::Array(list) => Some(Registries::List(entries(&list))),
        _ => None,
    };
    let narrowed = stored("narrowed_registries")?.as_array().map(|list| entries(list));
    Ok(match registries::effective(ceiling, granted.as_ref(), narrowed.as_deref()) {
        None => Value::Null,
        Some(Registries::Inherit) => "inherit".into(),
        Some(Registries::List(list)) => list.iter().map(Entry::to_string).collect(),
    })
}

/// By `tenant/project`: `{id}`.
pub(super) async fn projects(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    take: impl Take,
) -> Result<(), StoreError> {
    let [tenant, project, _] = segments(key);
    let select = Select::new(
        "SELECT t.slug AS tenant, p.slug AS project, p.id FROM projects p JOIN tenants t ON t.id = p.tenant_id \
         WHERE t.deleted_at IS NULL",
    );
    let select = select.and("t.slug = $?", tenant).and("p.slug = $?", project).and(ON_CLUSTER, cluster);
    each(on, select, take, |row| {
        let key = format!("{}/{}", text(row, "tenant")?, text(row, "project")?);
        Ok((key, json!({ "id": text(row, "id")? })))
    })
    .await
}

/// By `tenant/project/app`: `{id, sourceKind}`.
pub(super) async fn apps(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    take: impl Take,
) -> Result<(), StoreError> {
    let [tenant, project, app] = segments(key);
    let select = Select::new(
        "SELECT t.slug AS tenant, p.slug AS project, a.slug AS app, a.id, a.source_kind \
         FROM apps a JOIN projects p ON p.id = a.project_id JOIN tenants t ON t.id = a.tenant_id \
         WHERE t.deleted_at IS NULL",
    );
    let select = select.and("t.slug = $?", tenant).and("p.tenant_id = t.id AND p.slug = $?", project);
    let select = select.and("a.slug = $?", app);
    let select = select.and("a.cluster_id IN (SELECT id FROM clusters WHERE name = $?)", cluster);
    each(on, select, take, |row| {
        let key = format!("{}/{}/{}", text(row, "tenant")?, text(row, "project")?, text(row, "app")?);
        Ok((key, json!({ "id": text(row, "id")?, "sourceKind": label(&text(row, "source_kind")?) })))
    })
    .await
}

/// By name: `{kind, tenant, project, app | sandbox, id, expiresAt}`; `id` is a sandbox's.
pub(super) async fn namespaces(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    take: impl Take,
) -> Result<(), StoreError> {
    let select = Select::new(
        "SELECT n.name, n.kind, t.slug AS tenant, p.slug AS project, a.slug AS app, s.ordinal, s.id AS sandbox, \
         s.expires_at \
         FROM namespaces n JOIN projects p ON p.id = n.project_id JOIN tenants t ON t.id = n.tenant_id \
         LEFT JOIN apps a ON a.id = n.app_id LEFT JOIN sandboxes s ON s.id = n.sandbox_id \
         WHERE t.deleted_at IS NULL",
    );
    let select = select.and("n.name = $?", key);
    let select = select.and("n.cluster_id IN (SELECT id FROM clusters WHERE name = $?)", cluster);
    each(on, select, take, |row| {
        let expires = row.try_get::<Option<i64>, _>("expires_at")?;
        let expires = expires.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
        let namespace = json!({
            "kind": text(row, "kind")?,
            "tenant": text(row, "tenant")?,
            "project": text(row, "project")?,
            "app": row.try_get::<Option<String>, _>("app")?,
            "sandbox": row.try_get::<Option<i64>, _>("ordinal")?,
            "id": row.try_get::<Option<String>, _>("sandbox")?,
            "expiresAt": expires.map(|at| at.to_string()),
        });
        Ok((text(row, "name")?, namespace))
    })
    .await
}

/// Reads row by row: all of a large table at once would be a multiple of the document in memory.
async fn each(
    on: &mut AnyConnection,
    select: Select<'_>,
    mut take: impl Take,
    read: impl Fn(&AnyRow) -> Result<(String, Value), StoreError> + Send,
) -> Result<(), StoreError> {
    let mut rows = select.query().fetch(on);
    while let Some(row) = rows.try_next().await? {
        let (key, value) = read(&row)?;
        take(key, value)?;
    }
    Ok(())
}

fn text(row: &AnyRow, column: &str) -> Result<String, StoreError> {
    Ok(row.try_get(column)?)
}

/// `acme/shop/frontend` as its slugs.
fn segments(key: Option<&str>) -> [Option<&str>; 3] {
    let mut slugs = key.into_iter().flat_map(|key| key.split('/'));
    [slugs.next(), slugs.next(), slugs.next()]
}

/// A kind of source as the document writes it, one DNS label: `helmHttp` is `helm-http`.
fn label(kind: &str) -> String {
    let mut label = String::with_capacity(kind.len() + 2);
    for c in kind.chars() {
        if c.is_ascii_uppercase() {
            label.push('-');
        }
        label.push(c.to_ascii_lowercase());
    }
    label
}
