use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::record::exemptions;
use super::super::response::annotations;
use super::super::tests::{NAMESPACE, decided_in, policy_set, review};
use super::super::{Endpoint, Outcome, PreparedSnapshot, Review, ReviewContext, Verdict, decide};
use super::*;
use portcullis_access::signature::{self, Verifier};
use portcullis_policy::{Budget, PolicySet};
use portcullis_tenancy::breakglass::{BreakglassEntry, Document};
use portcullis_tenancy::example;

const ID: &str = "018f2b7c-0000-7000-8000-0000000000e1";

fn policies() -> PolicySet {
    policy_set(&[
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

/// The verdict with an exception; by default it lifts `never`.
fn with_exception(exception: &Json, review: &Review) -> Verdict {
    let mut whole = json!({"policy": "never", "objects": [{}], "expires": "2030-01-01T00:00:00.001Z"});
    json_patch::merge(&mut whole, exception);
    let (snapshot, _) = example::snapshot().unwrap().apply(&json!({"exceptions": {ID: whole}}), 43).unwrap();
    decided_in(snapshot, &policies(), review)
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
        (json!({"tenant": "unknown"}), false),
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
fn lifted_denial_is_reported_and_recorded() {
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
        "id": ID, "users": ["alice@acme.io"], "namespaces": [NAMESPACE], "policies": ["never", "fails"],
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
        let (private, public) = signature::generate().unwrap();
        Self { private, verifier: Verifier::parse(public.as_bytes()).unwrap() }
    }

    fn entry(&self, document: Document) -> BreakglassEntry {
        let signature = signature::sign(self.private.as_bytes(), &document.signed()).unwrap();
        BreakglassEntry { document: Some(document), signature: Some(signature.into()), closed: false }
    }
}

fn with_breakglass(verifier: &Verifier, entry: BreakglassEntry, review: &Review) -> Verdict {
    let file = BTreeMap::from([(Arc::from(ID), entry)]);
    verdict_of(
        &PreparedSnapshot::new(Arc::new(example::snapshot().unwrap()))
            .with_breakglass(&BreakglassSource { verifier: verifier.clone(), file }),
        review,
    )
}

fn verdict_of(prepared: &PreparedSnapshot, review: &Review) -> Verdict {
    let context =
        ReviewContext::gather(prepared, review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned()).unwrap();
    decide(
        &policies(),
        &context,
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
        with_breakglass(&signer.verifier, signer.entry(document), review).outcome()
    };
    assert_eq!(said(|_| {}), Outcome::Allow, "a denial and a failure are lifted");
    assert_eq!(said(|d| d.policies = vec!["never".into()]), Outcome::Error);
    assert_eq!(said(|d| d.users = vec!["acme-devs".into()]), Outcome::Deny, "a group is not a user");
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
fn unsigned_document_is_rejected() {
    let (signer, other) = (Signer::new(), Signer::new());
    let review = &pod(&json!({}));
    let good = signer.entry(document());
    assert_eq!(with_breakglass(&other.verifier, good.clone(), review).outcome(), Outcome::Deny);
    assert_eq!(with_breakglass(&Verifier::default(), good.clone(), review).outcome(), Outcome::Deny);
    let mut altered = document();
    altered.namespaces.push("tn-globex-web-sbx-001".into());
    let altered = BreakglassEntry { document: Some(altered), ..good };
    assert_eq!(with_breakglass(&signer.verifier, altered, review).outcome(), Outcome::Deny);
}

#[test]
fn document_closed_in_either_source_is_closed() {
    let signer = Signer::new();
    let review = &pod(&json!({}));
    let open = signer.entry(document());
    let closed = BreakglassEntry { document: None, signature: None, closed: true };
    let by_ledger = |entry: &BreakglassEntry| {
        example::snapshot().unwrap().apply(&json!({"breakglass": {ID: entry}}), 43).unwrap().0
    };
    for (ledger, file, expected) in [
        (&open, None, Outcome::Allow),
        (&open, Some(&open), Outcome::Allow),
        (&open, Some(&closed), Outcome::Deny),
        (&closed, Some(&open), Outcome::Deny),
    ] {
        let file = file.map(|entry| (Arc::from(ID), entry.clone())).into_iter().collect();
        let breakglass = BreakglassSource { verifier: signer.verifier.clone(), file };
        let prepared = PreparedSnapshot::new(Arc::new(by_ledger(ledger))).with_breakglass(&breakglass);
        assert_eq!(verdict_of(&prepared, review).outcome(), expected);
    }
}

#[test]
fn open_break_glass_is_named_where_it_lifts_nothing_too() {
    let signer = Signer::new();
    let quiet = review(Endpoint::Validate, "DELETE", "pods", &Json::Null, &json!({}));
    let verdict = with_breakglass(&signer.verifier, signer.entry(document()), &quiet);
    assert_eq!(annotations(&verdict)["breakglass"], ID);
    assert!(verdict.warning_lines().is_empty());
    assert!(
        exemptions(&verdict).is_empty(),
        "the decision log names what lifted a denial, and this lifted none"
    );
}
