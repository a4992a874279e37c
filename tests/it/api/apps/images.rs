//! Images are judged by the law that judges Pods, wherever in a source they stand, before anything is written down.

use serde_json::{Value, json};

use crate::api::harness::{On, Server};
use crate::api::shop::{IMAGE, SHOP, Shop, app, with};

fn pod(image: &str) -> Value {
    json!({ "kubeManifest": { "manifest": { "apiVersion": "apps/v1", "kind": "Deployment", "spec": { "template": { "spec": { "containers": [{ "name": "a", "image": image }] } } } } } })
}

#[test]
fn what_the_cluster_would_refuse() {
    let shop = Shop::open(On::Sqlite);
    let image = |image: &str| json!({ "containerImage": { "image": image } });
    let chart =
        |registry: &str| json!({ "helmOci": { "registry": registry, "chart": "web", "version": "1.0.0" } });
    let values = |values: Value| json!({ "helmHttp": { "repoUrl": "https://charts.io", "chart": "web", "version": "1.0.0", "values": values } });
    let vela =
        |parameters: Value| json!({ "velaTemplate": { "template": "webservice", "parameters": parameters } });
    let cases = [
        (image(IMAGE), ""),
        (image("nginx"), ""),
        (image("docker.io/istio/proxyv2:1"), ""),
        (image("registry.example.com/tenants/acme-evil/web:1"), "/containerImage/image"),
        (image("registry.example.com/tenants/other/web:1"), "/containerImage/image"),
        (image("registry.example.com.evil.io/tenants/acme/web"), "/containerImage/image"),
        (image("evil.io/x"), "/containerImage/image"),
        (image("Docker.io/library/nginx"), "/containerImage/image"),
        (image("my_registry.io/x"), "/containerImage/image"),
        (image(&"a".repeat(64)), "/containerImage/image"),
        (chart("oci://registry.example.com/tenants/acme"), ""),
        (chart("oci://evil.io/charts"), "/helmOci/registry"),
        (
            values(json!({ "image": { "repository": "evil.io/x", "tag": "1" } })),
            "/helmHttp/values/image/repository",
        ),
        (values(json!({ "image": { "registry": "docker.io", "repository": "library/nginx" } })), ""),
        (pod("evil.io/x"), "/kubeManifest/manifest/spec/template/spec/containers/0/image"),
        (pod(IMAGE), ""),
        (vela(json!({ "image": "evil.io/x" })), "/velaTemplate/parameters/image"),
        (vela(json!({ "image": "nginx" })), ""),
    ];
    for (number, (source, at)) in cases.into_iter().enumerate() {
        let body = with(app(&format!("a{number}"), IMAGE), "/spec/source", source);
        let answer = shop.owner.post(&format!("{SHOP}/apps"), &body);
        if at.is_empty() {
            answer.ok(201);
        } else {
            answer.refused("REGISTRY_NOT_ALLOWED", &[&format!("/spec/source{at}")]);
            assert!(
                answer.text.contains("registry-allowlist") && !answer.text.contains("globex"),
                "{}",
                answer.text
            );
        }
    }
    let body = with(
        app("late", IMAGE),
        "/components",
        json!([{ "type": "webservice", "properties": { "image": "evil.io/x" } }]),
    );
    shop.owner
        .post(&format!("{SHOP}/apps"), &body)
        .refused("REGISTRY_NOT_ALLOWED", &["/components/0/properties/image"]);
    assert_eq!(shop.count("SELECT COUNT(*) FROM apps WHERE slug = 'late'"), 0);
}

#[test]
fn by_the_lists_of_this_moment() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let tenant = "/api/v1/clusters/eu-1/tenants/acme";
        let post = |name: &str, image: &str| shop.owner.post(&format!("{SHOP}/apps"), &app(name, image));
        let at = &["/spec/source/containerImage/image"];
        shop.owner.patch(tenant, &json!({ "narrowedRegistries": ["docker.io/library"] })).ok(200);
        post("one", IMAGE).refused("REGISTRY_NOT_ALLOWED", at);
        post("two", "nginx").ok(201);
        shop.admin.patch(tenant, &json!({ "registries": "inherit", "narrowedRegistries": null })).ok(200);
        post("three", "registry.example.com/anything").ok(201);
        shop.admin.patch(tenant, &json!({ "registries": null })).ok(200);
        let refused = post("four", "docker.io/istio/proxyv2:1");
        refused.refused("REGISTRY_NOT_ALLOWED", at);
        assert!(refused.text.contains("no registry policy for tenant"), "{}", refused.text);
        let empty = json!({ "value": { "ceiling": [], "platform": [] } });
        shop.admin.patch(tenant, &json!({ "registries": [] })).ok(200);
        shop.admin.patch("/api/v1/clusters/eu-1/tenants/globex", &json!({ "registries": [] })).ok(200);
        shop.admin.put("/api/v1/settings/registries", &empty).ok(200);
        post("five", "docker.io/istio/proxyv2:1").refused("REGISTRY_NOT_ALLOWED", at);
    }
}

#[test]
fn without_a_ceiling_nothing_with_an_image_is_taken() {
    let server = Server::start();
    let admin = server.admin();
    admin.post("/api/v1/clusters", &json!({ "name": "eu-1" })).ok(201);
    admin.post("/api/v1/clusters/eu-1/tenants", &json!({ "name": "acme", "registries": "inherit" })).ok(201);
    admin.post("/api/v1/clusters/eu-1/tenants/acme/projects", &json!({ "name": "shop" })).ok(201);
    admin
        .post(&format!("{SHOP}/apps"), &app("one", "nginx"))
        .refused("REGISTRY_NOT_ALLOWED", &["/spec/source/containerImage/image"]);
    let git = json!({ "name": "two", "spec": { "source": { "gitRepo": { "url": "https://g.io/x", "revision": "main" } } } });
    admin.post(&format!("{SHOP}/apps"), &git).ok(201);
}
