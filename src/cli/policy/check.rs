//! `portcullis policy check`: reports every problem of policies and tests that needs no request to find.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::super::evaluator::{self, PolicyFiles};
use super::super::output::{self, BAD, CARE, GOOD, TextOrJson};
use super::{CaseFile, Exit, case_files, files};
use portcullis_admission::cases;
use portcullis_policy::set::Options;
use portcullis_policy::{Bundle, Policy, PolicySet, Problem, Problems, registration};
use portcullis_rego::Module;
use portcullis_rego::analysis;
use portcullis_rego::analysis::Flaw;

const EXAMPLES: &str = "\
Examples:
  portcullis policy check policies
  portcullis policy check policies --cases tests/cases -o json

It finds what is no Rego, METADATA that is incomplete or misspelt, rules that are never asked,
matches that no registered webhook sends, paths of the input and of data that are always undefined,
builtins that are refused, and parameters and tests that cannot be read.
OPA's own tools read the same files: opa check, opa test -b, Regal.
Exit code 1: there are problems.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies; by default ./policies, else the embedded library
    #[arg(value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    dir: Option<PathBuf>,
    /// Directory with further cases; may be repeated
    #[arg(long, value_name = "DIR")]
    cases: Vec<PathBuf>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: TextOrJson,
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, cases, output } = args;
    let files = files(dir.as_deref())?;
    let case_files = case_files(&files, &cases)?;
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    let mut set = None;
    match files.bundle() {
        Ok(bundle) => {
            let compiled = PolicySet::compile_partial(&bundle, Options::default(), None);
            problems.0.extend(compiled.broken.iter().flat_map(|broken| broken.problems.0.clone()));
            problems.0.extend(registration::check(&compiled));
            problems.0.extend(bundle.modules.iter().flat_map(appends));
            problems.0.extend(bundle.tests.iter().filter_map(|module| analysis::analyse(module).err()));
            notes = remarks(&compiled, &bundle, &case_files);
            set = Some(compiled);
        }
        Err(found) => problems = found,
    }
    let unread = unread(&case_files)?;
    problems.0.sort();
    problems.0.dedup();
    match output {
        TextOrJson::Json => output::print_json(&document(set.as_ref(), &problems, &unread, &notes))?,
        TextOrJson::Text => output::print(&text(set.as_ref(), &files, &problems, &unread, &notes))?,
    }
    Ok(Exit::findings(!problems.0.is_empty() || !unread.is_empty()))
}

/// Patches that append unconditionally. The gate loads such a policy and reports a patch that repeats itself.
fn appends(module: &Module) -> Vec<Problem> {
    let found = analysis::analyse(module).map(|found| found.appends).unwrap_or_default();
    let problem = |flaw: Flaw| {
        Problem::at(&module.path, flaw.location.0, flaw.location.1, flaw.message)
            .with_source_column(&module.text)
    };
    found.into_iter().map(problem).collect()
}

fn unread(case_files: &[CaseFile]) -> anyhow::Result<Vec<String>> {
    let people = evaluator::load_test_users(None)?;
    let errors = case_files.iter().filter_map(|file| cases::parse(&file.name, &file.text, &people).err());
    Ok(errors.flatten().map(|error| error.to_string()).collect())
}

fn remarks(set: &PolicySet, bundle: &Bundle, case_files: &[CaseFile]) -> Vec<String> {
    let mut notes = Vec::new();
    for policy in &set.policies {
        let id = &policy.manifest.id;
        if let Some(why) = policy.fallback() {
            notes.push(format!("{id} runs on the interpreter, which is much slower: {why}"));
        }
        if !tested(policy, bundle, case_files) {
            notes.push(format!(
                "{id} has no test: no case expects it, and no *_test.rego refers to {}",
                policy.package
            ));
        }
    }
    notes
}

/// Decides by the test's text alone; `policy test` reports whether the policy ever matched.
fn tested(policy: &Policy, bundle: &Bundle, case_files: &[CaseFile]) -> bool {
    let id = policy.manifest.id.as_str();
    let word = |text: &str| {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        text.split(|c| !part(c)).any(|word| word == id)
    };
    let patched = |text: &str| policy.patches() && text.contains("endpoint: mutate");
    let referred = |text: &str| {
        text.contains(&policy.package)
            || text.contains(&format!("package {}_test", policy.package.trim_start_matches("data.")))
    };
    case_files.iter().any(|file| word(&file.text) || patched(&file.text))
        || bundle.tests.iter().any(|module| referred(&module.text))
}

fn text(
    set: Option<&PolicySet>,
    files: &PolicyFiles,
    problems: &Problems,
    unread: &[String],
    notes: &[String],
) -> String {
    let mut text = files.render(problems);
    for error in unread {
        let _ = writeln!(text, "{BAD}error{BAD:#}: {error}");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    for note in notes {
        let _ = writeln!(text, "{CARE}note:{CARE:#} {note}");
    }
    let found = problems.0.len() + unread.len();
    let policies = output::count(set.map_or(0, |set| set.policies.len()), "policy");
    let name = files.name();
    let revision = set.map(|set| set.digest.as_str()).unwrap_or_default();
    let _ = match output::count(found, "problem") {
        _ if found == 0 => writeln!(text, "{GOOD}ok:{GOOD:#} {policies} in {name}, revision {revision}"),
        problems => writeln!(text, "{problems} in {name}; {policies} of it would load"),
    };
    text
}

fn document(
    set: Option<&PolicySet>,
    problems: &Problems,
    unread: &[String],
    notes: &[String],
) -> serde_json::Value {
    let problem = |problem: &Problem| json!({"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message});
    json!({
        "problems": problems.0.iter().map(problem).chain(unread.iter().map(|message| json!({"message": message}))).collect::<Vec<_>>(),
        "notes": notes,
        "policies": set.map(|set| set.policies.iter().map(|policy| policy.manifest.id.as_str()).collect::<Vec<_>>()).unwrap_or_default(),
        "revision": set.map(|set| set.digest.as_str()).unwrap_or_default(),
    })
}
