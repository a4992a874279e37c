//! Writes findings and failures as text of bounded length, without control characters.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::verdict::{Failure, Named, Verdict};
use portcullis_policy::Finding;
use portcullis_telemetry::escape;

/// The findings in a message; further ones are counted.
const FINDINGS_MAX: usize = 20;
/// The characters of an observed value.
const OBSERVED_MAX: usize = 200;
/// The bytes of a message; the API server passes it to the client and into the audit log.
const MESSAGE_BYTES_MAX: usize = 8192;
/// The characters of a warning, as the API conventions recommend.
const WARNING_MAX: usize = 120;
/// The warnings of a response; beyond 4,096 characters in sum the API server truncates and drops them.
const WARNINGS_MAX: usize = 20;
/// The characters of one line.
const LINE_MAX: usize = 1000;
/// The entries of `allowed` in a line; further ones are counted.
const ALLOWED_MAX: usize = 8;

/// The policies that deny requesters of another tenant; the last two deny writes to the Namespace itself. Once one of them
/// denies, findings of other policies are only logged, because they disclose that tenant's settings.
const CROSS_TENANT_POLICIES: [&str; 5] = [
    "app-namespace-read-only",
    "sandbox-writers",
    "unregistered-namespace",
    "namespace-naming",
    "namespace-identity",
];

/// The part of a verdict that the requester may read.
struct Disclosed<'v> {
    denials: Vec<&'v Named>,
    failures: Vec<&'v Failure>,
    warnings: &'v [Named],
    dropped: &'v [(String, String)],
}

impl<'v> Disclosed<'v> {
    fn of(verdict: &'v Verdict) -> Self {
        let cross_tenant = |named: &&Named| CROSS_TENANT_POLICIES.contains(&named.policy.as_str());
        let restricted = verdict.foreign
            && (verdict.endpoint == super::Endpoint::Mutate
                || verdict.denials.iter().any(|named| cross_tenant(&named)));
        if restricted {
            let denials = verdict.denials.iter().filter(cross_tenant).collect();
            return Self { denials, failures: Vec::new(), warnings: &[], dropped: &[] };
        }
        Self {
            denials: verdict.denials.iter().collect(),
            failures: distinct(&verdict.failures),
            warnings: &verdict.warnings,
            dropped: &verdict.dropped,
        }
    }

    fn denying(&self) -> impl Iterator<Item = &'v Failure> {
        self.failures.iter().copied().filter(|failure| failure.denies)
    }
}

/// Each failure once: `deny` and `warn` of a policy often fail alike.
fn distinct(failures: &[Failure]) -> Vec<&Failure> {
    let mut seen = HashSet::new();
    failures
        .iter()
        .filter(|failure| seen.insert((&failure.policy, &failure.message, failure.denies)))
        .collect()
}

/// Findings with the same text, of one or several policies. They share a line.
struct SameFinding<'v>(Vec<&'v Named>);

impl<'v> SameFinding<'v> {
    /// Groups findings, in the order of the first of each group.
    fn group(findings: impl IntoIterator<Item = &'v Named>) -> Vec<Self> {
        let mut index = HashMap::new();
        let mut all: Vec<Self> = Vec::new();
        for named in findings {
            let at = *index.entry(named.finding.text()).or_insert(all.len());
            match all.get_mut(at) {
                Some(group) => group.0.push(named),
                None => all.push(Self(vec![named])),
            }
        }
        all
    }

    fn line(&self) -> String {
        let mut policies: Vec<&str> = self.0.iter().map(|named| named.policy.as_str()).collect();
        policies.dedup();
        self.0.first().map(|named| finding_line(&policies.join(", "), &named.finding)).unwrap_or_default()
    }
}

/// One finding on one line: `[policy] field: "observed" msg (allowed: a, b); fix: do this`.
pub fn line(named: &Named) -> String {
    finding_line(&named.policy, &named.finding)
}

