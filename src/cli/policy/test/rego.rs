//! `*_test.rego`, told as `policy test` tells of cases.

use super::case::Bench;
use super::tally::Tally;
use super::{Filter, Outcome};
use crate::cli::law::Files;
use crate::cli::output;
use portcullis_policy::Problems;
use portcullis_policy::testing::{self, Ran};

/// Runs the tests of the policies.
///
/// # Errors
/// A policy or a test file that is no Rego.
pub(super) fn run(files: &Files, filter: &Filter) -> Result<Vec<Ran>, Problems> {
    let ran = testing::run(&files.bundle()?, |file, id| filter.wants(&files.shown(file), id));
    ran.map_err(|problem| Problems(vec![problem]))
}

/// The outcomes of tests that ran, the engines compared about what they asked.
///
/// # Errors
/// The tests did not run; why is printed.
pub(super) fn outcomes(
    files: &Files,
    ran: Result<Vec<Ran>, Problems>,
    bench: &Bench,
    tally: &mut Tally,
) -> anyhow::Result<Vec<Outcome>> {
    let broken = |problems: Problems| {
        output::say(&format!("{}\n", files.render(&problems)));
        anyhow::anyhow!("the tests of {} do not load", files.name())
    };
    let ran = ran.map_err(broken)?;
    ran.iter().for_each(|test| tally.rego(test));
    Ok(testing::on_all_processors(&ran, |test| Outcome {
        file: files.shown(&test.file),
        id: test.id.clone(),
        why: String::new(),
        wrong: [test.wrong.clone(), bench.compare(test)].concat(),
        prints: test.prints.clone(),
        took: test.took,
    }))
}
