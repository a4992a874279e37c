//! Every condition of the table, both ways: what it lets through, and what it does not.

use std::collections::BTreeSet;

use portcullis_access::matrix::{Limit as L, May, Method, RULES};
use portcullis_access::{Action as A, Role};
use serde_json::{Value, json};

use crate::api::harness::{Answer, Caller, On};
use crate::api::shop::{SHOP, Shop, WEB, app};

const ACME: &str = "/api/v1/clusters/eu-1/tenants/acme";
const GLOBEX: &str = "/api/v1/clusters/eu-1/tenants/globex";
const LAB: &str = "/api/v1/clusters/eu-1/tenants/acme/projects/lab";
const IMAGE: &str = "docker.io/library/nginx:1";

/// Two tenants with one of everything that has an owner, and somebody who is limited to a project.
struct World {
    shop: Shop,
    /// Of acme, limited to `shop`.
    dev: Caller,
    reader: Caller,
    /// An exception that the owner of acme has asked for, one that an administrator has made for it, and one of globex.
    exceptions: [String; 3],
    /// A scan of both tenants, and one of globex alone.
    scans: [String; 2],
}

type Ask = fn(&World) -> Answer;

/// A list, its condition, the field that tells whose its items are, and what that is.
type List = (A, L, Ask, &'static str, &'static [&'static str]);

/// A condition on an action, what it lets through, and what it answers beyond.
type Case = (A, L, Ask, Ask, &'static str);

impl World {
    fn build() -> Self {
        let shop = Shop::open(On::Sqlite);
        shop.admin.post(&format!("{ACME}/projects"), &json!({ "name": "lab" })).ok(201);
        for place in [SHOP, LAB] {
            let at = format!("{place}/apps");
            shop.admin.post(&at, &app("frontend", IMAGE)).ok(201);
            shop.admin
                .put(
                    &format!("{at}/frontend"),
                    &json!({ "spec": app("", "docker.io/library/nginx:2")["spec"] }),
                )
                .ok(200);
            shop.admin.post(&format!("{place}/sandboxes"), &json!({})).ok(201);
        }
        let project = std::slice::from_ref(&shop.project);
        let limited = |role| {
            shop.server.bearing(&shop.server.token_for("lim", role, Some(&shop.acme), Some(project.to_vec())))
        };
        let (dev, reader) = (limited(Role::ProjectDev), limited(Role::ReadOnly));
        let id = |body: Value| body["id"].as_str().unwrap().to_owned();
        let exceptions = [
            id(shop.owner.post("/api/v1/exceptions", &exception(None)).ok(201)),
            id(shop.admin.post("/api/v1/exceptions", &exception(Some("acme"))).ok(201)),
            id(shop.admin.post("/api/v1/exceptions", &exception(Some("globex"))).ok(201)),
        ];
        let scan = |tenants: &[&str]| {
            let found = |tenant: &&str| json!({ "tenantId": tenant, "policy": "registry-allowlist", "object": "x/pods/y", "message": "no" });
            let findings: Vec<_> = tenants.iter().map(found).collect();
            let body = json!({ "startedAt": "2026-11-21T10:00:00Z", "policyRevision": "00000000", "findings": findings });
            id(shop.admin.post("/api/v1/scans", &body).ok(201))
        };
        let scans = [scan(&[&shop.acme.id, &shop.globex.id]), scan(&[&shop.globex.id])];
        shop.admin.patch(GLOBEX, &json!({ "registries": "inherit" })).ok(200);
        for (slug, tenant) in [("theirs", &shop.globex.id), ("own", &shop.acme.id)] {
            shop.admin.post("/api/v1/catalog", &item(slug, Some(tenant))).ok(201);
        }
        let set = json!({ "name": "platforms", "rules": [] });
        shop.admin.post(&format!("{ACME}/policysets"), &set).ok(201);
        shop.admin.post("/api/v1/catalog", &item("all", None)).ok(201);
        for subject in ["ada", "bob"] {
            shop.admin.put(&format!("{ACME}/members/{subject}"), &json!({ "role": "projectDev" })).ok(200);
        }
        for (tenant, subjects) in [("acme", ["ada", "bob"]), ("globex", ["gil", "gus"])] {
            for subject in subjects {
                let at = format!("/api/v1/clusters/eu-1/tenants/{tenant}/members/{subject}");
                shop.admin.put(&at, &json!({ "role": "projectDev" })).ok(200);
                let body = json!({ "subject": subject, "roles": ["readOnly"], "tenant": tenant });
                shop.admin.post("/api/v1/tokens", &body).ok(201);
            }
        }
        Self { shop, dev, reader, exceptions, scans }
    }

    fn owner(&self) -> &Caller {
        &self.shop.owner
    }
}

fn exception(tenant: Option<&str>) -> Value {
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let mut body = json!({
        "policy": "registry-allowlist", "objects": [{ "namespace": "tn-acme-shop-app-frontend" }],
        "reason": "a test", "expires": expires.to_string(),
    });
    if let Some(tenant) = tenant {
        body["tenant"] = tenant.into();
    }
    body
}

fn item(slug: &str, tenant: Option<&str>) -> Value {
    let scope = if tenant.is_some() { "tenant" } else { "global" };
    let source = app("", IMAGE)["spec"]["source"].clone();
    let mut body =
        json!({ "slug": slug, "name": slug, "scope": scope, "version": "1.0.0", "source": source });
    if let Some(tenant) = tenant {
        body["tenantId"] = tenant.into();
    }
    body
}

fn set(mode: &str) -> Value {
    json!({ "name": format!("set-{mode}"), "rules": [{ "policy": "registry-allowlist", "mode": mode }] })
}

fn mint(roles: &[&str], subject: &str) -> Value {
    json!({ "subject": subject, "roles": roles, "tenant": "acme" })
}

fn pod(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": namespace },
        "spec": { "containers": [{ "name": "web", "image": IMAGE }] },
    })
}

fn revoke(world: &World, who: &Caller, subject: &str, role: Role, of: bool) -> Answer {
    // A token that its owner shows, or one of somebody else.
    let server = &world.shop.server;
    let token = server.token(subject, role, Some(&world.shop.acme), 3600);
    let at = format!("/api/v1/tokens/{}", server.jti(&token));
    if of { server.bearing(&token).delete(&at) } else { who.delete(&at) }
}

/// What nobody outside may know of is 404; what one may know of and not do, 403; what only loosens, 422.
#[rustfmt::skip] // a condition, a few lines
const CASES: &[Case] = &[
    (A::TokensMint, L::Mint, |w| w.owner().post("/api/v1/tokens", &mint(&["projectDev"], "ada")),
        |w| w.owner().post("/api/v1/tokens", &mint(&["tenantOwner"], "ada")), "FORBIDDEN"),
    (A::TokensRevoke, L::OwnTenant, |w| {
            let minted = w.owner().post("/api/v1/tokens", &mint(&["readOnly"], "bob")).ok(201);
            w.owner().delete(&format!("/api/v1/tokens/{}", minted["jti"].as_str().unwrap()))
        }, |w| revoke(w, &w.shop.stranger, "bob", Role::ReadOnly, false), "NOT_FOUND"),
    (A::TokensRevoke, L::OwnTokens, |w| revoke(w, &w.dev, "cleo", Role::ProjectDev, true),
        |w| revoke(w, &w.dev, "cleo", Role::ProjectDev, false), "NOT_FOUND"),
    (A::ClustersGet, L::OwnClusters, |w| w.reader.get("/api/v1/clusters/eu-1"),
        |w| w.reader.get("/api/v1/clusters/eu-2"), "CLUSTER_NOT_FOUND"),
    (A::TenantsUpdate, L::NotRegistries, |w| w.owner().patch(ACME, &json!({ "displayName": "Acme" })),
        |w| w.owner().patch(ACME, &json!({ "registries": "inherit" })), "FORBIDDEN"),
    // Nobody of a tenant is above its owner, so what is above it is no role of a member at all.
    (A::MembersPut, L::UpToOwnRole, |w| w.owner().put(&format!("{ACME}/members/eve"), &json!({ "role": "tenantOwner" })),
        |w| w.owner().put(&format!("{ACME}/members/eve"), &json!({ "role": "admin" })), "VALIDATION_ERROR"),
    (A::MembersDelete, L::UpToOwnRole, |w| w.owner().delete(&format!("{ACME}/members/bob")),
        |w| w.owner().delete(&format!("{GLOBEX}/members/bob")), "TENANT_NOT_FOUND"),
    (A::ProjectsAccess, L::UpToOwnRole, |w| w.owner().put(&format!("{LAB}/access"), &json!({ "members": [{ "subject": "zoe", "role": "readOnly" }] })),
        |w| w.owner().put(&format!("{LAB}/access"), &json!({ "members": [{ "subject": "zoe", "role": "admin" }] })), "VALIDATION_ERROR"),
    (A::SandboxesCreate, L::SandboxSetting, |w| w.dev.post(&format!("{SHOP}/sandboxes"), &json!({})), |w| {
            w.shop.admin.put("/api/v1/settings/sandboxes", &json!({ "value": { "developers": false } })).ok(200);
            let answer = w.dev.post(&format!("{SHOP}/sandboxes"), &json!({}));
            w.shop.admin.put("/api/v1/settings/sandboxes", &json!({ "value": { "developers": true } })).ok(200);
            answer
        }, "FORBIDDEN"),
    (A::CatalogGet, L::OwnTenant, |w| w.reader.get("/api/v1/catalog/own"),
        |w| w.reader.get("/api/v1/catalog/theirs"), "CATALOG_ITEM_NOT_FOUND"),
    (A::CatalogVersions, L::OwnTenant, |w| w.reader.get("/api/v1/catalog/own/versions"),
        |w| w.reader.get("/api/v1/catalog/theirs/versions"), "CATALOG_ITEM_NOT_FOUND"),
    (A::CatalogCreate, L::TenantItems, |w| w.owner().post("/api/v1/catalog", &item("more", Some("acme"))),
        |w| w.owner().post("/api/v1/catalog", &item("more", None)), "FORBIDDEN"),
    (A::CatalogReplace, L::TenantItems, |w| w.owner().put("/api/v1/catalog/own", &json!({ "name": "Ours" })),
        |w| w.owner().put("/api/v1/catalog/all", &json!({ "name": "Ours" })), "FORBIDDEN"),
    (A::CatalogVersionsAdd, L::TenantItems, |w| w.owner().post("/api/v1/catalog/own/versions", &json!({ "version": "2.0.0", "source": item("x", None)["source"] })),
        |w| w.owner().post("/api/v1/catalog/all/versions", &json!({ "version": "2.0.0", "source": item("x", None)["source"] })), "FORBIDDEN"),
    (A::CatalogDelete, L::TenantItems, |w| w.owner().delete("/api/v1/catalog/own"),
        |w| w.owner().delete("/api/v1/catalog/all"), "FORBIDDEN"),
    (A::PolicySetsCreate, L::Tighten, |w| w.owner().post(&format!("{ACME}/policysets"), &set("enforce")),
        |w| w.owner().post(&format!("{ACME}/policysets"), &set("off")), "POLICY_INVALID"),
    (A::PolicySetsReplace, L::Tighten, |w| w.owner().put(&format!("{ACME}/policysets/set-enforce"), &set("enforce")),
        |w| w.owner().put(&format!("{ACME}/policysets/set-enforce"), &json!({ "name": "set-enforce", "rules": set("warn")["rules"] })), "POLICY_INVALID"),
    (A::PolicySetsDelete, L::OwnSets, |w| w.owner().delete(&format!("{ACME}/policysets/set-enforce")),
        |w| w.owner().delete(&format!("{ACME}/policysets/platforms")), "FORBIDDEN"),
    (A::PoliciesList, L::OwnTenant, |w| w.reader.get("/api/v1/policies?tenant=acme"),
        |w| w.reader.get("/api/v1/policies?tenant=globex"), "TENANT_NOT_FOUND"),
    (A::PoliciesGet, L::OwnTenant, |w| w.reader.get("/api/v1/policies/registry-allowlist?tenant=acme"),
        |w| w.reader.get("/api/v1/policies/registry-allowlist?tenant=globex"), "TENANT_NOT_FOUND"),
    (A::PoliciesEvaluate, L::OwnTenant, |w| asked(w.owner(), "tn-acme-lab-app-frontend", 200),
        |w| asked(w.owner(), "tn-globex-web-app-none", 404), "TENANT_NOT_FOUND"),
    (A::PoliciesEvaluate, L::OwnProjects, |w| asked(&w.dev, "tn-acme-shop-app-frontend", 200),
        |w| asked(&w.dev, "tn-acme-lab-app-frontend", 404), "TENANT_NOT_FOUND"),
    (A::ExceptionsCreate, L::Request, |w| w.owner().post("/api/v1/exceptions", &exception(None)),
        |w| w.owner().post("/api/v1/exceptions", &exception(Some("globex"))), "TENANT_NOT_FOUND"),
    (A::ExceptionsGet, L::OwnTenant, |w| w.owner().get(&format!("/api/v1/exceptions/{}", w.exceptions[1])),
        |w| w.owner().get(&format!("/api/v1/exceptions/{}", w.exceptions[2])), "EXCEPTION_NOT_FOUND"),
    (A::ExceptionsDelete, L::OwnRequest, |w| w.owner().delete(&format!("/api/v1/exceptions/{}", w.exceptions[0])),
        |w| w.owner().delete(&format!("/api/v1/exceptions/{}", w.exceptions[1])), "FORBIDDEN"),
];

/// A review is of the world that the gate has by now, so it is asked until it knows what was made.
fn asked(who: &Caller, namespace: &str, status: u16) -> Answer {
    let ask = || who.post("/api/v1/policies/evaluate", &pod(namespace));
    crate::support::wait(std::time::Duration::from_secs(20), || {
        Some(ask()).filter(|answer| answer.status == status)
    })
}

/// Lists hold what the condition lets through: the action, whom to ask, where, and the field that tells whose it is.
#[rustfmt::skip] // a list, a line
const LISTS: &[List] = &[
    (A::TokensList,     L::OwnTenant,   |w| w.owner().get("/api/v1/tokens"), "/subject", &["ledger#ada", "ledger#bob"]),
    (A::TokensList,     L::OwnTokens,   |w| w.shop.server.somebody("ada", Role::ReadOnly, Some(&w.shop.acme)).get("/api/v1/tokens"), "/subject", &["ledger#ada"]),
    (A::ClustersList,   L::OwnClusters, |w| w.reader.get("/api/v1/clusters"), "/name", &["eu-1"]),
    (A::TenantsList,    L::OwnTenant,   |w| w.owner().get("/api/v1/clusters/eu-1/tenants"), "/name", &["acme"]),
    (A::ProjectsList,   L::OwnProjects, |w| w.dev.get(&format!("{ACME}/projects")), "/name", &["shop"]),
    (A::CatalogList,    L::OwnTenant,   |w| w.reader.get("/api/v1/catalog"), "/slug", &["all", "own"]),
    (A::ExceptionsList, L::OwnTenant,   |w| w.owner().get("/api/v1/exceptions"), "/policy", &["registry-allowlist", "registry-allowlist"]),
];

#[test]
fn every_list_holds_what_is_the_callers() {
    let world = World::build();
    for (action, _, ask, field, expected) in LISTS {
        let body = ask(&world).ok(200);
        let text = |item: &Value| {
            let value = item.pointer(field).unwrap_or_else(|| panic!("{action}: {item}"));
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let mut found: Vec<String> = body["items"].as_array().unwrap().iter().map(text).collect();
        found.sort();
        assert_eq!(found, *expected, "{action}: {body}");
    }
    let everything = world.shop.admin.get("/api/v1/exceptions").ok(200);
    assert_eq!(everything["items"].as_array().unwrap().len(), 3, "an administrator sees all");
    let cluster = world.reader.get("/api/v1/clusters/eu-1").ok(200);
    let fields: Vec<&String> = cluster.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "name"], "of a cluster a tenant learns no more");
    let own = world.owner().get("/api/v1/audit?limit=200").ok(200);
    let rows = own["items"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["tenantId"] == *world.shop.acme.id), "{own}");
    world.owner().get("/api/v1/audit?tenantId=globex").refused("TENANT_NOT_FOUND", &[]);
}

