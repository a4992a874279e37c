//! What may be read in more than one way: numbers beyond all bounds, absent fields, fields in another order.

use super::bodies::{saying, without};
use crate::support::wire::{Ask, EVIL, GOOD, envelope, join, pod};
use crate::support::{Gate, Options, cases, law, root, world};

#[test]
fn numbers_beyond_64_bits_are_judged_as_the_api_server_reads_them() {
    let gate = Gate::start(&Options::default());
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e308",
        "-0",
        "0.1e-400",
    ] {
        let pod = |image| {
            pod(image)
                .replace("\"f:app\":{}", &format!("\"f:app\":{number}"))
                .replace("\"securityContext\":{}", &format!("\"securityContext\":{{\"runAsUser\":{number}}}"))
        };
        let good = gate.ask("validate", &Ask::object(pod(GOOD)).body());
        assert_eq!(good.json()["response"]["allowed"], true, "{number}: {}", good.message());
        assert_eq!(
            gate.ask("validate", &Ask::object(pod(EVIL)).body()).denied_by(),
            ["registry-allowlist"],
            "{number}"
        );
    }
}

/// Null is absent, as Go's decoder has it; and who is nobody writes nothing here.
#[test]
fn header_fields_that_are_null_or_absent_are_empty() {
    let gate = Gate::start(&Options::default());
    let nobody = r#"{"username":"alice@acme.io","groups":null}"#;
    for body in [
        saying("userInfo", nobody),
        saying("userInfo", "{}"),
        saying("userInfo", "null"),
        without("userInfo"),
    ] {
        let answer = gate.ask("validate", &body);
        assert_eq!(answer.json()["response"]["status"]["code"], 403, "{}", answer.message());
        assert!(answer.denied_by().contains(&"sandbox-writers"), "{}", answer.message());
    }
    for body in [
        saying("name", "null"),
        saying("dryRun", "null"),
        without("options"),
        without("oldObject"),
        without("dryRun"),
        without("kind"),
    ] {
        assert_eq!(gate.ask("validate", &body).json()["response"]["allowed"], true);
    }
}

/// In another order the objects cannot be built on the way, so they are read in a second pass.
#[test]
fn the_order_of_fields_changes_nothing() {
    let gate = Gate::start(&Options::default());
    let ask = Ask::pod(EVIL);
    let mut orders = vec![ask.fields(); 4];
    orders[1].reverse();
    orders[2].sort();
    orders[3].rotate_left(3);
    let mut said = Vec::new();
    for fields in &orders {
        let answer = gate.ask("validate", envelope(&join(fields)).as_bytes());
        said.push((
            answer.uid().to_owned(),
            answer.denied_by().join(","),
            answer.message().rsplit_once('\n').unwrap().0.to_owned(),
        ));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:#?}");
    assert_eq!(said[0].1, "registry-allowlist");
    let last = format!(
        r#"{{"request":{{{}}},"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}}"#,
        join(&ask.fields())
    );
    assert_eq!(gate.ask("validate", last.as_bytes()).denied_by(), ["registry-allowlist"]);
}

/// The cases are written in the order of the alphabet; Go writes the header first, and that way is the one in use.
#[test]
fn every_case_in_gos_order() {
    const ORDER: [&str; 16] = [
        "uid",
        "kind",
        "resource",
        "subResource",
        "requestKind",
        "requestResource",
        "requestSubResource",
        "name",
        "namespace",
        "operation",
        "userInfo",
        "object",
        "oldObject",
        "dryRun",
        "options",
        "",
    ];
    let (law, world) = (law(), world());
    let mut different = Vec::new();
    for case in cases(&root().join("tests/cases")) {
        let review: serde_json::Value = serde_json::from_slice(&case.body).unwrap();
        let (Some(request), Some("AdmissionReview")) =
            (review["request"].as_object(), review["kind"].as_str())
        else {
            continue;
        };
        let mut fields: Vec<(&str, String)> =
            request.iter().map(|(key, value)| (key.as_str(), value.to_string())).collect();
        fields.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
        let gos = envelope(&join(&fields))
            .replace("admission.k8s.io/v1\"", &format!("{}\"", review["apiVersion"].as_str().unwrap()));
        let [alphabet, gos] = [case.body.clone(), gos.into_bytes()]
            .map(|body| crate::support::answer(&law, &world, case.endpoint, &body));
        if alphabet != gos {
            different.push(case.id);
        }
    }
    assert!(different.is_empty(), "other answers in Go's order: {different:?}");
}
