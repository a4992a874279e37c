//! Bytes → review → verdict → answer: an answer that echoes the uid, or an error with a sentence; never a panic. The
//! same bytes are a review whatever the law reads of them, hold what serde_json finds in them, and give one verdict on
//! full and on projected input.

use std::sync::Arc;

use portcullis_admission::cases::{self, Answer, TestUsers};
use portcullis_admission::{Endpoint, ReviewContext, Verdict, PreparedSnapshot, decide, response, review, projection};
use portcullis_policy::select::Projection;
use portcullis_policy::set::Options;
use portcullis_policy::source::read_embedded;
use portcullis_policy::{Budget, PolicySet};
use portcullis_tenancy::snapshot::Snapshot;
use portcullis_fuzz::{Outcome, beside, root, run};
use serde_json::Value as Json;

/// What a review is made of.
const WORDS: &[&[u8]] = &[
    b"{", b"}", b"[", b"]", b",", b":", b"\"", b"null", b"true", b"0", b"-0", b"1e999", b"18446744073709551616", b"\\u0000", b"\\ud800", b"\xff", b"\xe2\x80\xae", b"[[",
    b"{\"\":", b"\"object\":", b"\"oldObject\":", b"\"metadata\":", b"\"labels\":{", b"\"uid\":\"x\",", b"\"operation\":\"CREATE\",", b"\"operation\":\"CONNECT\",", b"\"DELETE\"",
    b"\"UPDATE\"", b"\"request\":", b"\"containers\":[", b"\"image\":\"evil.io/x\",", b"\"namespace\":\"tn-acme-shop-app-frontend\",", b"\"subResource\":\"status\",", b"\"kubenova.io/tenant-id\":\"x\",",
    b"\"\\u0061\":1,", b"\"a\":1,", b"\"\":", b"\\/", b"\\ud83d\\ude00", b"\\n", b"1e400", b"1.7976931348623157e308", b" \t\r\n", b"\0", b"aaaaaaaaaaaaaaaa",
    b"\"finalizers\":[\"a\"],", b"\"name\":null,", b"\"generateName\":\"tn-\",", b"\"dryRun\":true,", b"\"ephemeralContainers\":[{}],",
];

fn main() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("the repository is there");
    let people: TestUsers = serde_saphyr::from_str(&read("tests/cases/test-users.yaml")).expect("test-users.yaml");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/cases")).expect("tests/cases") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().any(|line| line.starts_with("cases:")) {
            let cases = cases::parse(&path.display().to_string(), &text, &people).expect("the cases are well-formed");
            seeds.extend(cases.into_iter().map(|case| case.body));
        }
    }
    seeds.sort();
    seeds.dedup();
    let bundle = read_embedded().expect("the library");
    let compile = |full_input| PolicySet::compile(&bundle, Options { full_input, ..Options::default() }, None).expect("the library compiles");
    let laws = [compile(false), compile(true)];
    let snapshot = Snapshot::parse("example-tenancy.yaml", read("tests/cases/example-tenancy.yaml").as_bytes()).expect("example-tenancy.yaml");
    let world = PreparedSnapshot::new(Arc::new(snapshot));
    run("review", seeds, WORDS, |body| target(&laws, &world, body));
}

fn target(laws: &[PolicySet; 2], world: &PreparedSnapshot, body: &[u8]) -> Outcome {
    beside::judged(body)?;
    let bytes = bytes::Bytes::copy_from_slice(body);
    let mut way = String::new();
    for endpoint in [Endpoint::Validate, Endpoint::Mutate] {
        let decoded = laws.each_ref().map(|law| review::decode(bytes.clone(), endpoint, &|header| projection::projection(law, world, header)));
        let nothing = review::decode(bytes.clone(), endpoint, &|_| Arc::new(Projection::default()));
        let [projected, full] = match decoded {
            [Ok(projected), Ok(full)] if nothing.is_ok() => [projected, full],
            [Err(projected), Err(_)] if nothing.is_err() => return told(&projected.to_string()),
            [projected, full] => return Err(format!("a review or not? {:?} {:?} {:?}", projected.err(), full.err(), nothing.err())),
        };
        let verdicts = [(&laws[0], projected), (&laws[1], full)].map(|(law, review)| verdict(law, world, &review));
        let [projected, full] = verdicts.each_ref().map(essence);
        if projected != full {
            return Err(format!("projected {projected}, full {full}"));
        }
        let answer = Answer::read(&response::encode(&verdicts[0]))?;
        let sent: Json = serde_json::from_slice(body).map_err(|error| format!("judged what is no JSON: {error}"))?;
        if sent["request"]["uid"] != answer.uid() {
            return Err(format!("uid {} answered with {}", sent["request"]["uid"], answer.uid()));
        }
        if answer.message().len() > 8192 || answer.warnings().iter().any(|warning| warning.chars().count() > 120) {
            return Err("the answer is longer than an API server takes".to_owned());
        }
        way.push_str(&format!("{:?} {:?} {:?};", answer.verdict(), answer.denied_by(), verdicts[0].failures.first().map(|failure| failure.reason)));
    }
    Ok(way)
}

/// An error by its shape: what is quoted and counted in it would make each look new.
fn told(error: &str) -> Outcome {
    if error.is_empty() {
        return Err("an error without a sentence".to_owned());
    }
    let mut quoted = false;
    Ok(error.chars().filter(|c| { quoted ^= *c == '`'; !quoted && !c.is_ascii_digit() }).collect())
}

fn verdict(law: &PolicySet, world: &PreparedSnapshot, review: &portcullis_admission::Review) -> Verdict {
    match ReviewContext::gather(world, review, "0".into(), "2026-01-01T00:00:00.000Z".into()) {
        Ok(context) => decide(law, &context, review, Budget { time: std::time::Duration::from_secs(5), review: std::time::Duration::from_secs(20), deadline: std::time::Duration::from_secs(60), ..Budget::default() }),
        Err(error) => Verdict::failed(review, "0".into(), "shape", error.to_string()),
    }
}

fn essence(verdict: &Verdict) -> String {
    format!("{:?} {:?} {:?} {:?} {:?} {:?}", verdict.denials, verdict.warnings, verdict.audited, verdict.failures, verdict.patch, verdict.dropped)
}
