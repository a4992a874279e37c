//! The examples of `docs/cases.md` are run, not read.

use serde_json::Value as Json;

use super::run::Place;
use crate::support::root;

/// The first fenced block of a language after a line that holds `after`.
fn block(text: &str, after: &str, language: &str) -> String {
    let start = text.find(after).unwrap_or_else(|| panic!("docs/cases.md has no `{after}`"));
    let fence = format!("```{language}\n");
    let begin = start + text[start..].find(&fence).unwrap() + fence.len();
    let end = begin + text[begin..].find("```").unwrap();
    text[begin..end].to_owned()
}

fn doc() -> String {
    std::fs::read_to_string(root().join("docs/cases.md")).unwrap()
}

#[test]
fn the_cases_pass() {
    let place = Place::new();
    place.write("cases/doc.yaml", &block(&doc(), "## A file of cases", "yaml"));
    let library = root().join("policies").display().to_string();
    let told = place.run(&["policy", "test", &library, "--cases", "cases", "--filter", "doc/*"], 0);
    assert!(told.ends_with("4 passed, 0 failed\n"), "{told}");
}

#[test]
fn review_prints_what_is_shown() {
    let place = Place::new();
    let text = doc();
    place.run(&["policy", "new", "no-latest-tag"], 0);
    place.write("pod.yaml", &block(&text, "## What `review --output json` prints", "yaml"));
    let printed = place.stdout(&[
        "review",
        "--policies",
        "policies",
        "--as",
        "acme-dev",
        "--output",
        "json",
        "pod.yaml",
    ]);
    let lines = place.stdout(&[
        "review",
        "--policies",
        "policies",
        "--as",
        "acme-dev",
        "--output",
        "ndjson",
        "pod.yaml",
    ]);
    let array: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!(plain(&serde_json::from_str(&lines).unwrap()), plain(&array[0]));
    let shown = block(&text, "<!-- review -->", "json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(
            root().join("docs/cases.md"),
            text.replace(&format!("```json\n{shown}```"), &format!("```json\n{printed}```")),
        )
        .unwrap();
        return;
    }
    assert_eq!(plain(&serde_json::from_str(&shown).unwrap()), plain(&array));
}

/// With what changes from run to run left out.
fn plain(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let changes =
                |key: &str| ["decision_id", "decision-id", "duration_us", "revision", "uid"].contains(&key);
            fields
                .iter()
                .map(|(key, value)| (key.clone(), if changes(key) { Json::Null } else { plain(value) }))
                .collect()
        }
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::String(text) => text
            .lines()
            .map(|line| if line.starts_with("decision ") { "decision" } else { line })
            .collect::<Vec<_>>()
            .join("\n")
            .into(),
        other => other.clone(),
    }
}
