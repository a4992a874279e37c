//! Clusters, and with them what every entity does: made, shown, listed, changed, removed; seen by some and not by others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_access::{Role, TenantRef};
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
    let tenant = TenantRef { id: portcullis_store::new_id(), slug: "acme".into() };
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

/// A file that holds a master key of this byte.
fn master_key(dir: &std::path::Path, byte: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(format!("{byte}.key"));
    std::fs::write(&path, byte.repeat(32)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn credentials_are_replaced_under_their_version_and_the_log_does_not_hold_them() {
    for on in [On::Sqlite, On::Postgres] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::with(on, &["--master-key-file", &master_key(dir.path(), "5e")]);
        let admin = server.admin();
        let at = "/api/v1/clusters/eu-1";
        let stored = |body: &Value| body["conditions"][0]["status"] == "True";
        let made = admin.post("/api/v1/clusters", &json!({"name": "eu-1"})).ok(201);
        assert!(!stored(&made));
        let put = |caller: &super::harness::Caller| caller.patch(at, &json!({"kubeconfig": kubeconfig()}));
        let kept = || server.ask("SELECT COALESCE(length(kubeconfig_enc), 0) FROM clusters");
        let first = put(&admin.with("if-match", "\"1\""));
        assert!(stored(&first.ok(200)));
        assert_eq!(first.header("etag"), Some("\"2\""));
        assert!(!first.text.contains(&kubeconfig()));
        put(&admin.with("if-match", "\"1\"")).refused("PRECONDITION_FAILED", &[]);
        assert!(stored(&admin.patch(at, &json!({"displayName": "Europe"})).ok(200)), "{on:?}: it stays");
        let before = kept();
        put(&admin.with("if-match", "\"3\"")).ok(200);
        assert_eq!(kept(), before);
        for (wrong, code) in
            [("!!!".to_owned(), "VALIDATION_ERROR"), (STANDARD.encode("a"), "UNPROCESSABLE_ENTITY")]
        {
            admin.patch(at, &json!({"kubeconfig": wrong})).refused(code, &["/kubeconfig"]);
        }
        server
            .somebody("gate", portcullis_access::Role::Service, None)
            .patch(at, &json!({"kubeconfig": kubeconfig()}))
            .refused("FORBIDDEN", &[]);
        assert!(!stored(&admin.patch(at, &json!({"kubeconfig": null})).ok(200)));
        assert_eq!(kept(), "0");
        let log = admin.get("/api/v1/audit?action=cluster.update");
        let rows = log.ok(200)["items"].clone();
        let reasons: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["reason"]).collect();
        let replaced = json!("its kubeconfig was replaced");
        assert_eq!(reasons, [&json!("its kubeconfig was removed"), &replaced, &Value::Null, &replaced]);
        assert!(!log.text.contains(&kubeconfig()) && !log.text.contains(SECRET));
    }
}

#[test]
fn credentials_are_replaced_on_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::with(On::Sqlite, &["--master-key-file", &master_key(dir.path(), "5e")]);
    server.admin().post("/api/v1/clusters", &json!({"name": "eu-1"})).ok(201);
    let path = |name: &str| dir.path().join(name).display().to_string();
    let token = server.token("root", portcullis_access::Role::Admin, None, 600);
    std::fs::write(path("token"), token).unwrap();
    std::fs::write(path("kubeconfig"), STANDARD.decode(kubeconfig()).unwrap()).unwrap();
    std::fs::write(path("long"), vec![b'x'; 384 * 1024 + 1]).unwrap();
    let run = |words: &[&str]| {
        let mut command = crate::support::portcullis();
        command.args(["cluster", "set-kubeconfig", "eu-1"]).args(words);
        command.args(["--api-url", &format!("http://{}", server.address), "--token-file", &path("token")]);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!said.contains(SECRET) && !said.contains(&kubeconfig()), "{said}");
        (output.status.success(), said)
    };
    let (done, said) = run(&[&path("kubeconfig")]);
    assert!(done && said.contains("cluster/eu-1 updated"), "{said}");
    assert!(run(&[&path("kubeconfig"), "--version", "2"]).0);
    let (done, said) = run(&[&path("kubeconfig"), "--version", "2"]);
    assert!(!done && said.contains("PRECONDITION_FAILED"), "{said}");
    let (done, said) = run(&[&path("long")]);
    assert!(!done && said.contains("has more than 393216 bytes"), "{said}");
}

#[test]
fn master_key_is_rotated_and_a_rotation_goes_on_where_it_was() {
    for on in [On::Sqlite, On::Postgres] {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, other] = ["5e", "6f", "70"].map(|byte| master_key(dir.path(), byte));
        let server = Server::with(on, &["--master-key-file", &old]);
        let admin = server.admin();
        for n in 0..25 {
            admin
                .post("/api/v1/clusters", &json!({"name": format!("c-{n}"), "kubeconfig": kubeconfig()}))
                .ok(201);
        }
        admin.post("/api/v1/clusters", &json!({"name": "bare"})).ok(201);
        let url = server.url();
        let rotate = |from: &str, to: &str| {
            let mut command = crate::support::portcullis();
            command.args(["master-key", "rotate", "--database", &url, "--output", "json"]);
            let output = command.args(["--old-key-file", from, "--new-key-file", to]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let counts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
            (output.status.code().unwrap(), counts)
        };
        let counts = |rewrapped: u64, already: u64| json!({"rewrapped": rewrapped, "already": already, "broken": [], "changed": 0});
        // Neither key: nothing is touched, and it is told.
        let (code, wrong) = rotate(&other, &new);
        assert_eq!((code, wrong["broken"].as_array().unwrap().len()), (1, 25), "{on:?} {wrong}");
        assert_eq!(rotate(&old, &new), (0, counts(25, 0)), "{on:?}");
        assert_eq!(rotate(&old, &new), (0, counts(0, 25)), "{on:?}");
        // A server that still has the old key seals one more; the rotation finds that one.
        admin.patch("/api/v1/clusters/c-3", &json!({"kubeconfig": kubeconfig()})).ok(200);
        assert_eq!(rotate(&old, &new), (0, counts(1, 24)), "{on:?}");
        assert_eq!(rotate(&new, &other), (0, counts(25, 0)), "{on:?}: all of it opens with the new one");
        let log = admin.get("/api/v1/audit?action=masterKey.rotate&view=full").ok(200);
        let rewrapped: u64 = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["after"]["rewrapped"].as_u64().unwrap())
            .sum();
        assert_eq!(rewrapped, 51, "{log}");
        admin.get("/api/v1/clusters/c-3").ok(200);
    }
}
