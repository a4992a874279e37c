//! The OpenAPI document against what is answered. Most of that is `tests/schemathesis`; what it found has its case here.

use serde_json::{Value, json};

use super::harness::{Answer, Server, unique};

/// Holds an answer against what the document says of it.
#[track_caller]
fn fits(document: &Value, method: &str, path: &str, answer: &Answer) {
    let pointer = |text: &str| text.replace('~', "~0").replace('/', "~1");
    let at = format!("/paths/{}/{method}/responses/{}", pointer(path), answer.status);
    let response =
        document.pointer(&at).unwrap_or_else(|| panic!("{} is not documented at {at}", answer.status));
    let kind = answer.header("content-type").unwrap();
    let schema = response["content"][kind]["schema"].clone();
    let mut root = schema;
    root["components"] = document["components"].clone();
    let errors: Vec<_> = jsonschema::validator_for(&root)
        .unwrap()
        .iter_errors(&answer.body())
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:?}");
}

#[test]
fn what_is_answered_fits_the_document() {
    let server = Server::start();
    let admin = server.admin();
    let document = admin.get("/openapi.json");
    let described = document.ok(200);
    fits(&described, "get", "/openapi.json", &document);
    let image = json!({ "containerImage": { "image": "ghcr.io/acme/web", "tag": "1" } });
    let ceiling = json!({ "value": { "ceiling": ["ghcr.io"], "platform": [] } });
    admin.put("/api/v1/settings/registries", &ceiling).ok(200);
    let item =
        json!({ "slug": "web", "name": "Web", "scope": "global", "version": "1.0.0", "source": image });
    fits(&described, "post", "/api/v1/catalog", &admin.post("/api/v1/catalog", &item));
    fits(&described, "get", "/api/v1/catalog", &admin.get("/api/v1/catalog"));
    let nobodys = format!("/api/v1/tokens/{}", portcullis_store::new_id());
    for query in ["dryRun=perhaps", "colour=red"] {
        let answer = admin.delete(&format!("{nobodys}?{query}"));
        assert_eq!(answer.status, 400, "{}", answer.text);
        fits(&described, "delete", "/api/v1/tokens/{jti}", &answer);
    }
}

#[test]
fn a_verb_of_another_method_is_told_its_own() {
    let server = Server::start();
    let admin = server.admin();
    for path in [
        "/api/v1/clusters/c/tenants/t:suspend",
        "/api/v1/clusters/c/tenants/t/projects/p/apps/a:rollback",
        "/api/v1/policies/revisions/1:rollback",
        "/api/v1/exceptions/x:approve",
        "/api/v1/breakglass/x:close?dryRun=true",
    ] {
        for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = admin.send(method, path, None);
            answer.refused("METHOD_NOT_ALLOWED", &[]);
            assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
        }
    }
    // A colon in the name of a member is its own.
    let member = "/api/v1/clusters/c/tenants/t/members/system:resume";
    admin.put(member, &json!({ "role": "readOnly" })).refused("CLUSTER_NOT_FOUND", &[]);
}

#[test]
fn a_key_that_is_none_is_refused_in_a_dry_run_too() {
    let server = Server::start();
    let admin = server.admin().with("idempotency-key", "two words");
    for query in ["", "?dryRun=true"] {
        let answer = admin.post(&format!("/api/v1/clusters{query}"), &json!({ "name": unique("k") }));
        answer.refused("VALIDATION_ERROR", &["idempotency-key:"]);
    }
}
