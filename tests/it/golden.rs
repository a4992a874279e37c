//! Every case through two doors: the library, and the running binary over TLS.

use portcullis_admission::cases::{Answer, Case};

use crate::support::{Gate, Options, answer, cases, law, root, world};

fn all() -> Vec<Case> {
    let mut all = cases(&root().join("tests/cases"));
    assert!(all.len() > 500, "only {} cases below tests/cases", all.len());
    all.extend(cases(&root().join("policies")));
    all
}

fn wrong(case: &Case, bytes: &[u8]) -> Option<String> {
    let answer = match Answer::read(bytes) {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{}: {error}", case.id)),
    };
    let sent: serde_json::Value = serde_json::from_slice(&case.body).unwrap();
    let mut wrong = case.expect.check(&case.body, &answer);
    if sent["request"]["uid"] != answer.uid() {
        wrong.push(format!("uid: sent {}, got {}", sent["request"]["uid"], answer.uid()));
    }
    (!wrong.is_empty()).then(|| format!("{} ({}):\n    {}", case.id, case.why, wrong.join("\n    ")))
}

fn report(failures: &[String], of: usize) {
    assert!(failures.is_empty(), "{} of {of} cases are wrong:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_case_through_decide() {
    let (law, world, cases) = (law(), world(), all());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| wrong(case, &answer(&law, &world, case.endpoint, &case.body)))
        .collect();
    report(&failures, cases.len());
}

#[test]
fn every_case_over_tls() {
    let gate = Gate::start(&Options::default());
    let cases = all();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let (status, bytes) = gate.post(&format!("/{}?timeout=3s", case.endpoint.as_str()), &case.body);
            if status == 200 {
                wrong(case, &bytes)
            } else {
                Some(format!("{}: HTTP {status}: {}", case.id, String::from_utf8_lossy(&bytes)))
            }
        })
        .collect();
    report(&failures, cases.len());
}
