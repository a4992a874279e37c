//! YAML cases, through `decide`, from the bytes of the review to the bytes of the answer.

use std::sync::Arc;

use bytes::Bytes;

use super::super::CaseFile;
use super::tally::Tally;
use super::{Filter, Outcome};
use crate::admission::cases::{self, Answer, Case, CaseError, People};
use crate::admission::{Endpoint, World, mutate, response};
use crate::cli::law::{Files, Judge, Moment};
use crate::policy::PolicySet;
use crate::policy::set::Options;

/// When cases happen: a test that passes on Monday passes on Sunday.
const NOW: &str = "2026-05-04T09:00:00.000Z";

/// The law, compiled once, or three times where every case runs three times.
pub(super) struct Bench {
    judge: Judge,
    others: Vec<(&'static str, Judge)>,
    moment: Moment,
}

impl Bench {
    /// Compiles the law.
    ///
    /// # Errors
    /// It does not load.
    pub(super) fn new(files: &Files, world: &Arc<World>, both: bool) -> anyhow::Result<Self> {
        let judge = |options| files.compile(options).map(|law| Judge::new(law, Arc::clone(world)));
        let mut others = Vec::new();
        if both {
            others.push(("the interpreter", judge(Options { interpreter: true, full_input: false })?));
            others.push((
                "the machine with the whole input",
                judge(Options { interpreter: false, full_input: true })?,
            ));
        }
        let moment =
            Moment { decision_id: "00000000-0000-7000-8000-000000000000".to_owned(), now: NOW.to_owned() };
        Ok(Self { judge: judge(Options::default())?, others, moment })
    }

    /// The law under test.
    pub(super) fn law(&self) -> &PolicySet {
        &self.judge.law
    }

    /// Runs a case.
    pub(super) fn run(&self, file: &str, case: &Case, tally: &mut Tally) -> Outcome {
        let body = Bytes::copy_from_slice(&case.body);
        let mut outcome = Outcome {
            file: file.to_owned(),
            id: case.id.clone(),
            why: case.why.clone(),
            ..Outcome::default()
        };
        let judged = match self.judge.judge(&body, case.endpoint, &self.moment) {
            Ok(judged) => judged,
            Err(error) => {
                outcome.wrong.push(format!("the webhook answers 400: {error}"));
                return outcome;
            }
        };
        tally.case(&judged);
        outcome.took = judged.took;
        let bytes = response::encode(&judged.verdict);
        match Answer::read(&bytes) {
            Ok(answer) => outcome.wrong.extend(case.expect.check(&case.body, &answer)),
            Err(error) => outcome.wrong.push(error),
        }
        outcome.wrong.extend(self.repeats(&body));
        for (name, other) in &self.others {
            let answer = other
                .judge(&body, case.endpoint, &self.moment)
                .map(|judged| response::encode(&judged.verdict));
            match answer {
                Ok(answer) if answer == bytes => {}
                Ok(answer) => outcome.wrong.push(differs(name, &bytes, &answer)),
                Err(error) => outcome.wrong.push(format!("on {name} the webhook answers 400: {error}")),
            }
        }
        outcome
    }
}

impl Bench {
    /// Which patches are not idempotent. Asked of every case, since the API server asks for patches of whatever it asks for
    /// a judgement of.
    fn repeats(&self, body: &Bytes) -> Vec<String> {
        if !self.judge.law.policies.iter().any(crate::policy::Policy::patches) {
            return Vec::new();
        }
        let Ok(judged) = self.judge.judge(body, Endpoint::Mutate, &self.moment) else { return Vec::new() };
        let Some(facts) = &judged.facts else { return Vec::new() };
        let (law, budget) = (&self.judge.law, self.judge.budget);
        let found = mutate::repeats(law, facts, &judged.review, &judged.verdict, budget, |_| true);
        found.iter().map(ToString::to_string).collect()
    }
}

fn differs(name: &str, ours: &[u8], theirs: &[u8]) -> String {
    format!(
        "on {name} the answer is another\n  {}\n  {}",
        String::from_utf8_lossy(ours),
        String::from_utf8_lossy(theirs)
    )
}

/// The cases to run, and what could not be read as such: a failure each, so that none is lost quietly.
pub(super) fn read(
    files: &[CaseFile],
    people: &People,
    filter: &Filter,
) -> (Vec<(String, Case)>, Vec<Outcome>) {
    let (mut ready, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        match cases::parse(&file.name, &file.text, people) {
            Ok(cases) => ready.extend(
                cases
                    .into_iter()
                    .filter(|case| filter.wants(&file.name, &case.id))
                    .map(|case| (file.name.clone(), case)),
            ),
            Err(errors) => unread.extend(errors.into_iter().map(|error| broken(&file.name, error))),
        }
    }
    (ready, unread)
}

fn broken(file: &str, error: CaseError) -> Outcome {
    let (id, message) = match error {
        CaseError::Case { id, message, .. } => (id, message),
        CaseError::File(_, message) => ("(the file)".to_owned(), message),
    };
    Outcome {
        file: file.to_owned(),
        id,
        wrong: vec![format!("cannot be read: {message}")],
        ..Outcome::default()
    }
}
