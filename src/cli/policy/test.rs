//! `portcullis policy test`: runs Rego tests and YAML cases with the engine and the decision of the gate.

mod case;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use globset::{Glob, GlobMatcher};
use indicatif::{ProgressBar, ProgressStyle};

use self::case::Bench;
use super::{Exit, case_files, files};
use crate::cli::evaluator::{self, Evaluation, PolicyFiles};
use crate::cli::output;
use portcullis_policy::rego_tests::{self, RegoTestResult};
use portcullis_policy::{PolicySet, Problems};

const EXAMPLES: &str = "\
Examples:
  portcullis policy test policies
  portcullis policy test policies --cases tests/cases --filter 'IM-*'
  portcullis policy test policies --compare-engines=false    on the register machine alone
  portcullis policy test policies --output junit > report.xml

A test is a rule `test_…` of a *_test.rego, or a case of a YAML file with `cases:`; docs/cases.md
has their fields. Cases run in the example tenancy with its test users, at 2026-05-04T09:00:00Z.
Exit code 1: a test failed, or there are none.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of policies; by default ./policies, else the embedded library
    #[arg(value_name = "DIR", env = "PORTCULLIS_POLICIES", hide_env_values = true)]
    dir: Option<PathBuf>,
    /// Directory with further cases; may be repeated
    #[arg(long, value_name = "DIR")]
    cases: Vec<PathBuf>,
    /// Snapshot of the tenancy for the cases; by default the example tenancy
    #[arg(long, value_name = "FILE")]
    tenancy: Option<PathBuf>,
    /// Test users for `as:`; by default those of the example tenancy
    #[arg(long, value_name = "FILE")]
    test_users: Option<PathBuf>,
    /// Run only tests whose id, file or package.rule matches
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// Evaluate each policy on both engines, the second with the whole input; a difference is a failure
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
    /// Fail when no test makes a policy match
    #[arg(long)]
    require_tests: bool,
    /// Output format
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Failures, and the number of evaluations of each policy
    #[default]
    Text,
    /// One line per test
    Plain,
    /// One JSON document
    Json,
    /// JUnit XML, for CI
    Junit,
}

#[derive(Debug, Clone, Default)]
struct Outcome {
    file: String,
    /// The case's id, or package and rule.
    id: String,
    why: String,
    /// Differences from the expectation; empty if the test passed.
    wrong: Vec<String>,
    /// Output of `print`.
    prints: Vec<String>,
    took: Duration,
}

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

struct Filter(Option<GlobMatcher>);

impl Filter {
    fn wants(&self, file: &str, id: &str) -> bool {
        let tail = file.rsplit('/').next().unwrap_or(file);
        self.0.as_ref().is_none_or(|glob| [id, file, tail].iter().any(|name| glob.is_match(name)))
    }
}

pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { dir, cases, tenancy, test_users, filter, compare_engines, require_tests, output } = args;
    let glob = filter.as_deref().map(Glob::new).transpose().context("--filter")?;
    let filter = Filter(glob.map(|glob| glob.compile_matcher()));
    let started = Instant::now();
    let files = files(dir.as_deref())?;
    let tenancy = Arc::new(evaluator::load_tenancy(tenancy.as_deref())?);
    let test_users = evaluator::load_test_users(test_users.as_deref())?;
    let case_files = case_files(&files, &cases)?;
    let (bench, tests) = std::thread::scope(|scope| {
        let tests = scope.spawn(|| run_rego_tests(&files, &filter));
        let bench = case::Bench::new(&files, &tenancy, compare_engines);
        (bench, tests.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let bench = bench?;
    let mut tally = Tally::of(bench.policies());
    let mut outcomes = rego_outcomes(&files, tests, &bench, &mut tally)?;
    let (ready, unread) = case::read(&case_files, &test_users, &filter);
    outcomes.extend(unread);
    let progress = progress(ready.len(), output);
    let ran = rego_tests::on_all_processors(&ready, |(file, case)| {
        let ran = bench.run(file, case);
        progress.inc(1);
        ran
    });
    for (outcome, evaluation) in ran {
        evaluation.iter().for_each(|evaluation| tally.case(evaluation));
        outcomes.push(outcome);
    }
    progress.finish_and_clear();
    let summary = Summary { outcomes, tally, took: started.elapsed() };
    match output {
        Format::Text => output::print(&report::text(&summary))?,
        Format::Plain => output::print(&report::plain(&summary))?,
        Format::Json => output::print_json(&report::document(&summary))?,
        Format::Junit => output::print(&report::junit(&summary))?,
    }
    let untested = require_tests && !summary.tally.untested().is_empty();
    if untested {
        output::error(&format!(
            "--require-tests: no test makes these match: {}",
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

/// Shown on standard error, and only on a terminal.
fn progress(length: usize, output: Format) -> ProgressBar {
    if output != Format::Text {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or_default());
    let style = ProgressStyle::with_template("  {bar:40} {pos}/{len} cases");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn run_rego_tests(files: &PolicyFiles, filter: &Filter) -> Result<Vec<RegoTestResult>, Problems> {
    let ran = rego_tests::run(&files.bundle()?, |file, id| filter.wants(&files.shown(file), id));
    ran.map_err(|problem| Problems(vec![problem]))
}

/// The results of Rego tests, with the differences between the engines on the same inputs.
fn rego_outcomes(
    files: &PolicyFiles,
    ran: Result<Vec<RegoTestResult>, Problems>,
    bench: &Bench,
    tally: &mut Tally,
) -> anyhow::Result<Vec<Outcome>> {
    let broken = |problems: Problems| {
        output::say(&format!("{}\n", files.render(&problems)));
        anyhow::anyhow!("the tests of {} do not load", files.name())
    };
    let ran = ran.map_err(broken)?;
    ran.iter().for_each(|test| tally.rego(test));
    Ok(rego_tests::on_all_processors(&ran, |test| Outcome {
        file: files.shown(&test.file),
        id: test.id.clone(),
        why: String::new(),
        wrong: [test.failures.clone(), bench.compare(test)].concat(),
        prints: test.prints.clone(),
        took: test.took,
    }))
}

#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    /// Cases that evaluated it.
    pub(super) asked: usize,
    /// Cases that it denied.
    pub(super) denied: usize,
    /// Cases in which it warned, audited, patched or failed.
    pub(super) matched: usize,
    /// Rego tests of its package.
    pub(super) tests: usize,
    package: String,
}

#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, Count>);

impl Tally {
    pub(super) fn of(policies: &PolicySet) -> Self {
        let count = |package: &str| Count { package: package.to_owned(), ..Count::default() };
        Self(
            policies
                .policies
                .iter()
                .map(|policy| (policy.manifest.id.clone(), count(&policy.package)))
                .collect(),
        )
    }

    pub(super) fn case(&mut self, evaluation: &Evaluation) {
        for id in &evaluation.asked {
            self.add(id, |count| count.asked += 1);
        }
        let verdict = &evaluation.verdict;
        let denied = verdict.denying();
        let mut others: Vec<&str> =
            verdict.outcomes.iter().map(|(id, ..)| id.as_str()).filter(|id| !denied.contains(id)).collect();
        others.sort_unstable();
        others.dedup();
        for id in &denied {
            self.add(id, |count| count.denied += 1);
        }
        for id in others {
            self.add(id, |count| count.matched += 1);
        }
    }

    /// Denials of the gate itself belong to no policy.
    fn add(&mut self, id: &str, to: impl Fn(&mut Count)) {
        if let Some(count) = self.0.get_mut(id) {
            to(count);
        }
    }

    /// Counts a Rego test for every policy that it is about.
    pub(super) fn rego(&mut self, test: &RegoTestResult) {
        for count in self.0.values_mut().filter(|count| test.is_about(&count.package)) {
            count.tests += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Count)> {
        self.0.iter().map(|(id, count)| (id.as_str(), count))
    }

    /// Policies that matched in no test: a policy that never matches has no effect.
    pub(super) fn untested(&self) -> Vec<&str> {
        let silent = |count: &Count| count.denied + count.matched + count.tests == 0;
        self.iter().filter(|(_, count)| silent(count)).map(|(id, _)| id).collect()
    }
}