/// A scan is of the whole platform; what it found is each tenant's own.
#[test]
fn of_a_scan_a_tenant_sees_what_was_found_with_it() {
    let world = World::build();
    for (caller, found) in [(world.owner(), [1, 0]), (&world.shop.admin, [2, 1])] {
        for (scan, found) in world.scans.iter().zip(found) {
            let shown = caller.get(&format!("/api/v1/scans/{scan}")).ok(200);
            assert_eq!(shown["findings"].as_array().unwrap().len(), found, "{shown}");
            let counted = shown["counts"]["registry-allowlist"].as_u64().unwrap_or_default();
            assert_eq!(counted, u64::try_from(found).unwrap(), "{shown}");
            let listed = caller.get("/api/v1/scans").ok(200);
            let listed = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == **scan);
            assert_eq!(listed.unwrap()["counts"], shown["counts"]);
        }
    }
}

#[test]
fn every_condition_lets_through_and_holds_back() {
    let world = World::build();
    for (action, limit, within, beyond, code) in CASES {
        // What is refused first, so that what is let through has not changed it.
        let (_, found, _) = beyond(&world).problem();
        assert_eq!(found, *code, "{action} ({}) beyond", limit.as_str());
        let answer = within(&world);
        assert!(answer.status < 300, "{action} ({}) within: {}", limit.as_str(), answer.text);
    }
    assert_eq!(world.owner().get("/api/v1/exceptions").ok(200)["items"][0]["state"], "active");
}

