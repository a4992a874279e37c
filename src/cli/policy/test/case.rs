//! YAML cases, through `decide`, from the bytes of the review to the bytes of the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::CaseFile;
use super::{Filter, Outcome};
use crate::cli::law::{Files, Judge, Judged, Moment};
use portcullis_admission::cases::{self, Answer, Case, CaseError, People};
use portcullis_admission::verdict::clip;
use portcullis_admission::{Endpoint, World, mutate, response};
use portcullis_policy::set::{Options, RULES};
use portcullis_policy::testing::{Asked, Ran};
use portcullis_policy::{Budget, Meter, PolicySet, Value};
use portcullis_rego::EvalError;

/// Characters of a value that is shown.
const VALUE_MAX: usize = 400;

/// When cases happen: a test that passes on Monday passes on Sunday.
const NOW: &str = "2026-05-04T09:00:00.000Z";

/// The policies, compiled for the engine that the gate takes, and for the other one where the two are compared.
pub(super) struct Bench {
    judge: Judge,
    other: Option<Judge>,
    moment: Moment,
}

/// The budget of the interpreter, which is slower: only the engine of the gate is held to a policy's budget.
const PATIENT: Budget = Budget {
    time: Duration::from_secs(30),
    review: Duration::from_mins(1),
    deadline: Duration::from_mins(1),
    instructions: 1_000_000_000,
};

impl Bench {
    /// Compiles the law.
    ///
    /// # Errors
    /// It does not load.
    pub(super) fn new(files: &Files, world: &Arc<World>, compare: bool) -> anyhow::Result<Self> {
        let judge = Judge::new(files.compile(Options::default())?, Arc::clone(world));
        let other = || -> anyhow::Result<Judge> {
            let options = Options { interpreter: true, full_input: true };
            let mut policies = files.compile_after(options, Some(&judge.law))?;
            policies.policies.iter_mut().for_each(|policy| policy.manifest.budget = None);
            Ok(Judge { budget: PATIENT, ..Judge::new(policies, Arc::clone(world)) })
        };
        let moment =
            Moment { decision_id: "00000000-0000-7000-8000-000000000000".to_owned(), now: NOW.to_owned() };
        let other = compare.then(other).transpose()?;
        Ok(Self { judge, other, moment })
    }

    /// The law under test.
    pub(super) fn law(&self) -> &PolicySet {
        &self.judge.law
    }

    /// Runs a case. Returns the evaluation by the gate's engine too, unless the body is not a review.
    pub(super) fn run(&self, file: &str, case: &Case) -> (Outcome, Option<Judged>) {
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
                return (outcome, None);
            }
        };
        outcome.took = judged.took;
        let bytes = response::encode(&judged.verdict);
        match Answer::read(&bytes) {
            Ok(answer) => outcome.wrong.extend(case.expect.check(&case.body, &answer)),
            Err(error) => outcome.wrong.push(error),
        }
        outcome.wrong.extend(self.repeats(&body));
        if let Some(other) = &self.other {
            let answer = other
                .judge(&body, case.endpoint, &self.moment)
                .map(|judged| response::encode(&judged.verdict));
            match answer {
                Ok(answer) if answer == bytes => {}
                Ok(answer) => outcome.wrong.push(differs(&bytes, &answer)),
                Err(error) => outcome.wrong.push(format!("the interpreter answers 400: {error}")),
            }
        }
        (outcome, Some(judged))
    }
}

impl Bench {
    /// Where the engines differ about the inputs of a Rego test, in the policies that it is about.
    pub(super) fn compare(&self, test: &Ran) -> Vec<String> {
        let Some(other) = &self.other else { return Vec::new() };
        let mut wrong = Vec::new();
        for policy in self.judge.law.policies.iter().filter(|policy| test.is_about(&policy.package)) {
            let Some(theirs) = other.law.policy(&policy.manifest.id) else { continue };
            for Asked { input, data } in &test.asked {
                for rule in RULES {
                    let ours = policy.raw(rule, input, data, &mut Meter::new(self.judge.budget));
                    let theirs = theirs.raw(rule, input, data, &mut Meter::new(PATIENT));
                    if ours.as_ref().ok() != theirs.as_ref().ok() {
                        let id = &policy.manifest.id;
                        wrong.push(format!(
                            "`{rule}` of {id} differs between the engines\n  register machine: {}\n  interpreter: {}",
                            shown(&ours),
                            shown(&theirs)
                        ));
                    }
                }
            }
        }
        wrong
    }

    /// Which patches are not idempotent. Asked of every case, since the API server asks for patches of whatever it asks for
    /// a judgement of.
    fn repeats(&self, body: &Bytes) -> Vec<String> {
        if !self.judge.law.policies.iter().any(portcullis_policy::Policy::patches) {
            return Vec::new();
        }
        let Ok(judged) = self.judge.judge(body, Endpoint::Mutate, &self.moment) else { return Vec::new() };
        let Some(facts) = &judged.facts else { return Vec::new() };
        let (law, budget) = (&self.judge.law, self.judge.budget);
        let found = mutate::repeats(law, facts, &judged.review, &judged.verdict, budget, |_| true);
        found.iter().map(ToString::to_string).collect()
    }
}

fn shown(value: &Result<Value, EvalError>) -> String {
    value
        .as_ref()
        .map_or_else(|error| format!("failed: {error}"), |value| clip(&value.to_string(), VALUE_MAX))
}

fn differs(ours: &[u8], theirs: &[u8]) -> String {
    format!(
        "the interpreter, with the whole input, gives another answer\n  register machine: {}\n  interpreter: {}",
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

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_policy::Bundle;

    fn judge(text: &str) -> Judge {
        let metadata = "# METADATA\n# title: t\n# custom:\n#   id: t\n#   match:\n#     - {operations: [CREATE], resources: [pods]}\n";
        let files = [("t.rego".to_owned(), format!("{metadata}package t\n{text}\n").into_bytes())];
        let policies = PolicySet::compile(&Bundle::from_files(files).unwrap(), Options::default(), None);
        Judge::new(policies.unwrap(), Arc::new(crate::cli::law::world(None).unwrap()))
    }

    #[test]
    fn a_difference_between_the_engines_is_reported() {
        let moment = Moment { decision_id: String::new(), now: NOW.to_owned() };
        let input = Value::from(serde_json::json!({"request": {"name": "a"}}));
        let asked = vec![Asked { input, data: Value::new_object() }];
        let deny = "deny contains \"x\" if input.request.name == \"a\"";
        let another = "deny contains \"x\" if input.request.name == \"b\"";
        for (other, package, refers, found) in [
            (deny, "data.t", "", 0),
            (another, "data.t", "", 1),
            (another, "data.t_test", "", 1),
            (another, "data.other", "data.t.deny", 1),
            (another, "data.other", "data.tt", 0),
            ("deny contains lower(input.request)", "data.t", "", 1),
        ] {
            let bench = Bench { judge: judge(deny), other: Some(judge(other)), moment: moment.clone() };
            let wrong = bench.compare(&Ran {
                package: package.to_owned(),
                speaks_of: vec![refers.to_owned()],
                asked: asked.clone(),
                ..Ran::default()
            });
            assert_eq!(wrong.len(), found, "{other} {package}: {wrong:?}");
        }
    }
}
