//! A report for people: a block an object, the verdict first.

use std::fmt::Write as _;

use anstyle::Style;
use serde_json::Value as Json;

use super::report::Report;
use crate::cli::output::{BAD, CARE, FAINT, GOOD, STRONG, count};
use portcullis_admission::verdict::clip;

/// Characters of a name that somebody else chose.
const NAME_MAX: usize = 253;
/// Characters of a value in a patch.
const VALUE_MAX: usize = 160;

/// One object.
pub fn block(report: &Report) -> String {
    let (style, word) = word(report);
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
    // The last line of a denial names the decision, which the foot of the block does here.
    for line in report.message.lines().filter(|line| !(report.code != 400 && line.starts_with("decision "))) {
        let _ = writeln!(text, "  {BAD}✗{BAD:#} {}", emphasised(line));
    }
    for failure in report.failures.iter().filter(|failure| !failure.denies) {
        let _ = writeln!(
            text,
            "  {CARE}!{CARE:#} {} failed and was passed over: {}",
            failure.policy,
            clip(&failure.message, 1000)
        );
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  {CARE}!{CARE:#} {}", emphasised(warning));
    }
    for finding in &report.audited {
        let _ = writeln!(
            text,
            "  {FAINT}recorded only: [{}] {}{FAINT:#}",
            finding.policy,
            clip(&finding.msg, 1000)
        );
    }
    for operation in &report.patch {
        let _ = writeln!(text, "  {}", change(operation));
    }
    let _ = writeln!(text, "  {FAINT}{}{FAINT:#}", foot(report));
    text.push('\n');
    text
}

/// The last line of a run over several objects.
pub fn summary(reports: &[Report]) -> String {
    let number = |word: &str| reports.iter().filter(|report| report.verdict == word).count();
    let (allowed, denied, failed) = (number("allow"), number("deny"), number("error"));
    format!("{}: {allowed} allowed, {denied} denied, {failed} failed\n", count(reports.len(), "object"))
}

fn word(report: &Report) -> (Style, &'static str) {
    match report.verdict {
        "allow" if report.warnings.is_empty() && report.failures.is_empty() => (GOOD, "ALLOW"),
        "allow" => (CARE, "WARN"),
        "deny" => (BAD, "DENY"),
        _ => (BAD, "ERROR"),
    }
}

/// `[policy-id]` in bold.
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
        [] if report.elsewhere => "asked a running gate".to_owned(),
        [] => "no policy applies here".to_owned(),
        asked => format!("asked {}", asked.join(", ")),
    });
    parts.push(format!("{} µs", report.duration_us));
    let named = [("decision", &report.decision_id), ("law", &report.revision)];
    parts.extend(
        named.iter().filter(|(_, value)| !value.is_empty()).map(|(what, value)| format!("{what} {value}")),
    );
    parts.join(" · ")
}

/// One operation of a patch, as a diff would show it.
fn change(operation: &Json) -> String {
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

/// A JSON pointer as people write it: `/metadata/labels/a.b~1c` → `metadata.labels["a.b/c"]`.
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
    use super::*;
    use serde_json::json;

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
            object: super::super::report::ObjectName {
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
        let expected = "DENY  Pod web in ns · CREATE by alice · pod.yaml, document 1\n  ✗ [a] spec: no\n  + metadata.labels: {}\n  asked a · 7 µs · decision 7 · law r/1\n\n";
        assert_eq!(plain, expected);
    }
}
