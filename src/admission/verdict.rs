//! The verdict on a review: denials, warnings, audited findings, failures and the patch.

use portcullis_policy::{BrokenPolicy, Finding, Mode, OnError, Operation, Policy, PolicySet};
use portcullis_telemetry::labels;

use super::context::ReviewContext;
use super::exemption::UsedExemption;
use super::message;
use super::review::{Endpoint, NAMESPACE_SUBRESOURCES, Review};

pub use portcullis_telemetry::labels::Verdict as Outcome;

/// A finding of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// The policy's id.
    pub policy: String,
    pub finding: Finding,
}

/// The reason of a review that was rejected because the gate is overloaded; answered with 503.
pub(crate) const OVERLOADED: &str = "overloaded";

/// A failure of a policy or of the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The policy's id; empty for the gate itself.
    pub policy: String,
    /// One word: budget, data, evaluation, load, overloaded, panic, params, patch, shape.
    pub reason: &'static str,
    pub message: String,
    /// `on_error: deny`, and no exemption lifts it.
    pub denies: bool,
}

/// The result of [`crate::decide`].
#[derive(Debug, Clone)]
pub struct Verdict {
    /// `request.uid`.
    pub uid: String,
    pub endpoint: Endpoint,
    pub decision_id: String,
    /// `<first 8 of the bundle's digest>/<snapshot revision>`.
    pub revision: String,
    /// Sorted by policy and text.
    pub denials: Vec<Named>,
    pub warnings: Vec<Named>,
    /// Findings that are logged only.
    pub audited: Vec<Named>,
    pub failures: Vec<Failure>,
    /// RFC 6902 operations; only on `/mutate`.
    pub patch: Vec<json_patch::PatchOperation>,
    /// Policies whose patch was dropped, with the reason.
    pub dropped: Vec<(String, String)>,
    /// The number of policies that ran.
    pub evaluated: usize,
    /// The outcome and mode of each policy that found, patched or failed.
    pub outcomes: Vec<(String, labels::Outcome, Mode)>,
    /// The exemptions that lifted something, and all open break-glass documents that apply.
    pub exemptions: Vec<UsedExemption>,
    /// Dry runs have their own metric label.
    pub dry_run: bool,
    /// The requester does not belong to the namespace's tenant, so messages must not disclose that tenant's data.
    pub foreign: bool,
}

impl Verdict {
    pub fn new(set: &PolicySet, context: &ReviewContext, review: &Review) -> Self {
        let digest = set.digest.get(..8).unwrap_or(&set.digest);
        let revision = format!("{digest}/{}", context.revision);
        Self { foreign: context.foreign, ..Self::blank(review, context.decision_id.clone(), revision) }
    }

    /// A failure before policies or context were available.
    pub fn failed(review: &Review, decision_id: String, reason: &'static str, message: String) -> Self {
        let mut verdict = Self::blank(review, decision_id, "-/-".to_owned());
        verdict.fail("", reason, message);
        verdict
    }

    fn blank(review: &Review, decision_id: String, revision: String) -> Self {
        Self {
            uid: review.header.uid.clone(),
            endpoint: review.endpoint,
            decision_id,
            revision,
            denials: Vec::new(),
            warnings: Vec::new(),
            audited: Vec::new(),
            failures: Vec::new(),
            patch: Vec::new(),
            dropped: Vec::new(),
            evaluated: 0,
            outcomes: Vec::new(),
            exemptions: Vec::new(),
            dry_run: review.header.dry_run,
            foreign: false,
        }
    }

    pub fn outcome(&self) -> Outcome {
        let failed = self.failures.iter().any(|failure| failure.denies);
        match (self.endpoint, self.denials.is_empty(), failed) {
            (Endpoint::Mutate, _, true) | (Endpoint::Validate, true, true) => Outcome::Error,
            (Endpoint::Validate, false, _) => Outcome::Deny,
            _ => Outcome::Allow,
        }
    }

