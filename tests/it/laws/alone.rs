//! Every policy judges as if it were alone: whatever the others find, are told to be, or read.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_admission::Verdict;
use portcullis_admission::cases::Case;
use portcullis_policy::layers::merge;
use portcullis_policy::set::Options;
use portcullis_policy::source::{embedded_files, read_embedded};
use portcullis_policy::{Bundle, PolicySet};
use portcullis_tenancy::snapshot::Kind;
use serde_json::{Value, json};

use super::judge;
use crate::support::{cases, law, people, root, world};

/// The library in which only this policy is on.
fn alone(id: &str, all: &PolicySet) -> PolicySet {
    let mut bundle = read_embedded().unwrap();
    for other in all.policies.iter().filter(|policy| policy.manifest.id != id) {
        let params = bundle.params.entry(other.manifest.id.clone()).or_insert_with(|| json!({}));
        params.as_object_mut().unwrap().insert("modes".to_owned(), json!([{ "mode": "off" }]));
    }
    compile(&bundle)
}

/// The library in which this policy is the only one.
fn only(id: &str, all: &PolicySet) -> PolicySet {
    let others: Vec<&str> = all
        .policies
        .iter()
        .filter(|policy| policy.manifest.id != id)
        .map(|policy| policy.manifest.location.0.as_str())
        .collect();
    let files = embedded_files().into_iter().filter(|(path, _)| !others.contains(&path.as_str()));
    compile(&Bundle::from_files(files).unwrap())
}

