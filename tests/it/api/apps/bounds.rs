//! Every field of an app at its bounds: a value → status, code and place. Those of a source stand beside its schema.

use serde_json::{Value, json};

use crate::api::harness::On;
use crate::api::shop::{IMAGE, SHOP, Shop, app, with};

/// Pointer, value, code, and where it is refused; an empty code is 201.
type Case = (&'static str, Value, &'static str, &'static [&'static str]);

const SHAPE: &str = "VALIDATION_ERROR";
const MEANING: &str = "UNPROCESSABLE_ENTITY";

fn names() -> Vec<Case> {
    let long = |n: usize| json!("a".repeat(n));
    vec![
        ("/name", long(20), "", &[]),
        ("/name", json!("todo-app"), "", &[]),
        ("/name", json!("1"), "", &[]),
        ("/name", long(21), SHAPE, &["/name"]),
        ("/name", json!(""), SHAPE, &["/name", "/name"]),
        ("/name", json!("-a"), SHAPE, &["/name"]),
        ("/name", json!("a-"), SHAPE, &["/name"]),
        ("/name", json!("A"), SHAPE, &["/name"]),
        ("/name", json!("a_b"), SHAPE, &["/name"]),
        ("/name", json!("é"), SHAPE, &["/name"]),
        ("/name", json!("a\n"), SHAPE, &["/name"]),
        ("/name", json!("a\u{0}"), SHAPE, &["/name", "/name"]),
        ("/name", json!("a'; DROP TABLE apps; --"), SHAPE, &["/name", "/name"]),
        ("/name", json!("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"), SHAPE, &["/name"]),
        ("/name", json!(7), SHAPE, &["/name"]),
        ("/name", Value::Null, SHAPE, &["/name"]),
    ]
}

fn others() -> Vec<Case> {
    let long = |n: usize| json!("é".repeat(n));
    vec![
        ("/description", long(1000), "", &[]),
        ("/description", json!("Robert'); DROP TABLE apps;--\n\t$1 {}"), "", &[]),
        ("/description", long(1001), SHAPE, &["/description"]),
        ("/description", json!("a\u{0}"), SHAPE, &["/description", "/description"]),
        ("/description", json!("a\u{1b}[2J"), SHAPE, &["/description"]),
        ("/unknown", json!(1), SHAPE, &["/unknown"]),
        ("/spec", Value::Null, SHAPE, &["/spec"]),
        ("/spec/unknown", json!(1), SHAPE, &["/spec/unknown"]),
        ("/spec/source", json!([]), SHAPE, &["/spec/source"]),
        ("/spec/source/image", json!("x"), SHAPE, &["/spec/source/image"]),
        ("/spec/source", json!({}), MEANING, &["/spec/source"]),
        (
            "/spec/source/gitRepo",
            json!({ "url": "https://g.io/x", "revision": "main" }),
            MEANING,
            &["/spec/source/containerImage", "/spec/source/gitRepo"],
        ),
        ("/components", json!(vec![json!({}); 64]), "", &[]),
        ("/components", json!(vec![json!({}); 65]), SHAPE, &["/components"]),
        ("/components", json!(["x"]), SHAPE, &["/components/0"]),
        ("/traits", json!({}), SHAPE, &["/traits"]),
        ("/policies", json!(null), "", &[]),
        ("/policies", json!([1]), SHAPE, &["/policies/0"]),
    ]
}

fn credentials() -> Vec<Case> {
    let env = json!([{ "name": "DB_PASSWORD", "value": "hunter2" }]);
    vec![
        (
            "/components",
            json!([{ "properties": { "token": "hunter2" } }]),
            MEANING,
            &["/components/0/properties/token"],
        ),
        ("/spec/source/containerImage/env", env, MEANING, &["/spec/source/containerImage/env/0/value"]),
        (
            "/spec/source",
            json!({ "gitRepo": { "url": "https://me:hunter2@g.io/x", "revision": "main" } }),
            MEANING,
            &["/spec/source/gitRepo/url"],
        ),
        (
            "/spec/source",
            json!({ "kubeManifest": { "manifest": { "apiVersion": "v1", "kind": "Secret", "data": { "x": "hunter2" } } } }),
            MEANING,
            &["/spec/source/kubeManifest/manifest/data"],
        ),
        (
            "/spec/source/containerImage",
            json!({ "image": IMAGE, "password": "hunter2" }),
            SHAPE,
            &["/spec/source/containerImage/password"],
        ),
        (
            "/spec/source/containerImage",
            json!({ "image": IMAGE, "credentialsSecretRef": { "name": "pull", "namespace": "tn-globex-web-app-api" } }),
            MEANING,
            &["/spec/source/containerImage/credentialsSecretRef/namespace"],
        ),
    ]
}

