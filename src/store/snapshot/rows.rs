//! The four tables of the document, each one statement, for one key or for all.

use serde_json::{Map, Value, json, map};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::policy_sets;
use crate::store::error::StoreError;
use crate::store::revision::parse;
use crate::tenancy::{Entry, Registries, registries};

type Found = Result<Map<String, Value>, StoreError>;

/// By slug: `{id, status, groups, registries, plan, policySets}`. One statement brings the ceiling and the policy sets
/// along: while a commit renders what it touched, all others wait.
pub(super) async fn tenants(on: &mut AnyConnection, key: Option<&str>, cluster: Option<&str>) -> Found {
    let rows = sqlx::query(
        "SELECT t.slug, t.id, t.status, t.dev_group, t.registries, t.narrowed_registries, \
         p.name AS plan, p.policysets AS plan_sets, s.name AS set_name, s.origin, s.mode, s.rules, s.attached_to, \
         (SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'registries') AS bounds \
         FROM tenants t LEFT JOIN plans p ON p.id = t.plan_id LEFT JOIN policysets s ON s.tenant_id = t.id \
         WHERE t.deleted_at IS NULL AND ($1 IS NULL OR t.slug = $1) \
         AND ($2 IS NULL OR EXISTS (SELECT 1 FROM tenant_clusters o JOIN clusters c ON c.id = o.cluster_id \
             WHERE o.tenant_id = t.id AND c.name = $2)) \
         ORDER BY t.id, s.created_at, s.id",
    )
    .bind(key)
    .bind(cluster)
    .fetch_all(on)
    .await?;
    let ceiling = match rows.first() {
        Some(row) => ceiling(row.try_get("bounds")?)?,
        None => Vec::new(),
    };
    let mut tenants = Map::new();
    for row in &rows {
        let tenant = match tenants.entry(text(row, "slug")?) {
            map::Entry::Occupied(known) => known.into_mut(),
            map::Entry::Vacant(place) => place.insert(tenant(row, &ceiling)?),
        };
        let sets = policy_sets::of_row(row)?;
        if let Some(known) = tenant.get_mut("policySets").and_then(Value::as_array_mut) {
            known.extend(sets);
        }
    }
    // Absent rather than empty, as a document written by hand has it.
    for sets in tenants.values_mut().filter_map(|tenant| tenant.get_mut("policySets")) {
        if sets.as_array().is_some_and(Vec::is_empty) {
            *sets = Value::Null;
        }
    }
    Ok(tenants)
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
pub(super) async fn projects(on: &mut AnyConnection, key: Option<&str>, cluster: Option<&str>) -> Found {
    let [tenant, project, _] = segments(key);
    let rows = sqlx::query(
        "SELECT t.slug AS tenant, p.slug AS project, p.id FROM projects p JOIN tenants t ON t.id = p.tenant_id \
         WHERE t.deleted_at IS NULL AND ($1 IS NULL OR t.slug = $1) AND ($2 IS NULL OR p.slug = $2) \
         AND ($3 IS NULL OR EXISTS (SELECT 1 FROM tenant_clusters o JOIN clusters c ON c.id = o.cluster_id \
             WHERE o.tenant_id = t.id AND c.name = $3))",
    )
    .bind(tenant)
    .bind(project)
    .bind(cluster)
    .fetch_all(on)
    .await?;
    collect(rows, |row| {
        let key = format!("{}/{}", text(row, "tenant")?, text(row, "project")?);
        Ok((key, json!({ "id": text(row, "id")? })))
    })
}

/// By `tenant/project/app`: `{id, sourceKind}`.
pub(super) async fn apps(on: &mut AnyConnection, key: Option<&str>, cluster: Option<&str>) -> Found {
    let [tenant, project, app] = segments(key);
    let rows = sqlx::query(
        "SELECT t.slug AS tenant, p.slug AS project, a.slug AS app, a.id, a.source_kind \
         FROM apps a JOIN projects p ON p.id = a.project_id JOIN tenants t ON t.id = a.tenant_id \
         WHERE t.deleted_at IS NULL AND ($1 IS NULL OR t.slug = $1) AND ($2 IS NULL OR p.slug = $2) \
         AND ($3 IS NULL OR a.slug = $3) \
         AND ($4 IS NULL OR a.cluster_id IN (SELECT id FROM clusters WHERE name = $4))",
    )
    .bind(tenant)
    .bind(project)
    .bind(app)
    .bind(cluster)
    .fetch_all(on)
    .await?;
    collect(rows, |row| {
        let key = format!("{}/{}/{}", text(row, "tenant")?, text(row, "project")?, text(row, "app")?);
        Ok((key, json!({ "id": text(row, "id")?, "sourceKind": label(&text(row, "source_kind")?) })))
    })
}

/// By name: `{kind, tenant, project, app | sandbox, id, expiresAt}`; `id` is a sandbox's.
pub(super) async fn namespaces(on: &mut AnyConnection, key: Option<&str>, cluster: Option<&str>) -> Found {
    let rows = sqlx::query(
        "SELECT n.name, n.kind, t.slug AS tenant, p.slug AS project, a.slug AS app, s.ordinal, s.id AS sandbox, \
         s.expires_at \
         FROM namespaces n JOIN projects p ON p.id = n.project_id JOIN tenants t ON t.id = n.tenant_id \
         LEFT JOIN apps a ON a.id = n.app_id LEFT JOIN sandboxes s ON s.id = n.sandbox_id \
         WHERE t.deleted_at IS NULL AND ($1 IS NULL OR n.name = $1) \
         AND ($2 IS NULL OR n.cluster_id IN (SELECT id FROM clusters WHERE name = $2))",
    )
    .bind(key)
    .bind(cluster)
    .fetch_all(on)
    .await?;
    collect(rows, |row| {
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
}

fn collect(
    rows: Vec<AnyRow>,
    read: impl Fn(&AnyRow) -> Result<(String, Value), StoreError>,
) -> Result<Map<String, Value>, StoreError> {
    rows.iter().map(read).collect()
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
