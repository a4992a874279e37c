//! `portcullis policy list`: what the law holds, and when each policy applies.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::super::output::{self, BAD, FAINT, TextOrJson};
use super::{Exit, files};
use portcullis_policy::manifest::Match;
use portcullis_policy::set::Options;
use portcullis_policy::{Policy, PolicySet};
use portcullis_tenancy::snapshot::Kind;

const EXAMPLES: &str = "\
Examples:
  portcullis policy list                     the law in ./policies, else the embedded library
  portcullis policy list policies -o json    everything, for programs";

/// Words of `portcullis policy list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies
    #[arg(value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    dir: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Prints the table. What does not load is in it, and makes the exit code 1.
///
/// # Errors
/// The directory cannot be read.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, output } = args;
    let files = files(dir.as_deref())?;
    let bundle = match files.bundle() {
        Ok(bundle) => bundle,
        Err(problems) => {
            output::say(&files.render(&problems));
            return Ok(Exit::Findings);
        }
    };
    let set = PolicySet::compile_what_can_be(&bundle, Options::default(), None);
    match output {
        TextOrJson::Json => output::print_json(&document(&set))?,
        TextOrJson::Text => output::print(&text(&set, &files.name()))?,
    }
    Ok(Exit::findings(!set.broken.is_empty()))
}

fn text(set: &PolicySet, name: &str) -> String {
    let mut table =
        output::table(&["id", "mode", "severity", "on error", "matches", "rules", "engine", "title"]);
    for policy in &set.policies {
        let manifest = &policy.manifest;
        let overridden = if policy.has_mode_overrides() { "*" } else { "" };
        table.add_row([
            manifest.id.clone(),
            format!("{}{overridden}", manifest.mode),
            manifest.severity.to_string(),
            manifest.on_error.to_string(),
            manifest.matches.iter().map(entry).collect::<Vec<_>>().join("\n"),
            policy.rules.join(" "),
            engine(policy).to_owned(),
            manifest.title.clone(),
        ]);
    }
    let mut text = output::lines(&table);
    if set.policies.iter().any(Policy::has_mode_overrides) {
        text.push_str("\n* params override the mode for some\n");
    }
    for broken in &set.broken {
        let _ = writeln!(
            text,
            "\n{BAD}does not load:{BAD:#} {} (answers {} for what it matches)",
            broken.id, broken.on_error
        );
        let _ = writeln!(text, "{}", broken.problems);
    }
    let count = output::count(set.policies.len(), "policy");
    let _ = writeln!(text, "\n{count} of {name} {FAINT}· revision {}{FAINT:#}", set.digest);
    text
}

/// `CREATE UPDATE pods, jobs.batch in app, sandbox`; long lists are counted.
fn entry(entry: &Match) -> String {
    let operations = if entry.operations.len() == 4 {
        "any".to_owned()
    } else {
        words(&entry.operations, ToString::to_string, 4)
    };
    let resources: Vec<String> = entry.resources.iter().map(ToString::to_string).collect();
    let kinds = if entry.namespaces.len() == Kind::ALL.len() {
        "anywhere".to_owned()
    } else {
        format!("in {}", words(&entry.namespaces, |kind| kind.as_str().to_owned(), 5))
    };
    format!("{operations} of {} {kinds}", words(&resources, Clone::clone, 3))
}

fn words<T>(all: &[T], name: impl Fn(&T) -> String, max: usize) -> String {
    let mut shown: Vec<String> = all.iter().take(max).map(name).collect();
    if all.len() > max {
        shown.push(format!("{} more", all.len() - max));
    }
    shown.join(", ")
}

fn engine(policy: &Policy) -> &'static str {
    if policy.fallback().is_none() { "machine" } else { "interpreter" }
}

fn document(set: &PolicySet) -> serde_json::Value {
    let matches = |entries: &[Match]| -> Vec<_> {
        let entry = |entry: &Match| {
            json!({
                "operations": entry.operations.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "resources": entry.resources.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "namespaces": entry.namespaces.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            })
        };
        entries.iter().map(entry).collect()
    };
    let policy = |policy: &Policy| {
        let manifest = &policy.manifest;
        json!({
            "id": manifest.id, "title": manifest.title, "description": manifest.description,
            "mode": manifest.mode.as_str(), "modeOverrides": policy.has_mode_overrides(),
            "severity": manifest.severity.as_str(), "onError": manifest.on_error.as_str(),
            "match": matches(&manifest.matches), "rules": policy.rules, "package": policy.package,
            "engine": engine(policy), "fallback": policy.fallback(), "file": manifest.place.0, "line": manifest.place.1,
            "readsSecrets": manifest.reads_secrets, "locked": manifest.locked,
        })
    };
    let broken = set.broken.iter().map(|broken| {
        json!({
            "id": broken.id, "onError": broken.on_error.as_str(), "match": matches(&broken.matches),
            "problems": broken.problems.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    json!({
        "revision": set.digest,
        "policies": set.policies.iter().map(policy).collect::<Vec<_>>(),
        "broken": broken.collect::<Vec<_>>(),
    })
}
