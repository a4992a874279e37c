//! SARIF 2.1.0 for code scanning: one rule per policy, one result per finding. Results are streamed, so the rules come
//! first.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Change, Foot, Head, Level, ScanFinding, ScannedObject, Sink};
use portcullis_policy::{Details, Manifest, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The rule for objects that the gate could not evaluate.
const GATE: &str = "portcullis";

/// Index of each rule.
#[derive(Default)]
pub struct Sarif {
    rules: BTreeMap<String, usize>,
    begun: bool,
}

impl Sink for Sarif {
    fn begin(&mut self, out: &mut dyn Write, head: &Head<'_>) -> anyhow::Result<()> {
        let mut rules: Vec<Value> =
            head.policies.policies.iter().map(|policy| rule(&policy.manifest)).collect();
        rules.push(json!({
            "id": GATE,
            "name": GATE,
            "shortDescription": {"text": "The gate could not evaluate the object"},
            "defaultConfiguration": {"level": "error"},
        }));
        let id = |rule: &Value| rule.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.rules = rules.iter().enumerate().map(|(at, rule)| (id(rule), at)).collect();
        let driver = json!({
            "name": "Portcullis",
            "version": crate::cli::VERSION,
            "semanticVersion": crate::cli::VERSION,
            "informationUri": env!("CARGO_PKG_REPOSITORY"),
            "rules": rules,
        });
        writeln!(out, "{{\"$schema\":\"{SCHEMA}\",\"version\":\"2.1.0\",\"runs\":[{{")?;
        writeln!(out, "\"tool\":{},", json!({"driver": driver}))?;
        write!(out, "\"columnKind\":\"utf16CodeUnits\",\n\"results\":[")?;
        Ok(())
    }

    fn object(
        &mut self,
        out: &mut dyn Write,
        object: &ScannedObject,
        findings: &[&ScanFinding],
    ) -> anyhow::Result<()> {
        for found in findings {
            out.write_all(if self.begun { b",\n" } else { b"\n" })?;
            serde_json::to_writer(&mut *out, &self.result(object, found))?;
            self.begun = true;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write, head: &Head<'_>, foot: &Foot<'_>) -> anyhow::Result<()> {
        let unjudged = foot.tally.unjudged.iter().map(|one| {
            let mut notice =
                json!({"level": "error", "message": {"text": format!("not evaluated: {}", one.reason)}});
            put(&mut notice, "locations", physical(&one.source, one.line).map(|at| json!([at])));
            notice
        });
        let invocation = json!({
            "executionSuccessful": foot.tally.unjudged_count == 0,
            "startTimeUtc": head.started,
            "toolExecutionNotifications": unjudged.collect::<Vec<_>>(),
        });
        let properties = super::json::summary(head, foot);
        writeln!(
            out,
            "\n],\n\"invocations\":[{invocation}],\n\"properties\":{{\"summary\":{properties}}}\n}}]}}"
        )?;
        Ok(())
    }
}

impl Sarif {
    fn result(&self, object: &ScannedObject, found: &ScanFinding) -> Value {
        let id = if found.policy.is_empty() { GATE } else { &found.policy };
        let level = match found.level {
            Level::Deny | Level::Error => "error",
            Level::Warn => "warning",
            Level::Audit | Level::Unattributed => "note",
        };
        let mut location = physical(&object.source, object.line).unwrap_or_else(|| json!({}));
        let logical = json!([{"fullyQualifiedName": object.path(), "name": object.name, "kind": "resource"}]);
        put(&mut location, "logicalLocations", Some(logical));
        let mut result = json!({
            "ruleId": id,
            "level": level,
            "message": {"text": found.sentence},
            "locations": [location],
            "partialFingerprints": {"portcullisFinding/v1": fingerprint(object, found)},
            "properties": {
                "level": found.level.as_str(),
                "tenant": object.tenant.as_deref(),
                "namespaceKind": object.place.as_str(),
                "field": found.finding.field,
            },
        });
        if let Some(properties) = result.get_mut("properties") {
            put(properties, "details", found.finding.details.as_ref().map(Details::json));
        }
        put(&mut result, "ruleIndex", self.rules.get(id).map(|at| (*at).into()));
        let state = found.change.map(|change| match change {
            Change::New => "new",
            Change::Same => "unchanged",
            Change::Resolved => "absent",
        });
        put(&mut result, "baselineState", state.map(Value::from));
        result
    }
}

fn put(object: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(key.to_owned(), value);
    }
}

fn rule(manifest: &Manifest) -> Value {
    // GitHub code scanning ranks by these numbers: critical from 9, high from 7, medium from 4.
    let (level, security) = match manifest.severity {
        Severity::Critical => ("error", "9.5"),
        Severity::High => ("error", "8.0"),
        Severity::Medium => ("warning", "5.5"),
        Severity::Low => ("note", "2.0"),
    };
    json!({
        "id": manifest.id,
        "name": manifest.id,
        "shortDescription": {"text": or(&manifest.title, &manifest.id)},
        "fullDescription": {"text": or(&manifest.description, or(&manifest.title, &manifest.id))},
        "help": {"text": or(&manifest.description, or(&manifest.title, &manifest.id))},
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["kubernetes", "admission", "security"], "security-severity": security, "severity": manifest.severity.as_str()},
    })
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

/// `None` for an object that came from no file.
fn physical(source: &str, line: usize) -> Option<Value> {
    if source == "-" || source == crate::cli::scan::CLUSTER {
        return None;
    }
    let mut place = json!({"artifactLocation": {"uri": uri(source)}});
    put(&mut place, "region", (line > 0).then(|| json!({"startLine": line})));
    Some(json!({"physicalLocation": place}))
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.strip_prefix("./").unwrap_or(path).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

/// Identifies a finding of an object independently of its line.
fn fingerprint(object: &ScannedObject, found: &ScanFinding) -> String {
    let observed = found.finding.observed.as_deref().unwrap_or_default();
    let parts =
        [&found.policy, &object.namespace, &object.resource, &object.name, &found.finding.field, observed];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}
