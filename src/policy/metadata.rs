//! The `# METADATA` block: found in the comments, read strictly, with the line and column of what is wrong.

mod below;

use serde::Deserialize;
use serde_saphyr::Spanned;
use std::sync::Arc;
use std::time::Duration;

pub use self::below::below;
use super::combine::Combine;
use super::manifest::{Manifest, Match, Mode, OnError, Operation, Severity};
use portcullis_rego::problem::{Problem, Problems};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

/// Longest budget an author may give one evaluation; the validating call as a whole has three seconds.
const BUDGET_US_MAX: u64 = 500_000;

/// A block as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of `# METADATA`, from 1.
    pub line: u32,
    /// The YAML, one line of the block a line, comment marks removed.
    pub yaml: String,
    /// Characters removed before each line's YAML, for columns.
    pub indent: u32,
}

/// The block before `package`, if there is one. Blocks further down annotate rules and are left to OPA's tools.
pub fn find(text: &str) -> Option<Block> {
    let mut block: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some(comment) = trimmed.strip_prefix('#') {
            let Some(block) = &mut block else {
                if comment.trim() == "METADATA" {
                    block = Some(Block { line: to_u32(index) + 1, yaml: String::new(), indent: 2 });
                }
                continue;
            };
            block.yaml.push_str(comment.strip_prefix(' ').unwrap_or(comment));
            block.yaml.push('\n');
        } else if trimmed.starts_with("package ") || trimmed == "package" {
            return block;
        } else if !trimmed.is_empty() || block.is_some() {
            // A blank line ends a block that annotates nothing we know.
            block = None;
        }
    }
    None
}

fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    custom: Option<Custom>,
    // OPA's own keys, read by its tools; here only their presence is allowed.
    #[serde(default, rename = "authors")]
    _authors: serde_json::Value,
    #[serde(default, rename = "organizations")]
    _organizations: serde_json::Value,
    #[serde(default, rename = "related_resources")]
    _related_resources: serde_json::Value,
    #[serde(default)]
    scope: Option<Spanned<String>>,
    #[serde(default, rename = "entrypoint")]
    _entrypoint: serde_json::Value,
    #[serde(default, rename = "schemas")]
    _schemas: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    id: Spanned<String>,
    #[serde(default)]
    severity: Option<Spanned<String>>,
    #[serde(default)]
    mode: Option<Spanned<String>>,
    #[serde(default)]
    on_error: Option<Spanned<String>>,
    #[serde(default)]
    budget_us: Option<Spanned<u64>>,
    r#match: Spanned<Vec<WireMatch>>,
    #[serde(default)]
    params_schema: Option<Spanned<serde_json::Value>>,
    #[serde(default)]
    reads_secrets: bool,
    #[serde(default)]
    locked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireMatch {
    operations: Spanned<Vec<Spanned<String>>>,
    resources: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    namespaces: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Reads a block.
///
/// `Ok(None)`: it names no policy (no `custom`), so the module is a library.
///
/// # Errors
/// Everything that is wrong with it, each at its line and column.
pub fn parse(file: &str, block: &Block) -> Result<Option<Manifest>, Problems> {
    let wire: Wire = serde_saphyr::from_str(&block.yaml).map_err(|error| syntax(file, block, &error))?;
    let mut checker = Checker { file, block, problems: Problems::default() };
    if let Some(scope) = &wire.scope
        && scope.value != "package"
    {
        checker
            .say(scope, format!("`scope: {}` before `package`; only `package` is allowed here", scope.value));
    }
    let Some(custom) = wire.custom else { return checker.problems.into_result(None) };
    let manifest = checker.manifest(wire.title, wire.description, custom);
    checker.problems.into_result(Some(manifest))
}

fn syntax(file: &str, block: &Block, error: &serde_saphyr::Error) -> Problems {
    let (line, column) = error
        .location()
        .map_or((0, 0), |p| (u32::try_from(p.line()).unwrap_or(0), u32::try_from(p.column()).unwrap_or(0)));
    let said = error.without_snippet().to_string();
    // The engine's text ends in its own coordinates, which count from the block; ours count from the file.
    let said = said.split(" at line ").next().unwrap_or(&said);
    Problem::at(file, block.line + line, column + block.indent, format!("METADATA: {said}")).into()
}

struct Checker<'a> {
    file: &'a str,
    block: &'a Block,
    problems: Problems,
}

