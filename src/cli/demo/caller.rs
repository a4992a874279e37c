//! Calls the gate as kube-apiserver does: `/mutate`, then `/validate` with what the patch made of it, on a kept-alive
//! TLS connection.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value as Json;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use portcullis_admission::Endpoint;
use portcullis_admission::cases::{Answer, Case, Word};

/// A client of one gate.
pub struct Caller {
    agent: Agent,
    base: String,
}

/// What came of one write.
pub struct Outcome {
    /// What was tried, in words.
    pub what: String,
    /// Who tried.
    pub who: String,
    /// The verdict.
    pub verdict: Word,
    /// The first line of the denial, the warning, or what was patched.
    pub why: String,
    /// Round trip of the validating call.
    pub took: Duration,
    /// What is not as the demo expects; empty when all is.
    pub wrong: Vec<String>,
}

impl Caller {
    /// A client that trusts this authority only.
    ///
    /// # Errors
    /// The file is no certificate.
    pub fn new(address: &str, authority: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(authority)?;
        let certificate = Certificate::from_pem(&pem).context("the authority of the demo")?;
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate])).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)));
        Ok(Self { agent: config.build().into(), base: format!("https://{address}") })
    }

    /// Posts a body and returns the answer's.
    ///
    /// # Errors
    /// The connection, or a body that cannot be read.
    pub fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let url = format!("{}/{path}?timeout=3s", self.base);
        let mut response = self.agent.post(&url).content_type("application/json").send(body)?;
        Ok(response.body_mut().read_to_vec()?)
    }

    /// One write, through both calls where there is an object to patch.
    ///
    /// # Errors
    /// What the gate answers is no AdmissionReview.
    pub fn write(&self, case: &Case) -> anyhow::Result<Outcome> {
        let mut review: Json = serde_json::from_slice(&case.body)?;
        let mut patched = String::new();
        if matches!(review.pointer("/request/operation").and_then(Json::as_str), Some("CREATE" | "UPDATE")) {
            let answer = read(&self.post(Endpoint::Mutate.as_str(), &case.body)?)?;
            patched = apply(&mut review, &answer)?;
        }
        let body = serde_json::to_vec(&review)?;
        let before = Instant::now();
        let bytes = self.post(Endpoint::Validate.as_str(), &body)?;
        let took = before.elapsed();
        let answer = read(&bytes)?;
        Ok(Outcome {
            what: case.why.clone(),
            who: who(&review),
            verdict: answer.verdict(),
            why: why(&answer, &patched),
            took,
            wrong: case.expect.check(&case.body, &answer),
        })
    }
}

/// The text of `/metrics`.
///
/// # Errors
/// The connection.
pub fn metrics(address: &str) -> anyhow::Result<String> {
    Ok(ureq::get(format!("http://{address}/metrics")).call()?.body_mut().read_to_string()?)
}

fn read(bytes: &[u8]) -> anyhow::Result<Answer> {
    Answer::read(bytes).map_err(|error| anyhow::anyhow!("{error}: {}", String::from_utf8_lossy(bytes)))
}

fn apply(review: &mut Json, answer: &Answer) -> anyhow::Result<String> {
    let operations: json_patch::Patch = serde_json::from_value(Json::from(answer.patch().to_vec()))?;
    if let Some(object) = review.pointer_mut("/request/object") {
        json_patch::patch(object, &operations)?;
    }
    let labels = operations.0.iter().map(|operation| operation.path().to_string()).collect::<Vec<_>>();
    Ok(if labels.is_empty() { String::new() } else { format!("patched: {}", labels.join(", ")) })
}

fn who(review: &Json) -> String {
    review.pointer("/request/userInfo/username").and_then(Json::as_str).unwrap_or("?").to_owned()
}

fn why(answer: &Answer, patched: &str) -> String {
    let first = answer.message().lines().next().unwrap_or_default();
    if !first.is_empty() {
        return first.to_owned();
    }
    answer.warnings().first().map_or_else(|| patched.to_owned(), |warning| format!("warning: {warning}"))
}
