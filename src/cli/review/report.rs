//! The verdict on one object: the structure of `review --output json` (documented in `docs/cases.md`) and its text for people.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use serde::Serialize;
use serde_json::Value as Json;

use super::Question;
use crate::cli::evaluator::Evaluation;
use crate::cli::output::{BAD, CARE, FAINT, GOOD, STRONG, count};
use portcullis_admission::Endpoint;
use portcullis_admission::cases::{Answer, Word};
use portcullis_admission::verdict::{Failure as VerdictFailure, Named, clip};
use portcullis_policy::Details;

/// The verdict on one object.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Path of the file as given; `-` for standard input.
    pub source: String,
    /// Number of the document in the file, from 1.
    pub document: usize,
    /// The object under review.
    pub object: ObjectName,
    /// CREATE, UPDATE, DELETE or CONNECT.
    pub operation: String,
    /// Username of the request.
    pub user: String,
    /// `validate`, `mutate` or `both`.
    pub endpoint: &'static str,
    /// `allow`, `deny` or `error`.
    pub verdict: &'static str,
    /// Whether the request is allowed.
    pub allowed: bool,
    /// 200, 403 or 500; 400 if the input is not a review.
    pub code: u16,
    /// `status.message`; empty if allowed.
    pub message: String,
    /// Findings that deny.
    pub findings: Vec<Finding>,
    /// Warnings, one line each.
    pub warnings: Vec<String>,
    /// Findings of policies in mode `audit`.
    pub audited: Vec<Finding>,
    /// Failures of policies and of the gate.
    pub failures: Vec<Failure>,
    /// RFC 6902 operations.
    pub patch: Vec<Json>,
    /// Ids of the evaluated policies; empty for a running gate, whose response does not name them.
    pub policies_evaluated: Vec<String>,
    /// Microseconds of decoding and deciding; the round trip for a running gate.
    pub duration_us: u64,
    /// Id of the decision.
    pub decision_id: String,
    /// `<first 8 of the bundle's digest>/<snapshot revision>`.
    pub revision: String,
    /// The AdmissionReview with the response; null if the input is not a review.
    pub response: Json,
    /// Whether a running gate answered.
    #[serde(skip)]
    pub elsewhere: bool,
}

/// The object under review.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectName {
    /// `apps/v1`
    pub api_version: String,
    /// `Deployment`
    pub kind: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Empty with `generateName`.
    pub name: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Id of the policy.
    pub policy: String,
    /// Field; empty for the request as a whole.
    pub field: String,
    /// Message.
    pub msg: String,
    /// The observed value.
    pub observed: Option<String>,
    /// The allowed values.
    pub allowed: Vec<String>,
    /// How to fix it.
    pub fix: Option<String>,
    /// Further details, any JSON; null if there are none.
    pub details: Option<Json>,
}

/// A failure of a policy or of the gate.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Id of the policy; empty for the gate itself.
    pub policy: String,
    /// Reason, one word.
    pub reason: &'static str,
    /// Message.
    pub message: String,
    /// Whether the failure denies the request.
    pub denies: bool,
}

impl Report {
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

    /// Adds what only the evaluation in this process knows.
    #[must_use]
    pub fn evaluation(self, evaluation: &Evaluation, answer: &Answer) -> Self {
        let mut report = self.answered(answer, evaluation.took);
        let verdict = &evaluation.verdict;
        report.findings = verdict.denials.iter().map(finding).collect();
        report.audited = verdict.audited.iter().map(finding).collect();
        report.failures = verdict.failures.iter().map(failure).collect();
        report.policies_evaluated.clone_from(&evaluation.asked);
        report.decision_id.clone_from(&verdict.decision_id);
        report
    }

    /// The gate answered with an HTTP error and no AdmissionReview.
    #[must_use]
    pub fn refused(mut self, status: u16, message: &str) -> Self {
        (self.verdict, self.allowed, self.code) = ("error", false, status);
        message.clone_into(&mut self.message);
        self
    }

    pub fn unreadable(&self) -> bool {
        self.response.is_null()
    }

