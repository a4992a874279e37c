//! Tables of the document, each rendered by one statement for one key or for all.

use std::sync::LazyLock;

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::Time;
use crate::error::StoreError;
use crate::revision::parse;
use crate::select::Select;
use portcullis_tenancy::{Registries, RegistryEntry, registries};

pub(super) trait AddEntry: FnMut(String, Value) -> Result<(), StoreError> + Send {}

impl<F: FnMut(String, Value) -> Result<(), StoreError> + Send> AddEntry for F {}

const ON_CLUSTER: &str = "EXISTS (SELECT 1 FROM tenant_clusters o JOIN clusters c ON c.id = o.cluster_id \
     WHERE o.tenant_id = t.id AND c.name = $?)";

/// By slug: `{id, status, groups, registries, plan, policySets}`. One statement also reads the ceiling and the policy sets,
/// because other writers wait while a commit renders.
pub(super) async fn tenants(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    mut add: impl AddEntry,
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
    let mut limit: Option<Vec<RegistryEntry>> = None;
    // Rows of one tenant follow each other, one for each of its policy sets.
    let mut current: Option<(String, Value)> = None;
    while let Some(row) = rows.try_next().await? {
        let slug = text(&row, "slug")?;
        if let Some((slug, done)) = current.take_if(|(known, _)| *known != slug) {
            add(slug, without_empty_sets(done))?;
        }
        let limit = match &mut limit {
            Some(known) => known,
            none => none.insert(ceiling(row.try_get("bounds")?)?),
        };
        let (_, tenant) = match &mut current {
            Some(known) => known,
            none => none.insert((slug, tenant(&row, limit)?)),
        };
        let sets = sets_of_row(&row)?;
        if let Some(known) = tenant.get_mut("policySets").and_then(Value::as_array_mut) {
            known.extend(sets);
        }
    }
    match current {
        Some((slug, last)) => add(slug, without_empty_sets(last)),
        None => Ok(()),
    }
}

/// Absent rather than empty, as in a document that is written by hand.
fn without_empty_sets(mut tenant: Value) -> Value {
    if let Some(sets) = tenant.get_mut("policySets")
        && sets.as_array().is_some_and(Vec::is_empty)
    {
        *sets = Value::Null;
    }
    tenant
}

fn tenant(row: &AnyRow, ceiling: &[RegistryEntry]) -> Result<Value, StoreError> {
    Ok(json!({
        "id": text(row, "id")?,
        "status": text(row, "status")?,
        "groups": [text(row, "dev_group")?],
        "registries": in_force(row, ceiling)?,
        "plan": row.try_get::<Option<String>, _>("plan")?,
        "policySets": sets_of_plan(row)?,
    }))
}

/// `registries.ceiling` of the settings.
fn ceiling(setting: Option<String>) -> Result<Vec<RegistryEntry>, StoreError> {
    let Some(setting) = setting else { return Ok(Vec::new()) };
    let setting: Value = parse("the setting `registries`", &setting)?;
    let list = setting.get("ceiling").and_then(Value::as_array).into_iter().flatten();
    Ok(list.filter_map(|entry| RegistryEntry::parse(entry.as_str()?).ok()).collect())
}

/// Granted registries, narrowed by the tenant and limited by the ceiling; null where none are granted.
fn in_force(row: &AnyRow, ceiling: &[RegistryEntry]) -> Result<Value, StoreError> {
    let stored = |column: &str| -> Result<Value, StoreError> {
        let text: Option<String> = row.try_get(column)?;
        text.map_or(Ok(Value::Null), |text| parse("a list of registries", &text))
    };
    // Entries are validated when they are written; an invalid one admits nothing.
    let entries = |list: &[Value]| -> Vec<RegistryEntry> {
        list.iter().filter_map(|entry| RegistryEntry::parse(entry.as_str()?).ok()).collect()
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
        Some(Registries::List(list)) => list.iter().map(RegistryEntry::to_string).collect(),
    })
}

