use serde_json::{Value as Json, json};

use super::*;
use crate::fixtures::{NOW, Office, SHOP, acme, granted, wish};
use crate::identity::Clusters;
use crate::mint::Wish;
use crate::role::Role;

mod claims; // what a token says
mod header; // how it is signed
mod rotation; // keys that come and go
mod texts; // what is no token, and what was changed by a byte

/// A good token's claims with some replaced, signed with the real key.
fn with(office: &Office, change: &Json) -> Result<Identity, TokenError> {
    let mut claims = office.claims();
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    office.tokens.verify(&office.signed(&office.header(), &claims.to_string()), NOW)
}

#[test]
fn what_was_granted_comes_back() {
    let office = Office::new();
    let dev = Wish {
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        projects: Some(vec![SHOP.into()]),
        ttl_seconds: 90,
        ..wish()
    };
    let issued = office.tokens.issue(&granted(dev), NOW).unwrap();
    let who = office.tokens.verify(&issued.token, NOW).unwrap();
    let expected = Identity {
        issuer: "ledger".into(),
        subject: "bob".into(),
        roles: vec![Role::ProjectDev],
        tenant: Some(acme()),
        projects: Some(vec![SHOP.into()]),
        clusters: None,
        jti: Some(issued.claims.jti.clone()),
        expires: Some(NOW + 90),
        minted_by: Some("portcullis#test".into()),
    };
    assert_eq!((who.name(), &who), ("ledger#bob".into(), &expected));
    for clusters in [Clusters::One(SHOP.into()), Clusters::All] {
        let clusters = Some(clusters);
        let gate = Wish { roles: vec![Role::Service], tenant: None, clusters: clusters.clone(), ..wish() };
        let issued = office.tokens.issue(&granted(gate), NOW).unwrap();
        assert_eq!(office.tokens.verify(&issued.token, NOW).unwrap().clusters, clusters);
    }
    let admin = Wish { roles: vec![Role::Admin], tenant: None, ..wish() };
    let issued = office.tokens.issue(&granted(admin), NOW).unwrap();
    assert_eq!(office.tokens.verify(&issued.token, NOW).unwrap().roles, [Role::Admin]);
}

#[test]
fn no_two_tokens_have_one_id() {
    let office = Office::new();
    let ids: std::collections::BTreeSet<String> =
        (0..100).map(|_| office.tokens.issue(&granted(wish()), NOW).unwrap().claims.jti).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn a_token_has_a_beginning_and_an_end() {
    let office = Office::new();
    let token = office.token();
    let when = |now| office.tokens.verify(&token, now).map(|_| ());
    assert_eq!(when(NOW - LEEWAY_SECONDS - 1), Err(TokenError::NotYet));
    assert_eq!(when(NOW - LEEWAY_SECONDS), Ok(()));
    assert_eq!(when(NOW + 3600 + LEEWAY_SECONDS - 1), Ok(()));
    assert_eq!(when(NOW + 3600 + LEEWAY_SECONDS), Err(TokenError::Expired));
    assert_eq!(when(i64::MAX), Err(TokenError::Expired));
    assert_eq!(when(i64::MIN), Err(TokenError::NotYet));
    assert_eq!(with(&office, &json!({"nbf": NOW + 60})), Err(TokenError::NotYet));
    assert_eq!(with(&office, &json!({"iat": NOW + 60})), Err(TokenError::NotYet));
}

#[test]
fn only_the_holder_of_the_key_hears_that_a_token_has_expired() {
    let office = Office::new();
    let mut claims = office.claims();
    claims["exp"] = json!(NOW - 1000);
    claims["iat"] = json!(NOW - 2000);
    claims["nbf"] = json!(NOW - 2000);
    let stranger = Office::new();
    let token = stranger.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Signature));
    let token = office.signed(&office.header(), &claims.to_string());
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::Expired));
}

#[test]
fn the_largest_token_that_is_granted_fits() {
    let office = Office::new();
    let projects = (0..100).map(|n| format!("0190a0a0-0000-7000-8000-{n:012}")).collect();
    let largest =
        Wish { subject: "x".repeat(255), roles: vec![Role::ProjectDev], projects: Some(projects), ..wish() };
    let issued = office.tokens.issue(&granted(largest), NOW).unwrap();
    assert!(office.tokens.verify(&issued.token, NOW).is_ok(), "{} bytes", issued.token.len());
}

#[test]
fn names_that_could_be_mistaken_are_none() {
    assert_eq!(Names::new("portcullis", "x"), Err(NamesError::Reserved));
    for wrong in ["", "a#b", "a b", "a,b", "a\n", "é", &"x".repeat(201)] {
        assert_eq!(Names::new(wrong, "x"), Err(NamesError::Grammar), "{wrong}");
        assert_eq!(Names::new("x", wrong), Err(NamesError::Grammar), "{wrong}");
    }
    assert!(Names::new("https://id.example.com/realms/a", "portcullis").is_ok());
}
