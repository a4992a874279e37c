//! How often each policy was asked and spoke, so that one without a test is named.

use std::collections::BTreeMap;

use crate::cli::law::Judged;
use portcullis_policy::PolicySet;
use portcullis_policy::testing::Ran;

/// One policy's part in all the tests.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    /// Cases it was asked in.
    pub(super) asked: usize,
    /// Cases it denied.
    pub(super) denied: usize,
    /// Cases in which it warned, recorded, patched or failed.
    pub(super) spoke: usize,
    /// Rego tests of its package.
    pub(super) tests: usize,
    package: String,
}

/// By id.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<String, Count>);

impl Tally {
    pub(super) fn of(law: &PolicySet) -> Self {
        let count = |package: &str| Count { package: package.to_owned(), ..Count::default() };
        Self(law.policies.iter().map(|policy| (policy.manifest.id.clone(), count(&policy.package))).collect())
    }

    /// Counts a case.
    pub(super) fn case(&mut self, judged: &Judged) {
        for id in &judged.asked {
            self.add(id, |count| count.asked += 1);
        }
        let verdict = &judged.verdict;
        let denied = verdict.denying();
        let mut others: Vec<&str> =
            verdict.outcomes.iter().map(|(id, ..)| id.as_str()).filter(|id| !denied.contains(id)).collect();
        others.sort_unstable();
        others.dedup();
        for id in &denied {
            self.add(id, |count| count.denied += 1);
        }
        for id in others {
            self.add(id, |count| count.spoke += 1);
        }
    }

    /// What the gate itself denies is no policy's doing.
    fn add(&mut self, id: &str, to: impl Fn(&mut Count)) {
        if let Some(count) = self.0.get_mut(id) {
            to(count);
        }
    }

    /// Counts a Rego test for every policy that it is about.
    pub(super) fn rego(&mut self, test: &Ran) {
        for count in self.0.values_mut().filter(|count| test.is_about(&count.package)) {
            count.tests += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Count)> {
        self.0.iter().map(|(id, count)| (id.as_str(), count))
    }

    /// Policies that no test made speak. One that is asked and never says anything might as well not be there.
    pub(super) fn untested(&self) -> Vec<&str> {
        let silent = |count: &Count| count.denied + count.spoke + count.tests == 0;
        self.iter().filter(|(_, count)| silent(count)).map(|(id, _)| id).collect()
    }
}