#[test]
fn a_value_and_what_is_said_of_it() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let mut number = 0;
        for (pointer, value, code, at) in names().into_iter().chain(others()).chain(credentials()) {
            number += 1;
            let body = with(app(&format!("a{number}"), IMAGE), pointer, value);
            let answer = shop.owner.post(&format!("{SHOP}/apps"), &body);
            assert!(!answer.text.contains("hunter2"), "{}", answer.text);
            if code.is_empty() {
                answer.ok(201);
            } else {
                answer.refused(code, at);
            }
        }
        assert_eq!(shop.server.ask("SELECT COUNT(*) FROM audit_log WHERE after LIKE '%hunter2%'"), "0");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let shop = Shop::open(On::Sqlite);
    let body = json!({ "name": "A", "spec": { "source": { "containerImage": { "image": "", "tag": " " } } }, "x": 1 });
    shop.owner.post(&format!("{SHOP}/apps"), &body).refused(
        "VALIDATION_ERROR",
        &[
            "/name",
            "/spec/source/containerImage/image",
            "/spec/source/containerImage/image",
            "/spec/source/containerImage/tag",
            "/x",
        ],
    );
    let body = json!({ "name": "a", "spec": { "source": { "containerImage": { "image": "evil.io/x", "env": [{ "name": "TOKEN", "value": "x" }] } } } });
    shop.owner.post(&format!("{SHOP}/apps"), &body).refused(
        "UNPROCESSABLE_ENTITY",
        &["/spec/source/containerImage/env/0/value", "/spec/source/containerImage/image"],
    );
}

#[test]
fn deep_and_long() {
    let shop = Shop::open(On::Sqlite);
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
    let values = |values: Value| json!({ "name": "deep", "spec": { "source": { "helmHttp": { "repoUrl": "https://c.io", "chart": "web", "version": "1.0.0", "values": values } } } });
    let post = |body: &Value| shop.owner.post(&format!("{SHOP}/apps"), body);
    let at = format!("/spec/source/helmHttp/values{}", "/a".repeat(30));
    post(&values(nested(31))).refused("VALIDATION_ERROR", &[&at]);
    post(&values(nested(100))).refused("MALFORMED_JSON", &[]);
    post(&values(json!({ "a": "x".repeat(256 * 1024) }))).refused("VALIDATION_ERROR", &["/spec/source"]);
    post(&values(json!({ "a": "x".repeat(1 << 20) }))).refused("PAYLOAD_TOO_LARGE", &[]);
    post(&values(nested(30))).ok(201);
}

#[test]
fn a_name_too_long_is_refused_and_never_cut() {
    let shop = Shop::open(On::Sqlite);
    let tenant = "a".repeat(20);
    let project = "b".repeat(20);
    let body = json!({ "name": tenant, "registries": "inherit" });
    shop.admin.post("/api/v1/clusters/eu-1/tenants", &body).ok(201);
    let tenant = format!("/api/v1/clusters/eu-1/tenants/{tenant}");
    shop.admin.post(&format!("{tenant}/projects"), &json!({ "name": project })).ok(201);
    let apps = format!("{tenant}/projects/{project}/apps");
    // `tn-` 20 `-` 20 `-app-` is 49.
    let longest = shop.admin.post(&apps, &app(&"c".repeat(14), "docker.io/library/nginx")).ok(201);
    assert_eq!(longest["namespace"].as_str().unwrap().len(), 63);
    shop.admin
        .post(&apps, &app(&"c".repeat(15), "docker.io/library/nginx"))
        .refused("NAME_TOO_LONG", &["/name"]);
}
