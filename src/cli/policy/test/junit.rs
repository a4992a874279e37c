//! JUnit's XML, as CI servers read it: a suite a file.

use std::fmt::Write as _;

use super::{Outcome, Summary};

/// The document.
pub(super) fn document(summary: &Summary) -> String {
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
            escape(&first.file),
            suite.len()
        );
        for outcome in suite {
            text.push_str(&case(outcome));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(outcome: &Outcome) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
        escape(&outcome.file),
        escape(&outcome.id),
        outcome.took.as_secs_f64()
    );
    if outcome.wrong.is_empty() {
        return format!("{head}/>\n");
    }
    let lines: Vec<&str> = outcome.wrong.iter().chain(&outcome.prints).map(String::as_str).collect();
    let first = lines.first().copied().unwrap_or_default().lines().next().unwrap_or_default();
    format!(
        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
        escape(first),
        escape(&lines.join("\n"))
    )
}

/// XML has no way to write most control characters, not even as references.
fn escape(text: &str) -> String {
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
