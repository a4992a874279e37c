//! Words that the project no longer uses, so that a reader finds what the field calls it.

use super::{files, none, shown};
use crate::support::root;

/// Names of earlier flags, metrics, alerts and types: nowhere.
const NAMES: &[&str] = &[
    concat!("portcullis_", "leave_used_total"),
    concat!("portcullis_", "registration_mended_total"),
    concat!("portcullis_", "registration_drift"),
    concat!("portcullis_", "cluster_disagreement"),
    concat!("portcullis_", "snapshot_kept_total"),
    concat!("portcullis_", "shed_total"),
    concat!("--keep-", "registration"),
    concat!("--probe-", "registration"),
    concat!("--tls-authority", "-life"),
    concat!("--api-", "plain"),
    concat!("--stale-", "after"),
    concat!("Law", "Diff"),
];

/// Words of prose and identifiers, in `src`, `docs` and the chart.
const WORDS: &[&str] = &[
    "law", "laws", "whoever", "nobody", "somebody", "likewise", "mend", "mended", "vouches", "closet",
    "closets", "court",
];

/// Files that tell what was.
const HISTORY: &[&str] = &["CHANGELOG.md", "docs/decisions.md", "docs/proof.md"];

#[test]
fn retired_words_do_not_come_back() {
    let mut wrong = Vec::new();
    for dir in ["src", "policies", "docs", "charts", "deploy", "tests/it"] {
        for path in files(&root().join(dir)) {
            let name = shown(&path);
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            if HISTORY.contains(&name.as_str()) || name.ends_with("tidy/retired.rs") {
                continue;
            }
            let prose = !name.starts_with("tests/")
                && !name.contains("/tests")
                && !name.contains("_test.")
                && !name.contains("/migrations/");
            for (number, line) in text.lines().enumerate() {
                let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let retired =
                    words.map(str::to_lowercase).find(|word| prose && WORDS.contains(&word.as_str()));
                let named =
                    NAMES.iter().find(|retired| line.contains(**retired)).map(|name| (*name).to_owned());
                if let Some(word) = retired.or(named) {
                    wrong.push(format!("{name}:{}: `{word}`: {}", number + 1, line.trim()));
                }
            }
        }
    }
    none("retired words", &wrong);
}
