//! What a body may be: every bound has a case on either side of it.

use serde_json::{Value, json};

use super::harness::{Server, unique};

#[test]
fn every_bound_of_a_field_holds() {
    let server = Server::start();
    let admin = server.admin();
    let long = |n: usize| "x".repeat(n);
    let labels = |n: usize| (0..n).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    let url = |n: usize| format!("https://{}", "x".repeat(n - 8));
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("name", json!(long(63)), &[]),
        ("name", json!(long(64)), &["/name"]),
        ("name", json!(""), &["/name", "/name"]),
        ("name", json!("Upper"), &["/name"]),
        ("name", json!("-a"), &["/name"]),
        ("name", json!("a-"), &["/name"]),
        ("name", json!("a_b"), &["/name"]),
        ("name", json!("a\u{0}"), &["/name", "/name"]),
        ("name", json!("0198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"), &["/name"]),
        ("name", json!("a198c5f2-7a4e-7c31-b1f5-4a3a7c1d2e9f"), &["/name"]),
        ("name", json!(5), &["/name"]),
        ("name", json!(null), &["/name"]),
        ("name", json!(["a"]), &["/name"]),
        ("displayName", json!("ü".repeat(100)), &[]),
        ("displayName", json!("ü".repeat(101)), &["/displayName"]),
        ("displayName", json!(null), &["/displayName"]),
        ("displayName", json!("a\u{0}b"), &["/displayName", "/displayName"]),
        ("displayName", json!("a\u{202e}b"), &["/displayName"]),
        ("displayName", json!("'; DROP TABLE clusters; --"), &[]),
        ("capsuleProxyUrl", json!(url(2048)), &[]),
        ("capsuleProxyUrl", json!(url(2049)), &["/capsuleProxyUrl"]),
        ("capsuleProxyUrl", json!("http://x"), &["/capsuleProxyUrl", "/capsuleProxyUrl"]),
        ("capsuleProxyUrl", json!("https://a b"), &["/capsuleProxyUrl"]),
        ("capsuleProxyUrl", json!(null), &[]),
        ("capsuleProxyCa", json!(long(65_536)), &[]),
        ("capsuleProxyCa", json!(long(65_537)), &["/capsuleProxyCa"]),
        ("labels", json!(labels(64)), &[]),
        ("labels", json!(labels(65)), &["/labels"]),
        ("labels", json!({"k": long(63)}), &[]),
        ("labels", json!({"k": long(64)}), &["/labels/k", "/labels/k"]),
        ("labels", json!({"k": "-"}), &["/labels/k"]),
        ("labels", json!({"k": 1}), &["/labels/k"]),
        ("labels", json!({"a b": "v"}), &["/labels"]),
        ("labels", json!({"example.org/tier": "gold"}), &[]),
        ("labels", json!({"/": "v"}), &["/labels"]),
        ("labels", json!([]), &["/labels"]),
        ("unknown", json!(1), &["/unknown"]),
        ("kubeConfig", json!("x"), &["/kubeConfig"]),
    ];
    for (field, value, pointers) in cases {
        let mut new = json!({"name": unique("b")});
        new[field] = value.clone();
        let answer = admin.post("/api/v1/clusters", &new);
        if pointers.is_empty() {
            let made = answer.ok(201);
            assert!(value.is_null() || made[field] == value, "{field} comes back as it was sent");
        } else {
            answer.refused("VALIDATION_ERROR", pointers);
        }
    }
}