impl Checker<'_> {
    /// Line and column in the file.
    fn place<T>(&self, at: &Spanned<T>) -> (u32, u32) {
        let place = at.referenced;
        (
            self.block.line + u32::try_from(place.line()).unwrap_or(0),
            self.block.indent + u32::try_from(place.column()).unwrap_or(0),
        )
    }

    fn say<T>(&mut self, at: &Spanned<T>, message: impl Into<String>) {
        let (line, column) = self.place(at);
        self.problems.0.push(Problem::at(self.file, line, column, message));
    }

    fn manifest(&mut self, title: String, description: String, custom: Custom) -> Manifest {
        if !valid_id(&custom.id.value) {
            let message = format!(
                "id `{}`: a lower-case letter, then letters, digits and single hyphens, 63 at most",
                custom.id.value
            );
            self.say(&custom.id, message);
        }
        if title.is_empty() {
            self.say(&custom.id, "title is missing: one line that people read in `policy list`");
        }
        if custom.r#match.value.is_empty() {
            self.say(&custom.r#match, "match is empty, so the policy never runs; give an entry, for example `- operations: [CREATE]`");
        }
        if let Some(budget) = &custom.budget_us
            && !(1..=BUDGET_US_MAX).contains(&budget.value)
        {
            self.say(budget, format!("budget_us {} is not within 1 to {BUDGET_US_MAX}", budget.value));
        }
        let manifest = Manifest {
            severity: self.word(
                custom.severity.as_ref(),
                "severity",
                Severity::ALL,
                Severity::as_str,
                Severity::Medium,
            ),
            mode: self.word(custom.mode.as_ref(), "mode", Mode::ALL, Mode::as_str, Mode::Enforce),
            on_error: self.word(
                custom.on_error.as_ref(),
                "on_error",
                OnError::ALL,
                OnError::as_str,
                OnError::Deny,
            ),
            budget: custom.budget_us.map(|us| Duration::from_micros(us.value)),
            matches: custom.r#match.value.iter().map(|entry| self.entry(entry)).collect(),
            id: custom.id.value,
            title,
            description,
            reads_secrets: custom.reads_secrets,
            params_schema_place: custom.params_schema.as_ref().map_or((0, 0), |schema| self.place(schema)),
            params_schema: custom.params_schema.as_ref().map(|schema| Arc::new(schema.value.clone())),
            locked: custom.locked,
            place: (self.file.to_owned(), self.block.line),
        };
        for (name, word) in manifest.unknown_combines() {
            let allowed = join(Combine::ALL, Combine::as_str);
            if let Some(schema) = &custom.params_schema {
                self.say(
                    schema,
                    format!("params_schema: `combine` of `{name}` is {word}, not one of {allowed}"),
                );
            }
        }
        manifest
    }

    fn entry(&mut self, entry: &WireMatch) -> Match {
        let operations = self.words(&entry.operations, "operations", Operation::ALL, Operation::as_str);
        let namespaces = match &entry.namespaces {
            Some(list) => self.words(list, "namespaces", Kind::ALL, Kind::as_str),
            None => Kind::ALL.to_vec(),
        };
        if entry.resources.value.is_empty() {
            self.say(&entry.resources, "resources is empty; `[\"*/*\"]` means everything");
        }
        let mut resources = Vec::new();
        for text in &entry.resources.value {
            match Pattern::parse(&text.value) {
                Ok(pattern) => resources.push(pattern),
                Err(error) => self.say(text, error.to_string()),
            }
        }
        Match { operations, resources, namespaces }
    }

    fn words<T: Copy>(
        &mut self,
        list: &Spanned<Vec<Spanned<String>>>,
        key: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Vec<T> {
        if list.value.is_empty() {
            self.say(list, format!("{key} is empty; allowed: {}", join(all, name)));
        }
        let mut found = Vec::new();
        for word in &list.value {
            match all.iter().copied().find(|known| name(*known) == word.value) {
                Some(known) => found.push(known),
                None => self.say(word, format!("{key} `{}` is not one of {}", word.value, join(all, name))),
            }
        }
        found
    }

    fn word<T: Copy>(
        &mut self,
        word: Option<&Spanned<String>>,
        key: &str,
        all: &[T],
        name: fn(T) -> &'static str,
        default: T,
    ) -> T {
        let Some(word) = word else { return default };
        if let Some(known) = all.iter().copied().find(|known| name(*known) == word.value) {
            return known;
        }
        self.say(word, format!("{key} `{}` is not one of {}", word.value, join(all, name)));
        default
    }
}

fn join<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|item| name(*item)).collect::<Vec<_>>().join(", ")
}

fn valid_id(id: &str) -> bool {
    id.len() <= 63
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && !id.ends_with('-')
        && !id.contains("--")
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests;
