//! Findings → a verdict: what is denied, warned, recorded, patched, and what failed.

use portcullis_policy::{Broken, Finding, Mode, OnError, Operation, Policy, PolicySet};
use portcullis_telemetry::words;

use super::facts::Facts;
use super::leave::Used;
use super::message;
use super::review::{Endpoint, KNOWN_OF_NAMESPACES, Review};

pub use portcullis_telemetry::words::Verdict as Outcome;

/// A finding, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// The policy's id.
    pub policy: String,
    /// What it found.
    pub finding: Finding,
}

/// The reason of a failure that is no failure: the gate had more to do than it can.
pub const SHED: &str = "shed";

/// Something of ours that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The policy's id; empty for the gate itself.
    pub policy: String,
    /// One word: budget, evaluation, panic, load, shape, operation, patch.
    pub reason: &'static str,
    /// The sentence.
    pub message: String,
    /// Whether it denies (`on_error: deny`).
    pub denies: bool,
}

/// What `decide` says.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Echo of the request.
    pub uid: String,
    /// Which endpoint was asked.
    pub endpoint: Endpoint,
    /// Names the decision.
    pub decision_id: String,
    /// `<first 8 of the bundle's digest>/<snapshot revision>`.
    pub revision: String,
    /// Findings that deny, in order of policy and text.
    pub denials: Vec<Named>,
    /// Findings that warn.
    pub warnings: Vec<Named>,
    /// Findings that are only recorded.
    pub audited: Vec<Named>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// RFC 6902 operations; only on `/mutate`.
    pub patch: Vec<json_patch::PatchOperation>,
    /// Policies whose patch was dropped, and why.
    pub dropped: Vec<(String, String)>,
    /// How many policies were evaluated.
    pub evaluated: usize,
    /// What each policy that had something to say said, and the mode it ran in.
    pub outcomes: Vec<(String, words::Outcome, Mode)>,
    /// Leave from laws that made a difference, and break-glass documents that are open here.
    pub leaves: Vec<Used>,
    /// Whether nothing will be stored; such reviews are counted apart.
    pub dry_run: bool,
    /// Who asks has nothing to do with the tenant whose namespace it is, nor an exemption there.
    pub foreign: bool,
}

impl Verdict {
    /// Nothing found yet.
    pub fn new(law: &PolicySet, facts: &Facts, review: &Review) -> Self {
        let digest = law.digest.get(..8).unwrap_or(&law.digest);
        let revision = format!("{digest}/{}", facts.revision);
        Self { foreign: facts.foreign, ..Self::blank(review, facts.decision_id.clone(), revision) }
    }

    /// A failure before there was a law or facts to judge by.
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
            leaves: Vec::new(),
            dry_run: review.header.dry_run,
            foreign: false,
        }
    }

    /// The answer in one word.
    pub fn outcome(&self) -> Outcome {
        let failed = self.failures.iter().any(|failure| failure.denies);
        match (self.endpoint, self.denials.is_empty(), failed) {
            (Endpoint::Mutate, _, true) | (Endpoint::Validate, true, true) => Outcome::Error,
            (Endpoint::Validate, false, _) => Outcome::Deny,
            _ => Outcome::Allow,
        }
    }

    /// Whether the request goes through. `/mutate` never stops one: the validating call decides.
    pub fn allowed(&self) -> bool {
        self.endpoint == Endpoint::Mutate || self.outcome() == Outcome::Allow
    }

    /// The HTTP-like code of `status`; 200 where allowed.
    pub fn code(&self) -> u16 {
        match self.outcome() {
            _ if self.allowed() => 200,
            Outcome::Deny => 403,
            _ if self.failures.iter().any(|failure| failure.reason == SHED) => 503,
            _ => 500,
        }
    }

    /// Adds what a policy found by `deny`, as its mode has it.
    pub fn found(&mut self, policy: &Policy, mode: Mode, findings: Vec<Finding>) {
        let list = match mode {
            Mode::Enforce => &mut self.denials,
            Mode::Warn => &mut self.warnings,
            Mode::Audit | Mode::Off => &mut self.audited,
        };
        let id = &policy.manifest.id;
        list.extend(findings.into_iter().map(|finding| Named { policy: id.clone(), finding }));
    }

    /// Denies an operation that nobody has written law for. Not a policy's to allow, whoever asks.
    pub fn unknown_operation(&mut self, operation: &str) {
        let finding = Finding {
            field: "request.operation".to_owned(),
            msg: "is no operation that this gate can judge".to_owned(),
            observed: Some(operation.to_owned()),
            allowed: Operation::ALL.iter().map(ToString::to_string).collect(),
            allowed_omitted: 0,
            fix: Some("upgrade the gate before the API server".to_owned()),
            details: None,
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Denies a subresource of a Namespace that no policy covers.
    pub fn unknown_subresource(&mut self, subresource: &str) {
        let finding = Finding {
            field: "request.subResource".to_owned(),
            msg: "is no subresource of a Namespace that this gate can judge".to_owned(),
            observed: Some(subresource.to_owned()),
            allowed: KNOWN_OF_NAMESPACES.iter().map(ToString::to_string).collect(),
            fix: Some("upgrade the gate before the API server".to_owned()),
            ..Finding::default()
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Denies an object of which a policy reads a part that is too deep to be handed to it.
    pub fn too_deep(&mut self, max: u16) {
        if self.endpoint == Endpoint::Mutate {
            let message =
                format!("a policy reads a part of the object that is nested more than {max} levels deep");
            return self.fail("", "shape", message);
        }
        let finding = Finding {
            msg: format!("a part of the object that a policy reads is nested more than {max} levels deep"),
            fix: Some("nest it less deep".to_owned()),
            ..Finding::default()
        };
        self.denials.push(Named { policy: "protocol".to_owned(), finding });
    }

    /// Adds a failure that denies.
    pub fn fail(&mut self, policy: &str, reason: &'static str, message: String) {
        self.failures.push(Failure { policy: policy.to_owned(), reason, message, denies: true });
    }

    /// Adds a failure of a policy: it denies where the policy is enforced and does not say otherwise.
    pub fn failed_policy(&mut self, policy: &Policy, mode: Mode, reason: &'static str, message: String) {
        let denies = mode == Mode::Enforce && policy.manifest.on_error == OnError::Deny;
        self.failures.push(Failure { policy: policy.manifest.id.clone(), reason, message, denies });
    }

    /// Adds what a policy that did not load answers.
    pub fn broken(&mut self, broken: &Broken) {
        let first = broken.problems.0.first().map(ToString::to_string).unwrap_or_default();
        let denies = broken.on_error == OnError::Deny;
        self.failures.push(Failure {
            policy: broken.id.clone(),
            reason: "load",
            message: format!("does not load: {first}"),
            denies,
        });
    }

    /// Warnings as the API server may pass them on; see [`message`].
    pub fn warning_lines(&self) -> Vec<String> {
        message::warnings(self)
    }

    /// Ids of the policies that denied, in order, each once.
    pub fn denying(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.denials.iter().map(|named| named.policy.as_str()).collect();
        ids.dedup();
        ids
    }
}

/// At most `max` characters of a text that somebody else wrote, made harmless.
pub fn clip(text: &str, max: usize) -> String {
    message::clean(text, max)
}
