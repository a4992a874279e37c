//! JSON: one document, or one object per line. `docs/cli.md` documents the fields.

use std::io::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Foot, Head, ScanFinding, ScannedObject, Sink};
use crate::cli::scan::tally::Counts;
use portcullis_policy::Details;

pub struct Json {
    lines: bool,
    begun: bool,
}

impl Json {
    pub const fn document() -> Self {
        Self { lines: false, begun: false }
    }

    pub const fn lines() -> Self {
        Self { lines: true, begun: false }
    }
}

/// Without a line or a baseline these fields are absent.
#[derive(Serialize)]
struct Finding<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    object: Value,
    namespace_kind: &'static str,
    tenant: Option<&'a str>,
    policy: &'a str,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    field: &'a str,
    msg: &'a str,
    observed: Option<&'a str>,
    allowed: &'a [String],
    fix: Option<&'a str>,
    details: Option<Value>,
    sentence: &'a str,
}

impl<'a> Finding<'a> {
    fn of(object: &'a ScannedObject, found: &'a ScanFinding) -> Self {
        Self {
            source: &object.source,
            line: Some(object.line).filter(|line| *line > 0),
            object: json!({
                "apiVersion": object.api_version,
                "kind": object.kind,
                "resource": object.resource,
                "namespace": object.namespace,
                "name": object.name,
            }),
            namespace_kind: object.place.as_str(),
            tenant: object.tenant.as_deref(),
            policy: &found.policy,
            level: found.level.as_str(),
            change: found.change.map(super::Change::as_str),
            field: &found.finding.field,
            msg: &found.finding.msg,
            observed: found.finding.observed.as_deref(),
            allowed: &found.finding.allowed,
            fix: found.finding.fix.as_deref(),
            details: found.finding.details.as_ref().map(Details::json),
            sentence: &found.sentence,
        }
    }
}

impl Sink for Json {
    fn begin(&mut self, out: &mut dyn Write, _: &Head<'_>) -> anyhow::Result<()> {
        if !self.lines {
            out.write_all(b"{\n\"findings\": [")?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        out: &mut dyn Write,
        object: &ScannedObject,
        findings: &[&ScanFinding],
    ) -> anyhow::Result<()> {
        for found in findings {
            let finding = Finding::of(object, found);
            if self.lines {
                serde_json::to_writer(&mut *out, &json!({"finding": finding}))?;
                out.write_all(b"\n")?;
                continue;
            }
            out.write_all(if self.begun { b",\n" } else { b"\n" })?;
            serde_json::to_writer(&mut *out, &finding)?;
            self.begun = true;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()> {
        if self.lines {
            for unjudged in &foot.tally.unjudged {
                serde_json::to_writer(&mut *out, &json!({"unjudged": unjudged}))?;
                out.write_all(b"\n")?;
            }
            serde_json::to_writer(&mut *out, &json!({"summary": summary(head, foot)}))?;
            return Ok(out.write_all(b"\n")?);
        }
        out.write_all(b"\n],\n\"unjudged\": ")?;
        serde_json::to_writer(&mut *out, &foot.tally.unjudged)?;
        out.write_all(b",\n\"summary\": ")?;
        serde_json::to_writer_pretty(&mut *out, &summary(head, foot))?;
        Ok(out.write_all(b"\n}\n")?)
    }
}

pub fn summary(head: &Head<'_>, foot: &Foot<'_>) -> Value {
    let tally = foot.tally;
    let policies: Vec<Value> = tally.policies.iter().map(|(id, counts)| policy(head, id, counts)).collect();
    json!({
        "started_at": head.started,
        "duration_ms": u64::try_from(foot.took.as_millis()).unwrap_or(u64::MAX),
        "policy_revision": head.policies.digest,
        "baseline_revision": head.baseline,
        "snapshot_revision": head.tenancy,
        "total": tally.total,
        "clean": tally.clean,
        "without_policy": tally.outside,
        "unjudged": tally.unjudged_count,
        "findings_left_out": foot.left_out,
        "skipped": {
            "other_files": tally.passed.other,
            "excluded": tally.passed.excluded,
            "hidden_or_linked_directories": tally.passed.hidden,
        },
        "assumed": tally.assumed,
        "policies": policies,
        "tenants": tally.tenants,
        "namespace_kinds": tally.places.iter().map(|(kind, counts)| (kind.as_str(), counts)).collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn policy(head: &Head<'_>, id: &str, counts: &Counts) -> Value {
    let manifest = head.policies.policy(id).map(|policy| &policy.manifest);
    json!({
        "policy": id,
        "title": manifest.map(|manifest| &manifest.title),
        "severity": manifest.map(|manifest| manifest.severity.as_str()),
        "counts": counts,
    })
}
