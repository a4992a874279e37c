//! Every route that changes something, sent twenty times at once with one entity tag: it is done once, or as often as it
//! is answered so, and the audit log tells each time.

use std::collections::BTreeMap;
use std::thread;

use portcullis_access::Action as A;
use portcullis_access::matrix::{Method, RULES};
use serde_json::{Value, json};

use super::harness::{Answer, Caller, On};
use super::shop::{IMAGE, SHOP, Shop, app};

const TENANTS: &str = "/api/v1/clusters/eu-1/tenants";
const ACME: &str = "/api/v1/clusters/eu-1/tenants/acme";
const TWINS: usize = 20;

/// What must come of twins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// One is done and the others are refused.
    Once,
    /// All are done, each a thing of its own.
    Each,
    /// All are answered well, and it is done once: to say it again changes nothing.
    Same,
    /// One at least, and whatever is answered well is done: numbers are given in turn, and who comes too close is refused.
    Some,
}

/// An action, what comes of it, what has to be there before (its path gives the entity tag), and the request.
type Case = (A, Done, fn(&Shop) -> Option<String>, fn(&str) -> (&'static str, String, Value));

fn none(_: &Shop) -> Option<String> {
    None
}

fn soon(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

fn exception() -> Value {
    json!({ "tenant": "acme", "policy": "registry-allowlist", "objects": [{ "namespace": "x" }], "reason": "r", "expires": soon(3600) })
}

fn breakglass() -> Value {
    let document = json!({
        "id": portcullis_store::new_id(), "users": ["ada"], "namespaces": ["tn-acme-shop-app-web"],
        "policies": ["registry-allowlist"], "reason": "r", "notBefore": soon(-10), "expires": soon(3600),
    });
    json!({ "document": document, "signature": format!("{}==", "A".repeat(86)) })
}

fn item(slug: &str) -> Value {
    json!({ "slug": slug, "name": slug, "scope": "global", "version": "1.0.0", "source": app("", IMAGE)["spec"]["source"] })
}

fn scan() -> Value {
    json!({ "startedAt": "2026-11-21T10:00:00Z", "policyRevision": "00000000", "findings": [] })
}

/// What a POST has made, by the path where it is.
#[expect(clippy::unnecessary_wraps, reason = "the shape of what a case has before it")]
fn made(shop: &Shop, path: &str, body: &Value) -> Option<String> {
    let answer = shop.admin.post(path, body);
    answer.ok(201);
    Some(answer.header("location").unwrap().to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of what a case has before it")]
fn at(path: &str) -> Option<String> {
    Some(path.to_owned())
}

fn web(shop: &Shop) -> Option<String> {
    made(shop, &format!("{SHOP}/apps"), &app("web", IMAGE))
}

#[rustfmt::skip] // one case, one line or two
const CASES: &[Case] = &[
    (A::TokensMint, Done::Each, none, |_| ("POST", "/api/v1/tokens".to_owned(), json!({ "subject": "gate", "roles": ["service"], "cluster": "eu-1" }))),
    (A::ClustersCreate, Done::Once, none, |_| ("POST", "/api/v1/clusters".to_owned(), json!({ "name": "eu-3" }))),
    (A::ClustersUpdate, Done::Once, |_| at("/api/v1/clusters/eu-2"), |p| ("PATCH", p.to_owned(), json!({ "displayName": "x" }))),
    (A::ClustersDelete, Done::Once, |_| at("/api/v1/clusters/eu-2"), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::TenantsCreate, Done::Once, none, |_| ("POST", TENANTS.to_owned(), json!({ "name": "initech" }))),
    (A::TenantsUpdate, Done::Once, |_| at(ACME), |p| ("PATCH", p.to_owned(), json!({ "displayName": "x" }))),
    (A::TenantsDelete, Done::Once, |_| at(ACME), |p| ("DELETE", format!("{p}?cascade=true"), Value::Null)),
    (A::TenantsOwners, Done::Once, |_| at(ACME), |p| ("PUT", format!("{p}/owners"), json!({ "owners": ["ada"] }))),
    (A::TenantsQuotas, Done::Once, |_| at(ACME), |p| ("PUT", format!("{p}/quotas"), json!({ "pods": "5" }))),
    (A::TenantsLimits, Done::Once, |_| at(ACME), |p| ("PUT", format!("{p}/limits"), json!({ "cpu": "5" }))),
    (A::TenantsNetworkPolicies, Done::Once, |_| at(ACME), |p| ("PUT", format!("{p}/network-policies"), json!({ "items": [] }))),
    (A::TenantsSuspend, Done::Same, none, |_| ("POST", format!("{ACME}:suspend"), json!({}))),
    (A::TenantsResume, Done::Same, |shop| { shop.admin.post(&format!("{ACME}:suspend"), &json!({})).ok(200); None },
        |_| ("POST", format!("{ACME}:resume"), json!({}))),
    (A::TenantsPlan, Done::Once, |_| at(ACME), |_| ("PUT", "/api/v1/tenants/acme/plan".to_owned(), json!({ "name": "gold" }))),
    (A::MembersPut, Done::Once, |shop| { shop.admin.put(&format!("{ACME}/members/ada"), &json!({ "role": "readOnly" })).ok(200); at(&format!("{ACME}/members/ada#\"1\"")) },
        |p| ("PUT", p.to_owned(), json!({ "role": "projectDev" }))),
    (A::MembersDelete, Done::Once, |shop| { shop.admin.put(&format!("{ACME}/members/ada"), &json!({ "role": "readOnly" })).ok(200); at(&format!("{ACME}/members/ada#\"1\"")) },
        |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::ProjectsCreate, Done::Once, none, |_| ("POST", format!("{ACME}/projects"), json!({ "name": "lab" }))),
    (A::ProjectsUpdate, Done::Once, |_| at(SHOP), |p| ("PATCH", p.to_owned(), json!({ "displayName": "x" }))),
    (A::ProjectsDelete, Done::Once, |_| at(SHOP), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::ProjectsAccess, Done::Once, |_| at(SHOP), |p| ("PUT", format!("{p}/access"), json!({ "members": [{ "subject": "ada", "role": "readOnly" }] }))),
    (A::AppsCreate, Done::Once, none, |_| ("POST", format!("{SHOP}/apps"), app("web", IMAGE))),
    (A::AppsReplace, Done::Once, web, |p| ("PUT", p.to_owned(), json!({ "spec": app("", IMAGE)["spec"], "description": "x" }))),
    (A::AppsDelete, Done::Once, web, |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::AppsRollback, Done::Once, |shop| { let path = web(shop)?; shop.admin.put(&path, &json!({ "spec": app("", IMAGE)["spec"], "description": "x" })).ok(200); Some(path) },
        |p| ("POST", format!("{p}:rollback"), json!({ "toRevision": 1 }))),
    (A::SandboxesCreate, Done::Each, none, |_| ("POST", format!("{SHOP}/sandboxes"), json!({}))),
    (A::SandboxesDelete, Done::Once, |shop| made(shop, &format!("{SHOP}/sandboxes"), &json!({})), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::CatalogCreate, Done::Once, none, |_| ("POST", "/api/v1/catalog".to_owned(), item("blog"))),
    (A::CatalogReplace, Done::Once, |shop| made(shop, "/api/v1/catalog", &item("blog")), |p| ("PUT", p.to_owned(), json!({ "name": "x" }))),
    (A::CatalogDelete, Done::Once, |shop| made(shop, "/api/v1/catalog", &item("blog")), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::CatalogVersionsAdd, Done::Once, |shop| made(shop, "/api/v1/catalog", &item("blog")).and(None),
        |_| ("POST", "/api/v1/catalog/blog/versions".to_owned(), json!({ "version": "2.0.0", "source": item("")["source"] }))),
    (A::CatalogInstall, Done::Same, |shop| made(shop, "/api/v1/catalog", &item("blog")).and(None),
        |_| ("POST", format!("{SHOP}/catalog/install"), json!({ "slug": "blog" }))),
    (A::PolicySetsCreate, Done::Once, none, |_| ("POST", format!("{ACME}/policysets"), json!({ "name": "x", "rules": [] }))),
    (A::PolicySetsReplace, Done::Once, |shop| made(shop, &format!("{ACME}/policysets"), &json!({ "name": "x", "rules": [] })),
        |p| ("PUT", p.to_owned(), json!({ "name": "x", "rules": [], "description": "x" }))),
    (A::PolicySetsDelete, Done::Once, |shop| made(shop, &format!("{ACME}/policysets"), &json!({ "name": "x", "rules": [] })), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::RevisionsUpload, Done::Some, none, |_| ("POST", "/api/v1/policies/revisions".to_owned(), json!({ "files": {} }))),
    (A::RevisionsRollback, Done::Some, |shop| { shop.admin.post("/api/v1/policies/revisions", &json!({ "files": {} })).ok(201); None },
        |_| ("POST", "/api/v1/policies/revisions/1:rollback".to_owned(), json!({}))),
    (A::ExceptionsCreate, Done::Each, none, |_| ("POST", "/api/v1/exceptions".to_owned(), exception())),
    (A::ExceptionsDelete, Done::Once, |shop| made(shop, "/api/v1/exceptions", &exception()), |p| ("DELETE", p.to_owned(), Value::Null)),
    (A::ExceptionsApprove, Done::Once, |shop| { let answer = shop.owner.post("/api/v1/exceptions", &exception()); answer.ok(201); Some(answer.header("location").unwrap().to_owned()) },
        |p| ("POST", format!("{p}:approve"), json!({}))),
    (A::BreakglassClose, Done::Same, |shop| made(shop, "/api/v1/breakglass", &breakglass()), |p| ("POST", format!("{p}:close"), json!({}))),
    (A::ScansCreate, Done::Each, none, |_| ("POST", "/api/v1/scans".to_owned(), scan())),
    (A::SettingsReplace, Done::Once, |_| at("/api/v1/settings/connect"), |p| ("PUT", p.to_owned(), json!({ "value": { "exec": false } }))),
];

/// Of the same kind: their request is one of its own each time, or they have another test.
const ELSEWHERE: [A; 3] = [A::TokensRevoke, A::BreakglassOpen, A::PoliciesEvaluate];

fn at_once(caller: &Caller, method: &str, path: &str, body: &Value) -> Vec<Answer> {
    thread::scope(|scope| {
        let send = || {
            scope.spawn(|| match body {
                Value::Null => caller.send(method, path, None),
                body => caller.json(method, path, body),
            })
        };
        let all: Vec<_> = (0..TWINS).map(|_| send()).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// What is wrong, if anything is.
fn of_twins(on: On, shop: &Shop, (action, done, before, request): &Case) -> Option<String> {
    let path = before(shop);
    let known = path.as_ref().and_then(|path| path.split_once('#'));
    // Of what has no route of its own to be read by, the tag is behind the path.
    let tag = match known {
        Some((_, tag)) => Some(tag.to_owned()),
        None => path.as_ref().and_then(|path| Some(shop.admin.get(path).header("etag")?.to_owned())),
    };
    let path = known.map(|(path, _)| path.to_owned()).or(path.clone());
    let caller = tag.as_ref().map_or_else(|| shop.admin.clone(), |tag| shop.admin.with("if-match", tag));
    let (method, path, body) = request(&path.unwrap_or_default());
    let told = format!("SELECT COUNT(*) FROM audit_log WHERE action = '{action}' AND result = 'ok'");
    let was = shop.count(&told);
    let answers = at_once(&caller, method, &path, &body);
    let mut by_status: BTreeMap<u16, usize> = BTreeMap::new();
    answers.iter().for_each(|answer| *by_status.entry(answer.status).or_default() += 1);
    let about = format!("{on:?} {action} {method} {path}: {by_status:?}");
    let bad = answers.iter().find(|answer| answer.status >= 300 && ![404, 409, 412].contains(&answer.status));
    if let Some(bad) = bad {
        return Some(format!("{about}: {}", bad.text));
    }
    let well = answers.iter().filter(|answer| answer.status < 300).count();
    let audited = usize::try_from(shop.count(&told) - was).unwrap();
    let expected = match done {
        Done::Once => (1, 1),
        Done::Each => (TWINS, TWINS),
        Done::Same => (TWINS, 1),
        Done::Some => (well.max(1), well.max(1)),
    };
    ((well, audited) != expected).then(|| format!("{about}: done and told {well} and {audited}"))
}

#[test]
fn what_is_sent_twenty_times_at_once_is_done_as_often_as_it_is_answered() {
    let cases: Vec<A> = CASES.iter().map(|case| case.0).collect();
    for rule in RULES.iter().filter(|rule| rule.method != Method::Get) {
        let known = cases.contains(&rule.action) || ELSEWHERE.contains(&rule.action);
        assert!(known, "{} has no case here", rule.action);
    }
    let mut wrong = Vec::new();
    for on in [On::Sqlite, On::Postgres] {
        let mut shop = Shop::open(on);
        for case in CASES {
            // What one case leaves behind must not be in the way of the next.
            if matches!(
                case.0,
                A::TenantsUpdate
                    | A::MembersDelete
                    | A::MembersPut
                    | A::AppsCreate
                    | A::AppsReplace
                    | A::AppsDelete
                    | A::AppsRollback
                    | A::CatalogCreate
                    | A::CatalogReplace
                    | A::CatalogDelete
                    | A::CatalogVersionsAdd
                    | A::CatalogInstall
                    | A::PolicySetsReplace
                    | A::PolicySetsDelete
                    | A::TenantsOwners
                    | A::TenantsCreate
                    | A::ProjectsAccess
            ) {
                shop = Shop::open(on);
            }
            wrong.extend(of_twins(on, &shop, case));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The one that was the worst: an owner takes back what it asked for while an administrator grants it.
#[test]
fn exception_is_granted_or_taken_back_and_never_both() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        let (mut granted, mut taken) = (0, 0);
        for _ in 0..20 {
            let id = shop.owner.post("/api/v1/exceptions", &exception()).ok(201)["id"]
                .as_str()
                .unwrap()
                .to_owned();
            let path = format!("/api/v1/exceptions/{id}");
            let (delete, approve) = thread::scope(|scope| {
                let delete = scope.spawn(|| shop.owner.delete(&path));
                let approve = scope.spawn(|| shop.admin.post(&format!("{path}:approve"), &json!({})));
                (delete.join().unwrap(), approve.join().unwrap())
            });
            let active = shop
                .count(&format!("SELECT COUNT(*) FROM exceptions WHERE id = '{id}' AND state = 'active'"));
            match (delete.status, approve.status) {
                (204, 404 | 409) => {
                    assert_eq!(active, 0, "gone");
                    taken += 1;
                }
                (403 | 404 | 409, 200) => {
                    assert_eq!(active, 1, "granted");
                    granted += 1;
                }
                both => panic!("{both:?}: {} {}", delete.text, approve.text),
            }
        }
        eprintln!("{on:?}: {granted} granted, {taken} taken back");
    }
}

/// Without a tag, too, a thing is deleted once.
#[test]
fn delete_without_a_tag_is_answered_204_once() {
    for on in [On::Sqlite, On::Postgres] {
        let shop = Shop::open(on);
        shop.admin.post("/api/v1/catalog", &item("blog")).ok(201);
        let exception = made(&shop, "/api/v1/exceptions", &exception()).unwrap();
        let sandbox = made(&shop, &format!("{SHOP}/sandboxes"), &json!({})).unwrap();
        for path in ["/api/v1/clusters/eu-2", "/api/v1/catalog/blog", &exception, &sandbox] {
            let answers = at_once(&shop.admin, "DELETE", path, &Value::Null);
            let well = answers.iter().filter(|answer| answer.status == 204).count();
            let others: Vec<u16> =
                answers.iter().map(|answer| answer.status).filter(|status| *status != 204).collect();
            assert_eq!(well, 1, "{on:?} {path} {others:?}");
            assert!(others.iter().all(|status| [404, 409].contains(status)), "{on:?} {path} {others:?}");
        }
    }
}
