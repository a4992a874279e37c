//! One case for every code there is, and the page that documents them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use portcullis_access::Role;
use portcullis_access::token::now;
use portcullis_api::problem::Code;
use serde_json::json;

use super::harness::{Answer, Caller, On, Server};
use super::shop::{SHOP, Shop, app};
use crate::support::root;

/// What the reference lists (`service.md` §1.4). 404 of no thing in particular, 405 and 408 are ours beside.
const REFERENCE: &str = "VALIDATION_ERROR MALFORMED_JSON UNAUTHORIZED TOKEN_EXPIRED TOKEN_REVOKED FORBIDDEN TENANT_SUSPENDED \
    TENANT_NOT_FOUND PROJECT_NOT_FOUND APP_NOT_FOUND CLUSTER_NOT_FOUND SANDBOX_NOT_FOUND CATALOG_ITEM_NOT_FOUND \
    POLICY_NOT_FOUND EXCEPTION_NOT_FOUND BREAKGLASS_NOT_FOUND SCAN_NOT_FOUND CONFLICT HAS_DEPENDENTS PRECONDITION_FAILED \
    PAYLOAD_TOO_LARGE UNSUPPORTED_MEDIA_TYPE UNPROCESSABLE_ENTITY REGISTRY_NOT_ALLOWED SANDBOX_TARGET_FORBIDDEN \
    QUOTA_EXCEEDED NAME_TOO_LONG POLICY_INVALID MASTER_KEY_MISSING RATE_LIMIT_EXCEEDED INTERNAL SERVICE_UNAVAILABLE";

const ACME: &str = "/api/v1/clusters/eu-1/tenants/acme";
const CLUSTERS: &str = "/api/v1/clusters";
const NONE: &str = "0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f";

type Case = fn(&Shop) -> Answer;

