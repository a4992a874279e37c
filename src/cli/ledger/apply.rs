//! `portcullis apply`: documents in, and the ledger is as they say. What would change is asked of the server first, by the
//! same code that would change it, and shown line by line.

mod kinds;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};
use ureq::http::Method;

use super::client::Client;
use super::{ApiArgs, Exit, run as with, show};
use crate::cli::output::{self, BAD, FAINT, GOOD, STRONG};
use crate::cli::yaml;
use kinds::Target;

const EXAMPLES: &str = "\
A document says what it is by `kind`, and the rest are the fields of the API:

  kind: Settings                          # key by key: registries, identities, connect, …
  registries: {ceiling: [docker.io], platform: []}
  ---
  kind: Tenant
  name: acme
  registries: inherit
  ---
  kind: Project
  tenant: acme
  name: shop
  ---
  kind: App
  project: acme/shop
  name: frontend
  spec: {source: {containerImage: {image: docker.io/library/nginx:1.29}}}

Kinds: Settings, Cluster, Tenant, Project, App, CatalogItem, PolicySet

Examples:
  portcullis apply -f platform.yaml --dry-run      what would change
  portcullis apply -f platform.yaml                change it
  cat *.yaml | portcullis apply -f -";

/// Words of `portcullis apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    api: ApiArgs,
    /// YAML or JSON documents; `-` is standard input
    #[arg(long, short, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,
    /// Say what would change, and change nothing; exit code 1 where something would
    #[arg(long)]
    dry_run: bool,
}

/// What became of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Made,
    Changed,
    Same,
}

/// Applies the documents in their order.
///
/// # Errors
/// See [`super::run`]; or a document that says no kind, or one that there is not.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let mut found = Vec::new();
    for file in &args.file {
        found.extend(targets(&file.display().to_string(), &text(file)?)?);
    }
    with(&args.api, |client| {
        let changed = all(client, &found, args.dry_run, true)?;
        Ok(Exit::findings(args.dry_run && changed > 0))
    })
}

/// What the documents of a text are about.
///
/// # Errors
/// It is no YAML, or a document says no kind, or one that there is not.
pub(super) fn targets(name: &str, text: &str) -> anyhow::Result<Vec<Target>> {
    let mut found = Vec::new();
    for (index, document) in parse(name, text)?.into_iter().enumerate() {
        let target = Target::read(document).with_context(|| format!("`{name}`, document {}", index + 1))?;
        found.extend(target);
    }
    Ok(found)
}

/// Applies all, in their order, and says what became of each; how many changed or would.
///
/// # Errors
/// The API cannot be reached, or refuses one.
pub(super) fn all(
    client: &Client,
    targets: &[Target],
    dry_run: bool,
    differences: bool,
) -> anyhow::Result<usize> {
    let mut changed = 0;
    for target in targets {
        let done = one(client, target, dry_run, differences)?;
        if done == Done::Same && target.is_part() {
            continue;
        }
        changed += usize::from(done != Done::Same);
        let word = match (done, dry_run) {
            (Done::Same, _) => format!("{FAINT}unchanged{FAINT:#}"),
            (Done::Made, false) => format!("{GOOD}made{GOOD:#}"),
            (Done::Made, true) => format!("{GOOD}would be made{GOOD:#}"),
            (Done::Changed, false) => format!("{GOOD}changed{GOOD:#}"),
            (Done::Changed, true) => format!("{GOOD}would change{GOOD:#}"),
        };
        output::print(&format!("{STRONG}{}{STRONG:#} {word}\n", target.name))?;
    }
    Ok(changed)
}

fn one(client: &Client, target: &Target, dry_run: bool, differences: bool) -> anyhow::Result<Done> {
    let path = target.path(client);
    let before = client.find(&path)?;
    // What is not there is made with all that its document says.
    let made_whole = before.is_none() && target.is_part();
    if made_whole || (before.is_some() && target.is_published(client)?) {
        return Ok(Done::Same);
    }
    let (method, to, body) = target.call(client, before.is_some());
    let etag = before.as_ref().and_then(|answer| answer.etag.clone());
    let asked = client.send(&method, &with_query(&to, "dryRun=true"), Some(&body), etag.as_deref())?;
    let was = before.map_or(Json::Null, |answer| answer.body);
    let diff = difference(&was, &asked.body)?;
    if diff.is_empty() {
        return Ok(Done::Same);
    }
    if differences {
        output::print(&diff)?;
    }
    if !dry_run {
        client.send(&method, &to, Some(&body), etag.as_deref())?;
    }
    Ok(if was.is_null() { Done::Made } else { Done::Changed })
}

fn with_query(path: &str, query: &str) -> String {
    format!("{path}{}{query}", if path.contains('?') { '&' } else { '?' })
}

/// What differs, three lines of context around it; fields that change with every write are none.
fn difference(was: &Json, is: &Json) -> anyhow::Result<String> {
    let lines = |document: &Json| -> anyhow::Result<String> {
        let mut document = document.clone();
        if let Some(fields) = document.as_object_mut() {
            for bookkeeping in ["id", "version", "createdAt", "updatedAt"] {
                fields.remove(bookkeeping);
            }
        }
        if document.is_null() { Ok(String::new()) } else { show::as_yaml(&document) }
    };
    let (was, is) = (lines(was)?, lines(is)?);
    let diff = TextDiff::from_lines(&was, &is);
    let mut text = String::new();
    for group in diff.grouped_ops(3) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            text += &match change.tag() {
                ChangeTag::Delete => format!("{BAD}- {line}{BAD:#}\n"),
                ChangeTag::Insert => format!("{GOOD}+ {line}{GOOD:#}\n"),
                ChangeTag::Equal => format!("  {line}\n"),
            };
        }
    }
    Ok(text)
}

/// The one document of a file.
///
/// # Errors
/// It cannot be read, or holds none or several.
pub fn document(file: &Path) -> anyhow::Result<Json> {
    let mut all = documents(file)?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => bail!("`{}` is empty", file.display()),
        _ => bail!("`{}` holds more than one document", file.display()),
    }
}

fn documents(file: &Path) -> anyhow::Result<Vec<Json>> {
    parse(&file.display().to_string(), &text(file)?)
}

fn text(file: &Path) -> anyhow::Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("`{}`", file.display()))
}

fn parse(name: &str, text: &str) -> anyhow::Result<Vec<Json>> {
    let read = yaml::documents(text, &yaml::as_kubectl()).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
        anyhow::anyhow!("`{name}` line {line}, column {column}: {}", error.without_snippet())
    })?;
    Ok(read.into_iter().filter(|document| !document.is_null()).collect())
}

/// Verbs of the API, for [`kinds`].
type Call = (Method, String, Json);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_somebody_meant_differs() {
        let was = json!({"id": "1", "version": 1, "name": "acme", "registries": ["a.io"]});
        let same = json!({"id": "1", "version": 2, "name": "acme", "registries": ["a.io"]});
        assert_eq!(difference(&was, &same).unwrap(), "");
        let other = json!({"id": "1", "version": 2, "name": "acme", "registries": ["b.io"]});
        let said = anstream::adapter::strip_str(&difference(&was, &other).unwrap()).to_string();
        assert!(said.contains("-   - a.io") || said.contains("- - a.io"), "{said}");
        assert!(said.contains("b.io"), "{said}");
    }
}
