//! How often one may ask.

use portcullis::access::Role;

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
