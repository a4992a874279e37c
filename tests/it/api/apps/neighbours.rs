//! A developer who is limited to some projects names nothing of the tenant's other projects.

use serde_json::{Value, json};

use crate::api::harness::{Caller, On};
use crate::api::shop::{IMAGE, SHOP, Shop, app, with};

const BLOG: &str = "/api/v1/clusters/eu-1/tenants/acme/projects/blog";

/// Where another project's namespace can stand in the body of an app.
fn places(name: &str) -> Vec<(Value, &'static str)> {
    let source = |source: Value| json!({ "name": "x", "spec": { "source": source } });
    let manifest = |object: Value| source(json!({ "kubeManifest": { "manifest": object } }));
    let chart = |values: Value| {
        source(json!({ "helmHttp": {
            "repoUrl": "https://charts.example.com", "chart": "web", "version": "1.0.0", "values": values,
        } }))
    };
    vec![
        (
            with(
                app("x", IMAGE),
                "/spec/source/containerImage/credentialsSecretRef",
                json!({ "name": "pull", "namespace": name }),
            ),
            "/spec/source/containerImage/credentialsSecretRef/namespace",
        ),
        (
            manifest(
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a", "namespace": name } }),
            ),
            "/spec/source/kubeManifest/manifest/metadata/namespace",
        ),
        (
            manifest(json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "a" },
                "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": name }] })),
            "/spec/source/kubeManifest/manifest/subjects/0/namespace",
        ),
        (
            manifest(json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": { "name": "a" },
                "subjects": [{ "kind": "User", "name": format!("system:serviceaccount:{name}:default") }] })),
            "/spec/source/kubeManifest/manifest/subjects/0/name",
        ),
        (
            manifest(
                json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "a",
                "annotations": { "example.com/config-from": format!("{name}/users") } } }),
            ),
            "/spec/source/kubeManifest/manifest/metadata/annotations/example.com~1config-from",
        ),
        (
            chart(json!({ "configMap": { "namespace": name } })),
            "/spec/source/helmHttp/values/configMap/namespace",
        ),
        (chart(json!({ "watch": { name: true } })), "/spec/source/helmHttp/values/watch"),
        (
            source(json!({ "velaTemplate": { "template": "webservice", "parameters": { "from": [name] } } })),
            "/spec/source/velaTemplate/parameters/from/0",
        ),
        (
            with(
                app("x", IMAGE),
                "/policies",
                json!([{ "type": "topology", "properties": { "namespace": name } }]),
            ),
            "/policies/0/properties/namespace",
        ),
    ]
}

fn developer(shop: &Shop) -> Caller {
    shop.server.limited("lea", &shop.acme, &[&shop.project])
}

#[test]
fn limited_developer_names_nothing_of_other_projects() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        shop.admin.post("/api/v1/clusters/eu-1/tenants/acme/projects", &json!({ "name": "blog" })).ok(201);
        let other = shop.owner.post(&format!("{BLOG}/apps"), &app("web", IMAGE)).ok(201);
        let own = shop.app("web", IMAGE);
        let (other, own) = (other["namespace"].as_str().unwrap(), own["namespace"].as_str().unwrap());
        let lea = developer(&shop);
        // One that is not registered is refused in the same words.
        let mut said = Vec::new();
        for name in [other, "tn-acme-nowhere-app-web"] {
            for (body, pointer) in places(name) {
                let answer = lea.post(&format!("{SHOP}/apps"), &body);
                answer.refused("UNPROCESSABLE_ENTITY", &[pointer]);
                said.push(answer.body()["errors"][0]["detail"].clone());
            }
        }
        let half = said.len() / 2;
        assert_eq!(said[..half], said[half..]);
        for (number, (mut body, _)) in places(own).into_iter().enumerate() {
            body["name"] = json!(format!("own-{number}"));
            lea.post(&format!("{SHOP}/apps"), &body).ok(201);
        }
        // Whoever reaches all projects of the tenant decides for all of them.
        for (number, (mut body, _)) in places(other).into_iter().enumerate() {
            body["name"] = json!(format!("all-{number}"));
            shop.dev.post(&format!("{SHOP}/apps"), &body).ok(201);
        }
        // Not by a revision or an item that somebody else has written, either.
        let at = format!("{SHOP}/apps/all-0");
        let plain = json!({ "spec": app("x", IMAGE)["spec"] });
        lea.put(&at, &plain).ok(200);
        lea.post(&format!("{at}:rollback"), &json!({ "toRevision": 1 }))
            .refused("UNPROCESSABLE_ENTITY", &["/toRevision"]);
        shop.owner.post(&format!("{at}:rollback"), &json!({ "toRevision": 1 })).ok(200);
        // The address of a Service grants nothing.
        let address = json!([{ "name": "DB_URL", "value": format!("http://db.{other}.svc:5432") }]);
        let body = with(app("address", IMAGE), "/spec/source/containerImage/env", address);
        lea.post(&format!("{SHOP}/apps"), &body).ok(201);
    }
}