/// For each code a request that is answered by it, and the fields it speaks of.
#[rustfmt::skip] // a code, a case
const CASES: &[(Code, &[&str], Case)] = &[
    (Code::ValidationError, &["/name"], |s| s.admin.post(CLUSTERS, &json!({}))),
    (Code::MalformedJson, &[], |s| json_of(&s.admin).send("POST", CLUSTERS, Some(b"{"))),
    (Code::Unauthorized, &[], |s| s.server.nobody().get("/api/v1/me")),
    (Code::TokenExpired, &[], |s| s.server.bearing(&s.server.issue("a", Role::Admin, None, 60, now() - 3600)).get("/api/v1/me")),
    (Code::TokenRevoked, &[], |s| {
        let token = s.server.token("a", Role::Admin, None, 3600);
        s.admin.delete(&format!("/api/v1/tokens/{}", s.server.jti(&token))).ok(204);
        s.server.bearing(&token).get("/api/v1/me")
    }),
    (Code::Forbidden, &[], |s| s.reader.post(&format!("{ACME}/projects"), &json!({"name": "a"}))),
    (Code::TenantSuspended, &[], |s| {
        s.admin.send("POST", &format!("{ACME}:suspend"), None).ok(200);
        let answer = s.owner.post(&format!("{ACME}/projects"), &json!({"name": "late"}));
        s.admin.send("POST", &format!("{ACME}:resume"), None).ok(200);
        answer
    }),
    (Code::NotFound, &[], |s| s.admin.get("/nowhere")),
    (Code::TenantNotFound, &[], |s| s.owner.get("/api/v1/clusters/eu-1/tenants/globex")),
    (Code::ProjectNotFound, &[], |s| s.owner.get(&format!("{ACME}/projects/none"))),
    (Code::AppNotFound, &[], |s| s.dev.get(&format!("{SHOP}/apps/none"))),
    (Code::ClusterNotFound, &[], |s| s.admin.get("/api/v1/clusters/none")),
    (Code::SandboxNotFound, &[], |s| s.dev.get(&format!("{SHOP}/sandboxes/sbx-999"))),
    (Code::CatalogItemNotFound, &[], |s| s.reader.get("/api/v1/catalog/none")),
    (Code::PolicyNotFound, &[], |s| s.reader.get("/api/v1/policies/none")),
    (Code::ExceptionNotFound, &[], |s| s.owner.get(&format!("/api/v1/exceptions/{NONE}"))),
    (Code::BreakglassNotFound, &[], |s| s.admin.send("POST", &format!("/api/v1/breakglass/{NONE}:close"), None)),
    (Code::ScanNotFound, &[], |s| s.owner.get(&format!("/api/v1/scans/{NONE}"))),
    (Code::MethodNotAllowed, &[], |s| s.admin.delete(CLUSTERS)),
    (Code::RequestTimeout, &[], slowly),
    (Code::Conflict, &[], |s| s.admin.post(CLUSTERS, &json!({"name": "eu-1"}))),
    (Code::HasDependents, &[], |s| s.admin.delete("/api/v1/clusters/eu-1")),
    (Code::PreconditionFailed, &[], |s| s.admin.with("if-match", "\"999\"").delete("/api/v1/clusters/eu-2")),
    (Code::PayloadTooLarge, &[], |s| json_of(&s.admin).send("POST", CLUSTERS, Some(&vec![b' '; (1 << 20) + 1]))),
    (Code::UnsupportedMediaType, &[], |s| s.admin.send("POST", CLUSTERS, Some(b"{}"))),
    (Code::UnprocessableEntity, &["/kubeconfig"], |s| s.admin.post(CLUSTERS, &json!({"name": "k", "kubeconfig": "AAAA"}))),
    (Code::RegistryNotAllowed, &["/spec/source/containerImage/image"], |s| s.dev.post(&format!("{SHOP}/apps"), &app("a", "evil.example.com/a:1"))),
    (Code::SandboxTargetForbidden, &["/name"], |s| {
        let image = app("web", "docker.io/library/nginx:1")["spec"]["source"].clone();
        let item = json!({"slug": "web", "name": "Web", "scope": "global", "version": "1.0.0", "source": image});
        s.admin.post("/api/v1/catalog", &item).ok(201);
        s.dev.post(&format!("{SHOP}/catalog/install"), &json!({"slug": "web", "name": "sbx-001"}))
    }),
    (Code::QuotaExceeded, &[], |s| {
        s.admin.put(&format!("{ACME}/quotas"), &json!({"sandboxes": "0"})).ok(200);
        s.dev.post(&format!("{SHOP}/sandboxes"), &json!({}))
    }),
    (Code::NameTooLong, &["/name"], |s| {
        let (tenant, project) = ("t".repeat(20), "p".repeat(20));
        s.admin.post("/api/v1/clusters/eu-1/tenants", &json!({"name": tenant, "registries": "inherit"})).ok(201);
        let projects = format!("/api/v1/clusters/eu-1/tenants/{tenant}/projects");
        s.admin.post(&projects, &json!({"name": project})).ok(201);
        s.admin.post(&format!("{projects}/{project}/apps"), &app(&"a".repeat(15), "docker.io/library/nginx"))
    }),
    (Code::PolicyInvalid, &["/files/broken.rego"], |s| s.admin.post("/api/v1/policies/revisions", &json!({"files": {"broken.rego": "package"}}))),
    (Code::MasterKeyMissing, &["/kubeconfig"], |s| s.admin.post(CLUSTERS, &json!({"name": "k", "kubeconfig": "Y2x1c3RlcnM6IFtd"}))),
    (Code::RateLimitExceeded, &[], |_| {
        let server = Server::with(On::Sqlite, &["--api-rate", "1", "--api-burst", "1"]);
        let (caller, mut answers) = (server.admin(), 0..50);
        answers.find_map(|_| Some(caller.get("/api/v1/me")).filter(|answer| answer.status != 200)).unwrap()
    }),
    (Code::Internal, &[], |s| {
        // What no ledger has written, somebody else has: that is not the caller's fault.
        s.server.sql("UPDATE clusters SET labels = 'no object' WHERE name = 'eu-2'");
        s.admin.get("/api/v1/clusters/eu-2")
    }),
    (Code::ServiceUnavailable, &[], |_| {
        let server = Server::with(On::Postgres, &[]);
        server.scratch.as_ref().unwrap().lock(true);
        server.admin().get(CLUSTERS)
    }),
];

fn json_of(caller: &Caller) -> Caller {
    caller.with("content-type", "application/json")
}

