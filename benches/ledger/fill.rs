//! A ledger of a given size, written past the API: a thousand tenants one by one would be the longest part of the run.

use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

/// Rows of one statement.
const ROWS: usize = 500;

const CLUSTER: &str = "018f2b7c-0000-7000-8000-00000000c001";

/// Puts a world, as a snapshot has it, into an empty ledger on the cluster `eu-1`.
pub async fn fill(url: &str, world: &Value) {
    let ledger = portcullis_store::Ledger::open(url, &portcullis_store::Options::default()).await.unwrap();
    ledger.close().await;
    let mut on = AnyConnection::connect(url).await.unwrap();
    let mut tx = on.begin().await.unwrap();
    let run = |sql: String| sqlx::raw_sql(AssertSqlSafe(sql));
    tx.execute(run(format!(
        "INSERT INTO clusters (id, created_at, updated_at, name) VALUES ('{CLUSTER}', 1, 1, 'eu-1')"
    )))
    .await
    .unwrap();
    let mut tables = Tables::default();
    tables.settings(&world["settings"]);
    tables.tenants(world);
    tables.apps_and_sandboxes(world);
    for (insert, rows) in tables.0 {
        for rows in rows.chunks(ROWS) {
            tx.execute(run(format!("INSERT INTO {insert} VALUES {}", rows.join(", ")))).await.unwrap();
        }
    }
    tx.execute(run("UPDATE ledger SET revision = 1".to_owned())).await.unwrap();
    tx.commit().await.unwrap();
    if url.starts_with("postgres") {
        // As a server does by itself after a while; the bench's has that turned off, so as not to be disturbed by it.
        on.execute(run("ANALYZE".to_owned())).await.unwrap();
    }
    on.close().await.unwrap();
}

/// Rows by table and columns, in an order in which what is referred to stands first.
#[derive(Default)]
struct Tables(Vec<(&'static str, Vec<String>)>);

impl Tables {
    fn settings(&mut self, settings: &Value) {
        let rows =
            ["registries", "identities", "connect", "workloadWrites"].iter().zip(1..).map(|(key, n)| {
                format!(
                    "('018f2b7c-0000-7000-8000-00000000d{n:03}', 1, 1, 'global', '{key}', '{}')",
                    settings[key]
                )
            });
        self.0.push(("settings (id, created_at, updated_at, scope, key, value)", rows.collect()));
    }

    fn tenants(&mut self, world: &Value) {
        let (mut tenants, mut on_cluster) = (Vec::new(), Vec::new());
        for (slug, tenant) in entries(&world["tenants"]) {
            let id = text(&tenant["id"]);
            let registries = match &tenant["registries"] {
                Value::Null => "NULL".to_owned(),
                some => format!("'{some}'"),
            };
            let group = text(&tenant["groups"][0]);
            tenants.push(format!("('{id}', 1, 1, '{slug}', '{group}', {registries}, 'active')"));
            on_cluster.push(format!("('{id}', '{CLUSTER}', 1, 1)"));
        }
        let projects = entries(&world["projects"]).map(|(key, project)| {
            let (tenant, slug) = key.split_once('/').unwrap();
            format!(
                "('{}', 1, 1, '{}', '{slug}')",
                text(&project["id"]),
                text(&world["tenants"][tenant]["id"])
            )
        });
        let projects = projects.collect();
        self.0.extend([
            ("tenants (id, created_at, updated_at, slug, dev_group, registries, status)", tenants),
            ("tenant_clusters (tenant_id, cluster_id, is_primary, created_at)", on_cluster),
            ("projects (id, created_at, updated_at, tenant_id, slug)", projects),
        ]);
    }

    fn apps_and_sandboxes(&mut self, world: &Value) {
        let (mut apps, mut sandboxes, mut spaces) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, space), n) in entries(&world["namespaces"]).zip(1..) {
            let (tenant, project) = (text(&space["tenant"]), text(&space["project"]));
            let project_id = text(&world["projects"][format!("{tenant}/{project}")]["id"]);
            let own = format!("'{}', '{project_id}'", text(&world["tenants"][tenant]["id"]));
            let own_id = format!("018f2b7c-0009-7000-8000-{n:012}");
            let head = format!("'{own_id}', 1, 1, {own}, '{CLUSTER}', '{name}'");
            if let Some(app) = space["app"].as_str() {
                let id = text(&world["apps"][format!("{tenant}/{project}/{app}")]["id"]);
                apps.push(format!("('{id}', 1, 1, {own}, '{CLUSTER}', '{app}', '{{}}', 'containerImage')"));
                spaces.push(format!("({head}, 'app', '{id}', NULL)"));
            } else {
                let (id, number) = (text(&space["id"]), &space["sandbox"]);
                sandboxes.push(format!("('{id}', 1, 1, {own}, '{CLUSTER}', {number})"));
                spaces.push(format!("({head}, 'sandbox', NULL, '{id}')"));
            }
        }
        self.0.extend([
            ("apps (id, created_at, updated_at, tenant_id, project_id, cluster_id, slug, spec, source_kind)", apps),
            ("sandboxes (id, created_at, updated_at, tenant_id, project_id, cluster_id, ordinal)", sandboxes),
            ("namespaces (id, created_at, updated_at, tenant_id, project_id, cluster_id, name, kind, app_id, sandbox_id)", spaces),
        ]);
    }
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().unwrap().iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
