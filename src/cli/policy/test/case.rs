//! Runs YAML cases through `decide`, from the bytes of the review to the bytes of the response.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::CaseFile;
use super::{Filter, Outcome};
use crate::cli::evaluator::{Evaluation, Evaluator, Moment, PolicyFiles};
use portcullis_admission::cases::{self, Answer, Case, CaseError, TestUsers};
use portcullis_admission::verdict::clip;
use portcullis_admission::{Endpoint, PreparedSnapshot, idempotence, response};
use portcullis_policy::rego_tests::{RegoTestResult, TestDocuments};
use portcullis_policy::set::{Options, RULES};
use portcullis_policy::{Budget, Meter, PolicySet, Value};
use portcullis_rego::EvalError;

const VALUE_MAX: usize = 400;

/// A fixed time, so that a test result does not depend on the day.
const NOW: &str = "2026-05-04T09:00:00.000Z";

/// The policies compiled for the gate's engine and, if the two are compared, for the interpreter.
pub(super) struct Bench {
    evaluator: Evaluator,
    other: Option<Evaluator>,
    moment: Moment,
}

/// Only the gate's engine must meet the budget of a policy; the interpreter is slower.
const PATIENT: Budget = Budget {
    time: Duration::from_secs(30),
    review: Duration::from_mins(1),
    deadline: Duration::from_mins(1),
    instructions: 1_000_000_000,
};

impl Bench {
    pub(super) fn new(
        files: &PolicyFiles,
        tenancy: &Arc<PreparedSnapshot>,
        compare: bool,
    ) -> anyhow::Result<Self> {
        let evaluator = Evaluator::new(files.compile(Options::default())?, Arc::clone(tenancy));
        let other = || -> anyhow::Result<Evaluator> {
            let options = Options { interpreter: true, full_input: true };
            let mut policies = files.compile_after(options, Some(&evaluator.policies))?;
            policies.policies.iter_mut().for_each(|policy| policy.manifest.budget = None);
            Ok(Evaluator { budget: PATIENT, ..Evaluator::new(policies, Arc::clone(tenancy)) })
        };
        let moment =
            Moment { decision_id: "00000000-0000-7000-8000-000000000000".to_owned(), now: NOW.to_owned() };
        let other = compare.then(other).transpose()?;
        Ok(Self { evaluator, other, moment })
    }

    pub(super) fn policies(&self) -> &PolicySet {
        &self.evaluator.policies
    }

    /// Returns the evaluation by the gate's engine too, unless the body is not a review.
    pub(super) fn run(&self, file: &str, case: &Case) -> (Outcome, Option<Evaluation>) {
        let body = Bytes::copy_from_slice(&case.body);
        let mut outcome = Outcome {
            file: file.to_owned(),
            id: case.id.clone(),
            why: case.why.clone(),
            ..Outcome::default()
        };
        let evaluation = match self.evaluator.evaluate(&body, case.endpoint, &self.moment) {
            Ok(evaluation) => evaluation,
            Err(error) => {
                outcome.wrong.push(format!("the webhook answers 400: {error}"));
                return (outcome, None);
            }
        };
        outcome.took = evaluation.took;
        let bytes = response::encode(&evaluation.verdict);
        match Answer::read(&bytes) {
            Ok(answer) => outcome.wrong.extend(case.expect.check(&case.body, &answer)),
            Err(error) => outcome.wrong.push(error),
        }
        outcome.wrong.extend(self.repeats(&body));
        if let Some(other) = &self.other {
            let answer = other
                .evaluate(&body, case.endpoint, &self.moment)
                .map(|evaluation| response::encode(&evaluation.verdict));
            match answer {
                Ok(answer) if answer == bytes => {}
                Ok(answer) => outcome.wrong.push(differs(&bytes, &answer)),
                Err(error) => outcome.wrong.push(format!("the interpreter answers 400: {error}")),
            }
        }
        (outcome, Some(evaluation))
    }
}

impl Bench {
    /// Differences between the engines on the inputs of a Rego test, for the policies that it is about.
    pub(super) fn compare(&self, test: &RegoTestResult) -> Vec<String> {
        let Some(other) = &self.other else { return Vec::new() };
        let mut wrong = Vec::new();
        for policy in self.evaluator.policies.policies.iter().filter(|policy| test.is_about(&policy.package))
        {
            let Some(theirs) = other.policies.policy(&policy.manifest.id) else { continue };
            for TestDocuments { input, data } in &test.documents {
                for rule in RULES {
                    let ours = policy.raw(rule, input, data, &mut Meter::new(self.evaluator.budget));
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

    /// Patches that are not idempotent. Every case is checked, because the API server calls `/mutate` for every request
    /// that it validates.
    fn repeats(&self, body: &Bytes) -> Vec<String> {
        if !self.evaluator.policies.policies.iter().any(portcullis_policy::Policy::patches) {
            return Vec::new();
        }
        let Ok(evaluation) = self.evaluator.evaluate(body, Endpoint::Mutate, &self.moment) else {
            return Vec::new();
        };
        let Some(context) = &evaluation.context else { return Vec::new() };
        let (policies, budget) = (&self.evaluator.policies, self.evaluator.budget);
        let found = idempotence::repeated_patches(
            policies,
            context,
            &evaluation.review,
            &evaluation.verdict,
            budget,
            |_| true,
        );
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

/// The cases to run, and a failure for every case that cannot be read, so that none is skipped silently.
pub(super) fn read(
    files: &[CaseFile],
    people: &TestUsers,
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

    fn evaluator(text: &str) -> Evaluator {
        let metadata = "# METADATA\n# title: t\n# custom:\n#   id: t\n#   match:\n#     - {operations: [CREATE], resources: [pods]}\n";
        let files = [("t.rego".to_owned(), format!("{metadata}package t\n{text}\n").into_bytes())];
        let policies = PolicySet::compile(&Bundle::from_files(files).unwrap(), Options::default(), None);
        Evaluator::new(policies.unwrap(), Arc::new(crate::cli::evaluator::load_tenancy(None).unwrap()))
    }

    #[test]
    fn a_difference_between_the_engines_is_reported() {
        let moment = Moment { decision_id: String::new(), now: NOW.to_owned() };
        let input = Value::from(serde_json::json!({"request": {"name": "a"}}));
        let documents = vec![TestDocuments { input, data: Value::new_object() }];
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
            let bench =
                Bench { evaluator: evaluator(deny), other: Some(evaluator(other)), moment: moment.clone() };
            let wrong = bench.compare(&RegoTestResult {
                package: package.to_owned(),
                refers_to: vec![refers.to_owned()],
                documents: documents.clone(),
                ..RegoTestResult::default()
            });
            assert_eq!(wrong.len(), found, "{other} {package}: {wrong:?}");
        }
    }
}
