//! Evaluates a review in this process or by a running gate.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::Value as Json;

use super::report::Report;
use super::{Call, Question};
use crate::cli::evaluator::{Evaluator, Moment};
use portcullis_admission::cases::Answer;
use portcullis_admission::{Endpoint, PreparedSnapshot, response};
use portcullis_policy::PolicySet;

/// The longest timeout that an API server allows.
const TIMEOUT: Duration = Duration::from_secs(30);

pub enum GateClient {
    Local(Box<Evaluator>),
    Remote(Remote),
}

pub struct Remote {
    agent: ureq::Agent,
    url: String,
}

impl GateClient {
    pub fn local(policies: PolicySet, tenancy: Arc<PreparedSnapshot>) -> Self {
        Self::Local(Box::new(Evaluator::new(policies, tenancy)))
    }

    pub fn remote(url: &str, ca: Option<&Path>) -> anyhow::Result<Self> {
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(path) = ca {
            let pem = std::fs::read(path).with_context(|| format!("--ca `{}`", path.display()))?;
            let roots: Vec<_> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if roots.is_empty() {
                bail!(
                    "--ca `{}` holds no certificate; it begins with -----BEGIN CERTIFICATE-----",
                    path.display()
                );
            }
            tls = tls.root_certs(ureq::tls::RootCerts::new_with_certs(&roots));
        }
        let config = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false);
        Ok(Self::Remote(Remote { agent: config.build().into(), url: url.trim_end_matches('/').to_owned() }))
    }

    /// Evaluates one endpoint, or both in the order of a write.
    pub fn review(&self, question: &Question, call: Call) -> anyhow::Result<Report> {
        let one = |body: &Bytes, endpoint: Endpoint| self.one(question, body, endpoint);
        match call {
            Call::Validate => one(&question.body, Endpoint::Validate),
            Call::Mutate => one(&question.body, Endpoint::Mutate),
            Call::Both => {
                let mutated = one(&question.body, Endpoint::Mutate)?;
                if mutated.unreadable() {
                    return Ok(mutated);
                }
                let body = patched(&question.body, &mutated.patch)?;
                Ok(mutated.then(one(&body, Endpoint::Validate)?))
            }
        }
    }

    fn one(&self, question: &Question, body: &Bytes, endpoint: Endpoint) -> anyhow::Result<Report> {
        let report = Report::about(question, endpoint);
        match self {
            Self::Local(evaluator) => review_locally(evaluator, report, body, endpoint),
            Self::Remote(gate) => gate.post(report, body, endpoint),
        }
    }
}

fn review_locally(
    evaluator: &Evaluator,
    report: Report,
    body: &Bytes,
    endpoint: Endpoint,
) -> anyhow::Result<Report> {
    // The second run is reported: a gate in service has warm plans, engines and caches.
    let evaluation = evaluator
        .evaluate(body, endpoint, &Moment::present())
        .and_then(|_| evaluator.evaluate(body, endpoint, &Moment::present()));
    match evaluation {
        Ok(evaluation) => {
            let answer = Answer::read(&response::encode(&evaluation.verdict)).map_err(anyhow::Error::msg)?;
            Ok(report.evaluation(&evaluation, &answer))
        }
        Err(error) => Ok(report.refused(400, &error.to_string())),
    }
}

impl Remote {
    fn post(&self, report: Report, body: &Bytes, endpoint: Endpoint) -> anyhow::Result<Report> {
        let url = format!("{}/{}", self.url, endpoint.as_str());
        let started = Instant::now();
        let sent = self.agent.post(&url).header("content-type", "application/json").send(body.as_ref());
        let mut response = sent.with_context(|| format!("--server `{url}`"))?;
        let text = response.body_mut().read_to_string().with_context(|| format!("--server `{url}`"))?;
        let took = started.elapsed();
        let status = response.status().as_u16();
        if status != 200 {
            return Ok(report.refused(status, text.trim()));
        }
        let answer =
            Answer::read(text.as_bytes()).map_err(|error| anyhow::anyhow!("--server `{url}`: {error}"))?;
        Ok(Report { elsewhere: true, ..report.answered(&answer, took) })
    }
}

/// Applies the patch as the API server does between the two calls.
fn patched(body: &Bytes, patch: &[Json]) -> anyhow::Result<Bytes> {
    if patch.is_empty() {
        return Ok(body.clone());
    }
    let mut review: Json = serde_json::from_slice(body)?;
    let operations: json_patch::Patch = serde_json::from_value(Json::Array(patch.to_vec()))?;
    if let Some(object) = review.pointer_mut("/request/object") {
        json_patch::patch(object, &operations).context("the gate's own patch does not apply")?;
    }
    Ok(serde_json::to_vec(&review)?.into())
}
