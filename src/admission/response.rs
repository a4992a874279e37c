//! Writes a verdict as an AdmissionReview. The API server treats a malformed denial as a failed call, which
//! `failurePolicy: Ignore` allows, so responses are written only here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::exemption::ExemptionKind;
use super::message;
use super::review::Endpoint;
use super::verdict::{Named, Outcome, Verdict};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status {
    #[serde(rename = "status")]
    word: &'static str,
    message: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Serialize)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Serialize)]
struct Cause {
    reason: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
}

/// The response body.
pub fn encode(verdict: &Verdict) -> Vec<u8> {
    let patch = (!verdict.patch.is_empty() && verdict.endpoint == Endpoint::Mutate).then_some(&verdict.patch);
    let patch = patch.and_then(|patch| serde_json::to_vec(patch).ok()).map(|json| STANDARD.encode(json));
    let envelope = Envelope {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Response {
            uid: &verdict.uid,
            allowed: verdict.allowed(),
            status: status(verdict),
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
            audit_annotations: annotations(verdict),
            warnings: verdict.warning_lines(),
        },
    };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

fn status(verdict: &Verdict) -> Option<Status> {
    if verdict.allowed() {
        return None;
    }
    let causes: Vec<Cause> = message::denial_findings(verdict).map(cause).collect();
    Some(Status {
        word: "Failure",
        message: message::denial(verdict),
        reason: if verdict.outcome() == Outcome::Deny { "Forbidden" } else { "InternalError" },
        details: (!causes.is_empty()).then_some(Details { causes }),
        code: verdict.code(),
    })
}

fn cause(named: &Named) -> Cause {
    let mut message = message::line(named);
    if let Some(details) = &named.finding.details {
        message.push_str("; details: ");
        message.push_str(details.as_str());
    }
    Cause { reason: named.policy.clone(), message, field: message::clean(&named.finding.field, 200) }
}

/// The bytes of the audit annotation `policies`.
const POLICIES_BYTES_MAX: usize = 512;

/// The exemption ids in an audit annotation.
const EXEMPTIONS_MAX: usize = 10;

/// Audit annotations. On `/mutate`, which may be called twice for one request, all are equal on both calls.
pub fn annotations(verdict: &Verdict) -> BTreeMap<&'static str, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    found.extend(verdict.denials.iter().map(|named| (named.policy.as_str(), "deny")));
    found.extend(verdict.warnings.iter().map(|named| (named.policy.as_str(), "warn")));
    found.extend(verdict.audited.iter().map(|named| (named.policy.as_str(), "audit")));
    found.extend(verdict.failures.iter().map(|failure| (failure.policy.as_str(), "error")));
    found.retain(|(policy, _)| !policy.is_empty());
    found.sort_unstable();
    found.dedup();
    let mut policies = String::new();
    for (policy, what) in found {
        if policies.len() + policy.len() > POLICIES_BYTES_MAX {
            policies.push_str(",…");
            break;
        }
        let comma = if policies.is_empty() { "" } else { "," };
        let _ = write!(policies, "{comma}{policy}={what}");
    }
    let mut annotations = BTreeMap::from([
        ("verdict", verdict.outcome().as_str().to_owned()),
        ("policies", policies),
        ("revision", verdict.revision.clone()),
    ]);
    if verdict.endpoint == Endpoint::Validate {
        annotations.insert("decision-id", verdict.decision_id.clone());
    }
    for kind in [ExemptionKind::Exception, ExemptionKind::Breakglass] {
        let ids = verdict.exemptions.iter().filter(|used| used.kind == kind).map(|used| &*used.id);
        let ids = ids.take(EXEMPTIONS_MAX).collect::<Vec<_>>().join(",");
        if !ids.is_empty() {
            annotations.insert(kind.as_str(), ids);
        }
    }
    annotations
}

#[cfg(test)]
mod tests;