    /// Combines both calls: the validating call decides.
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

/// A cause of `status.details` holds the whole sentence, so the parts of the finding stay empty.
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

const NAME_MAX: usize = 253;
const VALUE_MAX: usize = 160;

pub fn block(report: &Report) -> String {
    let (style, word) = verdict_word(report);
    let object = &report.object;
    let name = if object.name.is_empty() { "(to be named)".to_owned() } else { clip(&object.name, NAME_MAX) };
    if report.unreadable() && object.kind.is_empty() {
        let place = format!("{}, document {}", clip(&report.source, NAME_MAX), report.document);
        return format!(
            "{style}{word:5}{style:#} {STRONG}{place}{STRONG:#}\n  {BAD}✗{BAD:#} HTTP {}: {}\n\n",
            report.code,
            clip(&report.message, 1000)
        );
    }
    let mut text =
        format!("{style}{word:5}{style:#} {STRONG}{} {name}{STRONG:#}", clip(&object.kind, NAME_MAX));
    if !object.namespace.is_empty() {
        let _ = write!(text, " in {}", clip(&object.namespace, NAME_MAX));
    }
    let _ = write!(
        text,
        " {FAINT}·{FAINT:#} {} by {}",
        clip(&report.operation, 16),
        clip(&report.user, NAME_MAX)
    );
    let _ =
        writeln!(text, " {FAINT}· {}, document {}{FAINT:#}", clip(&report.source, NAME_MAX), report.document);
    // The foot of the block names the decision, so the last line of a denial is omitted.
    for line in report.message.lines().filter(|line| !(report.code != 400 && line.starts_with("decision "))) {
        let _ = writeln!(text, "  {BAD}✗{BAD:#} {}", emphasised(line));
    }
    for failure in report.failures.iter().filter(|failure| !failure.denies) {
        let _ = writeln!(
            text,
            "  {CARE}!{CARE:#} {} failed and was skipped: {}",
            failure.policy,
            clip(&failure.message, 1000)
        );
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  {CARE}!{CARE:#} {}", emphasised(warning));
    }
    for finding in &report.audited {
        let _ =
            writeln!(text, "  {FAINT}audited: [{}] {}{FAINT:#}", finding.policy, clip(&finding.msg, 1000));
    }
    for operation in &report.patch {
        let _ = writeln!(text, "  {}", patch_line(operation));
    }
    let _ = writeln!(text, "  {FAINT}{}{FAINT:#}", foot(report));
    text.push('\n');
    text
}

pub fn summary(reports: &[Report]) -> String {
    let number = |word: &str| reports.iter().filter(|report| report.verdict == word).count();
    let (allowed, denied, failed) = (number("allow"), number("deny"), number("error"));
    format!("{}: {allowed} allowed, {denied} denied, {failed} failed\n", count(reports.len(), "object"))
}

fn verdict_word(report: &Report) -> (Style, &'static str) {
    match report.verdict {
        "allow" if report.warnings.is_empty() && report.failures.is_empty() => (GOOD, "ALLOW"),
        "allow" => (CARE, "WARN"),
        "deny" => (BAD, "DENY"),
        _ => (BAD, "ERROR"),
    }
}

/// The policy id in bold.
fn emphasised(line: &str) -> String {
    match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((id, rest)) => format!("{STRONG}[{id}]{STRONG:#}{rest}"),
        None => line.to_owned(),
    }
}

fn foot(report: &Report) -> String {
    let mut parts = Vec::new();
    parts.push(match report.policies_evaluated.as_slice() {
        [] if report.revision.is_empty() => "no answer".to_owned(),
        [] if report.elsewhere => "evaluated by a running gate".to_owned(),
        [] => "no policy applies here".to_owned(),
        asked => format!("evaluated {}", asked.join(", ")),
    });
    parts.push(format!("{} µs", report.duration_us));
    if !report.decision_id.is_empty() {
        parts.push(format!("decision {}", report.decision_id));
    }
    if let Some((policies, snapshot)) = report.revision.split_once('/') {
        parts.push(format!("policies {policies}, snapshot {snapshot}"));
    }
    parts.join(" · ")
}

fn patch_line(operation: &Json) -> String {
    let text = |key: &str| operation.get(key).and_then(Json::as_str).unwrap_or_default();
    let value = operation.get("value").map(|value| clip(&value.to_string(), VALUE_MAX)).unwrap_or_default();
    let path = readable(text("path"));
    match text("op") {
        "add" => format!("{GOOD}+{GOOD:#} {path}: {value}"),
        "replace" => format!("{CARE}~{CARE:#} {path}: {value}"),
        "remove" => format!("{BAD}-{BAD:#} {path}"),
        op => format!("{CARE}~{CARE:#} {op} {} {path}", readable(text("from"))),
    }
}

/// A JSON pointer in readable form: `/metadata/labels/a.b~1c` is `metadata.labels["a.b/c"]`.
pub fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        if key == "-" || (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())) {
            let _ = write!(path, "[{key}]");
        } else if !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            let dot = if path.is_empty() { "" } else { "." };
            let _ = write!(path, "{dot}{key}");
        } else {
            let _ = write!(path, "[{}]", clip(&Json::from(key).to_string(), NAME_MAX));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_read_as_people_write_them() {
        for (pointer, expected) in [
            ("/metadata/labels/kubenova.io~1tenant-id", "metadata.labels[\"kubenova.io/tenant-id\"]"),
            ("/spec/containers/0/image", "spec.containers[0].image"),
            ("/spec/tolerations/-", "spec.tolerations[-]"),
            ("/a~0b", "[\"a~b\"]"),
        ] {
            assert_eq!(readable(pointer), expected);
        }
    }

    #[test]
    fn a_denial_is_a_block() {
        let report = Report {
            source: "pod.yaml".to_owned(),
            document: 1,
            object: ObjectName {
                kind: "Pod".to_owned(),
                namespace: "ns".to_owned(),
                name: "web".to_owned(),
                ..Default::default()
            },
            operation: "CREATE".to_owned(),
            user: "alice".to_owned(),
            verdict: "deny",
            code: 403,
            message: "[a] spec: no\ndecision 7".to_owned(),
            patch: vec![json!({"op": "add", "path": "/metadata/labels", "value": {}})],
            policies_evaluated: vec!["a".to_owned()],
            duration_us: 7,
            decision_id: "7".to_owned(),
            revision: "r/1".to_owned(),
            ..Report::default()
        };
        let plain = anstream::adapter::strip_str(&block(&report)).to_string();
        let expected = "DENY  Pod web in ns · CREATE by alice · pod.yaml, document 1\n  ✗ [a] spec: no\n  + metadata.labels: {}\n  evaluated a · 7 µs · decision 7 · policies r, snapshot 1\n\n";
        assert_eq!(plain, expected);
    }
}
