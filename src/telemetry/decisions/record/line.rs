//! One decision, as it is written.
//!
//! By hand rather than derived, so that there is no way to serialise a record unmasked.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Exemption, Finding, PolicyOutcome, Record};
use crate::mask;

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

/// What cannot be read is masked whole: nobody can say what is in it.
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
        // A message may quote what was observed.
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
            let masked = super::masked_details(self.kind, field, details);
            match serde_json::from_str::<&RawValue>(&masked) {
                Ok(json) => map.serialize_entry("details", json)?,
                // Details that are no JSON must not cost the line.
                Err(_) => map.serialize_entry("details", &mask::digest(details.as_bytes()))?,
            }
        }
        map.end()
    }
}
