//! `*_test.rego`, told as `policy test` tells of cases.

use super::case::Bench;
use super::tally::Tally;
use super::{Filter, Outcome};
use crate::cli::law::Files;
use crate::cli::output;
use crate::policy::{Problem, Problems, testing};

/// Runs the tests of a law.
///
/// # Errors
/// A test file that is no Rego; what is wrong with it has been said.
pub(super) fn run(
    files: &Files,
    filter: &Filter,
    bench: &Bench,
    tally: &mut Tally,
) -> anyhow::Result<Vec<Outcome>> {
    let bundle = files.bundle()?;
    let broken = |problem: Problem| {
        output::say(&format!("{}\n", files.render(&Problems(vec![problem]))));
        anyhow::anyhow!("the tests of {} do not load", files.name())
    };
    let ran = testing::run(&bundle, |file, id| filter.wants(&files.shown(file), id)).map_err(broken)?;
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
