//! The two doors a review can be asked at: the gate in this process, or one that runs elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde_json::Value as Json;

use super::report::Report;
use super::{Call, Question};
use crate::cli::law::{Judge, Moment};
use portcullis_admission::cases::Answer;
use portcullis_admission::{Endpoint, World, response};
use portcullis_policy::PolicySet;

/// What the API server would wait at most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where to ask.
pub enum Door {
    /// In this process.
    Here(Box<Judge>),
    /// A gate that runs.
    Remote(Remote),
}

/// A gate that runs.
pub struct Remote {
    agent: ureq::Agent,
    url: String,
}

impl Door {
    /// The gate in this process.
    pub fn here(law: PolicySet, world: Arc<World>) -> Self {
        Self::Here(Box::new(Judge::new(law, world)))
    }

    /// A gate that runs, by URL; `ca` vouches for its certificate.
    ///
    /// # Errors
    /// The certificates cannot be read.
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

    /// Asks a call, or both as a write goes through them.
    ///
    /// # Errors
    /// The gate cannot be reached, or answers what is no answer.
    pub fn ask(&self, question: &Question, call: Call) -> anyhow::Result<Report> {
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
            Self::Here(judge) => here(judge, report, body, endpoint),
            Self::Remote(gate) => gate.post(report, body, endpoint),
        }
    }
}

fn here(judge: &Judge, report: Report, body: &Bytes, endpoint: Endpoint) -> anyhow::Result<Report> {
    // The first run fills what a gate has filled long ago: plans, machines, caches. What is told is the second.
    let judged = judge
        .judge(body, endpoint, &Moment::present())
        .and_then(|_| judge.judge(body, endpoint, &Moment::present()));
    match judged {
        Ok(judged) => {
            let answer = Answer::read(&response::encode(&judged.verdict)).map_err(anyhow::Error::msg)?;
            Ok(report.judged(&judged, &answer))
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

/// The review with the patch applied, as the API server would send it on.
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
