//! A line of the decision log: owned, bounded, and masked when it is serialised.
//!
//! `Serialize` is written by hand, so that no record can be serialised unmasked.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::labels::{Endpoint, NamespaceKind, Operation, Outcome, Verdict};
use crate::mask;

/// Bytes of a name, a user, a group or a field; a name of Kubernetes has at most 253.
const NAME_MAX: usize = 256;
/// Bytes of a message or of an observed value.
const TEXT_MAX: usize = 512;
/// Bytes of the details of a finding; longer ones are masked whole, because cut JSON is invalid.
const DETAILS_MAX: usize = 1 << 10;
const GROUPS_MAX: usize = 32;
const POLICIES_MAX: usize = 64;
/// As many as in an audit annotation.
const EXEMPTIONS_MAX: usize = 10;
/// As many as in the message of a denial.
const FINDINGS_MAX: usize = 20;

/// One decision, owned so that the writer's thread can mask and serialise it. Texts are cut to their bounds when it is
/// queued, so a line without objects stays below 60 KiB.
#[derive(Debug, Clone)]
pub struct Record {
    pub time: jiff::Timestamp,
    /// The id in the message, the audit annotation and `portcullis why`.
    pub decision_id: String,
    /// The uid of the AdmissionReview.
    pub uid: String,
    pub endpoint: Endpoint,
    pub operation: Operation,
    /// API group of the object; empty for core.
    pub group: String,
    pub kind: String,
    /// In kubectl notation, without the subresource: `pods`, `deployments.apps`.
    pub resource: String,
    pub subresource: String,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    pub namespace_kind: NamespaceKind,
    /// Empty with `generateName` and on a deletecollection.
    pub name: String,
    pub user: String,
    /// The first 32, then `…`.
    pub groups: Vec<String>,
    /// `platform`, `vela`, `tenant` and so on.
    pub requester_class: &'static str,
    /// Slugs of the requester's tenants; the first 32, then `…`.
    pub tenants: Vec<String>,
    pub verdict: Verdict,
    /// The status in the AdmissionReview response: 200, 403, 500, 503.
    pub code: u16,
    /// The policies whose outcome is not `pass`; at most 64.
    pub policies: Vec<PolicyOutcome>,
    /// At most 20.
    pub findings: Vec<Finding>,
    pub findings_omitted: u64,
    /// The exemptions that lifted a denial; at most 10.
    pub exemptions: Vec<Exemption>,
    pub warnings: u64,
    /// Bytes of the JSON patch; 0 without one.
    pub patch_bytes: u64,
    /// `<bundle sha8>/<snapshot revision>`, as in the audit annotation.
    pub revision: Arc<str>,
    /// Time from the last byte of the review to its response.
    pub duration_us: u64,
    pub dry_run: bool,
    /// Whether the caller showed a client certificate that `--client-ca` signed.
    pub peer_verified: bool,
    /// Set if [`logs_objects`](super::DecisionLog::logs_objects).
    pub objects: Option<Objects>,
}

#[derive(Debug, Clone)]
pub struct PolicyOutcome {
    pub id: Arc<str>,
    pub outcome: Outcome,
    /// `enforce`, `warn` or `audit`.
    pub mode: &'static str,
}

/// An exemption that lifted a denial.
#[derive(Debug, Clone)]
pub struct Exemption {
    pub id: Arc<str>,
    /// `exception` or `breakglass`.
    pub kind: &'static str,
}

/// A finding of a policy, unmasked; serialisation masks it.
#[derive(Debug, Clone)]
pub struct Finding {
    pub policy: Arc<str>,
    /// `spec.containers[0].image` or a JSON pointer; empty without one.
    pub field: String,
    /// At most 512 bytes.
    pub msg: String,
    /// At most 512 bytes.
    pub observed: Option<String>,
    /// JSON of at most 1,024 bytes.
    pub details: Option<String>,
}

/// The objects of a review as JSON text, unmasked; serialisation masks them. They are slices of the request's body.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    pub object: Option<Bytes>,
    pub old_object: Option<Bytes>,
    /// The objects were dropped, because the queue had no room for them.
    pub omitted: bool,
}

impl Record {
    /// Cuts texts and lists to their bounds.
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

    /// Approximate bytes of memory.
    pub(super) fn weight(&self) -> usize {
        let names =
            [&self.decision_id, &self.uid, &self.group, &self.kind, &self.resource, &self.subresource];
        let names = names.iter().map(|name| name.len()).sum::<usize>();
        let requester =
            [&self.namespace, &self.name, &self.user].into_iter().chain(&self.groups).chain(&self.tenants);
        let requester = requester.map(|name| name.len() + size_of::<String>()).sum::<usize>();
        let findings = self.findings.iter().map(Finding::weight).sum::<usize>();
        let policies = self.policies.len() * size_of::<PolicyOutcome>();
        let exemptions = self.exemptions.len() * size_of::<Exemption>();
        size_of::<Self>()
            + names
            + requester
            + findings
            + policies
            + exemptions
            + self.objects.as_ref().map_or(0, Objects::weight)
    }

