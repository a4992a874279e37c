//! One decision, as it is handed over: owned and bounded.

mod line;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::mask;
use crate::words::{Endpoint, NamespaceKind, Operation, Outcome, Verdict};

/// Bytes of a name, a user, a group, a field; Kubernetes' own names end at 253.
const NAME_MAX: usize = 256;
/// Bytes of a message or of what it observed.
const TEXT_MAX: usize = 512;
/// Bytes of the details of a finding; longer ones are masked whole, since half of them would be no JSON.
const DETAILS_MAX: usize = 1 << 10;
/// Groups and tenants of one requester.
const GROUPS_MAX: usize = 32;
/// Policies named in one line.
const POLICIES_MAX: usize = 64;
/// Exemptions named in one line; as many as in an audit annotation.
const EXEMPTIONS_MAX: usize = 10;
/// Findings spelt out in one line; as many as in a denial.
const FINDINGS_MAX: usize = 20;

/// One decision: owned, so that the writer's thread can do the rest. Texts longer than their bounds are cut when it is
/// handed over, so a line without objects stays below some 60 KiB whatever the request holds.
#[derive(Debug, Clone)]
pub struct Record {
    /// When the review was decided.
    pub time: jiff::Timestamp,
    /// Our own id of the decision, as in the message, the audit annotation and `why`.
    pub decision_id: String,
    /// The request's uid, as kube-apiserver sent it.
    pub uid: String,
    /// Where it came in.
    pub endpoint: Endpoint,
    /// What it wanted to do.
    pub operation: Operation,
    /// API group of the object sent; empty for core.
    pub group: String,
    /// Kind of the object sent.
    pub kind: String,
    /// Resource written to in kubectl notation, without the subresource: `pods`, `deployments.apps`.
    pub resource: String,
    /// Subresource; empty without.
    pub subresource: String,
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Kind of the namespace.
    pub namespace_kind: NamespaceKind,
    /// Name of the object; empty with `generateName` and on a deletecollection.
    pub name: String,
    /// Username of who asks; at most 256 bytes.
    pub user: String,
    /// Groups of who asks; the first 32, then `…`.
    pub groups: Vec<String>,
    /// Class of who asks: `platform`, `vela`, `tenant` and so on.
    pub requester_class: &'static str,
    /// Slugs of the tenants that who asks belongs to; the first 32, then `…`.
    pub tenants: Vec<String>,
    /// What was answered.
    pub verdict: Verdict,
    /// HTTP status within the answer: 200, 403, 500, 503.
    pub code: u16,
    /// The policies that had something to say; at most 64.
    pub policies: Vec<PolicyOutcome>,
    /// What they found; at most 20.
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub findings_omitted: u64,
    /// The exemptions that lifted a denial; at most 10.
    pub exemptions: Vec<Exemption>,
    /// How many warnings were sent.
    pub warnings: u64,
    /// Size of the patch in bytes of JSON; 0 without.
    pub patch_bytes: u64,
    /// `<bundle sha8>/<snapshot revision>`, as in the audit annotation.
    pub revision: Arc<str>,
    /// Time from the last byte of the review to its answer, in microseconds.
    pub duration_us: u64,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Whether the caller showed a client certificate that we trust.
    pub peer_verified: bool,
    /// The objects, where [`wants_objects`](super::DecisionLog::wants_objects).
    pub objects: Option<Objects>,
}

/// What one policy said.
#[derive(Debug, Clone)]
pub struct PolicyOutcome {
    /// Its id.
    pub id: Arc<str>,
    /// What it said.
    pub outcome: Outcome,
    /// The mode it ran in: `enforce`, `warn` or `audit`.
    pub mode: &'static str,
}

/// An exemption that lifted a denial.
#[derive(Debug, Clone)]
pub struct Exemption {
    /// Its id, as the ledger has it.
    pub id: Arc<str>,
    /// `exception` or `breakglass`.
    pub kind: &'static str,
}

/// What one policy found, unmasked; the line masks it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Id of the policy.
    pub policy: Arc<str>,
    /// Path of the field, `spec.containers[0].image` or a JSON pointer; empty without.
    pub field: String,
    /// What is wrong; at most 512 bytes.
    pub msg: String,
    /// What was seen there; at most 512 bytes.
    pub observed: Option<String>,
    /// More about it, as JSON; at most 1,024 bytes.
    pub details: Option<String>,
}