fn compile(bundle: &Bundle) -> PolicySet {
    PolicySet::compile(bundle, Options::default(), None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What a verdict says of one policy.
fn of(id: &str, verdict: &Verdict) -> String {
    let found = [&verdict.denials, &verdict.warnings, &verdict.audited].map(|findings| {
        let own = findings.iter().filter(|named| named.policy == id).map(|named| &named.finding);
        own.collect::<Vec<_>>()
    });
    let failed: Vec<_> = verdict.failures.iter().filter(|failure| failure.policy == id).collect();
    let said: Vec<_> = verdict.outcomes.iter().filter(|(policy, ..)| policy == id).collect();
    format!("{found:?} {failed:?} {said:?}")
}

#[test]
fn every_case_is_judged_the_same_with_all_other_policies_off() {
    let (all, world) = (law(), world());
    let mut told = cases(&root().join("tests/cases"));
    told.extend(cases(&root().join("policies")));
    let together: Vec<(&Case, Verdict)> = told
        .iter()
        .filter_map(|case| Some((case, judge(&all, &world, case.endpoint, &case.body).ok()?)))
        .collect();
    let mut spoke: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for policy in &all.policies {
        let id = policy.manifest.id.as_str();
        for (how, law) in [("off", alone(id, &all)), ("not there", only(id, &all))] {
            for (case, verdict) in &together {
                let by_itself = judge(&law, &world, case.endpoint, &case.body).unwrap();
                let (expected, got) = (of(id, verdict), of(id, &by_itself));
                *spoke.entry(id).or_default() +=
                    usize::from(by_itself.outcomes.iter().any(|(one, ..)| one == id));
                if expected != got {
                    wrong.push(format!("{}, {id}, the others {how}:\n  {expected}\n  {got}", case.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} verdicts:\n{}", wrong.len(), wrong.join("\n"));
    let silent: Vec<&str> =
        all.policies.iter().map(|policy| policy.manifest.id.as_str()).filter(|id| spoke[id] == 0).collect();
    assert!(silent.is_empty(), "no case makes these say anything: {silent:?}");
}

/// Parameters that policies read beside their own, by way of the library: these are locked with them.
const SHARED: [(&str, &str); 3] = [
    ("namespace-identity", "reserved-metadata"),
    ("replicaset-hash", "reserved-metadata"),
    ("reserved-template-metadata", "reserved-metadata"),
];

/// The library in which this policy is locked, under a layer that turns all others off; the ids that the lock kept from that.
fn locked(id: &str, all: &PolicySet) -> (PolicySet, Vec<String>) {
    let line = format!("#   id: {id}\n");
    let mark = |(path, text): (String, Vec<u8>)| {
        let text = String::from_utf8(text).unwrap().replace(&line, &format!("{line}#   locked: true\n"));
        (path, text.into_bytes())
    };
    let base = Bundle::from_files(embedded_files().into_iter().map(mark)).unwrap();
    let off = |other: &str| {
        let mut params = base.params.get(other).cloned().unwrap_or_else(|| json!({}));
        params.as_object_mut().unwrap().insert("modes".to_owned(), json!([{ "mode": "off" }]));
        (format!("params/{other}/data.json"), params.to_string().into_bytes())
    };
    let (mut files, mut kept) = (Vec::new(), Vec::new());
    for other in all.policies.iter().map(|policy| policy.manifest.id.as_str()) {
        let upper = Bundle::from_files([off(other)]).unwrap();
        match merge(&base, &upper) {
            Ok(_) => files.push(off(other)),
            Err(_) => kept.push(other.to_owned()),
        }
    }
    let upper = Bundle::from_files(files).unwrap();
    (compile(&merge(&base, &upper).unwrap()), kept)
}

#[test]
fn a_locked_policy_judges_the_same_under_a_layer_that_turns_the_others_off() {
    let (all, world) = (law(), world());
    let told = cases(&root().join("tests/cases"));
    let together: Vec<(&Case, Verdict)> = told
        .iter()
        .filter_map(|case| Some((case, judge(&all, &world, case.endpoint, &case.body).ok()?)))
        .collect();
    let mut wrong = Vec::new();
    for id in all.policies.iter().map(|policy| policy.manifest.id.as_str()) {
        let (law, kept) = locked(id, &all);
        let mut expected = vec![id.to_owned()];
        expected.extend(SHARED.iter().filter(|(of, _)| *of == id).map(|(_, read)| (*read).to_owned()));
        expected.sort();
        assert_eq!(kept, expected, "what is locked with {id}");
        for (case, verdict) in &together {
            let locked = judge(&law, &world, case.endpoint, &case.body).unwrap();
            let (expected, got) = (of(id, verdict), of(id, &locked));
            if expected != got {
                wrong.push(format!("{}, {id}:\n  {expected}\n  {got}", case.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{} verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// Policies that say who writes where: for them another requester is another question.
const ABOUT_THE_REQUESTER: [&str; 4] =
    ["app-namespace-read-only", "cluster-scope", "sandbox-writers", "vela-own-namespace"];

/// Requesters that nothing trusts in a namespace of acme.
const UNTRUSTED: [&str; 3] = ["acme-dev", "globex-dev", "vela-sibling"];

/// A policy that passes a stranger because another one refuses strangers would let it in where that other one is off.
#[test]
fn what_is_denied_to_one_untrusted_requester_is_denied_to_all() {
    let (all, world, people) = (law(), world(), people());
    let mut wrong = Vec::new();
    for case in cases(&root().join("tests/cases")) {
        let Ok(verdict) = judge(&all, &world, case.endpoint, &case.body) else { continue };
        let Ok(mut body) = serde_json::from_slice::<Value>(&case.body) else { continue };
        let user = body["request"]["userInfo"]["username"].as_str().unwrap_or_default().to_owned();
        let of_acme = body["request"]["namespace"].as_str().is_some_and(|name| name.starts_with("tn-acme-"));
        if !of_acme || !UNTRUSTED.iter().any(|who| people[*who].username == user) {
            continue;
        }
        let denied: BTreeSet<String> = verdict.denying().into_iter().map(str::to_owned).collect();
        for who in UNTRUSTED {
            let person = &people[who];
            body["request"]["userInfo"] = json!({ "username": person.username, "groups": person.groups });
            let other = judge(&all, &world, case.endpoint, body.to_string().as_bytes()).unwrap();
            let also: BTreeSet<String> = other.denying().into_iter().map(str::to_owned).collect();
            let passed = denied.difference(&also).filter(|id| !ABOUT_THE_REQUESTER.contains(&id.as_str()));
            wrong.extend(passed.map(|id| format!("{}: {id} denies {user} and not {who}", case.id)));
        }
    }
    assert!(wrong.is_empty(), "{} verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// Policies about one kind of namespace alone.
const ABOUT_APP_NAMESPACES: [&str; 1] = ["app-namespace-read-only"];

/// An object that no App may have is not left to the policy that keeps its kind out of sandboxes.
#[test]
fn what_is_denied_in_an_app_namespace_is_denied_in_a_sandbox() {
    let (all, world) = (law(), world());
    let mut wrong = Vec::new();
    for case in cases(&root().join("tests/cases")) {
        let Ok(verdict) = judge(&all, &world, case.endpoint, &case.body) else { continue };
        let moved =
            String::from_utf8_lossy(&case.body).replace("tn-acme-shop-app-frontend", "tn-acme-shop-sbx-001");
        let Ok(other) = judge(&all, &world, case.endpoint, moved.as_bytes()) else { continue };
        let also = other.denying();
        let passed = verdict.denying().into_iter().filter(|id| !also.contains(id));
        wrong.extend(
            passed.filter(|id| !ABOUT_APP_NAMESPACES.contains(id)).map(|id| format!("{id}: {}", case.id)),
        );
    }
    assert!(wrong.is_empty(), "{} verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

/// A namespace that the ledger does not know, or not yet, is no place for what neither kind of known one may hold.
#[test]
fn what_is_denied_in_an_app_namespace_is_denied_in_an_unregistered_one() {
    let (all, world) = (law(), world());
    // The gate denies by itself too, which is of no policy.
    let speaks = |id: &str| {
        let policy = all.policies.iter().find(|policy| policy.manifest.id == id);
        policy.is_some_and(|policy| {
            policy.manifest.matches.iter().any(|entry| entry.namespaces.contains(&Kind::Unregistered))
        })
    };
    let (mut wrong, mut heard) = (Vec::new(), BTreeSet::new());
    for case in cases(&root().join("tests/cases")) {
        let Ok(verdict) = judge(&all, &world, case.endpoint, &case.body) else { continue };
        let moved =
            String::from_utf8_lossy(&case.body).replace("tn-acme-shop-app-frontend", "tn-acme-shop-sbx-777");
        let Ok(other) = judge(&all, &world, case.endpoint, moved.as_bytes()) else { continue };
        let also = other.denying();
        for id in verdict.denying().into_iter().filter(|id| speaks(id)) {
            heard.insert(id.to_owned());
            if !also.contains(&id) {
                wrong.push(format!("{id}: {}", case.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{} verdicts:\n{}", wrong.len(), wrong.join("\n"));
    assert!(heard.len() > 5, "{heard:?}");
}
