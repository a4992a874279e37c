//! `portcullis policy`: the tools of policy authors.

mod check;
mod eval;
mod list;
mod new;
mod test;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::{Exit, evaluator, output};

const EXAMPLES: &str = "\
The first five minutes:
  portcullis policy new no-latest-tag                create a policy with its tests
  portcullis policy test policies                    run the tests
  portcullis policy check policies                   report problems with file and line
  portcullis review --policies policies pod.yaml     show the verdict on a manifest
  portcullis policy eval --policies policies --trace pod.yaml
                                                     trace the rules of each policy";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a policy with its tests
    New(new::Args),
    /// Report problems in policies and their tests
    Check(check::Args),
    /// Run the tests and cases of policies
    Test(test::Args),
    /// Show what each policy finds in one review, and why
    Eval(eval::Args),
    /// List policies and what they match
    List(list::Args),
    /// List the builtins that a policy may call, and the forbidden ones
    Builtins(list::BuiltinsArgs),
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::New(args) => new::run(args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Eval(args) => eval::run(args),
        Command::List(args) => list::run(args),
        Command::Builtins(args) => list::builtins(args),
    }
}

/// The policy files of DIR, else of `./policies`, else of the embedded library.
fn files(dir: Option<&Path>) -> anyhow::Result<evaluator::PolicyFiles> {
    let here = Path::new("policies");
    let dir = dir.or_else(|| here.is_dir().then_some(here));
    if dir.is_none() {
        output::note("no DIR and no directory `policies` here: the embedded library is used");
    }
    evaluator::PolicyFiles::read(dir)
}

#[derive(Debug, Clone)]
struct CaseFile {
    /// The path that the user can open.
    name: String,
    text: String,
}

/// The case files beside the policies, and those of further directories.
fn case_files(policies: &evaluator::PolicyFiles, further: &[PathBuf]) -> anyhow::Result<Vec<CaseFile>> {
    let mut found = Vec::new();
    let mut add = |files: &evaluator::PolicyFiles| {
        for (path, bytes) in files.iter().filter(|(path, _)| !path.starts_with("params/")) {
            let yaml = Path::new(path)
                .extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml");
            let text = String::from_utf8_lossy(bytes);
            if yaml && text.lines().any(|line| line.starts_with("cases:")) {
                found.push(CaseFile { name: files.shown(path), text: text.into_owned() });
            }
        }
    };
    add(policies);
    for dir in further {
        add(&evaluator::PolicyFiles::read(Some(dir))
            .with_context(|| format!("--cases `{}`", dir.display()))?);
    }
    Ok(found)
}
