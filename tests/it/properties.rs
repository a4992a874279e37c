//! What holds for every input, not only for those that somebody thought of.

mod decoded; // what is read and remembered

use portcullis_admission::cases::{Answer, Word};
use portcullis_admission::verdict::{Failure, Named};
use portcullis_admission::{Endpoint, PreparedSnapshot, Verdict, response, review};
use portcullis_policy::select::Projection;
use portcullis_policy::source::embedded_files;
use portcullis_policy::{Bundle, Details, Finding, PolicySet, Value};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value as Json;

use crate::laws::{generate, judge, source};
use crate::support::{answer, cases, law, root, world};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The bodies of all cases, each once.
fn bodies() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> =
        cases(&root().join("tests/cases")).into_iter().map(|case| case.body).collect();
    bodies.sort();
    bodies.dedup();
    bodies
}

/// What becomes of a body: an answer that echoes the uid, or an error. `Err` says what else came.
fn answered(
    law: &PolicySet,
    world: &PreparedSnapshot,
    endpoint: Endpoint,
    body: &[u8],
) -> Result<(), String> {
    let verdict = match judge(law, world, endpoint, body) {
        Ok(verdict) => verdict,
        Err(error) if error.is_empty() => return Err("an error without a sentence".to_owned()),
        Err(_) => return Ok(()),
    };
    let answer = Answer::read(&response::encode(&verdict))?;
    let sent: Json =
        serde_json::from_slice(body).map_err(|error| format!("judged what is no JSON: {error}"))?;
    if sent["request"]["uid"] != answer.uid() {
        return Err(format!("uid {} answered with {}", sent["request"]["uid"], answer.uid()));
    }
    within_bounds(&answer)
}

/// The bounds that an API server would otherwise hold us to.
fn within_bounds(answer: &Answer) -> Result<(), String> {
    if answer.message().len() > 8192 {
        return Err(format!("a message of {} bytes", answer.message().len()));
    }
    for warning in answer.warnings() {
        if warning.chars().count() > 120 || warning.chars().any(char::is_control) {
            return Err(format!("a warning of {} characters: {warning:?}", warning.chars().count()));
        }
    }
    Ok(())
}

#[test]
fn arbitrary_bytes_are_answered_or_refused() {
    let (law, world) = (law(), world());
    proptest!(config(2000), |(body in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}")| {
        for body in [body.as_slice(), text.as_bytes()] {
            let answered = answered(&law, &world, Endpoint::Validate, body);
            prop_assert!(answered.is_ok(), "{answered:?}");
        }
    });
}

/// What is done to a body: bytes are replaced, left out, or doubled.
fn mutate(body: &mut Vec<u8>, edits: &[(Index, u8, u8, u8)]) {
    for (at, what, byte, length) in edits {
        if body.is_empty() {
            return;
        }
        let start = at.index(body.len());
        let end = (start + usize::from(*length)).min(body.len());
        match what % 5 {
            0 => body[start] = *byte,
            1 => drop(body.drain(start..end)),
            2 => drop(body.splice(start..start, body[start..end].to_vec())),
            3 => body.truncate(start),
            _ => drop(
                body.splice(
                    start..end,
                    [b"null".as_slice(), b"[]", b"{}", b"\"\"", b"1e999", b"\\u0000", b"\"\\ud800\"", b"-0"]
                        [usize::from(byte % 8)]
                    .to_vec(),
                ),
            ),
        }
    }
}

#[test]
fn mutated_reviews_are_answered_or_refused() {
    let (law, world, bodies) = (law(), world(), bodies());
    let edits = prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..4);
    proptest!(config(2000), |(mut body in select(bodies), edits in edits, mutating: bool)| {
        mutate(&mut body, &edits);
        let endpoint = if mutating { Endpoint::Mutate } else { Endpoint::Validate };
        let answered = answered(&law, &world, endpoint, &body);
        prop_assert!(answered.is_ok(), "{:?}: {}", answered, String::from_utf8_lossy(&body));
        // Everything built or nothing: the same bodies are reviews.
        let whole = review::decode(body.clone().into(), endpoint, &|_| Projection::everything()).map(drop).map_err(drop);
        let nothing = review::decode(body.clone().into(), endpoint, &|_| std::sync::Arc::default()).map(drop).map_err(drop);
        prop_assert_eq!(whole, nothing, "{}", String::from_utf8_lossy(&body));
    });
}

