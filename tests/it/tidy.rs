//! Rules that the compiler does not know: what a crate must not name, files and functions are short, what an operator can
//! see is documented, and nothing names the machine it was written on.

#![expect(clippy::string_slice, reason = "sources are cut where a search for ASCII has found something")]

mod retired; // words that are not used
mod rust; // sources without their comments and texts, imports, functions
mod words; // what the documents must say

use std::path::{Path, PathBuf};

use crate::support::root;
use rust::Source;

/// What a crate must not name, and the files of it that may. What a crate may import stands in its `Cargo.toml`.
const ABSENT: &[(&str, &[&str], &[&str])] = &[
    ("admission", &["axum"], &["src/admission/http.rs"]),
    ("admission", &["hyper", "tokio", "rustls", "std::fs", "std::net"], &[]),
    ("policy", &["std::net"], &[]),
    (
        "policy",
        &["std::fs"],
        &["src/policy/source.rs", "src/policy/source/dir.rs", "src/policy/source/last_good.rs"],
    ),
    ("access", &["std::net"], &[]),
    ("tenancy", &["std::fs"], &[]),
];

/// Crates that a member of the workspace must not depend on.
const UNKNOWN: &[(&str, &[&str])] = &[
    ("server", &["regorus", "sqlx", "kube"]),
    ("admission", &["regorus", "sqlx", "kube"]),
    ("rego", &["axum", "hyper", "sqlx", "kube", "rustls", "tokio"]),
    ("policy", &["regorus", "axum", "hyper", "sqlx", "kube", "rustls"]),
    ("api", &["regorus", "sqlx", "kube", "rustls", "hyper"]),
    ("cluster", &["axum", "sqlx", "regorus"]),
    ("store", &["axum", "kube", "regorus"]),
    ("access", &["axum", "hyper", "sqlx", "kube", "regorus", "rustls"]),
    ("tenancy", &["axum", "hyper", "tokio", "sqlx", "kube", "regorus", "rustls", "tracing"]),
    ("strict-json", &["serde", "tokio"]),
];

/// Lines of a source file, and of a function from its first word to its last brace.
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer, with the reason; this list may only shrink.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Files that are longer, with the reason; this list may only shrink.
const LONG_FILES: &[(&str, &str)] = &[];

fn sources(dir: &str) -> Vec<Source> {
    files(&root().join(dir))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| Source::read(&path))
        .collect()
}

/// Every file of a directory that a person wrote, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let made = ["target", ".git", "corpus", "artifacts"];
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !made.contains(&name.as_str()) {
                open.push(path);
            } else if path.is_file()
                && !made.contains(&name.as_str())
                && path.extension().is_none_or(|e| e != "pem" && e != "new")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as people write it, from the root of the repository.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_do_not_depend_on_what_they_must_not_know() {
    let mut wrong = Vec::new();
    for (name, unknown) in UNKNOWN {
        let file = format!("src/{name}/Cargo.toml");
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let found =
            unknown.iter().filter(|other| text.lines().any(|line| line.starts_with(&format!("{other}."))));
        wrong.extend(found.map(|other| format!("{file}: `{name}` does not depend on `{other}`")));
    }
    none("crates that know too much", &wrong);
}

#[test]
fn cryptography_has_one_provider() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    // With two of them rustls cannot choose, and panics at the first connection.
    for name in ["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} came in; ring is what all of it uses");
    }
}

#[test]
fn crates_do_not_name_what_they_must_not_know() {
    let mut wrong = Vec::new();
    for (name, words, except) in ABSENT {
        for source in sources(&format!("src/{name}")) {
            if except.contains(&source.name.as_str()) {
                continue;
            }
            let found = words.iter().filter_map(|word| Some((source.line_of_path(word)?, word)));
            wrong.extend(
                found.map(|(line, word)| format!("{}:{line}: `{name}` knows no `{word}`", source.name)),
            );
        }
    }
    none("crates that know too much", &wrong);
}