/// By `tenant/project`: `{id}`.
pub(super) async fn projects(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    add: impl AddEntry,
) -> Result<(), StoreError> {
    let [tenant, project, _] = segments(key);
    let select = Select::new(
        "SELECT t.slug AS tenant, p.slug AS project, p.id FROM projects p JOIN tenants t ON t.id = p.tenant_id \
         WHERE t.deleted_at IS NULL",
    );
    let select = select.and("t.slug = $?", tenant).and("p.slug = $?", project).and(ON_CLUSTER, cluster);
    each(on, select, add, |row| {
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
    add: impl AddEntry,
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
    each(on, select, add, |row| {
        let key = format!("{}/{}/{}", text(row, "tenant")?, text(row, "project")?, text(row, "app")?);
        Ok((key, json!({ "id": text(row, "id")?, "sourceKind": label(&text(row, "source_kind")?) })))
    })
    .await
}

/// By name: `{kind, tenant, project, app | sandbox, id, expiresAt}`; `id` is that of the sandbox.
pub(super) async fn namespaces(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
    add: impl AddEntry,
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
    each(on, select, add, |row| {
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

/// Reads row by row: a large table at once would take a multiple of the memory of the document.
async fn each(
    on: &mut AnyConnection,
    select: Select<'_>,
    mut add: impl AddEntry,
    read: impl Fn(&AnyRow) -> Result<(String, Value), StoreError> + Send,
) -> Result<(), StoreError> {
    let mut rows = select.query().fetch(on);
    while let Some(row) = rows.try_next().await? {
        let (key, value) = read(&row)?;
        add(key, value)?;
    }
    Ok(())
}

fn text(row: &AnyRow, column: &str) -> Result<String, StoreError> {
    Ok(row.try_get(column)?)
}

fn segments(key: Option<&str>) -> [Option<&str>; 3] {
    let mut slugs = key.into_iter().flat_map(|key| key.split('/'));
    [slugs.next(), slugs.next(), slugs.next()]
}

/// A source kind as a DNS label: `helmHttp` becomes `helm-http`.
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

fn sets_of_plan(row: &AnyRow) -> Result<Vec<Value>, StoreError> {
    let Some(names) = row.try_get::<Option<String>, _>("plan_sets")? else { return Ok(Vec::new()) };
    let names: Vec<String> = parse("a plan's policy sets", &names)?;
    Ok(names.iter().map(|name| json!({"name": name, "origin": "plan", "rules": []})).collect())
}

/// A set for the whole tenant and another one for the projects it is attached to; none for a tenant without policy sets.
fn sets_of_row(row: &AnyRow) -> Result<Vec<Value>, StoreError> {
    let Some(name) = row.try_get::<Option<String>, _>("set_name")? else { return Ok(Vec::new()) };
    let mode: Option<String> = row.try_get("mode")?;
    let mut rules: Vec<Value> = parse("the rules of a policy set", &row.try_get::<String, _>("rules")?)?;
    // A rule without a mode has the mode of its set.
    for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
        if let (Some(mode), None) = (&mode, rule.get("mode")) {
            rule.insert("mode".to_owned(), mode.as_str().into());
        }
    }
    let attached: Vec<Value> =
        parse("what a policy set is attached to", &row.try_get::<String, _>("attached_to")?)?;
    let origin: String = row.try_get("origin")?;
    let mut projects: Vec<&Value> = attached.iter().filter_map(|target| target.get("project")).collect();
    let whole_tenant = projects.len() < attached.len();
    projects.sort_by_key(|slug| slug.as_str());
    projects.dedup();
    let mut sets = Vec::with_capacity(2);
    if whole_tenant {
        sets.push(json!({"name": name, "origin": origin, "rules": rules}));
    }
    if !projects.is_empty() {
        sets.push(json!({"name": name, "origin": origin, "rules": rules, "projects": projects}));
    }
    Ok(sets)
}

/// By id: `{policy, tenant, subjects, objects, expires}`. The time is not compared: the reaper removes expired exceptions, so
/// that the document of a revision never changes, and gates compare the time themselves.
pub(super) async fn exceptions(
    on: &mut AnyConnection,
    key: Option<&str>,
    cluster: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let select = Select::new(
        "SELECT e.id, e.policy, t.slug, e.subjects, e.objects, e.expires_at \
         FROM exceptions e LEFT JOIN tenants t ON t.id = e.tenant_id WHERE e.state = 'active'",
    );
    let select = select.and("e.id = $?", key).and(
        "(e.tenant_id IS NULL OR EXISTS (SELECT 1 FROM tenant_clusters o \
         JOIN clusters c ON c.id = o.cluster_id WHERE o.tenant_id = e.tenant_id AND c.name = $?))",
        cluster,
    );
    let rows = select.order_by("e.id").query().fetch_all(on).await?;
    let mut found = Map::new();
    for row in &rows {
        let list = |column: &'static str| -> Result<Value, StoreError> {
            parse("a list of an exception", &row.try_get::<String, _>(column)?)
        };
        let exception = json!({
            "policy": row.try_get::<String, _>("policy")?,
            "tenant": row.try_get::<Option<String>, _>("slug")?,
            "subjects": list("subjects")?,
            "objects": list("objects")?,
            "expires": Time(row.try_get("expires_at")?),
        });
        found.insert(row.try_get("id")?, exception);
    }
    Ok(found)
}

/// By id: `{document, signature}`, or `{closed}`; expired documents are absent.
pub(super) async fn breakglass(
    on: &mut AnyConnection,
    key: Option<&str>,
) -> Result<Map<String, Value>, StoreError> {
    let select = Select::new(
        "SELECT id, document, signature, closed_at FROM breakglass \
         WHERE (closed_at IS NULL OR closed_at < expires_at)",
    );
    let rows = select.and("id = $?", key).order_by("id").query().fetch_all(on).await?;
    let mut found = Map::new();
    for row in &rows {
        let closed = row.try_get::<Option<i64>, _>("closed_at")?.is_some();
        let entry = if closed {
            json!({ "document": null, "signature": null, "closed": true })
        } else {
            let document: Value = parse("a break-glass document", &row.try_get::<String, _>("document")?)?;
            json!({ "document": document, "signature": row.try_get::<String, _>("signature")?, "closed": false })
        };
        found.insert(row.try_get("id")?, entry);
    }
    Ok(found)
}

/// `{revision, sha256}` of the newest policy bundle in the ledger, or null.
pub(super) async fn policies(on: &mut AnyConnection) -> Result<Value, StoreError> {
    let row = sqlx::query("SELECT revision, sha256 FROM policy_revisions ORDER BY revision DESC LIMIT 1")
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok(Value::Null) };
    Ok(json!({"revision": row.try_get::<i64, _>("revision")?, "sha256": row.try_get::<String, _>("sha256")?}))
}

static DEFAULTS: LazyLock<Map<String, Value>> = LazyLock::new(portcullis_tenancy::settings::defaults);

/// All keys, with defaults.
pub(super) async fn settings(on: &mut AnyConnection) -> Result<Value, StoreError> {
    let rows = sqlx::query("SELECT key, value FROM settings WHERE tenant_id IS NULL").fetch_all(on).await?;
    let mut document = DEFAULTS.clone();
    for row in rows {
        let key: String = row.try_get("key")?;
        // Other keys are not part of the document.
        if let Some(entry) =
            portcullis_tenancy::settings::KEYS.contains(&key.as_str()).then(|| document.entry(key))
        {
            let value = parse("a setting", &row.try_get::<String, _>("value")?)?;
            set_over_default(entry.or_insert(Value::Null), value);
        }
    }
    Ok(Value::Object(document))
}

/// A merge patch merges objects by key, so an object must name all its keys.
fn set_over_default(default: &mut Value, value: Value) {
    match (default, value) {
        (Value::Object(all), Value::Object(set)) => all.extend(set),
        (default, value) => *default = value,
    }
}