    /// Drops the objects; false if there were none.
    pub(super) fn omit_objects(&mut self) -> bool {
        let some = self.objects.as_ref().is_some_and(|objects| objects.weight() > 0);
        if some {
            self.objects = Some(Objects { omitted: true, ..Objects::default() });
        }
        some
    }
}

impl Finding {
    /// Masks before it cuts: the mask cannot recognise a cut value, nor remove it from the message.
    fn bound(&mut self, kind: &str) {
        // The mask cannot resolve a path that is cut.
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

fn masked_details<'a>(kind: &str, field: &str, details: &'a str) -> Cow<'a, str> {
    let masked = mask::mask_details(kind, field, details);
    // A masked value may be longer than the original.
    if masked.len() > DETAILS_MAX { mask::digest(details.as_bytes()).to_string().into() } else { masked }
}

/// Cuts at a character boundary and appends `…`.
fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("time", &format_args!("{:.6}", self.time))?;
        line.serialize_entry("decision_id", &self.decision_id)?;
        line.serialize_entry("uid", &self.uid)?;
        line.serialize_entry("endpoint", &self.endpoint)?;
        line.serialize_entry("operation", &self.operation)?;
        line.serialize_entry("group", &self.group)?;
        line.serialize_entry("kind", &self.kind)?;
        line.serialize_entry("resource", &self.resource)?;
        line.serialize_entry("subresource", &self.subresource)?;
        line.serialize_entry("namespace", &self.namespace)?;
        line.serialize_entry("namespace_kind", &self.namespace_kind)?;
        line.serialize_entry("name", &self.name)?;
        line.serialize_entry("user", &self.user)?;
        line.serialize_entry("groups", &self.groups)?;
        line.serialize_entry("requester_class", self.requester_class)?;
        line.serialize_entry("tenants", &self.tenants)?;
        line.serialize_entry("verdict", &self.verdict)?;
        line.serialize_entry("code", &self.code)?;
        line.serialize_entry("policies", &self.policies)?;
        let findings = self.findings.iter().map(|finding| MaskedFinding { kind: &self.kind, finding });
        line.serialize_entry("findings", &findings.collect::<Vec<_>>())?;
        line.serialize_entry("findings_omitted", &self.findings_omitted)?;
        line.serialize_entry("exemptions", &self.exemptions)?;
        line.serialize_entry("warnings", &self.warnings)?;
        line.serialize_entry("patch_bytes", &self.patch_bytes)?;
        line.serialize_entry("revision", &*self.revision)?;
        line.serialize_entry("duration_us", &self.duration_us)?;
        line.serialize_entry("dry_run", &self.dry_run)?;
        line.serialize_entry("peer_verified", &self.peer_verified)?;
        if let Some(objects) = &self.objects {
            for (name, text) in [("object", &objects.object), ("old_object", &objects.old_object)] {
                if let Some(text) = text {
                    line.serialize_entry(name, &masked(&self.group, &self.kind, text))?;
                }
            }
            if objects.omitted {
                line.serialize_entry("objects_omitted", &true)?;
            }
        }
        line.end()
    }
}

/// Text that does not parse is masked whole, because it may hold a secret.
fn masked(group: &str, kind: &str, text: &[u8]) -> Value {
    match serde_json::from_slice(text) {
        Ok(mut object) => {
            mask::mask_object(group, kind, &mut object);
            object
        }
        Err(_) => mask::digest(text),
    }
}

impl Serialize for PolicyOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("id", &*self.id)?;
        map.serialize_entry("outcome", &self.outcome)?;
        map.serialize_entry("mode", self.mode)?;
        map.end()
    }
}

impl Serialize for Exemption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &*self.id)?;
        map.serialize_entry("kind", self.kind)?;
        map.end()
    }
}

struct MaskedFinding<'a> {
    kind: &'a str,
    finding: &'a Finding,
}

impl Serialize for MaskedFinding<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Finding { policy, field, msg, observed, details } = self.finding;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("policy", &**policy)?;
        map.serialize_entry("field", field)?;
        let masked = observed.as_deref().map(|observed| mask::mask_observed(self.kind, field, observed));
        // A message may quote the observed value.
        let quoted =
            observed.as_deref().filter(|text| !text.is_empty() && matches!(masked, Some(Cow::Owned(_))));
        match quoted {
            Some(text) => map.serialize_entry("msg", &msg.replace(text, "***"))?,
            None => map.serialize_entry("msg", msg)?,
        }
        if let Some(masked) = masked {
            map.serialize_entry("observed", &masked)?;
        }
        if let Some(details) = details {
            let masked = masked_details(self.kind, field, details);
            match serde_json::from_str::<&RawValue>(&masked) {
                Ok(json) => map.serialize_entry("details", json)?,
                // Invalid details must not drop the line.
                Err(_) => map.serialize_entry("details", &mask::digest(details.as_bytes()))?,
            }
        }
        map.end()
    }
}
