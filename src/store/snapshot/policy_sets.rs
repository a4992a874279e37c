//! Policy sets as gates see them: those of the tenant's plan by name, then those attached to it and its projects.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::store::error::StoreError;
use crate::store::revision::parse;

/// By slug of the tenant: entries of `policySets`, for one tenant or for all.
pub(super) async fn by_tenant(
    on: &mut AnyConnection,
    tenant: Option<&str>,
) -> Result<BTreeMap<String, Vec<Value>>, StoreError> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let plans = sqlx::query(
        "SELECT t.slug, p.policysets FROM tenants t JOIN plans p ON p.id = t.plan_id \
         WHERE t.deleted_at IS NULL AND p.policysets <> '[]' AND ($1 IS NULL OR t.slug = $1)",
    )
    .bind(tenant)
    .fetch_all(&mut *on)
    .await?;
    for row in plans {
        let names: Vec<String> = parse("a plan's policy sets", &row.try_get::<String, _>("policysets")?)?;
        let sets = names.iter().map(|name| json!({"name": name, "origin": "plan", "rules": []}));
        all.entry(row.try_get("slug")?).or_default().extend(sets);
    }
    let rows = sqlx::query(
        "SELECT t.slug, s.name, s.origin, s.mode, s.rules, s.attached_to FROM policysets s \
         JOIN tenants t ON t.id = s.tenant_id \
         WHERE t.deleted_at IS NULL AND ($1 IS NULL OR t.slug = $1) ORDER BY s.created_at, s.id",
    )
    .bind(tenant)
    .fetch_all(on)
    .await?;
    for row in rows {
        let mode: Option<String> = row.try_get("mode")?;
        let mut rules: Vec<Value> = parse("the rules of a policy set", &row.try_get::<String, _>("rules")?)?;
        // The set's own mode is that of every rule without one.
        for rule in rules.iter_mut().filter_map(Value::as_object_mut) {
            if let (Some(mode), None) = (&mode, rule.get("mode")) {
                rule.insert("mode".to_owned(), mode.as_str().into());
            }
        }
        let attached: Vec<Value> =
            parse("what a policy set is attached to", &row.try_get::<String, _>("attached_to")?)?;
        let (name, origin): (String, String) = (row.try_get("name")?, row.try_get("origin")?);
        let sets = all.entry(row.try_get("slug")?).or_default();
        for place in attached {
            let mut set = json!({"name": name, "origin": origin, "rules": rules});
            if let (Some(project), Some(fields)) = (place.get("project"), set.as_object_mut()) {
                fields.insert("project".to_owned(), project.clone());
            }
            sets.push(set);
        }
    }
    Ok(all)
}
