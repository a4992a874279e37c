//! The Secret deleted, damaged, out of reach; permissions that are missing.

use std::time::Duration;

use serde_json::json;

use super::{Home, PATIENCE, SECRET, replica};
use crate::controlplane::cluster::bare;
use crate::controlplane::plane::Plane;
use crate::support::wait;

#[test]
fn a_secret_that_is_deleted_or_damaged_is_what_it_was_within_seconds() {
    let home = Home::new(bare(), "certs-mended");
    let replicas = [0, 1].map(|_| home.replica(&[]));
    replicas.iter().for_each(super::Replica::ready);
    let [bundle, leaf, key] = ["ca.crt", "tls.crt", "ca.key"].map(|key| home.secret(key).unwrap());
    let as_it_was = || {
        wait(PATIENCE, || (home.secret("tls.crt")? == leaf && home.secret("ca.key")? == key).then_some(()));
        for replica in &replicas {
            assert_eq!(replica.serves(&bundle).unwrap(), replica::der(&leaf));
        }
    };
    assert!(home.kubectl(&["delete", "secret", SECRET]).ok);
    as_it_was();
    // What others put there stays; what is ours comes back.
    home.patch(&json!({"data": {"ca.key": "Z2FyYmFnZQ==", "tls.crt": "", "note": "aGVsbG8="}}));
    as_it_was();
    assert_eq!(home.secret("note").unwrap(), "hello");
    let told: String = replicas.iter().map(super::Replica::log).collect();
    assert!(told.contains("is damaged and will be restored") && !told.contains("garbage"), "{told}");
    home.rotate("everything");
    replicas[0].says("certificates", "is neither `leaf` nor `authority`");
}

#[test]
fn a_start_over_garbage_saves_the_authority_if_it_can() {
    let home = Home::new(bare(), "certs-garbage");
    let mut first = home.replica(&[]);
    first.ready();
    let bundle = home.secret("ca.crt").unwrap();
    first.kill();
    home.patch(&json!({"data": {"tls.crt": "Z2FyYmFnZQ=="}}));
    let mut second = home.replica(&[]);
    second.ready();
    assert!(second.serves(&bundle).is_ok(), "a leaf of the authority that is trusted");
    second.kill();
    home.patch(&json!({"data": {"ca.key": "Z2FyYmFnZQ==", "tls.key": "Z2FyYmFnZQ=="}}));
    let third = home.replica(&[]);
    third.says("certificates", "`ca.key` and `ca.crt` do not go together");
    third.ready();
    assert!(third.serves(&bundle).is_err(), "of what could be saved nothing was left");
    assert!(third.serves(&home.secret("ca.crt").unwrap()).is_ok());
}

#[test]
fn every_permission_that_is_missing_is_named_and_may_be_given_later() {
    let home = Home::without_rights(bare(), "certs-poor");
    let replica = home.replica(&[]);
    for words in [
        "create secrets in namespace `certs-poor`",
        "get secrets `portcullis-tls` in namespace `certs-poor`",
        "list secrets `portcullis-tls`",
        "watch secrets `portcullis-tls`",
        "update secrets `portcullis-tls`",
    ] {
        replica.says("certificates", words);
    }
    replica.says("trust", "get mutatingwebhookconfigurations.admissionregistration.k8s.io `portcullis`");
    assert_eq!(replica.readyz().unwrap()["ready"], false);
    home.grant();
    replica.ready();
}

#[test]
fn an_api_server_that_is_away_while_a_renewal_is_due_ends_nothing() {
    let mut plane = Plane::start();
    let (replica, leaf, bundle) = {
        let home = Home::new(&plane, "certs-away");
        let replica = home.replica(&["--tls-cert-validity", "60s", "--tls-ca-validity", "1h"]);
        replica.ready();
        (replica, home.secret("tls.crt").unwrap(), home.secret("ca.crt").unwrap())
    };
    plane.without_server(|| {
        replica.says("certificates", "cannot reach the API server");
        // Renewal is due at 40 s of 60.
        let due = std::time::Instant::now() + Duration::from_secs(45);
        wait(PATIENCE, || {
            assert_eq!(replica.serves(&bundle).unwrap(), replica::der(&leaf));
            assert_eq!(replica.readyz().unwrap()["ready"], true);
            (std::time::Instant::now() > due).then_some(())
        });
    });
    wait(PATIENCE, || (replica.serves(&bundle).unwrap() != replica::der(&leaf)).then_some(()));
    wait(PATIENCE, || replica.reason("certificates").is_empty().then_some(()));
}
