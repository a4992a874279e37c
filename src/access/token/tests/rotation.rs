//! Keys that come and go under living tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::fixtures::at;
use crate::keys::{SETTLE_SECONDS, create};

#[test]
fn old_key_verifies_until_it_is_removed() {
    let office = TestIssuer::new();
    let old = office.token();
    let old_kid = office.kid();
    create(office.dir.path(), at(NOW)).unwrap();
    office.tokens.keys().reload().unwrap();

    let early = office.token();
    let later = NOW + SETTLE_SECONDS;
    let new = office.tokens.issue(&granted(request()), later).unwrap().token;
    let kid = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Json>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!(kid(&old), old_kid);
    assert_eq!(kid(&early), old_kid, "a new key is made known before it signs");
    assert_ne!(kid(&new), old_kid);
    for token in [&old, &early, &new] {
        assert!(office.tokens.verify(token, later).is_ok());
    }

    let set = office.tokens.keys().now();
    std::fs::remove_file(set.find(&old_kid).unwrap().path()).unwrap();
    assert!(office.tokens.verify(&old, later).is_ok(), "until the directory is read again");
    office.tokens.keys().reload().unwrap();
    for token in [&old, &early] {
        assert_eq!(office.tokens.verify(token, later), Err(TokenError::UnknownKey));
    }
    assert!(office.tokens.verify(&new, later).is_ok());
}

#[test]
fn new_key_verifies_before_it_signs() {
    let office = TestIssuer::new();
    create(office.dir.path(), at(NOW)).unwrap();
    office.tokens.keys().reload().unwrap();
    // The other server's clock is ahead by a minute.
    let ahead = office.tokens.issue(&granted(request()), NOW + SETTLE_SECONDS).unwrap();
    assert!(office.tokens.verify(&ahead.token, NOW + SETTLE_SECONDS - LEEWAY_SECONDS).is_ok());
}

#[test]
fn another_key_under_the_same_file_name_is_another_key() {
    let office = TestIssuer::new();
    let token = office.token();
    let path = office.tokens.keys().now().signing(NOW).unwrap().path().to_owned();
    let other = TestIssuer::new();
    std::fs::copy(other.tokens.keys().now().signing(NOW).unwrap().path(), path).unwrap();
    office.tokens.keys().reload().unwrap();
    assert_eq!(office.tokens.verify(&token, NOW), Err(TokenError::UnknownKey));
    assert!(office.tokens.verify(&other.token(), NOW).is_ok());
}