/// A body of which half comes, and then nothing for longer than anybody waits.
fn slowly(shop: &Shop) -> Answer {
    let mut stream = TcpStream::connect(shop.server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let head = "POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let token = shop.server.token("root", Role::Admin, None, 3600);
    write!(stream, "{head}authorization: Bearer {token}\r\ncontent-length: 20\r\n\r\n{{\"name\": ").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| {
        let name = ureq::http::HeaderName::try_from(name).unwrap();
        (name, ureq::http::HeaderValue::from_str(value).unwrap())
    });
    Answer { status, headers: headers.collect(), text: body.to_owned() }
}

#[test]
fn every_case_is_answered_by_its_code() {
    let shop = Shop::open(On::Sqlite);
    for (code, pointers, case) in CASES {
        let answer = case(&shop);
        let (status, found, at) = answer.problem();
        assert_eq!((found.as_str(), status), (code.as_str(), code.status().as_u16()), "{}", answer.text);
        assert_eq!(at, *pointers, "{}", answer.text);
        let told = [answer.header("allow").is_some(), answer.header("www-authenticate").is_some()];
        assert_eq!(told, [status == 405, status == 401], "{code:?} and its headers");
    }
}

#[test]
fn every_code_has_a_case() {
    let cases: BTreeSet<Code> = CASES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(cases.len(), CASES.len(), "one each");
    assert_eq!(cases, Code::ALL.iter().copied().collect());
    let reference: BTreeSet<Code> = REFERENCE
        .split_whitespace()
        .map(|word| Code::parse(word).unwrap_or_else(|| panic!("{word} is missing")))
        .collect();
    let ours: Vec<_> = cases.difference(&reference).map(|code| code.as_str()).collect();
    assert_eq!(ours, ["NOT_FOUND", "METHOD_NOT_ALLOWED", "REQUEST_TIMEOUT"]);
}

#[test]
fn a_ledger_that_is_gone_is_503_and_says_when_to_come_again() {
    let server = Server::with(On::Postgres, &[]);
    let admin = server.admin();
    admin.get("/api/v1/clusters").ok(200);
    let scratch = server.scratch.as_ref().unwrap();
    scratch.lock(true);
    for answer in [admin.get("/api/v1/clusters"), admin.post("/api/v1/clusters", &json!({"name": "a"}))] {
        answer.refused("SERVICE_UNAVAILABLE", &[]);
    }
    server.nobody().get("/api/v1/version").ok(200);
    scratch.lock(false);
    crate::support::wait(std::time::Duration::from_secs(30), || {
        (admin.post("/api/v1/clusters", &json!({"name": "a"})).status == 201).then_some(())
    });
}

#[test]
fn every_code_is_documented() {
    let path = root().join("docs/errors.md");
    let mut page = String::from(
        "# Errors\n\nEvery refusal of the API is a problem document (RFC 9457, `application/problem+json`). Programs look at `code`;\nthe rest is for people. 400 is for shape, 422 for meaning; both name every fault in `errors`, each with its `pointer`:\na JSON pointer into the body, `?name` for a query parameter, `name:` for a header.\n\n```json\n{\n  \"type\": \"/docs#VALIDATION_ERROR\",\n  \"title\": \"Invalid request\",\n  \"status\": 400,\n  \"detail\": \"`/name` is longer than 63 characters\",\n  \"code\": \"VALIDATION_ERROR\",\n  \"requestId\": \"0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f\",\n  \"errors\": [{\"pointer\": \"/name\", \"detail\": \"is longer than 63 characters\"}]\n}\n```\n\n`429` and `503` carry `Retry-After` in seconds. The same table stands on the server's own page, `/docs#errors`, where\n`type` leads. This page is written from the code (`UPDATE_GOLDEN=1 cargo test --test it -- api::errors`).\n\n| status | code | meaning |\n| --: | --- | --- |\n",
    );
    for code in Code::ALL {
        page.push_str(&format!(
            "| {} | `{}` | {} |\n",
            code.status().as_u16(),
            code.as_str(),
            code.meaning()
        ));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        page,
        "docs/errors.md; UPDATE_GOLDEN=1 writes it"
    );
}
