//! `portcullis policy`: the workbench of those who write the law.

pub mod builtins;
pub mod check;
pub mod eval;
pub mod list;
pub mod new;
pub mod test;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::{Exit, law, output};

const EXAMPLES: &str = "\
The first five minutes:
  portcullis policy new no-latest-tag                a policy with its tests, ready to change
  portcullis policy test policies                    they pass
  portcullis policy check policies                   what is wrong, where, and what is allowed
  portcullis review --policies policies pod.yaml     the verdict on a manifest of yours
  portcullis policy eval --policies policies --trace pod.yaml
                                                     and how it came about";

/// Words of `portcullis policy`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a new policy with its tests
    New(new::Args),
    /// Say what is wrong with policies and their tests
    Check(check::Args),
    /// Run the tests and cases of policies
    Test(test::Args),
    /// Show what each policy says to one review, and why
    Eval(eval::Args),
    /// List policies and when they apply
    List(list::Args),
    /// List the builtins that a policy may call, and those it may not
    Builtins(builtins::Args),
}

/// Runs a command.
///
/// # Errors
/// See each of them.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::New(args) => new::run(args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Eval(args) => eval::run(args),
        Command::List(args) => list::run(args),
        Command::Builtins(args) => builtins::run(args),
    }
}

/// The law that a command is about: the directory given, else `policies` where there is one, else the embedded library.
///
/// # Errors
/// The directory cannot be read.
fn files(dir: Option<&Path>) -> anyhow::Result<law::Files> {
    let here = Path::new("policies");
    let dir = dir.or_else(|| here.is_dir().then_some(here));
    if dir.is_none() {
        output::note("no DIR, and no directory `policies` here: the embedded library");
    }
    law::Files::read(dir)
}

/// A file of YAML cases.
#[derive(Debug, Clone)]
struct CaseFile {
    /// The path by which a reader can open it.
    name: String,
    text: String,
}

/// The files of cases: those of the law, which stand beside the policies, and those of further directories.
///
/// # Errors
/// A directory cannot be read.
fn case_files(law: &law::Files, further: &[PathBuf]) -> anyhow::Result<Vec<CaseFile>> {
    let mut found = Vec::new();
    let mut add = |files: &law::Files| {
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
    add(law);
    for dir in further {
        add(&law::Files::read(Some(dir)).with_context(|| format!("--cases `{}`", dir.display()))?);
    }
    Ok(found)
}
