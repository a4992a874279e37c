//! A thousand tenants through the API on two connections: each sees its own, whoever had the connection before.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_access::{Role, TenantRef};
use serde_json::json;

use crate::api::harness::{On, Server};

const TENANTS: usize = 1_000;

/// Callers at once.
const LANES: usize = 16;

fn id(table: u32, n: usize) -> String {
    format!("018f2b7c-{table:04}-7000-8000-{n:012}")
}

/// The tenants t0, t1, …, each with the project `own-N`, past the API: one by one they would be the longest part.
fn fill(server: &Server) -> Vec<TenantRef> {
    server.admin().post("/api/v1/clusters", &json!({"name": "eu-1"})).ok(201);
    let rows = |row: &dyn Fn(usize) -> String| (0..TENANTS).map(row).collect::<Vec<_>>().join(", ");
    let tenants = rows(&|n| format!("('{}', 1, 1, 't{n}', 't{n}-devs')", id(1, n)));
    let clusters = rows(&|n| format!("('{}', (SELECT id FROM clusters), 1, 1)", id(1, n)));
    let projects = rows(&|n| format!("('{}', 1, 1, '{}', 'own-{n}')", id(2, n), id(1, n)));
    for insert in [
        format!("tenants (id, created_at, updated_at, slug, dev_group) VALUES {tenants}"),
        format!("tenant_clusters (tenant_id, cluster_id, is_primary, created_at) VALUES {clusters}"),
        format!("projects (id, created_at, updated_at, tenant_id, slug) VALUES {projects}"),
    ] {
        server.sql(&format!("INSERT INTO {insert}"));
    }
    (0..TENANTS).map(|n| TenantRef { id: id(1, n), slug: format!("t{n}") }).collect()
}

/// What an owner does: looks at its own, at a neighbour's, and makes a project.
fn visit(server: &Server, tenants: &[TenantRef], n: usize) {
    let tenant = &tenants[n];
    let token = server.token("owner", Role::TenantOwner, Some(tenant), 600);
    let owner = server.bearing(&token);
    let at = |slug: &str| format!("/api/v1/clusters/eu-1/tenants/{slug}");
    if n.is_multiple_of(5) {
        // Somebody who goes away in the middle of whatever that comes to.
        let mut stream = TcpStream::connect(server.address).unwrap();
        let (path, body) = (at(&tenant.slug), r#"{"displayName": "gone"}"#);
        let length = body.len();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: l\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
    let projects = owner.get(&format!("{}/projects", at(&tenant.slug))).ok(200);
    let seen: Vec<_> = projects["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(seen, [&json!(format!("own-{n}"))], "{}", tenant.slug);
    let own = owner.get("/api/v1/clusters/eu-1/tenants").ok(200);
    let seen: Vec<_> = own["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
    assert_eq!(seen, [&json!(tenant.id)]);
    let neighbour = &tenants[(n + 1) % TENANTS];
    owner.get(&at(&neighbour.slug)).refused("TENANT_NOT_FOUND", &[]);
    owner
        .get(&format!("{}/projects/{}", at(&tenant.slug), id(2, (n + 1) % TENANTS)))
        .refused("PROJECT_NOT_FOUND", &[]);
    let made = owner.post(&format!("{}/projects", at(&tenant.slug)), &json!({"name": "made"})).ok(201);
    assert_eq!(made["tenantId"], json!(tenant.id), "{made}");
}

fn a_pool_of_two_leaks_nothing(on: On) {
    let flags = ["--database-connections", "2", "--api-rate", "100000", "--api-burst", "100000"];
    let server = Server::with(on, &flags);
    let tenants = fill(&server);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    // Far apart, so that neighbours are not served one after the other.
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= TENANTS {
                        return;
                    }
                    visit(&server, &tenants, n * 389 % TENANTS);
                }
            });
        }
    });
    let count = |sql: &str| server.ask(sql).parse::<usize>().unwrap();
    assert_eq!(count("SELECT COUNT(*) FROM projects WHERE slug = 'made'"), TENANTS);
    assert_eq!(count("SELECT COUNT(DISTINCT tenant_id) FROM projects WHERE slug = 'made'"), TENANTS);
    // Each in its own chain, as itself.
    let own = "SELECT COUNT(*) FROM audit_log WHERE action = 'project.create' AND chain = tenant_id";
    assert_eq!(count(own), TENANTS);
    let strange = "SELECT COUNT(*) FROM audit_log a JOIN projects p ON p.id = a.resource_id WHERE p.tenant_id <> a.tenant_id";
    assert_eq!(count(strange), 0);
}

#[test]
fn a_pool_of_two_leaks_nothing_on_sqlite() {
    a_pool_of_two_leaks_nothing(On::Sqlite);
}

#[test]
fn a_pool_of_two_leaks_nothing_on_postgres() {
    a_pool_of_two_leaks_nothing(On::Postgres);
}
