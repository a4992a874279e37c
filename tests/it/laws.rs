//! One law, one verdict: whichever engine runs it, and whether a policy was given the whole input or what it reads.

pub mod alone;
pub mod builtins;
mod controllers;
mod disclosure;
pub mod generate;

use portcullis_admission::{Endpoint, PreparedSnapshot, ReviewContext, Verdict, decide, projection, review};
use portcullis_policy::set::Options;
use portcullis_policy::source::{embedded_files, read_embedded};
use portcullis_policy::{Bundle, PolicySet};
use proptest::prelude::*;

use crate::support::{cases, law, root, world};

/// The library, compiled in some way.
fn compiled(options: Options) -> PolicySet {
    PolicySet::compile(&read_embedded().unwrap(), options, None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// The same law in the four ways it can run; the first is the usual one.
fn ways() -> [(&'static str, PolicySet); 4] {
    [
        ("register machine, projected input", law()),
        ("register machine, full input", compiled(Options { interpreter: false, full_input: true })),
        ("interpreter, projected input", compiled(Options { interpreter: true, full_input: false })),
        ("interpreter, full input", compiled(Options { interpreter: true, full_input: true })),
    ]
}

/// Judges a body; `Err` where it is no review.
pub fn judge(
    law: &PolicySet,
    world: &PreparedSnapshot,
    endpoint: Endpoint,
    body: &[u8],
) -> Result<Verdict, String> {
    let review =
        review::decode(body.to_vec().into(), endpoint, &|header| projection::projection(law, world, header))
            .map_err(|error| error.to_string())?;
    Ok(match ReviewContext::gather(world, &review, "0".into(), "2026-01-01T00:00:00Z".into()) {
        Ok(context) => decide(
            law,
            &context,
            &review,
            portcullis_policy::Budget {
                time: std::time::Duration::from_secs(5),
                review: std::time::Duration::from_secs(20),
                deadline: std::time::Duration::from_mins(1),
                ..Default::default()
            },
        ),
        Err(error) => Verdict::failed(&review, "0".into(), "shape", error.to_string()),
    })
}

/// All of a verdict that may not depend on the way; of a failure, whose it is and whether it denies, since engines word it differently.
fn essence(verdict: &Result<Verdict, String>) -> String {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => return format!("no review: {error}"),
    };
    let failures: Vec<_> =
        verdict.failures.iter().map(|failure| (&failure.policy, failure.reason, failure.denies)).collect();
    let patch = serde_json::to_string(&verdict.patch).unwrap();
    format!(
        "{:?}\ndenials {:#?}\nwarnings {:#?}\naudited {:#?}\nfailures {failures:?}\npatch {patch}\ndropped {:?}",
        verdict.outcome(),
        verdict.denials,
        verdict.warnings,
        verdict.audited,
        verdict.dropped
    )
}

fn apart(
    ways: &[(&str, PolicySet)],
    world: &PreparedSnapshot,
    endpoint: Endpoint,
    body: &[u8],
) -> Option<String> {
    let verdicts: Vec<(&str, String)> =
        ways.iter().map(|(way, law)| (*way, essence(&judge(law, world, endpoint, body)))).collect();
    let (first, expected) = verdicts.first()?;
    let (way, other) = verdicts.iter().find(|(_, other)| other != expected)?;
    Some(format!("{first}: {expected}\n{way}: {other}\n{}", String::from_utf8_lossy(body)))
}

#[test]
fn every_case_is_judged_the_same_in_every_way() {
    let (ways, world) = (ways(), world());
    let mut all = cases(&root().join("tests/cases"));
    all.extend(cases(&root().join("policies")));
    assert!(all.len() > 500, "only {} cases", all.len());
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.id, apart(&ways, &world, case.endpoint, &case.body)?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n\n"));
}

#[test]
fn the_library_runs_on_the_register_machine() {
    let slow: Vec<String> = law()
        .policies
        .iter()
        .filter_map(|policy| Some(format!("{}: {}", policy.manifest.id, policy.fallback()?)))
        .collect();
    assert!(slow.is_empty(), "on the interpreter:\n{}", slow.join("\n"));
}

#[test]
fn generated_objects_are_judged_the_same_in_every_way() {
    let (ways, world) = (ways(), world());
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(review in generate::review(), mutate: bool)| {
        let body = serde_json::to_vec(&review).unwrap();
        let endpoint = if mutate { Endpoint::Mutate } else { Endpoint::Validate };
        if let Some(difference) = apart(&ways, &world, endpoint, &body) {
            prop_assert!(false, "{}", difference);
        }
    });
}

/// A law of one policy, for Pods in sandboxes.
pub fn policy(id: &str, rules: &str, options: Options) -> PolicySet {
    let files = embedded_files().into_iter().filter(|(path, _)| path.contains("lib/"));
    let bundle =
        Bundle::from_files(files.chain([(format!("{id}.rego"), source(id, rules).into_bytes())])).unwrap();
    PolicySet::compile(&bundle, options, None).unwrap_or_else(|problems| panic!("{problems}\n{rules}"))
}

/// The module of such a policy.
pub fn source(id: &str, rules: &str) -> String {
    let package = id.replace('-', "_");
    format!(
        "# METADATA\n# title: {id}\n# description: Made by a test.\n# custom:\n#   id: {id}\n#   severity: low\n#   mode: enforce\n#   on_error: deny\n\
         #   match:\n#     - operations: [CREATE, UPDATE, DELETE, CONNECT]\n#       resources: [\"*/*\"]\npackage portcullis.{package}\n\n{rules}\n"
    )
}
