//! Sets of keys: what is used of them, and what would be a weakness.

use super::*;
use crate::oidc::jwks::{Jwks, JwksError};

/// What is used of a set of one good key and this one.
fn used(key: Json) -> bool {
    let place = Place::new();
    let mut set = place.set();
    set["keys"].as_array_mut().unwrap().push(key);
    Jwks::parse(set.to_string().as_bytes()).unwrap().find("k").is_some()
}

fn changed(mut key: Json, change: &Json) -> Json {
    for (name, value) in change.as_object().unwrap() {
        match value {
            Json::Null => drop(key.as_object_mut().unwrap().remove(name)),
            value => key[name] = value.clone(),
        }
    }
    key
}

#[test]
fn keys_that_are_passed_over() {
    let place = Place::new();
    let [rsa, p256, ed] = [0, 1, 2].map(|at| changed(place.set()["keys"][at].clone(), &json!({"kid": "k"})));
    for good in [&rsa, &p256, &ed] {
        assert!(used(good.clone()), "{good}");
        assert!(used(changed(good.clone(), &json!({"use": null, "alg": null, "x5t": "abc"}))), "{good}");
        for change in [
            json!({"kid": null}),
            json!({"kid": 7}),
            json!({"use": "enc"}),
            json!({"alg": "HS256"}),
            json!({"alg": "none"}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "AKP"}),
            json!({"d": "AAAA"}),
            json!({"x": 7, "n": 7}),
        ] {
            assert!(!used(changed(good.clone(), &change)), "{change}");
        }
    }
    for change in [
        json!({"alg": "RS512"}),
        json!({"alg": "PS256"}),
        json!({"n": null}),
        json!({"e": null}),
        json!({"n": encode([0xff; 128])}), // 1024 bits
        json!({"n": encode([&[0x7f][..], &[0xff; 255]].concat())}), // 2047 bits
        json!({"n": encode([&[0; 200][..], &[0xff; 128]].concat())}), // 1024 behind zeros
        json!({"n": encode([0xff; 513])}), // more than the library takes
        json!({"n": "%%%"}),
        json!({"e": encode([1])}), // every text its own signature
        json!({"e": encode([0])}),
        json!({"e": encode([2])}),
        json!({"e": encode([1, 0, 0, 0, 1])}),
        json!({"e": ""}),
    ] {
        assert!(!used(changed(rsa.clone(), &change)), "{change}");
    }
    for change in [
        json!({"crv": "P-384"}),
        json!({"crv": "secp256k1"}),
        json!({"crv": null}),
        json!({"alg": "ES384"}),
        json!({"x": encode([1; 31])}),
        json!({"y": encode([1; 33])}),
        json!({"y": null}),
    ] {
        assert!(!used(changed(p256.clone(), &change)), "{change}");
    }
    for change in [
        json!({"crv": "Ed448"}),
        json!({"crv": "X25519"}),
        json!({"x": ""}),
        json!({"x": encode([1; 31])}), // the library would panic
        json!({"x": encode([1; 33])}), // and here cut
        json!({"alg": "ES256"}),
    ] {
        assert!(!used(changed(ed.clone(), &change)), "{change}");
    }
}

#[test]
fn invalid_curve_point_verifies_nothing() {
    let place = Place::new();
    let token = place.signed("p256", &claims());
    for byte in [0x00, 0x01, 0xff] {
        let mut set = place.set();
        set["keys"][1]["x"] = encode([byte; 32]).into();
        set["keys"][1]["y"] = encode([byte; 32]).into();
        place.publish(&set);
        assert_eq!(place.verify(&token), Err(TokenError::Signature));
        let mut set = place.set();
        set["keys"][2]["x"] = encode([byte; 32]).into();
        place.publish(&set);
        assert_eq!(place.verify(&place.signed("ed", &claims())), Err(TokenError::Signature));
    }
}

#[test]
fn two_keys_of_one_id_are_none() {
    let place = Place::new();
    let mut set = place.set();
    let again = changed(set["keys"][0].clone(), &json!({"kid": "ed"}));
    set["keys"].as_array_mut().unwrap().push(again);
    assert!(matches!(Jwks::parse(set.to_string().as_bytes()), Err(JwksError::Twice(kid)) if kid == "ed"));
    // One of them for encryption is no second one.
    let last = set["keys"].as_array().unwrap().len() - 1;
    set["keys"][last]["use"] = "enc".into();
    assert!(Jwks::parse(set.to_string().as_bytes()).is_ok());
}

#[test]
fn key_set_is_bounded() {
    let many: Vec<Json> = (0..101).map(|n| json!({"kty": "x", "kid": n.to_string()})).collect();
    let text = json!({"keys": many}).to_string();
    assert!(matches!(Jwks::parse(text.as_bytes()), Err(JwksError::TooMany(101))));
    assert!(matches!(Jwks::parse(b"{\"keys\":[{\"kty\":\"oct\"}]}"), Err(JwksError::Empty)));
}
