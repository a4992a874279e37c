use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::record::exemptions;
use super::super::response::annotations;
use super::super::tests::{NAMESPACE, decided_in, law, review};
use super::super::{Endpoint, Facts, Outcome, Review, Verdict, World, decide};
use super::*;
use portcullis_access::signature::{self, Verifier};
use portcullis_policy::{Budget, PolicySet};
use portcullis_tenancy::breakglass::{Document, Entry};
use portcullis_tenancy::example;

const ID: &str = "018f2b7c-0000-7000-8000-0000000000e1";

fn laws() -> PolicySet {
    law(&[
        ("never", "deny contains \"never\" if input.request.operation == \"CREATE\""),
        (
            "not-two",
            "deny contains \"no b\" if input.request.object.b\ndeny contains \"no c\" if input.request.object.c",
        ),
        ("fails", "deny contains \"x\" if to_number(input.request.object.f) > 1"),
    ])
}

fn pod(object: &Json) -> Review {
    review(Endpoint::Validate, "CREATE", "pods", object, &Json::Null)
}

/// What is said to a review where this exception was granted; by default it lifts `never`.
fn with_exception(exception: &Json, review: &Review) -> Verdict {
    let mut whole = json!({"policy": "never", "objects": [{}], "expires": "2030-01-01T00:00:00.001Z"});
    json_patch::merge(&mut whole, exception);
    let (snapshot, _) = example::snapshot().unwrap().apply(&json!({"exceptions": {ID: whole}}), 43).unwrap();
    decided_in(snapshot, &laws(), review)
}

#[test]
fn an_exception_lifts_its_policy_for_its_subjects_and_objects_in_its_time() {
    let review = &pod(&json!({}));
    for (exception, lifted) in [
        (json!({}), true),
        (json!({"expires": "2030-01-01T00:00:00Z"}), false),
        (json!({"policy": "not-two"}), false),
        (json!({"subjects": ["alice@acme.io"]}), true),
        (json!({"subjects": ["acme-devs"]}), true),
        (json!({"subjects": ["alice"]}), false),
        (json!({"tenant": "acme"}), true),
        (json!({"tenant": "globex"}), false),
        (json!({"tenant": "nobody"}), false),
        (json!({"objects": [{"namespace": NAMESPACE, "resource": "pods"}]}), true),
        (json!({"objects": [{"resource": "pods/exec"}]}), false),
        (json!({"objects": [{"resource": "*/*"}]}), true),
        (json!({"objects": [{"namespace": "tn-acme-shop-sbx-002"}, {"resource": "services"}]}), false),
        (json!({"objects": [{"namespace": "tn-acme-shop-sbx-002"}, {"resource": "pods"}]}), true),
        (json!({"objects": [{"name": "web"}]}), false),
    ] {
        let verdict = with_exception(&exception, review);
        assert_eq!(verdict.outcome() == Outcome::Allow, lifted, "{exception}");
        assert_eq!(annotations(&verdict).contains_key("exception"), lifted, "{exception}");
    }
}

#[test]
fn what_is_lifted_is_told_and_recorded() {
    let verdict = with_exception(&json!({}), &pod(&json!({})));
    let lines = verdict.warning_lines();
    assert_eq!(lines, [format!("[never] lifted until 2030-01-01T00:00:00.001Z by exception {ID}")]);
    assert!(lines[0].chars().count() <= 120);
    assert_eq!(verdict.audited.len(), 1);
    let annotations = annotations(&verdict);
    assert_eq!(annotations["exception"], ID);
    assert_eq!(annotations["policies"], "never=audit,never=warn");
    let logged = exemptions(&verdict);
    assert_eq!(logged.iter().map(|used| (&*used.id, used.kind)).collect::<Vec<_>>(), [(ID, "exception")]);
}

#[test]
fn exceptions_lift_no_more_than_each_and_never_a_failure() {
    let both = with_exception(&json!({}), &pod(&json!({"b": 1, "c": 1})));
    assert_eq!(both.outcome(), Outcome::Deny);
    assert_eq!(both.denials.iter().map(|named| named.policy.as_str()).collect::<Vec<_>>(), ["not-two"; 2]);
    let failed = with_exception(
        &json!({"policy": "fails"}),
        &review(Endpoint::Validate, "UPDATE", "pods", &json!({"f": "x"}), &json!({})),
    );
    assert_eq!(failed.outcome(), Outcome::Error);
}

fn document() -> Document {
    serde_json::from_value(json!({
        "id": ID, "people": ["alice@acme.io"], "namespaces": [NAMESPACE], "laws": ["never", "fails"],
        "reason": "the shop is down", "notBefore": "2029-12-31T23:00:00Z", "expires": "2030-01-01T01:00:00Z",
    }))
    .unwrap()
}

