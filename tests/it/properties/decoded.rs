//! What the gate reads is what serde_json reads, and what it remembers is what it would find again.

use portcullis_admission::Endpoint;
use portcullis_policy::PolicySet;
use portcullis_policy::set::Options;
use portcullis_policy::source::read_embedded;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value as Json;

use super::{bodies, config, mutate};
use crate::laws::{generate, judge};
use crate::support::{beside, law, world};

/// Pieces that leave a text JSON more often than bytes do.
const PIECES: &[&str] = &[
    "\"a\":1,",
    "1e400,\"z\":",
    "-0,\"z\":",
    "[{\"a\":1,\"a\":2}],\"z\":",
    "\"\\u0061\":1,",
    "\"\":0,",
    "\"object\":{\"a\":1},",
    "\"\\u006fbject\":null,",
    "\"uid\":\"x\",",
    "\\n",
    "\\\"",
    "\\/",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud83d",
    "ü",
    "\u{1}",
    " ",
    "\n\t",
    "[]",
    "{}",
    "null",
    "1e400",
    "-0",
    "18446744073709551616",
    "0123",
    ",",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];

#[test]
fn a_body_is_read_as_serde_json_reads_it() {
    let bodies = bodies();
    let mut read = 0;
    for body in &bodies {
        read += usize::from(beside::judged(body).unwrap_or_else(|error| panic!("{error}")));
    }
    assert!(read > 400, "only {read} of the cases are reviews");
    let edits = prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>(), any::<u8>()), 0..2);
    let pieces = prop::collection::vec((any::<Index>(), select(PIECES)), 0..3);
    proptest!(config(4000), |(body in select(bodies), edits in edits, pieces in pieces)| {
        let mut body = body.clone();
        for (at, piece) in &pieces {
            // Where a member, an element or a string begins, a piece may well fit.
            let places: Vec<usize> = body.iter().enumerate().filter(|(_, byte)| b"{[,:\"".contains(byte)).map(|(at, _)| at + 1).collect();
            if !places.is_empty() {
                let at = places[at.index(places.len())];
                body.splice(at..at, piece.bytes());
            }
        }
        mutate(&mut body, &edits);
        let judged = beside::judged(&body);
        prop_assert!(judged.is_ok(), "{}\n{}", judged.unwrap_err(), String::from_utf8_lossy(&body));
    });
}

/// The places of a document, as pointers.
fn places(json: &Json, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    let step = |part: &str| format!("{path}/{}", part.replace('~', "~0").replace('/', "~1"));
    match json {
        Json::Object(fields) => fields.iter().for_each(|(key, below)| places(below, &step(key), found)),
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(at, below)| places(below, &step(&at.to_string()), found));
        }
        _ => {}
    }
}

/// Changes one place below the request: another value, another object's, or gone.
fn change(review: &mut Json, at: Index, how: u8, other: &Json) {
    let mut found = Vec::new();
    places(&review["request"], "/request", &mut found);
    let place = &found[at.index(found.len())];
    let (around, _) = place.rsplit_once('/').unwrap();
    if how.is_multiple_of(3)
        && let Some(Json::Object(fields)) = review.pointer_mut(around)
    {
        fields.remove(&place[around.len() + 1..]);
        return;
    }
    let theirs = other.pointer(place).cloned();
    let Some(value) = review.pointer_mut(place) else { return };
    *value = match (how % 6, &*value) {
        (1 | 2, _) => theirs.unwrap_or(Json::Null),
        (4, _) => Json::Null,
        (_, Json::String(text)) => format!("{text}x").into(),
        (_, Json::Number(_)) => 7.into(),
        (_, Json::Bool(value)) => (!value).into(),
        (_, Json::Object(_)) => Json::Array(Vec::new()),
        _ => serde_json::json!({}),
    };
}

/// One law is asked review after review, each a little different from the one before; one that has no memory is asked the
/// last of them.
#[test]
fn what_is_remembered_is_what_would_be_found_again() {
    let (old, world) = (law(), world());
    let anew = || {
        PolicySet::compile(&read_embedded().unwrap(), Options::default(), Some(&old))
            .unwrap_or_else(|problems| panic!("{problems}"))
    };
    let reviews: Vec<Json> = bodies()
        .iter()
        .filter_map(|body| serde_json::from_slice(body).ok())
        .filter(|review: &Json| review["request"].is_object())
        .collect();
    let some = || prop_oneof![3 => select(reviews.clone()), 1 => generate::review()];
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 1..8);
    proptest!(config(400), |(mut review in some(), other in some(), changes in changes)| {
        let told = |law: &PolicySet, review: &Json| {
            let body = serde_json::to_vec(review).unwrap();
            judge(law, &world, Endpoint::Validate, &body).map(|verdict| (verdict.denials, verdict.warnings, verdict.audited, verdict.failures))
        };
        told(&old, &review).ok();
        for (at, how) in changes {
            change(&mut review, at, how, &other);
            let _ = told(&old, &review);
        }
        prop_assert_eq!(told(&old, &review), told(&anew(), &review), "{}", review);
    });
}