/// Asks for a patch, applies it, asks again: nothing may be left to do.
fn second_mutation(law: &PolicySet, world: &PreparedSnapshot, body: &[u8]) -> Result<(), String> {
    let first = Answer::read(&answer(law, world, Endpoint::Mutate, body))?;
    if first.patch().is_empty() {
        return Ok(());
    }
    let mut review: Json = serde_json::from_slice(body).unwrap();
    let patch: json_patch::Patch =
        serde_json::from_value(first.patch().to_vec().into()).map_err(|error| error.to_string())?;
    json_patch::patch(&mut review["request"]["object"], &patch)
        .map_err(|error| format!("{patch} does not apply: {error}"))?;
    let second = Answer::read(&answer(law, world, Endpoint::Mutate, &serde_json::to_vec(&review).unwrap()))?;
    if second.patch().is_empty() { Ok(()) } else { Err(format!("after {patch} still {:?}", second.patch())) }
}

#[test]
fn a_second_mutation_of_any_case_is_empty() {
    let (law, world) = (law(), world());
    let reviews = bodies().into_iter().filter(|body| {
        review::decode(body.clone().into(), Endpoint::Mutate, &|_| Projection::everything()).is_ok()
    });
    let wrong: Vec<String> = reviews
        .filter_map(|body| {
            Some(format!(
                "{}: {}",
                second_mutation(&law, &world, &body).err()?,
                String::from_utf8_lossy(&body)
            ))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_second_mutation_of_a_generated_object_is_empty() {
    let (law, world) = (law(), world());
    proptest!(config(600), |(review in generate::review())| {
        let body = serde_json::to_vec(&review).unwrap();
        let done = second_mutation(&law, &world, &body);
        prop_assert!(done.is_ok(), "{:?}: {}", done, review);
    });
}

/// A small policy: what it looks at, and what it says.
fn rules() -> impl Strategy<Value = String> {
    let condition = select(
        &[
            "true",
            "input.request.name == \"nobody\"",
            "input.request.operation == \"CREATE\"",
            "not input.request.object.metadata.labels",
            "input.request.object.metadata.name == \"web\"",
            "some image in input.images",
            "count(input.images) > 1",
            "input.tenancy.requester.class == \"tenant\"",
            "input.request.userInfo.username != \"\"",
            "input.request.oldObject == null",
            "some pointer in input.changed",
            "to_number(input.request.object.metadata.name) == 1",
            "input.finalizerRemoval",
            "walk(input.request.object, [_, \"x\"])",
            "input.tenancy.namespace.kind == \"app\"",
        ][..],
    );
    let rule = (condition, select(&["deny", "warn"][..]), "[a-z]{1,8}")
        .prop_map(|(condition, rule, msg)| format!("{rule} contains \"{msg}\" if {condition}\n"));
    prop::collection::vec(rule, 1..4).prop_map(|rules| rules.join("\n"))
}

#[test]
fn another_validating_policy_never_turns_a_denial_into_an_allowance() {
    let (law, world) = (law(), world());
    let denied: Vec<(Vec<u8>, Verdict)> = bodies()
        .into_iter()
        .filter_map(|body| Some((judge(&law, &world, Endpoint::Validate, &body).ok()?, body)))
        .filter(|(verdict, _)| !verdict.allowed())
        .map(|(verdict, body)| (body, verdict))
        .collect();
    assert!(denied.len() > 200, "only {} denials among the cases", denied.len());
    proptest!(config(12), |(rules in rules(), at in any::<Index>())| {
        // Before, between and after the library, in order of id.
        let id = ["aaa-first", "namespace-more", "zzz-last"][at.index(3)];
        let files = embedded_files().into_iter().chain([(format!("{id}.rego"), source(id, &rules).into_bytes())]);
        let more = PolicySet::compile(&Bundle::from_files(files).unwrap(), portcullis_policy::set::Options::default(), Some(&law)).unwrap_or_else(|problems| panic!("{problems}"));
        for (body, before) in &denied {
            let after = judge(&more, &world, Endpoint::Validate, body).unwrap();
            prop_assert!(!after.allowed(), "let through by adding\n{}\n{}", rules, String::from_utf8_lossy(body));
            for denial in &before.denials {
                prop_assert!(after.denials.contains(denial), "{denial:?} is gone by adding\n{}", rules);
            }
        }
    });
}

fn finding() -> impl Strategy<Value = Named> {
    let text = || {
        prop_oneof![
            ".{0,40}",
            ".{0,3000}",
            "[\u{0}-\u{20}\u{7f}-\u{9f}\u{202a}-\u{202e}\u{2066}-\u{2069}\"\\\\]{0,300}",
            Just("\n[other] forged".to_owned())
        ]
    };
    let finding = (
        text(),
        text(),
        prop::option::of(text()),
        prop::collection::vec(text(), 0..12),
        prop::option::of(text()),
        prop::option::of(text()),
    )
        .prop_map(|(field, msg, observed, allowed, fix, details)| Finding {
            field,
            msg,
            observed,
            allowed,
            fix,
            details: details.and_then(|text| Details::read(&Value::from(text))),
            ..Finding::default()
        });
    ("[a-z][a-z0-9-]{1,62}", finding).prop_map(|(policy, finding)| Named { policy, finding })
}

#[test]
fn whatever_is_found_the_answer_is_one_and_within_bounds() {
    let (law, world) = (law(), world());
    let body =
        bodies().into_iter().find(|body| judge(&law, &world, Endpoint::Validate, body).is_ok()).unwrap();
    let found = || prop::collection::vec(finding(), 0..40);
    let failure = ("[a-z][a-z0-9-]{0,40}", ".{0,2000}", any::<bool>())
        .prop_map(|(policy, message, denies)| Failure { policy, reason: "evaluation", message, denies });
    let failures = prop::collection::vec(failure, 0..5);
    proptest!(config(300), |(denials in found(), warnings in found(), audited in found(), failures in failures, mutating: bool, dropped in prop::collection::vec((".{0,60}", ".{0,500}"), 0..3))| {
        let endpoint = if mutating { Endpoint::Mutate } else { Endpoint::Validate };
        let blank = judge(&law, &world, endpoint, &body).unwrap();
        let verdict = Verdict { denials, warnings, audited, failures, dropped, ..blank };
        let bytes = response::encode(&verdict);
        let answer = Answer::read(&bytes);
        prop_assert!(answer.is_ok(), "{:?}", answer);
        let answer = answer.unwrap();
        let bounds = within_bounds(&answer);
        prop_assert!(bounds.is_ok(), "{:?}", bounds);
        prop_assert_eq!(answer.verdict() == Word::Allow, verdict.allowed() && answer.verdict() != Word::Error);
        let lines = answer.message().lines().count();
        prop_assert!(lines <= 22, "{lines} lines");
        let unprintable = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c));
        prop_assert!(!answer.message().contains(unprintable), "{:?}", answer.message());
        let json = answer.json().to_string();
        prop_assert!(json.len() < 64 * 1024, "{} bytes", json.len());
    });
}

/// A review whose top and request have their fields in another order.
fn shuffled(review: &Json, order: &[usize]) -> String {
    let fields = |object: &Json, skip: &str| -> Vec<String> {
        let mut fields: Vec<(usize, String)> = object
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != skip)
            .enumerate()
            .map(|(at, (key, value))| {
                (order[at % order.len()], format!("{}:{value}", Json::from(key.as_str())))
            })
            .collect();
        fields.sort();
        fields.into_iter().map(|(_, text)| text).collect()
    };
    let request = format!("\"request\":{{{}}}", fields(&review["request"], "").join(","));
    let mut top = fields(review, "request");
    top.insert(order[0] % (top.len() + 1), request);
    format!("{{{}}}", top.join(","))
}

#[test]
fn the_order_of_fields_changes_no_verdict() {
    let (law, world) = (law(), world());
    let reviews: Vec<Json> = bodies()
        .iter()
        .filter_map(|body| serde_json::from_slice(body).ok())
        .filter(|review: &Json| review["request"].is_object())
        .collect();
    let order = Just((0..16).collect::<Vec<usize>>()).prop_shuffle();
    let any = prop_oneof![3 => select(reviews), 1 => generate::review()];
    proptest!(config(1500), |(review in any, order in order)| {
        let told = |body: &[u8]| judge(&law, &world, Endpoint::Validate, body).map(|verdict| (verdict.denials, verdict.warnings, verdict.audited, verdict.failures));
        let (usual, other) = (serde_json::to_vec(&review).unwrap(), shuffled(&review, &order));
        let (usual, other) = (told(&usual), told(other.as_bytes()));
        match (usual, other) {
            (Ok(usual), Ok(other)) => prop_assert_eq!(usual, other, "{}", shuffled(&review, &order)),
            (usual, other) => prop_assert_eq!(usual.is_ok(), other.is_ok(), "{}", shuffled(&review, &order)),
        }
    });
}
