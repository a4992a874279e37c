//! `import rego.…` and `import future.…`, which name a version of the language and its keywords.

use serde_json::Value as Json;

use super::tree::{names, place};
use crate::module::Module;
use crate::problem::Problem;

/// Imports that change nothing in Rego v1.
const IMPLIED: &[&str] = &[
    "rego.v1",
    "future.keywords.contains",
    "future.keywords.every",
    "future.keywords.if",
    "future.keywords.in",
];

/// Imports with which `not` holds where what stands behind it is undefined (OPA 1.22, `v1/ast/compile.go`).
const NEGATING: &[&str] = &["future.keywords", "future.keywords.not", "rego.v2"];

/// All keywords, `not` included. The engine refuses it beside `future.keywords.in` as a duplicate.
const ALL: &str = "future.keywords";
/// What replaces it in the text for the engine: it is shorter, so offsets do not change.
const WRITTEN: &str = "import rego.v2";

/// Whether an import changes how `not` reads.
pub(super) fn negates(path: &[String]) -> bool {
    NEGATING.contains(&path.join(".").as_str())
}

/// Blanks the imports that change nothing here, since the engine refuses two that name one keyword. Offsets do not
/// change.
///
/// # Errors
/// One of them stands twice, or names what is not known.
pub(super) fn blanked(module: &Module) -> Result<String, Problem> {
    let mut text = String::with_capacity(module.text.len());
    let mut seen: Vec<&str> = Vec::new();
    let mut head = true;
    for (at, line) in module.text.split_inclusive('\n').enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        let mut words = code.split_whitespace();
        let (first, path) = (words.next(), words.next().unwrap_or_default());
        // Imports stand before rules; below the first rule, such a line is part of a raw string.
        head &= matches!(first, None | Some("package" | "import"));
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let ours = path.starts_with("rego.") || path.starts_with("future.");
        if !head || first != Some("import") || !ours || (NEGATING.contains(&path) && path != ALL) {
            text.push_str(line);
            continue;
        }
        if !IMPLIED.contains(&path) && path != ALL {
            return Err(unknown(module, (number, 1), path));
        }
        match words.next() {
            Some("as") => return Err(named(module, (number, 1), path)),
            Some(_) => {
                text.push_str(line);
                continue;
            }
            None if seen.contains(&path) => {
                let twice = format!("`import {path}` stands twice: leave one out");
                return Err(Problem::at(&module.path, number, 1, twice));
            }
            None => {}
        }
        seen.push(path);
        let width = code.trim_end().len();
        let written = if path == ALL { WRITTEN } else { "" };
        text.push_str(written);
        text.push_str(&" ".repeat(width.saturating_sub(written.len())));
        text.push_str(line.get(code.trim_end().len()..).unwrap_or_default());
    }
    Ok(text)
}

/// Refuses the imports of versions and keywords that are not known.
///
/// # Errors
/// The first of them, at its place.
pub(super) fn check(module: &Module, ast: &Json) -> Result<(), Problem> {
    for import in ast.get("imports").and_then(Json::as_array).into_iter().flatten() {
        let Some(path) = import.get("refr").and_then(names) else { continue };
        if !matches!(path.first().map(String::as_str), Some("rego" | "future")) {
            continue;
        }
        let path = path.join(".");
        let (line, column) = place(import);
        if import.get("as").is_some_and(|alias| !alias.is_null()) {
            return Err(named(module, (line, column), &path));
        }
        if ![IMPLIED, NEGATING].concat().contains(&path.as_str()) {
            return Err(unknown(module, (line, column), &path));
        }
    }
    Ok(())
}

fn named(module: &Module, (line, column): (u32, u32), path: &str) -> Problem {
    let what = format!("`import {path}` cannot have another name: leave `as …` out");
    Problem::at(&module.path, line, column, what)
}

fn unknown(module: &Module, (line, column): (u32, u32), path: &str) -> Problem {
    let known = [IMPLIED, NEGATING].concat().join(", ");
    Problem::at(&module.path, line, column, format!("`import {path}` is not known here; what is: {known}"))
}
