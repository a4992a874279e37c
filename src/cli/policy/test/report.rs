//! What came of the tests, for people and for programs.

use std::fmt::Write as _;

use serde_json::json;

use super::{Outcome, Summary};
use crate::cli::output::{self, BAD, CARE, FAINT, GOOD, STRONG};

/// Failures, what each policy was asked, and the numbers.
pub(super) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for outcome in summary.outcomes.iter().filter(|outcome| !outcome.wrong.is_empty()) {
        text.push_str(&failure(outcome));
    }
    let mut table = output::table(&["policy", "cases", "denied", "spoke", "rego tests"]);
    for (id, count) in summary.tally.iter() {
        table.add_row([
            id.to_owned(),
            count.asked.to_string(),
            count.denied.to_string(),
            count.spoke.to_string(),
            count.tests.to_string(),
        ]);
    }
    text.push_str(&output::lines(&table));
    let untested = summary.tally.untested();
    if !untested.is_empty() {
        let _ = writeln!(text, "\n{CARE}no test makes these speak:{CARE:#} {}", untested.join(", "));
    }
    let tests = output::count(summary.outcomes.len(), "test");
    let _ = writeln!(text, "\n{FAINT}{tests} in {:.2} s{FAINT:#}", summary.took.as_secs_f64());
    text.push_str(&total(summary));
    text
}

/// The last line.
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

/// One line a test.
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

/// One document.
pub(super) fn document(summary: &Summary) -> serde_json::Value {
    let test = |outcome: &Outcome| {
        json!({
            "file": outcome.file, "id": outcome.id, "why": outcome.why, "passed": outcome.wrong.is_empty(), "wrong": outcome.wrong,
            "prints": outcome.prints, "duration_us": u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
        })
    };
    let policies = summary.tally.iter().map(|(id, count)| {
        json!({"id": id, "evaluated": count.asked, "denied": count.denied, "spoke": count.spoke, "rego_tests": count.tests})
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
