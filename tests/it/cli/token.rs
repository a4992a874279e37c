//! `portcullis token`: the first one, what is in it, and keys that come and go.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use super::run::Place;

const TENANT: [&str; 4] = ["--tenant", "acme", "--tenant-id", "0190a0a0-0000-7000-8000-000000000001"];
const SHOP: &str = "0190a0a0-0000-7000-8000-00000000000a";

fn mint(place: &Place, words: &[&str]) -> String {
    place.stdout(&[&["token", "new", "--keys", "keys"], words].concat())
}

fn shown(place: &Place) -> Json {
    serde_json::from_str(&place.stdout(&["token", "show", "--keys", "keys", "-o", "json", "token"])).unwrap()
}

#[test]
fn the_first_token_makes_its_key_and_is_good() {
    let place = Place::new();
    let told = place.run(&["token", "new", "--keys", "keys", "--subject", "me", "--role", "admin"], 0);
    assert!(told.contains("note: created the first key, keys/"), "{told}");
    assert!(told.contains("note: ledger#me, admin, until "), "{told}");
    let token = mint(&place, &["--subject", "me", "--role", "admin"]);
    assert_eq!((token.lines().count(), token.matches('.').count()), (1, 2), "{token}");
    place.write("token", &token);
    let told = place.run(&["token", "show", "--keys", "keys", "token"], 0);
    for word in ["\nvalid\n", "ledger#me", "portcullis#token", "admin", "portcullis\n"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let files: Vec<_> =
        std::fs::read_dir(place.path("keys")).unwrap().map(|file| file.unwrap().path()).collect();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((files.len(), mode(&files[0]), mode(&place.path("keys"))), (1, 0o600, 0o700));
}

#[test]
fn a_token_says_what_was_asked_for() {
    let place = Place::new();
    let words = [&["--subject", "ci", "--role", "projectDev", "--ttl", "8h", "--project", SHOP], &TENANT[..]];
    place.write("token", &mint(&place, &words.concat()));
    let shown = shown(&place);
    let claims = &shown["claims"];
    assert_eq!((&shown["valid"], &shown["why"]), (&Json::Bool(true), &Json::Null));
    assert_eq!((&claims["tenantSlug"], &claims["projects"][0]), (&"acme".into(), &SHOP.into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 8 * 3600);
    let gate = ["--subject", "gate-1", "--role", "service", "--cluster-id", SHOP, "--ttl", "720h"];
    place.write("token", &mint(&place, &gate));
    assert_eq!(self::shown(&place)["claims"]["cluster"], SHOP);
    assert_eq!(self::shown(&place)["claims"]["roles"], serde_json::json!(["service"]));
}

#[test]
fn what_nobody_may_have_is_refused() {
    let place = Place::new();
    let ok = ["--subject", "me", "--role", "tenantOwner"];
    let refused: &[(&[&str], &str)] = &[
        (&["--subject", "me", "--role", "root"], "`root` is no role"),
        (&["--subject", "", "--role", "admin"], "1 to 255 bytes"),
        (&["--subject", "me too", "--role", "admin"], "no spaces"),
        (&ok, "needs a tenant"),
        (&[&ok[..], &TENANT[..2]].concat(), "--tenant-id"),
        (&["--subject", "me", "--role", "admin", TENANT[0], TENANT[1], TENANT[2], TENANT[3]], "no tenant"),
        (&[&ok[..], &["--tenant", "acme", "--tenant-id", "acme"]].concat(), "a tenant needs its slug and id"),
        (&[&ok[..], &TENANT, &["--project", SHOP]].concat(), "for the whole tenant"),
        (&["--subject", "g", "--role", "service"], "--cluster-id UUID"),
        (&["--subject", "g", "--role", "service", "--cluster-id", "eu-1"], "is not a UUID"),
        (
            &["--subject", "g", "--role", "service", "--cluster-id", SHOP, "--all-clusters"],
            "cannot be used with",
        ),
        (&["--subject", "me", "--role", "admin", "--all-clusters"], "a cluster is for the role `service`"),
        (&["--subject", "me", "--role", "admin", "--ttl", "721h"], "60 to 2592000"),
        (&["--subject", "me", "--role", "admin", "--ttl", "59s"], "60 to 2592000"),
        (&["--subject", "me", "--role", "admin", "--ttl", "3600"], "is not a duration"),
        (&["--subject", "me", "--role", "admin", "--issuer", "portcullis"], "the server's own"),
    ];
    for (words, why) in refused {
        let told = place.run(&[&["token", "new", "--keys", "keys"], *words].concat(), 2);
        assert!(told.contains(why), "{why}: {told}");
    }
    assert_eq!(mint(&place, &ok), "");
}

#[test]
fn a_token_that_is_no_good_is_shown_as_such() {
    let place = Place::new();
    let token = mint(&place, &["--subject", "me", "--role", "admin"]);
    let no_good = |words: &[&str], text: &str, why: &str| {
        place.write("token", text);
        let told = place.run(&[&["token", "show", "--keys", "keys", "token"], words].concat(), 1);
        assert!(told.contains("invalid") && told.contains(why), "{why}: {told}");
        told
    };
    let other = no_good(&["--audience", "other"], &token, "another audience");
    assert!(other.contains("ledger#me"), "one of our keys has signed it, so it is shown: {other}");
    no_good(&["--issuer", "other"], &token, "issuer is unknown");
    let cut: String = token.trim_end().chars().take(token.len() - 9).collect();
    let unsigned = no_good(&[], &cut, "signature is wrong");
    assert!(!unsigned.contains("ledger#me"), "nobody has signed this: {unsigned}");
    no_good(&[], "", "malformed");
    no_good(&[], &"a".repeat(9000), "too long");
    place.run(&["token", "keys", "rotate", "--keys", "keys"], 0);
    place.write("token", &token);
    place.run(&["token", "show", "--keys", "keys", "token"], 0);
    place.run(&["token", "show", "--keys", "absent", "token"], 2);
    place.run(&["token", "show", "--keys", "keys", "absent"], 2);
}

#[test]
fn keys_are_rotated_and_listed() {
    let place = Place::new();
    mint(&place, &["--subject", "me", "--role", "admin"]);
    let list = || -> Json {
        serde_json::from_str(&place.stdout(&["token", "keys", "list", "--keys", "keys", "-o", "json"]))
            .unwrap()
    };
    let first = list()[0]["kid"].clone();
    let told = place.run(&["token", "keys", "rotate", "--keys", "keys"], 0);
    assert!(told.contains("note: signs from "), "{told}");
    let now = list();
    assert_eq!(
        (now.as_array().unwrap().len(), &now[0]["kid"], &now[0]["state"]),
        (2, &first, &"signs".into())
    );
    assert!(now[1]["state"].as_str().unwrap().starts_with("signs from "));
    // As if both had been made long ago.
    for (at, time) in ["20240101T000000Z-a.pem", "20250101T000000Z-b.pem"].iter().enumerate() {
        std::fs::rename(place.path(now[at]["file"].as_str().unwrap()), place.path("keys").join(time))
            .unwrap();
    }
    let table = place.stdout(&["token", "keys", "list", "--keys", "keys"]);
    assert!(table.contains("verifies until 2025-01-31T00:01:00Z") && table.contains(" signs "), "{table}");
    place.run(&["token", "keys", "list", "--keys", "absent"], 2);
}
