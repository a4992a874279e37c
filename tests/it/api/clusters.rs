//! Clusters, and with them what every entity does: made, shown, listed, changed, removed; seen by some and not by others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis::access::{Role, TenantRef};
use serde_json::{Value, json};

use super::harness::{On, Server, unique};

const SECRET: &str = "hunter2-the-token-inside";

fn kubeconfig() -> String {
    STANDARD.encode(format!(
        "apiVersion: v1\nkind: Config\nclusters: []\nusers: [{{name: a, user: {{token: {SECRET}}}}}]\n"
    ))
}

#[test]
fn a_cluster_lives_from_its_registration_to_its_removal() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        let admin = server.admin();
        let made = admin.post(
            "/api/v1/clusters",
            &json!({"name": "eu-1", "displayName": "Europe", "labels": {"tier": "gold"}, "capsuleProxyUrl": "https://proxy.example"}),
        );
        let body = made.ok(201);
        let id = body["id"].as_str().unwrap();
        assert_eq!(made.header("location").unwrap(), format!("/api/v1/clusters/{id}"));
        assert_eq!(made.header("etag"), Some("\"1\""));
        assert_eq!(
            (&body["name"], &body["labels"]["tier"], &body["version"]),
            (&json!("eu-1"), &json!("gold"), &json!(1))
        );
        for reference in [id, "eu-1"] {
            let shown = admin.get(&format!("/api/v1/clusters/{reference}"));
            assert_eq!((shown.ok(200), shown.header("etag")), (body.clone(), Some("\"1\"")));
        }
        let patch = json!({"labels": {"zone": "a", "tier": null}, "capsuleProxyUrl": null});
        let changed = admin.patch("/api/v1/clusters/eu-1", &patch);
        let after = changed.ok(200);
        assert_eq!((changed.header("etag"), &after["labels"]), (Some("\"2\""), &json!({"zone": "a"})));
        assert_eq!((after.get("capsuleProxyUrl"), &after["displayName"]), (None, &json!("Europe")));
        admin.delete("/api/v1/clusters/eu-1").ok(204);
        admin.get("/api/v1/clusters/eu-1").refused("CLUSTER_NOT_FOUND", &[]);
    }
}

#[test]
fn a_name_is_taken_once() {
    let server = Server::start();
    let admin = server.admin();
    admin.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
    admin.post("/api/v1/clusters", &json!({"name": "one"})).refused("CONFLICT", &[]);
}

#[test]
fn a_cluster_with_tenants_stays() {
    let server = Server::start();
    let (_, cluster) = member_of_a_cluster(&server);
    server.admin().delete(&format!("/api/v1/clusters/{cluster}")).refused("HAS_DEPENDENTS", &[]);
}

#[test]
fn members_see_name_and_id_of_the_clusters_they_are_on() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &[]);
        server.admin().post("/api/v1/clusters", &json!({"name": "other", "labels": {"a": "b"}})).ok(201);
        let (tenant, cluster) = member_of_a_cluster(&server);
        for role in [Role::TenantOwner, Role::ProjectDev, Role::ReadOnly] {
            let caller = server.somebody("somebody", role, Some(&tenant));
            let seen = caller.get("/api/v1/clusters").ok(200);
            let own = json!({"id": cluster, "name": "own"});
            assert_eq!(seen["items"], json!([own]));
            assert_eq!(caller.get("/api/v1/clusters/own").ok(200), own);
            caller.get("/api/v1/clusters/other").refused("CLUSTER_NOT_FOUND", &[]);
            caller.delete("/api/v1/clusters/own").refused("FORBIDDEN", &[]);
        }
    }
}

/// A tenant, written past the API, on a cluster called `own`.
fn member_of_a_cluster(server: &Server) -> (TenantRef, String) {
    let made = server.admin().post("/api/v1/clusters", &json!({"name": "own"})).ok(201);
    let cluster = made["id"].as_str().unwrap().to_owned();
    let tenant = TenantRef { id: portcullis::store::new_id(), slug: "acme".into() };
    server.sql(&format!(
        "INSERT INTO tenants (id, created_at, updated_at, slug, dev_group) VALUES ('{0}', 1, 1, 'acme', 'acme-devs'); \
         INSERT INTO tenant_clusters (tenant_id, cluster_id, is_primary, created_at) VALUES ('{0}', '{cluster}', 1, 1);",
        tenant.id
    ));
    (tenant, cluster)
}

#[test]
fn credentials_are_refused_without_a_master_key() {
    let server = Server::start();
    let new = json!({"name": "eu-1", "kubeconfig": kubeconfig()});
    server.admin().post("/api/v1/clusters", &new).refused("MASTER_KEY_MISSING", &["/kubeconfig"]);
    assert_eq!(server.admin().get("/api/v1/clusters").ok(200)["items"], json!([]), "nothing was made");
}

#[test]
fn credentials_are_kept_sealed_and_never_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "5e".repeat(32)).unwrap();
    std::fs::set_permissions(key.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut server = Server::with(On::Sqlite, &["--master-key-file", key.path().to_str().unwrap()]);
    let admin = server.admin();
    let new = json!({"name": "eu-1", "kubeconfig": kubeconfig()});
    let made = admin.post("/api/v1/clusters", &new).ok(201);
    let stored = |body: &Value| body["conditions"][0]["status"] == "True";
    assert!(stored(&made));
    let seen = format!("{made} {}", admin.get("/api/v1/clusters/eu-1").text);
    assert!(!seen.contains("kubeconfig") && !seen.contains(&kubeconfig()));
    server.runtime.block_on(server.ledger.close());
    server.kill();
    let mut files = 0;
    for entry in std::fs::read_dir(server.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for secret in [SECRET.as_bytes(), kubeconfig().as_bytes()] {
                assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{}", path.display());
            }
        }
    }
    assert!(files > 0);
}

#[test]
fn what_is_no_kubeconfig_is_refused() {
    let server = Server::start();
    for (text, code) in [
        ("!!!".to_owned(), "VALIDATION_ERROR"),
        ("abc".to_owned(), "VALIDATION_ERROR"),
        (STANDARD.encode("just words"), "UNPROCESSABLE_ENTITY"),
        (STANDARD.encode("clusters: {}"), "UNPROCESSABLE_ENTITY"),
    ] {
        let new = json!({"name": unique("c"), "kubeconfig": text});
        server.admin().post("/api/v1/clusters", &new).refused(code, &["/kubeconfig"]);
    }
}
