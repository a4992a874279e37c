//! What came of one object: the shape of `review --output json`, documented in `docs/cases.md`.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::Question;
use crate::cli::law::Judged;
use portcullis_admission::Endpoint;
use portcullis_admission::cases::{Answer, Word};
use portcullis_admission::verdict::{Failure as VerdictFailure, Named};
use portcullis_policy::Details;

/// One object, and what the gate says to it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The file as it was given; `-` for standard input.
    pub source: String,
    /// Which document of it, from 1.
    pub document: usize,
    /// What is asked about.
    pub object: ObjectName,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: String,
    /// Who asks.
    pub user: String,
    /// `validate`, `mutate` or `both`.
    pub endpoint: &'static str,
    /// `allow`, `deny` or `error`.
    pub verdict: &'static str,
    /// Whether the request goes through.
    pub allowed: bool,
    /// 200, 403, 500; 400 for what is no review.
    pub code: u16,
    /// `status.message`; empty where allowed.
    pub message: String,
    /// What denies.
    pub findings: Vec<Finding>,
    /// One line each.
    pub warnings: Vec<String>,
    /// What is only recorded.
    pub audited: Vec<Finding>,
    /// What of the gate's own failed.
    pub failures: Vec<Failure>,
    /// RFC 6902 operations.
    pub patch: Vec<Json>,
    /// Ids of the policies that were asked; empty for a gate that runs elsewhere, which does not say.
    pub policies_evaluated: Vec<String>,
    /// Decoding and deciding, in microseconds; the round trip for a gate that runs elsewhere.
    pub duration_us: u64,
    /// Names the decision.
    pub decision_id: String,
    /// `<first 8 of the bundle's digest>/<snapshot revision>`.
    pub revision: String,
    /// The AdmissionReview that answers; null for what is no review.
    pub response: Json,
    /// Whether a gate elsewhere answered, which does not say whom it asked.
    #[serde(skip)]
    pub elsewhere: bool,
}

/// What is asked about.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty with `generateName`.
    pub name: String,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Whose.
    pub policy: String,
    /// Where; empty for the request as a whole.
    pub field: String,
    /// The sentence.
    pub msg: String,
    /// What stands there.
    pub observed: Option<String>,
    /// What would pass.
    pub allowed: Vec<String>,
    /// What to do.
    pub fix: Option<String>,
    /// More about it, any JSON; null without.
    pub details: Option<Json>,
}

/// A failure of the gate's own.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Whose; empty for the gate itself.
    pub policy: String,
    /// One word.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// Whether it denies.
    pub denies: bool,
}

impl Report {
    /// A report about a question, nothing answered yet.
    pub fn about(question: &Question, endpoint: Endpoint) -> Self {
        let document = &question.document;
        let review: Json = serde_json::from_slice(&question.body).unwrap_or_default();
        let text =
            |pointer: &str| review.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        let (group, version) = (text("/request/kind/group"), text("/request/kind/version"));
        Self {
            source: document.source.clone(),
            document: document.number,
            object: ObjectName {
                api_version: if group.is_empty() { version } else { format!("{group}/{version}") },
                kind: text("/request/kind/kind"),
                namespace: text("/request/namespace"),
                name: text("/request/name"),
            },
            operation: text("/request/operation"),
            user: text("/request/userInfo/username"),
            endpoint: endpoint.as_str(),
            ..Self::default()
        }
    }

    /// Fills in what the answer says.
    #[must_use]
    pub fn answered(mut self, answer: &Answer, took: Duration) -> Self {
        let text = |pointer: &str| {
            answer.json().pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let code = answer.json().pointer("/response/status/code").and_then(Json::as_u64).unwrap_or(200);
        self.verdict = match answer.verdict() {
            Word::Allow => "allow",
            Word::Deny => "deny",
            Word::Error => "error",
        };
        self.allowed = answer.json().pointer("/response/allowed").and_then(Json::as_bool).unwrap_or_default();
        self.code = u16::try_from(code).unwrap_or_default();
        answer.message().clone_into(&mut self.message);
        self.warnings = answer.warnings().into_iter().map(str::to_owned).collect();
        self.patch = answer.patch().to_vec();
        self.revision = text("/response/auditAnnotations/revision");
        self.decision_id = text("/response/auditAnnotations/decision-id");
        self.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let causes = answer.json().pointer("/response/status/details/causes").and_then(Json::as_array);
        self.findings = causes.into_iter().flatten().map(cause).collect();
        self.response = answer.json().clone();
        self
    }

    /// Fills in what only the gate in this process knows.
    #[must_use]
    pub fn judged(self, judged: &Judged, answer: &Answer) -> Self {
        let mut report = self.answered(answer, judged.took);
        let verdict = &judged.verdict;
        report.findings = verdict.denials.iter().map(finding).collect();
        report.audited = verdict.audited.iter().map(finding).collect();
        report.failures = verdict.failures.iter().map(failure).collect();
        report.policies_evaluated.clone_from(&judged.asked);
        report.decision_id.clone_from(&verdict.decision_id);
        report
    }

    /// Fills in that there is no answer, only an HTTP status.
    #[must_use]
    pub fn refused(mut self, status: u16, message: &str) -> Self {
        (self.verdict, self.allowed, self.code) = ("error", false, status);
        message.clone_into(&mut self.message);
        self
    }

    /// Whether the gate could not make anything of what it was sent.
    pub fn unreadable(&self) -> bool {
        self.response.is_null()
    }

    /// The mutating call, then the validating one of what it made: one report, in which the second decides.
    #[must_use]
    pub fn then(self, mut validated: Self) -> Self {
        validated.endpoint = "both";
        validated.patch = self.patch;
        validated.duration_us += self.duration_us;
        let mut warnings = self.warnings;
        for warning in validated.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        validated.warnings = warnings;
        let mut failures = self.failures;
        failures.append(&mut validated.failures);
        validated.failures = failures;
        validated.policies_evaluated.extend(self.policies_evaluated);
        validated.policies_evaluated.sort_unstable();
        validated.policies_evaluated.dedup();
        validated
    }
}

fn finding(named: &Named) -> Finding {
    let finding = &named.finding;
    Finding {
        policy: named.policy.clone(),
        field: finding.field.clone(),
        msg: finding.msg.clone(),
        observed: finding.observed.clone(),
        allowed: finding.allowed.clone(),
        fix: finding.fix.clone(),
        details: finding.details.as_ref().map(Details::json),
    }
}

fn failure(failure: &VerdictFailure) -> Failure {
    let VerdictFailure { policy, reason, message, denies } = failure;
    Failure { policy: policy.clone(), reason, message: message.clone(), denies: *denies }
}

/// A cause of `status.details`: the sentence is whole, and its parts are not told apart.
fn cause(cause: &Json) -> Finding {
    let text = |key: &str| cause.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    Finding {
        policy: text("reason"),
        field: text("field"),
        msg: text("message"),
        observed: None,
        allowed: Vec::new(),
        fix: None,
        details: None,
    }
}
