//! Projects, apps and namespaces with something wrong in them, and the sentence about it.

use super::refusals::{check, problems};
use super::*;

#[test]
fn projects_and_apps() {
    let project = |id: u8| json!({ "id": format!("018f2b7c-0000-7000-8000-0000000001{id:02}") });
    check(
        "/projects/nobody~1shop",
        project(0),
        "projects.nobody/shop: the tenant `nobody` is unknown (allowed: one of `tenants`)",
    );
    check("/projects/shop", project(0), "projects.shop: the key names no tenant (allowed: `tenant/project`)");
    check(
        "/projects/acme~1my-app",
        project(0),
        "projects.acme/my-app: project slug `my-app` holds the token `app`, which divides namespace names; choose another word",
    );
    check(
        "/projects/acme~1a~1b",
        project(0),
        "projects.acme/a/b: project slug `a/b` holds `/` (allowed: lower-case letters, digits and inner hyphens)",
    );
    check(
        "/apps/acme~1nope~1x",
        project(0),
        "apps.acme/nope/x: the project `acme/nope` is unknown (allowed: one of `projects`)",
    );
    check(
        "/apps/acme~1shop",
        project(0),
        "apps.acme/shop: the key names no tenant and project (allowed: `tenant/project/app`)",
    );
}

#[test]
fn namespaces() {
    let app = json!({"kind": "app", "tenant": "acme", "project": "shop", "app": "frontend"});
    assert_eq!(
        problems(&[("/namespaces/tn-acme-shop-app-front", app)]),
        [
            "namespaces.tn-acme-shop-app-front: the name is not the one composed from its owner (allowed: `tn-acme-shop-app-frontend`)",
        ]
    );
    let at = "/namespaces/tn-acme-shop-app-frontend";
    let path = "namespaces.tn-acme-shop-app-frontend";
    check(&format!("{at}/kind"), json!("App"), &format!("{path}.kind: `App` (allowed: `app`, `sandbox`)"));
    check(
        &format!("{at}/sandbox"),
        json!(1),
        &format!("{path}: kind `app` needs `app`, the slug (allowed: `app`, and no `sandbox`)"),
    );
    check(
        &format!("{at}/id"),
        json!("x"),
        &format!(
            "{path}.id: differs from the app's id (allowed: none, or `018f2b7c-0000-7000-8000-000000000021` as under `apps`)"
        ),
    );
    let at = "/namespaces/tn-acme-shop-sbx-001";
    let path = "namespaces.tn-acme-shop-sbx-001";
    check(
        &format!("{at}/id"),
        Value::Null,
        &format!("{path}.id: is missing (allowed: a UUID in lower case)"),
    );
    check(
        &format!("{at}/sandbox"),
        json!(2),
        &format!("{path}: the name is not the one composed from its owner (allowed: `tn-acme-shop-sbx-002`)"),
    );
    check(
        &format!("{at}/sandbox"),
        json!(1000),
        &format!("{path}: sandbox number 1000 is out of range (allowed: 1 to 999)"),
    );
    check(
        &format!("{at}/expiresAt"),
        json!("tomorrow"),
        &format!("{path}.expiresAt: `tomorrow` (allowed: RFC 3339, for example `2027-01-31T09:30:00Z`)"),
    );
    check(
        &format!("{at}/expiresAt"),
        json!("2027-02-30T09:30:00Z"),
        &format!(
            "{path}.expiresAt: `2027-02-30T09:30:00Z` (allowed: RFC 3339, for example `2027-01-31T09:30:00Z`)"
        ),
    );
    assert!(problems(&[(&format!("{at}/expiresAt"), json!("2027-01-31T09:30:00.5+02:00"))]).is_empty());
    assert_eq!(
        problems(&[("/namespaces/tn-acme-shop-app-frontend/app", json!("api"))]),
        [
            "namespaces.tn-acme-shop-app-frontend: the name is not the one composed from its owner (allowed: `tn-acme-shop-app-api`)",
            "namespaces.tn-acme-shop-app-frontend.app: the app `acme/shop/api` is unknown (allowed: one of `apps`)",
        ]
    );
}
