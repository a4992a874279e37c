//! What requests ask of the database: each statement finds its rows by an index, however many tenants there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::harness::{On, Server};
use super::shop::{IMAGE, SHOP, Shop, app};

/// Tables that grow with the number of tenants, by their names and aliases in statements.
const LARGE: [&str; 15] = [
    "tenants",
    "projects",
    "apps",
    "sandboxes",
    "namespaces",
    "tenant_clusters",
    "memberships",
    "audit_log",
    "app_revisions",
    "exceptions",
    "policysets",
    "minted_tokens",
    "revoked_tokens",
    "changes",
    "catalog_items",
];

#[test]
fn statements_of_requests_read_no_whole_table() {
    for on in [On::Sqlite, On::Postgres] {
        let mut shop = Shop::logging(on, "sqlx::query=debug");
        // What the process reads at its start, the whole of the snapshot, is no request's.
        let before = shop.server.log().lines().count();
        many_tenants(&shop);
        requests(&shop);
        let statements: BTreeSet<String> =
            shop.server.log().lines().skip(before).filter_map(statement).collect();
        assert!(statements.len() > 60, "{}: only {} statements are logged", on.name(), statements.len());
        let whole: Vec<String> = statements
            .iter()
            .flat_map(|statement| {
                reads_whole(&shop.server, statement).into_iter().map(move |table| (table, statement))
            })
            .map(|(table, statement)| format!("{table}: {statement}"))
            .collect();
        assert!(whole.is_empty(), "{}: whole tables are read\n{}", on.name(), whole.join("\n"));
        shop.server.kill();
    }
}

/// So many that reading a whole table costs more than looking for what is asked.
fn many_tenants(shop: &Shop) {
    let Some(scratch) = &shop.server.scratch else { return };
    let id = |table: &str| format!("'{table}0' || lpad(n::text, 6, '0') || '-0000-7000-8000-000000000000'");
    let rows = "FROM generate_series(1, 3000) n, (SELECT id FROM clusters WHERE name = 'eu-1') c";
    let (tenant, project, sandbox, namespace) = (id("a"), id("b"), id("c"), id("d"));
    let (app, of_app) = (id("e"), id("f"));
    scratch.sql(&format!(
        "INSERT INTO tenants (id, created_at, updated_at, slug, dev_group) SELECT {tenant}, 1, 1, 't' || n, 'g' || n {rows}; \
         INSERT INTO tenant_clusters (tenant_id, cluster_id, is_primary, created_at) SELECT {tenant}, c.id, 1, 1 {rows}; \
         INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) SELECT {project}, 1, 1, {tenant}, 'shop' {rows}; \
         INSERT INTO sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal) \
         SELECT {sandbox}, 1, 1, {tenant}, {project}, c.id, 1 {rows}; \
         INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, sandbox_id) \
         SELECT {namespace}, 1, 1, {tenant}, {project}, c.id, 'tn-t' || n || '-shop-sbx-001', 'sandbox', {sandbox} {rows}; \
         INSERT INTO apps (id, created_at, updated_at, tenant_id, project_id, cluster_id, slug, spec, source_kind) \
         SELECT {app}, 1, 1, {tenant}, {project}, c.id, 'web', '{{}}', 'containerImage' {rows}; \
         INSERT INTO namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id) \
         SELECT {of_app}, 1, 1, {tenant}, {project}, c.id, 'tn-t' || n || '-shop-app-web', 'app', {app} {rows}; \
         ANALYZE"
    ));
}

