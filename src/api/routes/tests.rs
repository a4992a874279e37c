use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::openapi;
use crate::route::NamedSchema;
use crate::schema::Schemas;
use portcullis_access::matrix::{Method, RULES};

fn document() -> Value {
    serde_json::from_str(&openapi::text(&table()).unwrap()).unwrap()
}

#[test]
fn every_schema_compiles() {
    Schemas::compile(&table()).unwrap();
}

#[test]
fn an_action_has_one_route() {
    let mut seen = BTreeSet::new();
    for route in table() {
        assert!(seen.insert(route.rule.action), "{} is given twice", route.rule.action);
    }
}

#[test]
fn who_needs_a_token_is_who_asks_for_the_caller() {
    for route in table() {
        assert_eq!(route.signature.caller, !route.rule.is_open(), "{}", route.rule.action);
        assert!(!route.signature.success.is_empty(), "{} answers nothing", route.rule.action);
        let takes = matches!(route.rule.method, Method::Post | Method::Put | Method::Patch);
        assert!(takes || route.signature.body.is_none(), "{} takes a body", route.rule.action);
    }
}

/// One name for two types would make one of them be checked and shown as the other.
#[test]
fn no_two_types_have_one_name() {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    let mut check = |name: String, schema: Value| {
        let before = seen.entry(name.clone()).or_insert_with(|| schema.clone());
        assert_eq!(*before, schema, "two types are called {name}");
    };
    let json = |schema| serde_json::to_value(schema).unwrap();
    for route in table() {
        let answers = route.signature.success.iter().filter_map(|s| s.body.as_ref()?.1.clone());
        let all: Vec<NamedSchema> =
            route.signature.body.into_iter().chain(route.signature.query).chain(answers).collect();
        for named in all {
            check(named.name, json(named.schema));
            named.others.into_iter().for_each(|(name, schema)| check(name, json(schema)));
        }
    }
}

/// Unknown fields are refused because the schema says so, so every object of a request must say so.
#[test]
fn every_object_that_is_taken_is_closed_and_every_text_and_list_bounded() {
    let document = document();
    let mut wrong = Vec::new();
    for route in table() {
        for named in route.signature.body.iter().chain(&route.signature.query) {
            let schema = serde_json::to_value(&named.schema).unwrap();
            look(&document, &schema, &named.name, &mut BTreeSet::new(), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn look(document: &Value, schema: &Value, at: &str, seen: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        if seen.insert(target.to_owned()) {
            let found = document.pointer(target.trim_start_matches('#')).expect(target);
            look(document, found, target.rsplit('/').next().unwrap(), seen, wrong);
        }
        return;
    }
    let is = |word: &str| match schema.get("type") {
        Some(Value::String(one)) => one == word,
        Some(Value::Array(many)) => many.iter().any(|one| one == word),
        _ => false,
    };
    let has = |word: &str| schema.get(word).is_some();
    if is("object") && !has("additionalProperties") {
        wrong.push(format!("{at}: an object that takes anything"));
    }
    if is("string") && !["maxLength", "enum", "const", "format"].iter().any(|word| has(word)) {
        wrong.push(format!("{at}: a text without a bound"));
    }
    if is("array") && !has("maxItems") {
        wrong.push(format!("{at}: a list without a bound"));
    }
    for key in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        for part in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            look(document, part, at, seen, wrong);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(part) = schema.get(key).filter(|part| part.is_object()) {
            look(document, part, &format!("{at}/{key}"), seen, wrong);
        }
    }
    for (name, part) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        look(document, part, &format!("{at}.{name}"), seen, wrong);
    }
}

#[test]
fn the_document_has_exactly_the_routes_of_the_table() {
    let document = document();
    let mut documented = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            documented.insert((method.to_uppercase(), path.clone()), id);
        }
    }
    let ids: BTreeSet<_> = documented.values().collect();
    assert_eq!(ids.len(), documented.len(), "operation ids are unique");
    let routes = table();
    let served: BTreeSet<_> = routes
        .iter()
        .flat_map(|route| route.paths().map(|path| (route.rule.method.as_str().to_owned(), path.to_owned())))
        .collect();
    assert_eq!(documented.into_keys().collect::<BTreeSet<_>>(), served);
    let ruled: BTreeSet<_> = RULES.iter().map(|rule| rule.action).collect();
    assert!(routes.iter().all(|route| ruled.contains(&route.rule.action)));
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = document();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
        match value {
            Value::Object(entries) => open.extend(entries.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}