#[test]
fn all_faults_of_a_body_are_told_at_once() {
    let server = Server::start();
    let new = json!({"name": "A", "labels": {"k": "-"}, "more": 1, "displayName": 7});
    server
        .admin()
        .post("/api/v1/clusters", &new)
        .refused("VALIDATION_ERROR", &["/displayName", "/labels/k", "/more", "/name"]);
    server.admin().post("/api/v1/clusters", &json!({})).refused("VALIDATION_ERROR", &["/name"]);
    for other in [json!([]), json!("x"), json!(1), json!(null)] {
        server.admin().post("/api/v1/clusters", &other).refused("VALIDATION_ERROR", &[""]);
    }
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    let server = Server::start();
    let admin = server.admin().with("content-type", "application/json");
    let deep = |n: usize| format!("{{\"name\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "the body is empty"),
        (b"{".to_vec(), "line 1 column 1"),
        (b"{\"name\": \"a\",\n}".to_vec(), "line 2 column 1"),
        (b"{\"name\":\"a\",\"name\":\"b\"}".to_vec(), "a key is given twice"),
        (b"{\"name\":\"\xff\"}".to_vec(), "line 1"),
        (b"{} {}".to_vec(), "trailing"),
        (b"\xef\xbb\xbf{}".to_vec(), "line 1"),
        (b"name: a".to_vec(), "line 1"),
        (deep(100).into_bytes(), "nests deeper"),
        (deep(100_000).into_bytes(), "nests deeper"),
        (b"{\"name\":1e999}".to_vec(), "number out of range"),
    ];
    for (bytes, sentence) in cases {
        let answer = admin.send("POST", "/api/v1/clusters", Some(&bytes));
        answer.refused("MALFORMED_JSON", &[]);
        assert!(answer.body()["detail"].as_str().unwrap().contains(sentence), "{} / {sentence}", answer.text);
    }
}

#[test]
fn a_body_is_declared_as_json() {
    let server = Server::start();
    let admin = server.admin();
    let body = |name: &str| json!({ "name": name }).to_string().into_bytes();
    for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
    {
        let answer =
            admin.with("content-type", kind).send("POST", "/api/v1/clusters", Some(&body(&unique("k"))));
        assert_eq!(answer.status, 201, "{kind}: {}", answer.text);
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/jsonp",
        "",
    ] {
        let caller = if kind.is_empty() { admin.clone() } else { admin.with("content-type", kind) };
        let answer = caller.send("POST", "/api/v1/clusters", Some(&body("x")));
        answer.refused("UNSUPPORTED_MEDIA_TYPE", &[]);
    }
    admin.post("/api/v1/clusters", &json!({"name": "merge"})).ok(201);
    let merge = admin.with("content-type", "application/merge-patch+json");
    merge.send("PATCH", "/api/v1/clusters/merge", Some(b"{\"displayName\":\"x\"}")).ok(200);
    merge.send("POST", "/api/v1/clusters", Some(&body("x"))).refused("UNSUPPORTED_MEDIA_TYPE", &[]);
}

#[test]
fn a_body_is_at_most_a_mebibyte() {
    let server = Server::start();
    let admin = server.admin().with("content-type", "application/json");
    let of = |length: usize| {
        let mut body = json!({"name": unique("l")}).to_string().into_bytes();
        body.resize(length, b' ');
        body
    };
    admin.send("POST", "/api/v1/clusters", Some(&of(1 << 20))).ok(201);
    admin.send("POST", "/api/v1/clusters", Some(&of((1 << 20) + 1))).refused("PAYLOAD_TOO_LARGE", &[]);
    admin.send("POST", "/api/v1/clusters", Some(&of(3 << 20))).refused("PAYLOAD_TOO_LARGE", &[]);
}

#[test]
fn queries_have_bounds_too() {
    let server = Server::start();
    let admin = server.admin();
    for (query, pointers) in [
        ("limit=1&limit=2", &["?limit"][..]),
        ("limit=0", &["?limit"]),
        ("limit=201", &["?limit"]),
        ("limit=ten", &["?limit"]),
        ("limit=1.5", &["?limit"]),
        ("limit=", &["?limit"]),
        ("limit=99999999999999999999", &["?limit"]),
        ("cursor=nonsense", &["?cursor"]),
        ("cursor=", &["?cursor"]),
        ("other=1", &["?other"]),
        ("labelSelector=a%20b", &["?labelSelector"]),
        ("labelSelector=%00", &["?labelSelector"]),
        ("limit=0&other=1&cursor=", &["?cursor", "?limit", "?other"]),
    ] {
        admin.get(&format!("/api/v1/clusters?{query}")).refused("VALIDATION_ERROR", pointers);
    }
    let long = "x".repeat(1025);
    admin
        .get(&format!("/api/v1/clusters?labelSelector={long}"))
        .refused("VALIDATION_ERROR", &["?labelSelector"]);
    for good in ["", "limit=1", "limit=200", "labelSelector=a%3Db,c%20in%20(d,e),!f", "labelSelector="] {
        admin.get(&format!("/api/v1/clusters?{good}")).ok(200);
    }
}
