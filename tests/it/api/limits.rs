//! How often one may ask.

use portcullis_access::Role;

use super::harness::{On, Server};

#[test]
fn a_subject_that_asks_too_often_waits_and_the_others_do_not() {
    let server = Server::with(On::Sqlite, &["--api-rate", "1", "--api-burst", "5"]);
    let (first, second) = (server.admin(), server.somebody("other", Role::Admin, None));
    let answers: Vec<_> = (0..20).map(|_| first.get("/api/v1/me")).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!((5..=19).contains(&refused.len()), "{}", refused.len());
    for answer in refused {
        answer.refused("RATE_LIMIT_EXCEEDED", &[]);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    second.get("/api/v1/me").ok(200);
}

#[test]
fn failed_sign_ins_are_bounded_and_good_ones_pass() {
    let server = Server::with(On::Sqlite, &["--api-failed-signins", "3"]);
    let wrong = server.bearing("nonsense");
    for _ in 0..3 {
        wrong.get("/api/v1/me").refused("UNAUTHORIZED", &[]);
    }
    wrong.get("/api/v1/me").refused("RATE_LIMIT_EXCEEDED", &[]);
    server.nobody().get("/api/v1/me").refused("RATE_LIMIT_EXCEEDED", &[]);
    server.admin().get("/api/v1/me").ok(200);
}

/// Behind a proxy each client has its own count, and none can choose another's address by what it writes.
#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let flags = ["--api-failed-signins", "3", "--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"];
    let server = Server::with(On::Sqlite, &flags);
    let wrong =
        |forwarded: &str| server.bearing("nonsense").with("x-forwarded-for", forwarded).get("/api/v1/me");
    // What stands to the left is the client's own word, new with each request.
    for n in 0..3 {
        wrong(&format!("198.51.100.{n}, 203.0.113.9, 10.0.0.1")).refused("UNAUTHORIZED", &[]);
    }
    wrong("198.51.100.77, 203.0.113.9").refused("RATE_LIMIT_EXCEEDED", &[]);
    wrong("203.0.113.9:4711").refused("RATE_LIMIT_EXCEEDED", &[]);
    wrong("203.0.113.10").refused("UNAUTHORIZED", &[]);
    // What does not read, or is too long, is the proxy's own count.
    for _ in 0..3 {
        wrong("203.0.113.11, nonsense").refused("UNAUTHORIZED", &[]);
    }
    let long = format!("{}203.0.113.12", "198.51.100.1, ".repeat(300));
    wrong(&long).refused("RATE_LIMIT_EXCEEDED", &[]);
    wrong("203.0.113.13, 203.0.113.12").refused("UNAUTHORIZED", &[]);
}

#[test]
fn nothing_is_believed_of_an_address_that_is_no_trusted_proxy() {
    for flags in [
        &["--api-failed-signins", "3"][..],
        &["--api-failed-signins", "3", "--trusted-proxies", "10.0.0.0/8"],
    ] {
        let server = Server::with(On::Sqlite, flags);
        let wrong = |n: u8| {
            let caller = server.bearing("nonsense").with("x-forwarded-for", &format!("203.0.113.{n}"));
            caller.get("/api/v1/me")
        };
        for n in 0..3 {
            wrong(n).refused("UNAUTHORIZED", &[]);
        }
        wrong(3).refused("RATE_LIMIT_EXCEEDED", &[]);
    }
}

#[test]
fn networks_of_proxies_are_checked_at_the_start() {
    for (network, why) in [("0.0.0.0/0", "is every address"), ("proxy.example.com", "is not a network")] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = crate::support::portcullis();
        let database = format!("sqlite://{}", dir.path().join("ledger.db").display());
        command.args(["serve", "--role", "api", "--database", &database, "--api", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--token-keys"]).arg(dir.path().join("keys"));
        let output = command.args(["--trusted-proxies", network]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
}
