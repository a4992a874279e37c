//! What the gate would say, asked through the API; exceptions from a request to a grant; scans.

use serde_json::{Value, json};

use super::harness::{Answer, Caller, On};
use super::shop::{IMAGE, SHOP, Shop};
use crate::support::wait;
use crate::support::wire::Ask;

const EVALUATE: &str = "/api/v1/policies/evaluate";
const APP: &str = "tn-acme-shop-app-frontend";

fn pod(namespace: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": namespace },
        "spec": { "containers": [{ "name": "web", "image": image }] },
    })
}

/// A shop whose gate knows of its app and its sandbox.
fn furnished() -> Shop {
    let shop = Shop::open(On::Sqlite);
    shop.app("frontend", IMAGE);
    shop.owner.post(&format!("{SHOP}/sandboxes"), &json!({})).ok(201);
    wait(std::time::Duration::from_secs(20), || {
        let known = |at: &str| shop.owner.post(EVALUATE, &pod(at, IMAGE)).status == 200;
        (known(APP) && known("tn-acme-shop-sbx-001")).then_some(())
    });
    shop
}

#[test]
fn a_manifest_is_judged_as_the_gate_would() {
    let shop = furnished();
    let ask = |who: &Caller, query: &str, body: &Value| who.post(&format!("{EVALUATE}{query}"), body);
    let denied = |answer: &Answer, policy: &str| {
        let body = answer.ok(200);
        let found = body["denials"].as_array().unwrap().iter().any(|denial| denial["policy"] == policy);
        assert!(found && body["allowed"] == false && body["code"] == 403, "{policy}: {body}");
        assert!(body["message"].as_str().unwrap().contains(policy), "{body}");
        assert_eq!(body["revision"].as_str().unwrap().matches('/').count(), 1, "{body}");
    };
    // Somebody of the tenant where nobody is named.
    denied(&ask(&shop.dev, "", &pod(APP, IMAGE)), "app-namespace-read-only");
    let evil = pod("tn-acme-shop-sbx-001", "evil.example.com/x:1");
    denied(&ask(&shop.owner, "", &evil), "registry-allowlist");
    let good = ask(&shop.owner, "", &pod("tn-acme-shop-sbx-001", IMAGE)).ok(200);
    assert_eq!((&good["allowed"], &good["denials"], good.get("message")), (&json!(true), &json!([]), None));
    let controller = "?user=system:serviceaccount:kube-system:replicaset-controller&groups=system:serviceaccounts,system:serviceaccounts:kube-system";
    let known = ask(&shop.admin, controller, &pod(APP, IMAGE)).ok(200);
    let names: Vec<_> = known["denials"].as_array().unwrap().iter().map(|denial| &denial["policy"]).collect();
    assert!(!names.contains(&&json!("app-namespace-read-only")), "{known}");
    let nowhere = pod("", IMAGE);
    denied(&ask(&shop.owner, &format!("?namespace={APP}"), &nowhere), "app-namespace-read-only");
    ask(&shop.owner, "?operation=DELETE", &pod("tn-acme-shop-sbx-001", IMAGE)).ok(200);

    for namespace in ["tn-globex-web-sbx-001", "tn-acme-shop-app-none", "default", "kube-system"] {
        ask(&shop.owner, "", &pod(namespace, IMAGE)).refused("TENANT_NOT_FOUND", &[]);
    }
    // Of people of another tenant nothing is said either.
    ask(&shop.owner, "?user=eve&groups=globex-devs", &pod(APP, IMAGE)).refused("TENANT_NOT_FOUND", &[]);
    // Whether there is a tenant of a group, or a namespace of a service account, does not show.
    ask(&shop.owner, "?user=eve&groups=nosuch-devs", &pod(APP, IMAGE)).refused("TENANT_NOT_FOUND", &[]);
    for space in ["tn-globex-web-app-site", "tn-nosuch-web-app-site"] {
        let account = format!(
            "?user=system:serviceaccount:{space}:default&groups=system:serviceaccounts,system:serviceaccounts:{space}"
        );
        ask(&shop.owner, &account, &pod(APP, IMAGE)).refused("TENANT_NOT_FOUND", &[]);
    }
    for (query, body, code, at) in [
        ("?operation=PATCH", pod(APP, IMAGE), "VALIDATION_ERROR", "?operation"),
        ("?user=", pod(APP, IMAGE), "VALIDATION_ERROR", "?user"),
        ("", json!([]), "VALIDATION_ERROR", ""),
        ("", json!({}), "UNPROCESSABLE_ENTITY", ""),
        (
            "",
            json!({ "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1" }),
            "UNPROCESSABLE_ENTITY",
            "",
        ),
    ] {
        ask(&shop.admin, query, &body).refused(code, &[at]);
    }
    let rows = shop.audited().len();
    ask(&shop.owner, "", &evil).ok(200);
    assert_eq!(shop.audited().len(), rows, "no effect, no row");
}

