//! Findings → text, within bounds, harmless in a terminal.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::verdict::{Failure, Named, Verdict};
use portcullis_policy::Finding;
use portcullis_telemetry::visible;

/// Findings spelt out; the rest is counted.
const FINDINGS_MAX: usize = 20;
/// Characters of an observed value, as it is shown.
const OBSERVED_MAX: usize = 200;
/// Bytes of the whole message; the API server passes it to every client and into the audit log.
const MESSAGE_BYTES_MAX: usize = 8192;
/// Characters of a warning, as the API conventions recommend; longer ones are cut by the API server when they add up.
const WARNING_MAX: usize = 120;
/// Warnings sent; beyond 4,096 characters in sum the API server cuts and drops.
const WARNINGS_MAX: usize = 20;
/// Characters of one line, so that twenty of them and the rest fit the whole.
const LINE_MAX: usize = 1000;
/// Entries of `allowed` spelt out.
const ALLOWED_MAX: usize = 8;

/// Policies that refuse a requester of another tenant; the last two refuse writes to the Namespace itself. What other
/// policies found tells of that tenant's settings, so it stands in the decision log alone once one of these denies.
const REFUSING: [&str; 5] = [
    "app-namespace-read-only",
    "sandbox-writers",
    "unregistered-namespace",
    "namespace-naming",
    "namespace-identity",
];

/// What of a verdict its requester may read.
struct Disclosed<'v> {
    denials: Vec<&'v Named>,
    failures: Vec<&'v Failure>,
    warnings: &'v [Named],
    dropped: &'v [(String, String)],
}

impl<'v> Disclosed<'v> {
    fn of(verdict: &'v Verdict) -> Self {
        let refusal = |named: &&Named| REFUSING.contains(&named.policy.as_str());
        let refused = verdict.foreign
            && (verdict.endpoint == super::Endpoint::Mutate
                || verdict.denials.iter().any(|named| refusal(&named)));
        if refused {
            let denials = verdict.denials.iter().filter(refusal).collect();
            return Self { denials, failures: Vec::new(), warnings: &[], dropped: &[] };
        }
        Self {
            denials: verdict.denials.iter().collect(),
            failures: once(&verdict.failures),
            warnings: &verdict.warnings,
            dropped: &verdict.dropped,
        }
    }

    fn denying(&self) -> impl Iterator<Item = &'v Failure> {
        self.failures.iter().copied().filter(|failure| failure.denies)
    }
}

/// Each failure once: a policy whose `deny` and `warn` fail alike is told of once.
fn once(failures: &[Failure]) -> Vec<&Failure> {
    let mut seen = HashSet::new();
    failures
        .iter()
        .filter(|failure| seen.insert((&failure.policy, &failure.message, failure.denies)))
        .collect()
}

/// Findings that are worded the same, whatever their policies and details; they are told once.
struct Told<'v>(Vec<&'v Named>);

impl<'v> Told<'v> {
    /// In the order in which each is found first.
    fn all(findings: impl IntoIterator<Item = &'v Named>) -> Vec<Self> {
        let mut places = HashMap::new();
        let mut all: Vec<Self> = Vec::new();
        for named in findings {
            let at = *places.entry(named.finding.worded()).or_insert(all.len());
            match all.get_mut(at) {
                Some(told) => told.0.push(named),
                None => all.push(Self(vec![named])),
            }
        }
        all
    }

    fn line(&self) -> String {
        let mut policies: Vec<&str> = self.0.iter().map(|named| named.policy.as_str()).collect();
        policies.dedup();
        self.0.first().map(|named| spelt(&policies.join(", "), &named.finding)).unwrap_or_default()
    }
}

/// One finding on one line: `[policy] field: "observed" msg (allowed: a, b); fix: do this`.
pub fn line(named: &Named) -> String {
    spelt(&named.policy, &named.finding)
}

fn spelt(policies: &str, finding: &Finding) -> String {
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

/// One of our own failures on one line.
pub fn failure_line(failure: &Failure) -> String {
    let message = clean(&failure.message, LINE_MAX);
    match failure.policy.as_str() {
        "" => message,
        policy => format!("[{policy}] could not be evaluated ({}): {message}", failure.reason),
    }
}

/// The message of a denial: a line a finding, our own failures, the decision id once at the end.
pub fn denial(verdict: &Verdict) -> String {
    let mut text = String::new();
    let mut told = 0;
    for (_, line) in spelt_out(verdict) {
        text.push_str(&line);
        text.push('\n');
        told += 1;
    }
    let disclosed = Disclosed::of(verdict);
    let all = Told::all(disclosed.denials.iter().copied()).len() + disclosed.denying().count();
    if all > told {
        let _ = writeln!(text, "and {} more", all - told);
    }
    let _ = write!(text, "decision {}", verdict.decision_id);
    text
}

/// The lines of a denial that fit, with the findings that each tells; a failure tells none.
fn spelt_out(verdict: &Verdict) -> Vec<(Vec<&Named>, String)> {
    let mut room = MESSAGE_BYTES_MAX.saturating_sub(verdict.decision_id.len() + 100);
    let disclosed = Disclosed::of(verdict);
    let findings = Told::all(disclosed.denials.iter().copied()).into_iter().map(|told| {
        let line = told.line();
        (told.0, line)
    });
    findings
        .chain(disclosed.denying().map(|failure| (Vec::new(), failure_line(failure))))
        .filter(|(_, line)| match room.checked_sub(line.len() + 1) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        })
        .take(FINDINGS_MAX)
        .collect()
}

/// The findings that [`denial`] spells out, for `status.details.causes`: there each policy has its own.
pub fn told(verdict: &Verdict) -> impl Iterator<Item = &Named> {
    spelt_out(verdict).into_iter().flat_map(|(told, _)| told).take(FINDINGS_MAX)
}

/// Warnings: a line each, cleaned, cut, each once.
pub fn warnings(verdict: &Verdict) -> Vec<String> {
    let disclosed = Disclosed::of(verdict);
    let mut lines: Vec<String> = Told::all(disclosed.warnings).iter().map(Told::line).collect();
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

/// Text that somebody else wrote, made harmless: control and bidirectional characters are escaped, and it ends after
/// `max` characters as it is shown. A newline would forge a finding, a right-to-left override would turn one round
/// (CVE-2021-42574).
pub fn clean(text: &str, max: usize) -> String {
    if text.len() <= max && text.chars().all(visible::is_harmless) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut room = max;
    for c in text.chars() {
        let harmless = visible::is_harmless(c);
        let Some(left) = room.checked_sub(if harmless { 1 } else { c.escape_unicode().len() }) else {
            // Half an escape would read as something else.
            out.push('…');
            break;
        };
        room = left;
        if harmless {
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
