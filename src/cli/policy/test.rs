//! `portcullis policy test`: Rego tests and cases, with the same engine and the same decision as the gate.

mod case;
mod junit;
mod rego;
mod report;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use globset::{Glob, GlobMatcher};
use indicatif::{ProgressBar, ProgressStyle};

use self::tally::Tally;
use super::super::{law, output};
use super::{Exit, case_files, files};
use portcullis_policy::testing;

const EXAMPLES: &str = "\
Examples:
  portcullis policy test policies
  portcullis policy test policies --cases tests/cases --filter 'IM-*'
  portcullis policy test policies --compare-engines=false    on the register machine alone
  portcullis policy test policies --output junit > report.xml

A test is a rule `test_…` of a *_test.rego, or a case of a YAML file with `cases:`; docs/cases.md
has their fields. Cases run in the example world, as its cast, at 2026-05-04T09:00:00Z.
Exit code 1: a test failed, or there was none.";

/// Words of `portcullis policy test`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies; without it ./policies, else the embedded library
    #[arg(value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    dir: Option<PathBuf>,
    /// A directory with further cases; may be repeated
    #[arg(long, value_name = "DIR")]
    cases: Vec<PathBuf>,
    /// Snapshot of the world in which cases are told; without it the example world
    #[arg(long, value_name = "FILE")]
    tenancy: Option<PathBuf>,
    /// Short names for `as:`; without it the example world's cast
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Run only tests whose id, file or package.rule matches
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// Ask each policy on both engines, and the second with the whole input; any difference is a failure
    #[arg(
        long,
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true
    )]
    compare_engines: bool,
    /// A policy that no test made speak is a failure
    #[arg(long)]
    require_tests: bool,
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Failures, and what each policy was asked
    #[default]
    Text,
    /// One line a test
    Plain,
    /// One document
    Json,
    /// For CI
    Junit,
}

/// What came of a test.
#[derive(Debug, Clone, Default)]
struct Outcome {
    file: String,
    /// The case's id, or package and rule.
    id: String,
    why: String,
    /// What is not as it must be; empty when all is.
    wrong: Vec<String>,
    /// What `print` said.
    prints: Vec<String>,
    took: Duration,
}

/// What came of all of them.
struct Summary {
    outcomes: Vec<Outcome>,
    tally: Tally,
    took: Duration,
}

impl Summary {
    fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.wrong.is_empty()).count()
    }
}

/// Which tests run.
struct Filter(Option<GlobMatcher>);

impl Filter {
    fn wants(&self, file: &str, id: &str) -> bool {
        let tail = file.rsplit('/').next().unwrap_or(file);
        self.0.as_ref().is_none_or(|glob| [id, file, tail].iter().any(|name| glob.is_match(name)))
    }
}

/// Runs the tests and tells of them.
///
/// # Errors
/// A law, world, cast or pattern that cannot be read.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, cases, tenancy, people, filter, compare_engines, require_tests, output } = args;
    let glob = filter.as_deref().map(Glob::new).transpose().context("--filter")?;
    let filter = Filter(glob.map(|glob| glob.compile_matcher()));
    let started = Instant::now();
    let files = files(dir.as_deref())?;
    let world = Arc::new(law::world(tenancy.as_deref())?);
    let people = law::people(people.as_deref())?;
    let case_files = case_files(&files, &cases)?;
    let (bench, tests) = std::thread::scope(|scope| {
        let tests = scope.spawn(|| rego::run(&files, &filter));
        let bench = case::Bench::new(&files, &world, compare_engines);
        (bench, tests.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let bench = bench?;
    let mut tally = Tally::of(bench.law());
    let mut outcomes = rego::outcomes(&files, tests, &bench, &mut tally)?;
    let (ready, unread) = case::read(&case_files, &people, &filter);
    outcomes.extend(unread);
    let progress = progress(ready.len(), output);
    let ran = testing::on_all_processors(&ready, |(file, case)| {
        let ran = bench.run(file, case);
        progress.inc(1);
        ran
    });
    for (outcome, judged) in ran {
        judged.iter().for_each(|judged| tally.case(judged));
        outcomes.push(outcome);
    }
    progress.finish_and_clear();
    let summary = Summary { outcomes, tally, took: started.elapsed() };
    match output {
        Format::Text => output::print(&report::text(&summary))?,
        Format::Plain => output::print(&report::plain(&summary))?,
        Format::Json => output::print_json(&report::document(&summary))?,
        Format::Junit => output::print(&junit::document(&summary))?,
    }
    let untested = require_tests && !summary.tally.untested().is_empty();
    if untested {
        output::error(&format!(
            "--require-tests: no test makes these speak: {}",
            summary.tally.untested().join(", ")
        ));
    }
    if summary.outcomes.is_empty() {
        output::error(&format!(
            "no tests found in {}; a test is a rule `test_…` of a *_test.rego, or a case of a YAML file with `cases:`",
            files.name()
        ));
    }
    Ok(Exit::findings(summary.failed() > 0 || untested || summary.outcomes.is_empty()))
}

/// Drawn on standard error, and only where that is a terminal.
fn progress(length: usize, output: Format) -> ProgressBar {
    if output != Format::Text {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or_default());
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} cases");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
