//! What the laws deny to be created with an image, they deny where it exists: the cases of the laws, scanned.

use std::collections::BTreeSet;

use portcullis_admission::Endpoint;
use portcullis_admission::cases::Word;
use portcullis_admission::kinds;

use super::{Place, Value};
use crate::support::{cases, root};

const LAW: &str = "registry-allowlist";

#[test]
fn every_image_that_is_denied_is_found() {
    let place = Place::new();
    let mut wanted = BTreeSet::new();
    for case in cases(&root().join("tests/cases")) {
        let denied = case.expect.verdict == Word::Deny
            && case.expect.policies.as_ref().is_some_and(|policies| policies.iter().any(|id| id == LAW));
        let Ok(review) = serde_json::from_slice::<Value>(&case.body) else { continue };
        let request = &review["request"];
        let plain = request["subResource"].as_str().unwrap_or_default().is_empty();
        // An object that exists is what it says it is.
        let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let kind = kinds::resource(text("/request/kind/group"), text("/request/kind/kind"));
        let plain = plain && kind.resource == text("/request/resource/resource");
        if !(denied && plain && case.endpoint == Endpoint::Validate && request["operation"] == "CREATE") {
            continue;
        }
        let mut object = request["object"].clone();
        object["metadata"]["namespace"] = request["namespace"].clone();
        let file = format!("objects/{}.json", wanted.len());
        place.write(&file, &object.to_string());
        wanted.insert((file, case.id));
    }
    assert!(wanted.len() > 40, "only {} cases", wanted.len());
    let out = place.stdout(&["scan", "--output", "ndjson", "objects"]);
    let found: BTreeSet<String> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["finding"].clone())
        .filter(|finding| finding["policy"] == LAW && finding["level"] == "deny")
        .map(|finding| finding["source"].as_str().unwrap().to_owned())
        .collect();
    let missed: Vec<_> = wanted.iter().filter(|(file, _)| !found.contains(file)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
