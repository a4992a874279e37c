//! One case for every code there is, and the page that documents them.

use std::collections::BTreeSet;

use portcullis::access::token::now;
use portcullis::access::{Role, TenantRef};
use portcullis::api::problem::Code;
use serde_json::json;

use super::harness::{Answer, On, Server, unique};
use crate::support::root;

/// Codes that have their cases elsewhere, with the test that has them; the list may only shrink.
const ELSEWHERE: &[(Code, &str)] = &[
    (Code::HasDependents, "clusters::a_cluster_with_tenants_stays"),
    (Code::RateLimitExceeded, "limits::a_subject_that_asks_too_often_waits_and_the_others_do_not"),
    (Code::ServiceUnavailable, "errors::a_ledger_that_is_gone_is_503_and_says_when_to_come_again"),
    (Code::TenantSuspended, ""),
    (Code::ProjectNotFound, ""),
    (Code::AppNotFound, ""),
    (Code::SandboxNotFound, ""),
    (Code::CatalogItemNotFound, ""),
    (Code::PolicyNotFound, ""),
    (Code::ExceptionNotFound, ""),
    (Code::BreakglassNotFound, ""),
    (Code::ScanNotFound, ""),
    (Code::RequestTimeout, ""),
    (Code::RegistryNotAllowed, ""),
    (Code::SandboxTargetForbidden, ""),
    (Code::QuotaExceeded, ""),
    (Code::NameTooLong, ""),
    (Code::PolicyInvalid, ""),
    (Code::Internal, ""),
];

type Case = fn(&Server) -> Answer;

/// A request for each code that is answered by it.
const CASES: &[(Code, Case)] = &[
    (Code::ValidationError, |s| s.admin().post("/api/v1/clusters", &json!({}))),
    (Code::MalformedJson, |s| {
        s.admin().with("content-type", "application/json").send("POST", "/api/v1/clusters", Some(b"{"))
    }),
    (Code::Unauthorized, |s| s.nobody().get("/api/v1/me")),
    (Code::TokenExpired, |s| s.bearing(&s.issue("a", Role::Admin, None, 60, now() - 3600)).get("/api/v1/me")),
    (Code::TokenRevoked, |s| {
        let token = s.token("a", Role::Admin, None, 3600);
        let jti = s.jti(&token);
        s.admin().delete(&format!("/api/v1/tokens/{jti}")).ok(204);
        s.bearing(&token).get("/api/v1/me")
    }),
    (Code::Forbidden, |s| {
        s.somebody("a", Role::ReadOnly, Some(&tenant())).post("/api/v1/clusters", &json!({"name": "a"}))
    }),
    (Code::NotFound, |s| s.admin().get("/nowhere")),
    (Code::TenantNotFound, |s| {
        s.somebody("a", Role::TenantOwner, Some(&tenant())).get("/api/v1/clusters/c/tenants/other")
    }),
    (Code::ClusterNotFound, |s| s.admin().get("/api/v1/clusters/none")),
    (Code::MethodNotAllowed, |s| s.admin().delete("/api/v1/clusters")),
    (Code::Conflict, |s| {
        let new = json!({"name": unique("twice")});
        s.admin().post("/api/v1/clusters", &new).ok(201);
        s.admin().post("/api/v1/clusters", &new)
    }),
    (Code::PreconditionFailed, |s| {
        let name = unique("stale");
        s.admin().post("/api/v1/clusters", &json!({"name": name})).ok(201);
        s.admin().with("if-match", "\"9\"").delete(&format!("/api/v1/clusters/{name}"))
    }),
    (Code::PayloadTooLarge, |s| {
        s.admin().with("content-type", "application/json").send(
            "POST",
            "/api/v1/clusters",
            Some(&vec![b' '; (1 << 20) + 1]),
        )
    }),
    (Code::UnsupportedMediaType, |s| s.admin().send("POST", "/api/v1/clusters", Some(b"{}"))),
    (Code::UnprocessableEntity, |s| {
        s.admin().post("/api/v1/clusters", &json!({"name": "k", "kubeconfig": "AAAA"}))
    }),
    (Code::MasterKeyMissing, |s| {
        s.admin().post("/api/v1/clusters", &json!({"name": "k", "kubeconfig": "Y2x1c3RlcnM6IFtd"}))
    }),
];

fn tenant() -> TenantRef {
    TenantRef { id: portcullis::store::new_id(), slug: "acme".into() }
}

#[test]
fn every_case_is_answered_by_its_code() {
    let server = Server::start();
    for (code, case) in CASES {
        let answer = case(&server);
        let (status, found, faults) = answer.problem();
        assert_eq!((found.as_str(), status), (code.as_str(), code.status().as_u16()), "{}", answer.text);
        let speaks_of_fields = matches!(status, 400 | 422) && *code != Code::MalformedJson;
        assert_eq!(!faults.is_empty(), speaks_of_fields, "{}", answer.text);
    }
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

#[test]
fn every_code_has_a_case() {
    let seen: BTreeSet<Code> =
        CASES.iter().map(|(code, _)| *code).chain(ELSEWHERE.iter().map(|(code, _)| *code)).collect();
    let without: Vec<_> =
        Code::ALL.iter().filter(|code| !seen.contains(code)).map(|code| code.as_str()).collect();
    assert_eq!(without, Vec::<&str>::new());
}
