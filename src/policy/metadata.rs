//! Reads `# METADATA` blocks strictly; every problem has its line and column.

use serde::Deserialize;
use serde_json::Value as Json;
use serde_saphyr::Spanned;
use std::sync::Arc;
use std::time::Duration;

use super::combine::Combine;
use super::manifest::{Manifest, Match, Mode, OnError, Operation, Severity};
use portcullis_rego::{Problem, Problems};
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Kind;

/// The largest budget of one evaluation; the whole validating call has three seconds.
const BUDGET_US_MAX: u64 = 500_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of `# METADATA`, from 1.
    pub line: u32,
    /// The YAML without the comment marks, line by line.
    pub yaml: String,
    /// Characters that were removed from each line, for columns.
    pub indent: u32,
}

/// The block before `package`. Blocks below it annotate rules; only OPA's tools read them.
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
            // A blank line ends the block, so it does not annotate the package.
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
struct BlockFields {
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    custom: Option<CustomFields>,
    // OPA's own keys, which only its tools read.
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
struct CustomFields {
    id: Spanned<String>,
    #[serde(default)]
    severity: Option<Spanned<String>>,
    #[serde(default)]
    mode: Option<Spanned<String>>,
    #[serde(default)]
    on_error: Option<Spanned<String>>,
    #[serde(default)]
    budget_us: Option<Spanned<u64>>,
    r#match: Spanned<Vec<MatchFields>>,
    #[serde(default)]
    params_schema: Option<Spanned<serde_json::Value>>,
    #[serde(default)]
    reads_secrets: bool,
    #[serde(default)]
    locked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchFields {
    operations: Spanned<Vec<Spanned<String>>>,
    resources: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    namespaces: Option<Spanned<Vec<Spanned<String>>>>,
}

/// Reads a block; `None` where it has no `custom`, so that the module is a library.
pub fn parse(file: &str, block: &Block) -> Result<Option<Manifest>, Problems> {
    let fields: BlockFields =
        serde_saphyr::from_str(&block.yaml).map_err(|error| syntax(file, block, &error))?;
    let mut checker = Checker { file, block, problems: Problems::default() };
    if let Some(scope) = &fields.scope
        && scope.value != "package"
    {
        checker.report(
            scope,
            format!("`scope: {}` before `package`; only `package` is allowed here", scope.value),
        );
    }
    let Some(custom) = fields.custom else { return checker.problems.into_result(None) };
    let manifest = checker.manifest(fields.title, fields.description, custom);
    checker.problems.into_result(Some(manifest))
}

fn syntax(file: &str, block: &Block, error: &serde_saphyr::Error) -> Problems {
    let (line, column) = error
        .location()
        .map_or((0, 0), |p| (u32::try_from(p.line()).unwrap_or(0), u32::try_from(p.column()).unwrap_or(0)));
    let text = error.without_snippet().to_string();
    // The parser counts lines from the block, the problem from the file.
    let text = text.split(" at line ").next().unwrap_or(&text);
    Problem::at(file, block.line + line, column + block.indent, format!("METADATA: {text}")).into()
}

struct Checker<'a> {
    file: &'a str,
    block: &'a Block,
    problems: Problems,
}

impl Checker<'_> {
    /// Line and column in the file.
    fn location<T>(&self, at: &Spanned<T>) -> (u32, u32) {
        let place = at.referenced;
        (
            self.block.line + u32::try_from(place.line()).unwrap_or(0),
            self.block.indent + u32::try_from(place.column()).unwrap_or(0),
        )
    }

    fn report<T>(&mut self, at: &Spanned<T>, message: impl Into<String>) {
        let (line, column) = self.location(at);
        self.problems.0.push(Problem::at(self.file, line, column, message));
    }

