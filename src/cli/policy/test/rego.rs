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
    let outcomes = ran.into_iter().map(|test| {
        tally.rego(&test.package, &test.speaks_of);
        let testing::Ran { file, id, mut wrong, prints, took, asked, speaks_of, .. } = test;
        wrong.extend(bench.compare(&asked, &speaks_of));
        Outcome { file: files.shown(&file), id, why: String::new(), wrong, prints, took }
    });
    Ok(outcomes.collect())
}