    /// `/mutate` allows every request: the validating call decides.
    pub fn allowed(&self) -> bool {
        self.endpoint == Endpoint::Mutate || self.outcome() == Outcome::Allow
    }

    /// `status.code`; 200 where allowed.
    pub fn code(&self) -> u16 {
        match self.outcome() {
            _ if self.allowed() => 200,
            Outcome::Deny => 403,
            _ if self.failures.iter().any(|failure| failure.reason == OVERLOADED) => 503,
            _ => 500,
        }
    }

    /// Adds the findings of a `deny` rule according to the policy's mode.
    pub(crate) fn add_findings(&mut self, policy: &Policy, mode: Mode, findings: Vec<Finding>) {
        let list = match mode {
            Mode::Enforce => &mut self.denials,
            Mode::Warn => &mut self.warnings,
            Mode::Audit | Mode::Off => &mut self.audited,
        };
        let id = &policy.manifest.id;
        list.extend(findings.into_iter().map(|finding| Named { policy: id.clone(), finding }));
    }

    /// Denies an operation that no policy covers, for every requester.
    pub(crate) fn unknown_operation(&mut self, operation: &str) {
        let finding = Finding {
            field: "request.operation".to_owned(),
            msg: "is not an operation that this gate supports".to_owned(),
            observed: Some(operation.to_owned()),
            allowed: Operation::ALL.iter().map(ToString::to_string).collect(),
            allowed_omitted: 0,
            fix: Some("upgrade the gate before the API server".to_owned()),
            details: None,
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Denies a subresource of a Namespace that no policy covers.
    pub(crate) fn unknown_subresource(&mut self, subresource: &str) {
        let finding = Finding {
            field: "request.subResource".to_owned(),
            msg: "is not a subresource of a Namespace that this gate supports".to_owned(),
            observed: Some(subresource.to_owned()),
            allowed: NAMESPACE_SUBRESOURCES.iter().map(ToString::to_string).collect(),
            fix: Some("upgrade the gate before the API server".to_owned()),
            ..Finding::default()
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Denies an object in which a policy reads a part that is nested too deep.
    pub(crate) fn too_deep(&mut self, max: u16) {
        if self.endpoint == Endpoint::Mutate {
            let message =
                format!("a policy reads a part of the object that is nested more than {max} levels deep");
            return self.fail("", "shape", message);
        }
        let finding = Finding {
            msg: format!("a part of the object that a policy reads is nested more than {max} levels deep"),
            fix: Some("reduce the nesting".to_owned()),
            ..Finding::default()
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Adds a failure that denies.
    pub(crate) fn fail(&mut self, policy: &str, reason: &'static str, message: String) {
        self.failures.push(Failure { policy: policy.to_owned(), reason, message, denies: true });
    }

    /// Adds a failure of a policy. It denies where the policy is enforced with `on_error: deny`.
    pub(crate) fn failed_policy(
        &mut self,
        policy: &Policy,
        mode: Mode,
        reason: &'static str,
        message: String,
    ) {
        let denies = mode == Mode::Enforce && policy.manifest.on_error == OnError::Deny;
        self.failures.push(Failure { policy: policy.manifest.id.clone(), reason, message, denies });
    }

    /// Adds the failure of a policy that did not load.
    pub(crate) fn broken(&mut self, broken: &BrokenPolicy) {
        let first = broken.problems.0.first().map(ToString::to_string).unwrap_or_default();
        let denies = broken.on_error == OnError::Deny;
        self.failures.push(Failure {
            policy: broken.id.clone(),
            reason: "load",
            message: format!("does not load: {first}"),
            denies,
        });
    }

    /// The warnings in the form that the API server accepts; see [`message`].
    pub fn warning_lines(&self) -> Vec<String> {
        message::warnings(self)
    }

    /// The ids of the policies that denied, each once.
    pub fn denying(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.denials.iter().map(|named| named.policy.as_str()).collect();
        ids.dedup();
        ids
    }
}

/// The first `max` characters of untrusted text, without control characters.
pub fn clip(text: &str, max: usize) -> String {
    message::clean(text, max)
}