/// Whatever the path leads to, a project that is not the caller's is not there.
#[test]
fn in_other_projects_there_is_nothing() {
    let world = World::build();
    for rule in RULES {
        for (role, caller) in [(Role::ProjectDev, &world.dev), (Role::ReadOnly, &world.reader)] {
            let limited = matches!(rule.may(role), May::Limited(L::OwnProjects | L::SandboxSetting));
            if !limited || !rule.path.contains("{p}") {
                continue;
            }
            let filled = |place: &str| {
                let path = rule.path.replace("/api/v1/clusters/{c}/tenants/{t}/projects/{p}", place);
                path.replace("{a}", "frontend")
                    .replace("{s}", "sbx-001")
                    .replace("{x}", "1")
                    .replace("{y}", "2")
                    + if rule.method == Method::Delete { "?dryRun=true" } else { "" }
            };
            for (place, code) in [(LAB, "PROJECT_NOT_FOUND"), (WEB, "TENANT_NOT_FOUND")] {
                let answer = super::ask(caller, rule, &filled(place));
                // A body that is none is told before anything is looked for.
                let (_, found, _) = answer.problem();
                let early = found == "VALIDATION_ERROR" && place == LAB;
                assert!(found == code || early, "{role} {} {place}: {}", rule.action, answer.text);
            }
            let own = super::ask(caller, rule, &filled(SHOP));
            assert!(own.status < 300 || own.status == 400, "{role} {}: {}", rule.action, own.text);
        }
    }
}

#[test]
fn no_condition_of_the_table_is_without_a_case() {
    let mut conditions = BTreeSet::new();
    for rule in RULES {
        for role in Role::ALL {
            // Those on the project of the path are walked above, each of them.
            if let May::Limited(limit) = rule.may(role)
                && !(limit == L::OwnProjects && rule.path.contains("{p}"))
            {
                conditions.insert((rule.action, limit));
            }
        }
    }
    let cases = CASES.iter().map(|(action, limit, ..)| (*action, *limit));
    let lists = LISTS.iter().map(|(action, limit, ..)| (*action, *limit));
    let apart = [(A::AuditList, L::OwnTenant), (A::ScansList, L::OwnTenant), (A::ScansGet, L::OwnTenant)];
    let covered: BTreeSet<_> = cases.chain(lists).chain(apart).collect();
    let without: Vec<_> = conditions.difference(&covered).collect();
    assert!(without.is_empty(), "{without:?}");
}