fn finding_line(policies: &str, finding: &Finding) -> String {
    let mut line = format!("[{policies}] ");
    if !finding.field.is_empty() {
        line.push_str(&clean(&finding.field, OBSERVED_MAX));
        line.push_str(": ");
    }
    if let Some(observed) = &finding.observed {
        line.push('"');
        line.push_str(&clean(observed, OBSERVED_MAX));
        line.push_str("\" ");
    }
    line.push_str(&clean(&finding.msg, LINE_MAX));
    if !finding.allowed.is_empty() {
        line.push_str(" (allowed: ");
        line.push_str(&allowed(&finding.allowed, finding.allowed_omitted));
        line.push(')');
    }
    if let Some(fix) = &finding.fix {
        line.push_str("; fix: ");
        line.push_str(&clean(fix, LINE_MAX));
    }
    cut(line, LINE_MAX)
}

fn allowed(entries: &[String], omitted: usize) -> String {
    let mut text = entries
        .iter()
        .take(ALLOWED_MAX)
        .map(|entry| clean(entry, OBSERVED_MAX))
        .collect::<Vec<_>>()
        .join(", ");
    let more = entries.len().saturating_sub(ALLOWED_MAX) + omitted;
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// One failure on one line.
pub fn failure_line(failure: &Failure) -> String {
    let message = clean(&failure.message, LINE_MAX);
    match failure.policy.as_str() {
        "" => message,
        policy => format!("[{policy}] could not be evaluated ({}): {message}", failure.reason),
    }
}

/// The message of a denial: a line for each finding and failure, and the decision id.
pub fn denial(verdict: &Verdict) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for (_, line) in denial_lines(verdict) {
        text.push_str(&line);
        text.push('\n');
        shown += 1;
    }
    let disclosed = Disclosed::of(verdict);
    let all = SameFinding::group(disclosed.denials.iter().copied()).len() + disclosed.denying().count();
    if all > shown {
        let _ = writeln!(text, "and {} more", all - shown);
    }
    let _ = write!(text, "decision {}", verdict.decision_id);
    text
}

/// The lines of a denial that fit into the message, each with its findings.
fn denial_lines(verdict: &Verdict) -> Vec<(Vec<&Named>, String)> {
    let mut left = MESSAGE_BYTES_MAX.saturating_sub(verdict.decision_id.len() + 100);
    let disclosed = Disclosed::of(verdict);
    let findings = SameFinding::group(disclosed.denials.iter().copied()).into_iter().map(|group| {
        let line = group.line();
        (group.0, line)
    });
    findings
        .chain(disclosed.denying().map(|failure| (Vec::new(), failure_line(failure))))
        .filter(|(_, line)| match left.checked_sub(line.len() + 1) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
        .take(FINDINGS_MAX)
        .collect()
}

/// The findings in the message of [`denial`], one for each policy, for `status.details.causes`.
pub fn denial_findings(verdict: &Verdict) -> impl Iterator<Item = &Named> {
    denial_lines(verdict).into_iter().flat_map(|(findings, _)| findings).take(FINDINGS_MAX)
}

/// The warnings of a response, each once.
pub(crate) fn warnings(verdict: &Verdict) -> Vec<String> {
    let disclosed = Disclosed::of(verdict);
    let mut lines: Vec<String> =
        SameFinding::group(disclosed.warnings).iter().map(SameFinding::line).collect();
    if verdict.endpoint == super::Endpoint::Mutate {
        lines.extend(
            disclosed.failures.iter().map(|failure| format!("no patch was made: {}", failure_line(failure))),
        );
        lines.extend(
            disclosed.dropped.iter().map(|(policy, why)| format!("the patch of {policy} was dropped: {why}")),
        );
    }
    let mut warnings: Vec<String> = Vec::new();
    for line in lines {
        let line = cut(clean(&line, LINE_MAX), WARNING_MAX);
        if !warnings.contains(&line) && warnings.len() < WARNINGS_MAX {
            warnings.push(line);
        }
    }
    warnings
}

/// Untrusted text with control and bidirectional characters escaped, truncated to `max` characters. A newline could forge
/// a finding, and a right-to-left override reverse one (CVE-2021-42574).
pub fn clean(text: &str, max: usize) -> String {
    if text.len() <= max && text.chars().all(escape::is_visible) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut left = max;
    for c in text.chars() {
        let visible = escape::is_visible(c);
        let Some(rest) = left.checked_sub(if visible { 1 } else { c.escape_unicode().len() }) else {
            // Do not truncate within an escape.
            out.push('…');
            break;
        };
        left = rest;
        if visible {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

fn cut(text: String, max: usize) -> String {
    if text.chars().count() <= max {
        return text;
    }
    let mut short: String = text.chars().take(max - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
