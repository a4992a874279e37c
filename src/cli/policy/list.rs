//! `portcullis policy list` and `policy builtins`: the policies with their matches, and the builtins that they may call.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::super::output::{self, BAD, FAINT, STRONG, TextOrJson};
use super::{Exit, files};
use portcullis_policy::manifest::Match;
use portcullis_policy::set::Options;
use portcullis_policy::{Policy, PolicySet};
use portcullis_rego::builtins as rego_builtins;
use portcullis_tenancy::snapshot::Kind;

const EXAMPLES: &str = "\
Examples:
  portcullis policy list                     the policies in ./policies, else the embedded library
  portcullis policy list policies -o json    everything, for programs";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies
    #[arg(value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    dir: Option<PathBuf>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

/// Policies that do not compile are listed too, and make the exit code 1.
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
    let set = PolicySet::compile_partial(&bundle, Options::default(), None);
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
            "\n{BAD}does not compile:{BAD:#} {} (answers {} for what it matches)",
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
            "engine": engine(policy), "fallback": policy.fallback(), "file": manifest.location.0, "line": manifest.location.1,
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

#[derive(Debug, clap::Args)]
pub struct BuiltinsArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

pub fn builtins(BuiltinsArgs { output }: BuiltinsArgs) -> anyhow::Result<Exit> {
    let mut allowed: Vec<_> = rego_builtins::allowed().collect();
    allowed.sort_unstable();
    let refused: Vec<_> = rego_builtins::refused().collect();
    match output {
        TextOrJson::Json => {
            let entry = |key: &str, (name, why): &(&str, &str)| serde_json::json!({"name": name, key: why});
            let allowed: Vec<_> = allowed.iter().map(|pair| entry("condition", pair)).collect();
            let refused: Vec<_> = refused.iter().map(|pair| entry("why", pair)).collect();
            output::print_json(&serde_json::json!({"allowed": allowed, "refused": refused}))?;
        }
        TextOrJson::Text => output::print(&builtins_text(&allowed, &refused))?,
    }
    Ok(Exit::Ok)
}

fn builtins_text(allowed: &[(&str, &str)], refused: &[(&str, &str)]) -> String {
    let mut text =
        format!("{STRONG}A policy may call these; all are functions of their arguments alone{STRONG:#}\n\n");
    let family = |name: &str| name.split_once('.').map_or("", |(family, _)| family).to_owned();
    for group in allowed.chunk_by(|a, b| family(a.0) == family(b.0)) {
        let entry = |(name, condition): &(&str, &str)| {
            if condition.is_empty() { (*name).to_owned() } else { format!("{name} ({condition})") }
        };
        wrap(&mut text, &group.iter().map(entry).collect::<Vec<_>>());
    }
    let _ = write!(text, "\n{STRONG}These are refused when a policy is loaded{STRONG:#}\n\n");
    let mut table = output::table(&["builtin", "why"]);
    for (name, why) in refused {
        table.add_row([*name, *why]);
    }
    text.push_str(&output::lines(&table));
    text.push_str(
        "\nWhatever else is called is an error as well: it is looked for by name, on both engines alike.\n",
    );
    text
}

fn wrap(text: &mut String, words: &[String]) {
    let mut width = 0;
    for word in words {
        let lead = if width == 0 { "  " } else { ", " };
        if width > 0 && width + lead.len() + word.len() > 98 {
            text.push_str(",\n  ");
            width = 2;
        } else {
            text.push_str(lead);
            width += lead.len();
        }
        text.push_str(word);
        width += word.len();
    }
    text.push('\n');
}
