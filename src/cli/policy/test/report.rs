//! The result of `policy test` as text, JSON and JUnit XML.

use std::fmt::Write as _;

use serde_json::json;

use super::{Outcome, Summary};
use crate::cli::output::{self, BAD, CARE, FAINT, GOOD, STRONG};

pub(super) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for outcome in summary.outcomes.iter().filter(|outcome| !outcome.wrong.is_empty()) {
        text.push_str(&failure(outcome));
    }
    let mut table = output::table(&["policy", "cases", "denied", "matched", "rego tests"]);
    for (id, count) in summary.tally.iter() {
        table.add_row([
            id.to_owned(),
            count.asked.to_string(),
            count.denied.to_string(),
            count.matched.to_string(),
            count.tests.to_string(),
        ]);
    }
    text.push_str(&output::lines(&table));
    let untested = summary.tally.untested();
    if !untested.is_empty() {
        let _ = writeln!(text, "\n{CARE}no test makes these match:{CARE:#} {}", untested.join(", "));
    }
    let tests = output::count(summary.outcomes.len(), "test");
    let _ = writeln!(text, "\n{FAINT}{tests} in {:.2} s{FAINT:#}", summary.took.as_secs_f64());
    text.push_str(&total(summary));
    text
}

fn total(summary: &Summary) -> String {
    let failed = summary.failed();
    let style = if failed > 0 || summary.outcomes.is_empty() { BAD } else { GOOD };
    format!("{style}{} passed, {failed} failed{style:#}\n", summary.outcomes.len() - failed)
}

fn failure(outcome: &Outcome) -> String {
    let mut text =
        format!("{BAD}FAIL{BAD:#} {STRONG}{}{STRONG:#} {FAINT}{}{FAINT:#}\n", outcome.id, outcome.file);
    if !outcome.why.is_empty() {
        let _ = writeln!(text, "     why: {}", outcome.why);
    }
    let lines = outcome.wrong.iter().flat_map(|wrong| wrong.lines());
    for line in lines {
        let _ = writeln!(text, "     {line}");
    }
    for line in &outcome.prints {
        let _ = writeln!(text, "     print: {line}");
    }
    text.push('\n');
    text
}

pub(super) fn plain(summary: &Summary) -> String {
    let mut text = String::new();
    for outcome in &summary.outcomes {
        let word = if outcome.wrong.is_empty() { "ok" } else { "FAIL" };
        let wrong = outcome.wrong.join("; ").replace('\n', " ");
        let _ = writeln!(text, "{}", format!("{word} {} {} {wrong}", outcome.file, outcome.id).trim_end());
    }
    text.push_str(&total(summary));
    text
}

pub(super) fn document(summary: &Summary) -> serde_json::Value {
    let test = |outcome: &Outcome| {
        json!({
            "file": outcome.file, "id": outcome.id, "why": outcome.why, "passed": outcome.wrong.is_empty(), "wrong": outcome.wrong,
            "prints": outcome.prints, "duration_us": u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
        })
    };
    let policies = summary.tally.iter().map(|(id, count)| {
        json!({"id": id, "evaluated": count.asked, "denied": count.denied, "matched": count.matched, "rego_tests": count.tests})
    });
    json!({
        "passed": summary.outcomes.len() - summary.failed(),
        "failed": summary.failed(),
        "duration_ms": u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
        "tests": summary.outcomes.iter().map(test).collect::<Vec<_>>(),
        "policies": policies.collect::<Vec<_>>(),
        "untested": summary.tally.untested(),
    })
}

pub(super) fn junit(summary: &Summary) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"portcullis\" tests=\"{}\" failures=\"{}\" time=\"{:.3}\">\n",
        summary.outcomes.len(),
        summary.failed(),
        summary.took.as_secs_f64()
    );
    for suite in summary.outcomes.chunk_by(|a, b| a.file == b.file) {
        let Some(first) = suite.first() else { continue };
        let failures = suite.iter().filter(|outcome| !outcome.wrong.is_empty()).count();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
            escape_xml(&first.file),
            suite.len()
        );
        for outcome in suite {
            text.push_str(&junit_case(outcome));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn junit_case(outcome: &Outcome) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
        escape_xml(&outcome.file),
        escape_xml(&outcome.id),
        outcome.took.as_secs_f64()
    );
    if outcome.wrong.is_empty() {
        return format!("{head}/>\n");
    }
    let lines: Vec<&str> = outcome.wrong.iter().chain(&outcome.prints).map(String::as_str).collect();
    let first = lines.first().copied().unwrap_or_default().lines().next().unwrap_or_default();
    format!(
        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
        escape_xml(first),
        escape_xml(&lines.join("\n"))
    )
}

/// XML cannot represent most control characters, not even as references.
fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