    fn manifest(&mut self, title: String, description: String, custom: CustomFields) -> Manifest {
        if !valid_id(&custom.id.value) {
            let message = format!(
                "id `{}`: must start with a lower-case letter; then lower-case letters, digits and single hyphens, 63 characters at most",
                custom.id.value
            );
            self.report(&custom.id, message);
        }
        if title.is_empty() {
            self.report(&custom.id, "title is missing; add one line, which `policy list` shows");
        }
        if custom.r#match.value.is_empty() {
            self.report(&custom.r#match, "match is empty, so the policy never runs; give an entry, for example `- operations: [CREATE]`");
        }
        if let Some(budget) = &custom.budget_us
            && !(1..=BUDGET_US_MAX).contains(&budget.value)
        {
            self.report(budget, format!("budget_us {} must be 1 to {BUDGET_US_MAX}", budget.value));
        }
        let manifest = Manifest {
            severity: self.enum_value(
                custom.severity.as_ref(),
                "severity",
                Severity::ALL,
                Severity::as_str,
                Severity::Medium,
            ),
            mode: self.enum_value(custom.mode.as_ref(), "mode", Mode::ALL, Mode::as_str, Mode::Enforce),
            on_error: self.enum_value(
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
            params_schema_location: custom
                .params_schema
                .as_ref()
                .map_or((0, 0), |schema| self.location(schema)),
            params_schema: custom.params_schema.as_ref().map(|schema| Arc::new(schema.value.clone())),
            locked: custom.locked,
            location: (self.file.to_owned(), self.block.line),
        };
        for (name, word) in manifest.unknown_combines() {
            let allowed = join(Combine::ALL, Combine::as_str);
            if let Some(schema) = &custom.params_schema {
                self.report(
                    schema,
                    format!("params_schema: `combine` of `{name}` is {word}, not one of {allowed}"),
                );
            }
        }
        manifest
    }

    fn entry(&mut self, entry: &MatchFields) -> Match {
        let operations = self.enum_list(&entry.operations, "operations", Operation::ALL, Operation::as_str);
        let namespaces = match &entry.namespaces {
            Some(list) => self.enum_list(list, "namespaces", Kind::ALL, Kind::as_str),
            None => Kind::ALL.to_vec(),
        };
        if entry.resources.value.is_empty() {
            self.report(&entry.resources, "resources is empty; `[\"*/*\"]` means everything");
        }
        let mut resources = Vec::new();
        for text in &entry.resources.value {
            match Pattern::parse(&text.value) {
                Ok(pattern) => resources.push(pattern),
                Err(error) => self.report(text, error.to_string()),
            }
        }
        Match { operations, resources, namespaces }
    }

    fn enum_list<T: Copy>(
        &mut self,
        list: &Spanned<Vec<Spanned<String>>>,
        key: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Vec<T> {
        if list.value.is_empty() {
            self.report(list, format!("{key} is empty; allowed: {}", join(all, name)));
        }
        let mut found = Vec::new();
        for word in &list.value {
            match all.iter().copied().find(|known| name(*known) == word.value) {
                Some(known) => found.push(known),
                None => {
                    self.report(word, format!("{key} `{}` is not one of {}", word.value, join(all, name)))
                }
            }
        }
        found
    }

    fn enum_value<T: Copy>(
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
        self.report(word, format!("{key} `{}` is not one of {}", word.value, join(all, name)));
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

/// Keys of `custom` that have a meaning before `package` only.
const PACKAGE_KEYS: [&str; 9] =
    ["id", "severity", "mode", "on_error", "budget_us", "match", "params_schema", "reads_secrets", "locked"];

/// Checks the blocks below `package`. The gate ignores them, so a key of the gate there would mislead its author.
pub fn check_rule_blocks(file: &str, text: &str) -> Vec<Problem> {
    rule_blocks(text).iter().flat_map(|block| check_rule_block(file, block)).collect()
}

fn rule_blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut below, mut inside) = (false, false);
    for (index, line) in text.lines().enumerate() {
        below |= line.starts_with("package ");
        let comment = line.strip_prefix('#').filter(|_| below);
        match comment {
            None => inside = false,
            Some(comment) if comment.trim() == "METADATA" => {
                inside = true;
                found.push(Block { line: to_u32(index) + 1, yaml: String::new(), indent: 2 });
            }
            Some(comment) => {
                if let Some(block) = found.last_mut().filter(|_| inside) {
                    block.yaml.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                    block.yaml.push('\n');
                }
            }
        }
    }
    found
}

fn check_rule_block(file: &str, block: &Block) -> Vec<Problem> {
    let read: Json = match serde_saphyr::from_str(&block.yaml) {
        Ok(read) => read,
        Err(error) => return syntax(file, block, &error).0,
    };
    let at = |key: &str, message: String| {
        let begins = |line: &str| line.trim_start().starts_with(&format!("{key}:"));
        let line = block.yaml.lines().position(begins).map_or(0, |line| to_u32(line) + 1);
        Problem::at(file, block.line + line, 0, message)
    };
    let mut found = Vec::new();
    let misplaced = PACKAGE_KEYS.iter().filter(|key| read.pointer(&format!("/custom/{key}")).is_some());
    found.extend(misplaced.map(|key| {
        at(key, format!("METADATA: `custom.{key}` on a rule changes nothing; it is read only in the block before `package`, for all rules of the policy"))
    }));
    if let Some(scope) =
        read.get("scope").and_then(Json::as_str).filter(|scope| !matches!(*scope, "rule" | "document"))
    {
        found.push(at("scope", format!("METADATA: `scope: {scope}` on a rule; here it is rule or document")));
    }
    found
}

#[cfg(test)]
mod tests;