#[test]
fn files_are_short() {
    let long = |source: &&Source| source.text.lines().count() > FILE_LINES_MAX;
    let known = |source: &&Source| LONG_FILES.iter().any(|(file, _)| *file == source.name);
    let all = sources("src");
    let wrong = all
        .iter()
        .filter(long)
        .filter(|s| !known(s))
        .map(|s| format!("{}: {} lines", s.name, s.text.lines().count()));
    none(&format!("files of more than {FILE_LINES_MAX} lines"), &wrong.collect::<Vec<_>>());
    let stale =
        LONG_FILES.iter().filter(|(file, _)| !all.iter().any(|source| source.name == *file && long(&source)));
    none(
        "files that are short now; take them off the list",
        &stale.map(|(file, _)| (*file).to_owned()).collect::<Vec<_>>(),
    );
}

#[test]
fn functions_are_short() {
    let long: Vec<(String, String, usize)> = sources("src")
        .iter()
        .flat_map(|source| {
            source.functions().into_iter().map(|(name, lines)| (source.name.clone(), name, lines))
        })
        .filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX)
        .collect();
    let known = |file: &str, name: &str| LONG_FUNCTIONS.iter().any(|(f, n, _)| *f == file && *n == name);
    let wrong = long.iter().filter(|(file, name, _)| !known(file, name));
    none(
        &format!("functions of more than {FUNCTION_LINES_MAX} lines"),
        &wrong.map(|(f, n, l)| format!("{f}: `{n}`: {l} lines")).collect::<Vec<_>>(),
    );
    let stale =
        LONG_FUNCTIONS.iter().filter(|(file, name, _)| !long.iter().any(|(f, n, _)| f == file && n == name));
    none(
        "functions that are short now; take them off the list",
        &stale.map(|(f, n, _)| format!("{f}: `{n}`")).collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_is_waved_through_or_left_for_later() {
    let mut wrong = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests/it")).chain(sources("benches")) {
        for word in ["#[allow(", "#![allow(", "todo!(", "unimplemented!("] {
            wrong.extend(source.lines_with(word).map(|line| format!("{}:{line}: `{word}…`", source.name)));
        }
    }
    none("exceptions carry a reason (`#[expect(…, reason = \"…\")]`), and nothing is left to do", &wrong);
}

#[test]
fn every_dependency_has_a_reason() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (mut in_table, mut wrong) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_table = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_table
            && line.contains('=')
            && !line.starts_with('#')
            && !line.ends_with(".workspace = true")
            && !line.contains("{ path = ")
            && !line.rsplit(['}', '"']).next().is_some_and(|end| end.contains("# "))
        {
            wrong.push(format!("Cargo.toml:{}: {line}", number + 1));
        }
    }
    none("dependencies without a comment that says why", &wrong);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together, so that this file does not name them.
    let paths = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("file", ":///"),
    ];
    let hosts = ["mirror", "artifactory", "nexus", "goproxy"];
    let mut wrong = Vec::new();
    for path in files(root()) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let locked = path.ends_with("Cargo.lock");
        for (number, line) in text.lines().enumerate() {
            let path_named = paths.iter().any(|word| starts_path(line, word));
            let host_named = urls(line).any(|host| hosts.iter().any(|word| host.contains(word)));
            let elsewhere = locked
                && line.starts_with("source = ")
                && !line.contains("github.com/rust-lang/crates.io-index");
            if path_named || host_named || elsewhere {
                wrong.push(format!("{}:{}: {}", shown(&path), number + 1, line.trim()));
            }
        }
    }
    none("paths and hosts of one machine", &wrong);
}

/// Whether an absolute path in a line starts so; `src/work/` is none.
fn starts_path(line: &str, start: &str) -> bool {
    line.match_indices(start)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "}-_.$~".contains(c)))
}

/// The hosts of a line's addresses.
fn urls(line: &str) -> impl Iterator<Item = &str> {
    line.split("://").skip(1).filter_map(|rest| rest.split(['/', '"', ' ', ')', '>', '`']).next())
}