#[test]
fn a_review_is_judged_as_it_stands() {
    let shop = furnished();
    let review = |ask: &Ask| serde_json::from_slice::<Value>(&ask.body()).unwrap();
    let mine = shop.owner.post(EVALUATE, &review(&Ask::pod("evil.example.com/x:1"))).ok(200);
    assert_eq!(mine["allowed"], false, "{mine}");
    let elsewhere = Ask { namespace: "tn-globex-web-app-site".into(), ..Ask::default() };
    shop.owner.post(EVALUATE, &review(&elsewhere)).refused("TENANT_NOT_FOUND", &[]);
    let stranger = Ask { user: r#"{"username":"eve","groups":["globex-devs"]}"#, ..Ask::default() };
    shop.owner.post(EVALUATE, &review(&stranger)).refused("TENANT_NOT_FOUND", &[]);
    shop.admin.post(EVALUATE, &review(&stranger)).ok(200);
    let mut torn = review(&Ask::default());
    torn["request"].as_object_mut().unwrap().remove("uid");
    shop.owner.post(EVALUATE, &torn).refused("UNPROCESSABLE_ENTITY", &[""]);
}

#[test]
fn what_an_owner_asks_for_an_administrator_grants() {
    let shop = furnished();
    let wanted = pod("tn-acme-shop-sbx-001", "evil.example.com/x:1");
    let allowed = || shop.owner.post(EVALUATE, &wanted).ok(200)["allowed"] == true;
    let expires = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).to_string();
    let body = json!({
        "policy": "registry-allowlist", "objects": [{ "namespace": "tn-acme-shop-sbx-001" }],
        "reason": "a vendor's image, for the trial", "expires": expires,
    });
    let asked = shop.owner.post("/api/v1/exceptions", &body).ok(201);
    assert_eq!((&asked["state"], &asked["requestedBy"]), (&json!("requested"), &json!("ledger#olga")));
    let at = format!("/api/v1/exceptions/{}", asked["id"].as_str().unwrap());
    shop.owner.send("POST", &format!("{at}:approve"), None).refused("FORBIDDEN", &[]);
    shop.stranger.get(&at).refused("EXCEPTION_NOT_FOUND", &[]);
    assert!(!allowed(), "asked for is not granted");
    let granted = shop.admin.send("POST", &format!("{at}:approve"), None).ok(200);
    assert_eq!((&granted["state"], &granted["approvedBy"]), (&json!("active"), &json!("ledger#root")));
    wait(std::time::Duration::from_secs(20), || allowed().then_some(()));
    shop.admin.send("POST", &format!("{at}:approve"), None).refused("CONFLICT", &[]);
    shop.owner.delete(&at).refused("FORBIDDEN", &[]);
    shop.admin.delete(&at).ok(204);
    wait(std::time::Duration::from_secs(20), || (!allowed()).then_some(()));
    assert_eq!(
        shop.audited().into_iter().filter(|action| action.starts_with("exception.")).collect::<Vec<_>>(),
        ["exception.create", "exception.approve", "exception.delete"]
    );
    for (field, value, code) in [
        ("policy", json!("none"), "UNPROCESSABLE_ENTITY"),
        ("policy", json!("No"), "VALIDATION_ERROR"),
        ("expires", json!("tomorrow, perhaps, or not"), "VALIDATION_ERROR"),
        ("expires", json!("2020-01-01T00:00:00Z"), "UNPROCESSABLE_ENTITY"),
        ("expires", json!("2999-01-01T00:00:00Z"), "UNPROCESSABLE_ENTITY"),
        ("objects", json!([]), "VALIDATION_ERROR"),
        ("reason", json!(""), "VALIDATION_ERROR"),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        shop.owner.post("/api/v1/exceptions", &wrong).refused(code, &[&format!("/{field}")]);
    }
}

#[test]
fn scans_are_kept_from_the_newest_down() {
    let shop = Shop::open(On::Sqlite);
    let body = |at: &str, findings: Value| json!({ "startedAt": at, "policyRevision": "0".repeat(64), "findings": findings });
    let finding = |tenant: &str| json!({ "tenantId": tenant, "policy": "registry-allowlist", "object": "a/pods/b", "message": "no" });
    let first =
        shop.admin.post("/api/v1/scans", &body("2026-11-21T10:00:00Z", json!([finding(&shop.acme.id)])));
    let made = first.ok(201);
    assert_eq!(made["counts"], json!({ "registry-allowlist": 1 }));
    let at = first.header("location").unwrap().to_owned();
    assert_eq!(shop.owner.get(&at).ok(200)["findings"][0]["object"], "a/pods/b");
    assert_eq!(shop.stranger.get(&at).ok(200)["findings"], json!([]));
    shop.admin.post("/api/v1/scans", &body("2026-11-21T11:00:00Z", json!([]))).ok(201);
    let list = shop.admin.get("/api/v1/scans").ok(200);
    assert_eq!((&list["items"][0]["counts"], &list["items"][1]["id"]), (&json!({}), &made["id"]));
    shop.admin
        .post("/api/v1/scans", &body("yesterday, I believe", json!([])))
        .refused("VALIDATION_ERROR", &["/startedAt"]);
    // Who is gone since the scan began is no reason to lose the rest of it.
    let gone = json!([finding("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"), finding(&shop.acme.id)]);
    shop.admin.post("/api/v1/scans", &body("2026-11-21T10:00:00Z", gone)).ok(201);
}