/// The objects of a review as JSON text, unmasked; the line masks them. Slices of the request's body cost nothing here.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The object sent.
    pub object: Option<Bytes>,
    /// The object before.
    pub old_object: Option<Bytes>,
    /// Set where they were left out, because the queue had no room for them.
    pub omitted: bool,
}

impl Record {
    /// Cuts everything to its bound.
    pub(super) fn bound(&mut self) {
        let names =
            [&mut self.decision_id, &mut self.uid, &mut self.group, &mut self.kind, &mut self.resource];
        let rest = [&mut self.subresource, &mut self.namespace, &mut self.name, &mut self.user];
        names.into_iter().chain(rest).for_each(|name| cut(name, NAME_MAX));
        for list in [&mut self.groups, &mut self.tenants] {
            if list.len() > GROUPS_MAX {
                list.truncate(GROUPS_MAX);
                list.push("…".to_owned());
            }
            for name in list {
                cut(name, NAME_MAX);
            }
        }
        self.policies.truncate(POLICIES_MAX);
        self.exemptions.truncate(EXEMPTIONS_MAX);
        self.findings_omitted += self.findings.len().saturating_sub(FINDINGS_MAX) as u64;
        self.findings.truncate(FINDINGS_MAX);
        for finding in &mut self.findings {
            finding.bound(&self.kind);
        }
    }

    /// Bytes that this record holds, roughly.
    pub(super) fn weight(&self) -> usize {
        let names =
            [&self.decision_id, &self.uid, &self.group, &self.kind, &self.resource, &self.subresource];
        let names = names.iter().map(|name| name.len()).sum::<usize>();
        let who =
            [&self.namespace, &self.name, &self.user].into_iter().chain(&self.groups).chain(&self.tenants);
        let who = who.map(|name| name.len() + size_of::<String>()).sum::<usize>();
        let findings = self.findings.iter().map(Finding::weight).sum::<usize>();
        let policies = self.policies.len() * size_of::<PolicyOutcome>();
        let exemptions = self.exemptions.len() * size_of::<Exemption>();
        size_of::<Self>()
            + names
            + who
            + findings
            + policies
            + exemptions
            + self.objects.as_ref().map_or(0, Objects::weight)
    }

    /// Leaves the objects out; false when there were none.
    pub(super) fn omit_objects(&mut self) -> bool {
        let some = self.objects.as_ref().is_some_and(|objects| objects.weight() > 0);
        if some {
            self.objects = Some(Objects { omitted: true, ..Objects::default() });
        }
        some
    }
}

impl Finding {
    /// Masks before it cuts: of half a value the mask could not tell what it was, and a message could not be cleaned of it.
    fn bound(&mut self, kind: &str) {
        // By a field that is cut the mask could not tell where it points.
        let long_field = self.field.len() > NAME_MAX;
        if let Some(observed) = self.observed.take_if(|observed| observed.len() > TEXT_MAX || long_field) {
            let masked = mask::mask_observed(kind, &self.field, &observed);
            if matches!(masked, Cow::Owned(_)) {
                self.msg = self.msg.replace(&observed, "***");
            }
            self.observed = Some(masked.into_owned());
        }
        if let Some(details) = self.details.take_if(|details| details.len() > DETAILS_MAX || long_field) {
            self.details = Some(masked_details(kind, &self.field, &details).into_owned());
        }
        cut(&mut self.field, NAME_MAX);
        cut(&mut self.msg, TEXT_MAX);
        if let Some(observed) = &mut self.observed {
            cut(observed, TEXT_MAX);
        }
    }

    fn weight(&self) -> usize {
        let rest = [&self.observed, &self.details].into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Self>() + self.field.len() + self.msg.len() + rest
    }
}

impl Objects {
    fn weight(&self) -> usize {
        [&self.object, &self.old_object].into_iter().flatten().map(Bytes::len).sum()
    }
}

/// Details as JSON that may be written down.
fn masked_details<'a>(kind: &str, field: &str, details: &'a str) -> Cow<'a, str> {
    let masked = mask::mask_details(kind, field, details);
    // A masked value may be longer than what it stands for.
    if masked.len() > DETAILS_MAX { mask::digest(details.as_bytes()).to_string().into() } else { masked }
}

/// Cuts at a character's boundary, and says so with `…`.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