/// One of everything that is done every day.
fn requests(shop: &Shop) {
    let tenants = "/api/v1/clusters/eu-1/tenants";
    shop.admin.post(tenants, &json!({ "name": "initech", "owners": ["local#ida"] })).ok(201);
    shop.admin.patch(&format!("{tenants}/initech"), &json!({ "displayName": "Initech" })).ok(200);
    shop.admin.post(&format!("{tenants}/initech:suspend"), &json!({})).ok(200);
    shop.admin.put(&format!("{tenants}/acme/quotas"), &json!({ "sandboxes": "9" })).ok(200);
    for list in
        [tenants.to_owned(), format!("{tenants}?owner=local%23ida"), format!("{tenants}/acme/projects")]
    {
        let answer =
            shop.admin.get(&format!("{list}{}limit=1", if list.contains('?') { '&' } else { '?' })).ok(200);
        if let Some(cursor) = answer["nextCursor"].as_str() {
            shop.admin.get(&format!("{list}?limit=1&cursor={cursor}")).ok(200);
        }
    }
    shop.owner.post(&format!("{tenants}/acme/projects"), &json!({ "name": "web" })).ok(201);
    shop.owner.patch(SHOP, &json!({ "displayName": "Shop" })).ok(200);
    let made = shop.dev.post(&format!("{SHOP}/apps"), &app("frontend", IMAGE)).ok(201);
    shop.dev
        .put(&format!("{SHOP}/apps/frontend"), &json!({ "description": "second", "spec": made["spec"] }))
        .ok(200);
    shop.reader.get(&format!("{SHOP}/apps/{}", made["id"].as_str().unwrap())).ok(200);
    shop.reader.get(&format!("{SHOP}/apps")).ok(200);
    shop.reader.get(&format!("{SHOP}/apps/frontend/revisions")).ok(200);
    let sandbox = shop.dev.post(&format!("{SHOP}/sandboxes"), &json!({})).ok(201);
    shop.reader.get(&format!("{SHOP}/sandboxes")).ok(200);
    shop.dev.delete(&format!("{SHOP}/sandboxes/{}", sandbox["name"].as_str().unwrap())).ok(204);
    shop.dev.delete(&format!("{SHOP}/apps/frontend")).ok(204);
    let member = json!({ "role": "readOnly" });
    shop.owner.put(&format!("{tenants}/acme/members/local%23mia"), &member).ok(200);
    shop.owner.get(&format!("{tenants}/acme/members")).ok(200);
    let set = json!({ "name": "mine", "rules": [], "attachedTo": [{}] });
    shop.owner.post(&format!("{tenants}/acme/policysets"), &set).ok(201);
    shop.owner.get(&format!("{tenants}/acme/policysets")).ok(200);
    shop.owner.get("/api/v1/exceptions").ok(200);
    shop.owner.get("/api/v1/tokens").ok(200);
    shop.owner.get("/api/v1/me").ok(200);
    shop.owner.get("/api/v1/catalog").ok(200);
    shop.admin.get("/api/v1/catalog?tenantId=acme").ok(200);
    shop.owner.get("/api/v1/audit?limit=2").ok(200);
    shop.owner.delete(&format!("{tenants}/acme/projects/web")).ok(204);
    shop.admin.delete(&format!("{tenants}/initech")).ok(204);
}

/// The statement of a line of the log.
fn statement(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let whole = line["db.statement"].as_str().unwrap_or_default().trim();
    let text = if whole.is_empty() { line["summary"].as_str()?.trim() } else { whole };
    let verb = text.split_whitespace().next()?;
    ["SELECT", "UPDATE", "DELETE", "WITH"]
        .contains(&verb)
        .then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The tables of which a statement reads every row.
fn reads_whole(server: &Server, statement: &str) -> Vec<String> {
    let tables = match &server.scratch {
        None => server.plan_of_sqlite(statement),
        Some(_) => plan_of_postgres(server, statement),
    };
    tables.into_iter().filter(|table| LARGE.contains(&table.as_str())).collect()
}

/// With scans made dear, one that is left has no index to use; so it is of an index that is read from end to end.
fn plan_of_postgres(server: &Server, statement: &str) -> Vec<String> {
    let count = (1..=99).take_while(|n| statement.contains(&format!("${n}"))).count();
    let list =
        |words: &[&str]| if words.is_empty() { String::new() } else { format!("({})", words.join(", ")) };
    let mut types = vec!["unknown"; count];
    loop {
        let printed = server.scratch.as_ref().unwrap().try_sql(&format!(
            "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan; PREPARE asked{} AS {statement}; \
             EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE asked{}",
            list(&types),
            list(&vec!["NULL"; count])
        ));
        match printed {
            Ok(printed) => {
                let mut found = Vec::new();
                walk(&serde_json::from_str(&printed).unwrap(), &mut found);
                return found;
            }
            Err(error) => {
                // The program says of each value what it is; here only what the statement does not say is added.
                let number = error.split_once("data type of parameter $").and_then(|(_, rest)| {
                    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
                });
                let number = number.unwrap_or_else(|| panic!("{statement}: {error}"));
                assert_ne!(std::mem::replace(&mut types[number - 1], "text"), "text", "{statement}: {error}");
            }
        }
    }
}

fn walk(plan: &Value, found: &mut Vec<String>) {
    match plan {
        Value::Array(list) => list.iter().for_each(|plan| walk(plan, found)),
        Value::Object(node) => {
            let kind = node.get("Node Type").and_then(Value::as_str).unwrap_or_default();
            let whole = kind == "Seq Scan" || (kind.starts_with("Index") && !node.contains_key("Index Cond"));
            if let (true, Some(table)) = (whole, node.get("Relation Name").and_then(Value::as_str)) {
                found.push(table.to_owned());
            }
            node.values().for_each(|plan| walk(plan, found));
        }
        _ => {}
    }
}
