//! What holds for every route: paging, versions, ids of requests, paths that are none, what is open.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use super::harness::{On, Server};

#[test]
fn a_list_comes_in_pages_without_gap_and_repeat() {
    for on in [On::Sqlite, On::Postgres] {
        let server = Server::with(on, &["--api-burst", "100000"]);
        let admin = server.admin();
        for n in 0..120 {
            let tier = if n % 3 == 0 { "gold" } else { "tin" };
            admin
                .post("/api/v1/clusters", &json!({"name": format!("c{n:03}"), "labels": {"tier": tier}}))
                .ok(201);
        }
        for (limit, selector, count) in [
            (50, "", 120),
            (7, "", 120),
            (200, "", 120),
            (1, "tier=gold", 40),
            (13, "tier%3Dgold", 40),
            (50, "tier=lead", 0),
        ] {
            let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let query = format!("?limit={limit}&labelSelector={selector}{cursor}");
                let page = admin.get(&format!("/api/v1/clusters{query}")).ok(200);
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= limit);
                seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
                pages += 1;
                // What is added meanwhile comes at the end, and disturbs nothing.
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let unique: BTreeSet<_> = seen.iter().collect();
            assert_eq!((seen.len(), unique.len()), (count, count), "{limit} {selector}");
            assert!(
                pages <= count / limit + 1 + usize::from(count % limit == 0),
                "{limit} {selector}: {pages}"
            );
        }
        let page = admin.get("/api/v1/clusters").ok(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 50, "the usual page");
    }
}

#[test]
fn a_change_is_made_to_the_version_it_was_meant_for() {
    let server = Server::start();
    let admin = server.admin();
    admin.post("/api/v1/clusters", &json!({"name": "one"})).ok(201);
    let change = |tag: &str, n: u32| {
        admin.with("if-match", tag).patch("/api/v1/clusters/one", &json!({"displayName": n.to_string()}))
    };
    assert_eq!(change("\"1\"", 1).header("etag"), Some("\"2\""));
    for stale in ["\"1\"", "\"3\"", "W/\"2\"", "2", "\"02\"", "\"x\"", "nonsense"] {
        change(stale, 2).refused("PRECONDITION_FAILED", &[]);
    }
    for none in ["\"2\", \"3\"", "", " ", &"1".repeat(65)] {
        change(none, 3).refused("VALIDATION_ERROR", &["if-match:"]);
    }
    change("*", 4).ok(200);
    assert_eq!(admin.get("/api/v1/clusters/one").ok(200)["displayName"], "4");
    admin.with("if-match", "\"1\"").delete("/api/v1/clusters/one").refused("PRECONDITION_FAILED", &[]);
    admin.with("if-match", "\"3\"").delete("/api/v1/clusters/one").ok(204);
}

#[test]
fn a_request_has_an_id() {
    let server = Server::start();
    let caller = server.nobody();
    for given in ["0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f", "build_42-step-3"] {
        assert_eq!(
            caller.with("x-request-id", given).get("/api/v1/version").header("x-request-id"),
            Some(given)
        );
        let refused = caller.with("x-request-id", given).get("/nowhere");
        assert_eq!(refused.body()["requestId"], given);
    }
    let made: BTreeSet<_> = ["", "short", "two words", "\"quoted-text\"", &"x".repeat(65), "<script>alert"]
        .into_iter()
        .map(|given| {
            let answer = caller.with("x-request-id", given).get("/api/v1/version");
            let id = answer.header("x-request-id").unwrap().to_owned();
            assert!(uuid::Uuid::parse_str(&id).is_ok(), "{given} became {id}");
            id
        })
        .collect();
    assert_eq!(made.len(), 6);
}

#[test]
fn every_other_path_is_a_problem() {
    let server = Server::start();
    let admin = server.admin();
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/clusters",
        "/api/v1/clusters/",
        "/API/V1/clusters",
        "/docs/",
        "/openapi.yaml",
        "/healthz",
        "/metrics",
        "/api/v1/clusters/x/~suspend",
        "/~",
        "//api/v1/clusters",
        "/api/v1/clusters/%2e%2e",
    ] {
        let (status, _, _) = admin.get(path).problem();
        assert_eq!(status, 404, "{path}");
    }
    let answer = admin.send("PUT", "/api/v1/clusters", None);
    answer.refused("METHOD_NOT_ALLOWED", &[]);
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    for method in ["OPTIONS", "TRACE", "DELETE"] {
        admin.send(method, "/api/v1/me", None).refused("METHOD_NOT_ALLOWED", &[]);
    }
}

