//! Policy sets as gates see them: those of the tenant's plan by name, then those attached to it and its projects.

use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::StoreError;
use crate::revision::parse;

/// Those of a plan, by the list of names in column `plan_sets`.
pub(super) fn of_plan(row: &AnyRow) -> Result<Vec<Value>, StoreError> {
    let Some(names) = row.try_get::<Option<String>, _>("plan_sets")? else { return Ok(Vec::new()) };
    let names: Vec<String> = parse("a plan's policy sets", &names)?;
    Ok(names.iter().map(|name| json!({"name": name, "origin": "plan", "rules": []})).collect())
}

/// That of a row of `policysets` in columns `set_name origin mode rules attached_to`: its rules once, and beside them the
/// projects that it is attached to; a second time where it is attached to the whole tenant too, and none where the row is
/// of a tenant without one.
pub(super) fn of_row(row: &AnyRow) -> Result<Vec<Value>, StoreError> {
    let Some(name) = row.try_get::<Option<String>, _>("set_name")? else { return Ok(Vec::new()) };
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
    let origin: String = row.try_get("origin")?;
    let mut projects: Vec<&Value> = attached.iter().filter_map(|place| place.get("project")).collect();
    let everywhere = projects.len() < attached.len();
    projects.sort_by_key(|slug| slug.as_str());
    projects.dedup();
    let mut sets = Vec::with_capacity(2);
    if everywhere {
        sets.push(json!({"name": name, "origin": origin, "rules": rules}));
    }
    if !projects.is_empty() {
        sets.push(json!({"name": name, "origin": origin, "rules": rules, "projects": projects}));
    }
    Ok(sets)
}