struct Signer {
    private: String,
    verifier: Verifier,
}

impl Signer {
    fn new() -> Self {
        let (private, public) = signature::make().unwrap();
        Self { private, verifier: Verifier::parse(public.as_bytes()).unwrap() }
    }

    fn entry(&self, document: Document) -> Entry {
        let signature = signature::sign(self.private.as_bytes(), &document.signed()).unwrap();
        Entry { document: Some(document), signature: Some(signature.into()), closed: false }
    }
}

fn in_emergency(verifier: &Verifier, entry: Entry, review: &Review) -> Verdict {
    let file = BTreeMap::from([(Arc::from(ID), entry)]);
    judged(
        &World::new(Arc::new(example::snapshot().unwrap()))
            .with(&Emergencies { verifier: verifier.clone(), file }),
        review,
    )
}

fn judged(world: &World, review: &Review) -> Verdict {
    let facts = Facts::gather(world, review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned()).unwrap();
    decide(
        &laws(),
        &facts,
        review,
        Budget {
            time: Duration::from_secs(5),
            review: Duration::from_secs(20),
            deadline: Duration::from_mins(1),
            ..Budget::default()
        },
    )
}

#[test]
fn break_glass_holds_by_its_signature_for_whom_and_what_it_names() {
    let signer = Signer::new();
    let review = &pod(&json!({"f": "x"}));
    let said = |change: fn(&mut Document)| {
        let mut document = document();
        change(&mut document);
        in_emergency(&signer.verifier, signer.entry(document), review).outcome()
    };
    assert_eq!(said(|_| {}), Outcome::Allow, "a denial and a failure are lifted");
    assert_eq!(said(|d| d.laws = vec!["never".into()]), Outcome::Error);
    assert_eq!(said(|d| d.people = vec!["acme-devs".into()]), Outcome::Deny, "a group is nobody");
    assert_eq!(said(|d| d.namespaces = vec!["tn-acme-shop-sbx-002".into()]), Outcome::Deny);
    assert_eq!(said(|d| d.expires = "2030-01-01T00:00:00Z".into()), Outcome::Deny, "it is over");
    assert_eq!(said(|d| d.not_before = "2030-01-01T00:00:01Z".into()), Outcome::Deny, "not yet");
    assert_eq!(
        said(|d| d.not_before = "2029-12-31T16:00:00Z".into()),
        Outcome::Deny,
        "more than eight hours"
    );
}

#[test]
fn a_document_that_nobody_signed_or_somebody_else_holds_nothing() {
    let (signer, other) = (Signer::new(), Signer::new());
    let review = &pod(&json!({}));
    let good = signer.entry(document());
    assert_eq!(in_emergency(&other.verifier, good.clone(), review).outcome(), Outcome::Deny);
    assert_eq!(in_emergency(&Verifier::default(), good.clone(), review).outcome(), Outcome::Deny);
    let mut altered = document();
    altered.namespaces.push("tn-globex-web-sbx-001".into());
    let altered = Entry { document: Some(altered), ..good };
    assert_eq!(in_emergency(&signer.verifier, altered, review).outcome(), Outcome::Deny);
}

#[test]
fn whichever_channel_closes_it_it_is_closed() {
    let signer = Signer::new();
    let review = &pod(&json!({}));
    let open = signer.entry(document());
    let closed = Entry { document: None, signature: None, closed: true };
    let by_ledger = |entry: &Entry| {
        example::snapshot().unwrap().apply(&json!({"breakglass": {ID: entry}}), 43).unwrap().0
    };
    for (ledger, file, expected) in [
        (&open, None, Outcome::Allow),
        (&open, Some(&open), Outcome::Allow),
        (&open, Some(&closed), Outcome::Deny),
        (&closed, Some(&open), Outcome::Deny),
    ] {
        let file = file.map(|entry| (Arc::from(ID), entry.clone())).into_iter().collect();
        let emergencies = Emergencies { verifier: signer.verifier.clone(), file };
        let world = World::new(Arc::new(by_ledger(ledger))).with(&emergencies);
        assert_eq!(judged(&world, review).outcome(), expected);
    }
}

#[test]
fn open_break_glass_is_named_where_it_lifts_nothing_too() {
    let signer = Signer::new();
    let quiet = review(Endpoint::Validate, "DELETE", "pods", &Json::Null, &json!({}));
    let verdict = in_emergency(&signer.verifier, signer.entry(document()), &quiet);
    assert_eq!(annotations(&verdict)["breakglass"], ID);
    assert!(verdict.warning_lines().is_empty());
    assert!(
        exemptions(&verdict).is_empty(),
        "the decision log names what lifted a denial, and this lifted none"
    );
}