#[test]
fn head_answers_as_get_without_a_body() {
    let server = Server::start();
    let answer = server.admin().send("HEAD", "/api/v1/clusters", None);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(server.nobody().send("HEAD", "/api/v1/clusters", None).status, 401);
}

#[test]
fn identity_comes_from_the_token_alone() {
    let server = Server::start();
    let claims = [
        ("x-kn-roles", "admin"),
        ("x-kn-tenant", "acme"),
        ("x-kn-subject", "root"),
        ("x-remote-user", "root"),
        ("x-forwarded-user", "root"),
    ];
    let mut caller = server.nobody();
    for (name, value) in claims {
        caller = caller.with(name, value);
    }
    caller.get("/api/v1/clusters").refused("UNAUTHORIZED", &[]);
    let me =
        server.admin().with("x-kn-roles", "readOnly").with("x-kn-subject", "other").get("/api/v1/me").ok(200);
    assert_eq!((&me["subject"], &me["roles"]), (&json!("ledger#root"), &json!(["admin"])));
}

#[test]
fn what_is_open_is_open() {
    let server = Server::start();
    let nobody = server.nobody();
    let version = nobody.get("/api/v1/version").ok(200);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(nobody.get("/api/v1/features").ok(200)["gate"], true);
    let keys = nobody.get("/api/v1/jwks").ok(200);
    assert!(!keys["keys"].as_array().unwrap().is_empty());
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "no private halves");
    let document = nobody.get("/openapi.json").ok(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let printed = crate::support::portcullis().arg("openapi").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(nobody.get("/openapi.json").text == printed, "the same is served and printed");
}

#[test]
fn the_reference_page_is_whole_and_harmless() {
    let server = Server::start();
    let page = server.nobody().get("/docs");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
    for word in ["<script", "<link", "<img", "src=", "href=\"http", "javascript:", "style=\"", "onclick"] {
        assert!(!page.text.contains(word), "{word}");
    }
    for word in
        ["/api/v1/clusters/{c}", "id=\"HAS_DEPENDENTS\"", "clustersCreate", "id=\"schema-ClusterNew\""]
    {
        assert!(page.text.contains(word), "{word}");
    }
}

#[test]
fn pages_of_other_origins_get_nothing_unless_named() {
    let server = Server::start();
    let from = |server: &Server, origin: &str| server.nobody().with("origin", origin).get("/api/v1/version");
    assert_eq!(from(&server, "https://portal.example").header("access-control-allow-origin"), None);
    let server = Server::with(On::Sqlite, &["--api-cors-origin", "https://portal.example"]);
    let allowed = from(&server, "https://portal.example");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://portal.example"));
    assert_eq!(from(&server, "https://evil.example").header("access-control-allow-origin"), None);
    let preflight = server
        .nobody()
        .with("origin", "https://portal.example")
        .with("access-control-request-method", "PATCH")
        .with("access-control-request-headers", "authorization,if-match,x-portcullis-tenant")
        .send("OPTIONS", "/api/v1/clusters/x", None);
    assert_eq!(preflight.status, 200);
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("x-portcullis-tenant"));
}

#[test]
fn what_is_no_http_and_what_lies_about_its_length_harms_nobody() {
    let server = Server::start();
    let say = |text: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        stream.write_all(text).unwrap();
        let mut answer = Vec::new();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(say(b"garbage\r\n\r\n").starts_with("HTTP/1.1 400") || say(b"garbage\r\n\r\n").is_empty());
    let short = say(b"POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{}");
    assert!(short.is_empty() || short.starts_with("HTTP/1.1 400"), "{short}");
    let long = say(b"POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n{}");
    assert!(long.starts_with("HTTP/1.1 413") && long.contains("PAYLOAD_TOO_LARGE"), "{long}");
    // And what does not come is not waited for.
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{").unwrap();
    slow.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
    let mut said = [0; 12];
    slow.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 408");
    server.nobody().get("/api/v1/version").ok(200);
}

#[test]
fn body_that_trickles_is_waited_for_no_longer_than_fifteen_seconds() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let (mut sent, mut said) = (0, [0; 12]);
    // A byte each half second is fast enough between two pieces, so only the bound of the whole ends it.
    let read = loop {
        match stream.read(&mut said) {
            Ok(read) => break read,
            Err(_) if sent < 120 => sent += stream.write(b" ").unwrap(),
            Err(error) => panic!("not cut: {error}"),
        }
    };
    assert_eq!((read, &said), (12, b"HTTP/1.1 408"));
    assert!(sent > 10, "longer than the five seconds of the gate's port: {sent}");
}
