//! The same question has the same answer: what the policies of a plan found, kept for inputs that come again.
//!
//! A policy is a pure function of what it reads, and most of a review is never read: the Pods of a ReplicaSet differ in
//! name and uid, and to the law they are one question. And a label that is new to one policy is nothing to another, so
//! each is also asked by itself. An entry answers only for values and data that are equal to its own, compared whole;
//! the hash only finds the place. What failed is not kept.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::effective::Effective;
use super::engine::Value;
use super::finding::Finding;

/// Places. With [`NODES_MAX`] of some 64 bytes each, at most 8 MiB are held; a busy cluster asks a few dozen questions.
const PLACES: usize = 256;
/// Values of a question; a larger one is not worth comparing.
const NODES_MAX: usize = 500;

/// What one policy found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Index of the policy in its set.
    pub policy: usize,
    /// What `deny` holds.
    pub deny: Vec<Finding>,
    /// What `warn` holds.
    pub warn: Vec<Finding>,
}

/// What is asked: which policies, of what.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The [`Plan::id`](super::Plan::id) by which `parts` make an input; 0 where they are what one policy reads of it.
    pub plan: u64,
    /// Indexes of the policies, in order.
    pub policies: &'a [usize],
    /// All that the answer hangs on, but for data.
    pub parts: &'a [&'a Value],
    /// `data.tenancy`; the rest of `data` is the set's own, but for the parameters.
    pub tenancy: &'a Value,
    /// `data.cluster` where one of the policies can read it, else null.
    pub cluster: &'a Value,
    /// What policy sets of the tenant make of the parameters, if it has any.
    pub effective: Option<&'a Arc<Effective>>,
}

/// Where a question's answer is or goes.
#[derive(Debug, Clone, Copy)]
pub struct Place(u64);

#[derive(Debug)]
struct Entry {
    hash: u64,
    plan: u64,
    policies: Vec<usize>,
    parts: Vec<Value>,
    tenancy: Value,
    cluster: Value,
    effective: Option<Arc<Effective>>,
    found: Arc<[Found]>,
}

/// The memory of one set; it goes with it.
#[derive(Debug)]
pub struct Memo {
    places: Box<[Mutex<Option<Entry>>]>,
    hasher: RandomState,
}

impl Default for Memo {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| Mutex::new(None)).collect(), hasher: RandomState::default() }
    }
}

impl Memo {
    /// Where the answer to a question would be; `None` for one that is not worth keeping.
    pub fn place(&self, question: &Question<'_>) -> Option<Place> {
        let mut hasher = self.hasher.build_hasher();
        (question.plan, question.policies).hash(&mut hasher);
        let mut nodes = NODES_MAX;
        question.parts.iter().try_for_each(|part| mix(part, &mut hasher, &mut nodes))?;
        Some(Place(hasher.finish()))
    }

    /// The answer, if this very question was asked before.
    pub fn recall(&self, place: Place, question: &Question<'_>) -> Option<Arc<[Found]>> {
        let slot = self.slot(place)?.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = slot.as_ref().filter(|entry| entry.hash == place.0)?;
        // One law has one `Effective` for the same sets, so another one is another question.
        let same_law = match (&entry.effective, question.effective) {
            (None, None) => true,
            (Some(known), Some(asked)) => Arc::ptr_eq(known, asked),
            _ => false,
        };
        let same = same_law
            && entry.plan == question.plan
            && entry.policies == question.policies
            && entry.tenancy == *question.tenancy
            && entry.cluster == *question.cluster
            && entry.parts.iter().eq(question.parts.iter().copied());
        same.then(|| Arc::clone(&entry.found))
    }

    /// Keeps an answer in the place of whatever was there.
    pub fn keep(&self, place: Place, question: &Question<'_>, found: Vec<Found>) {
        let entry = Entry {
            hash: place.0,
            plan: question.plan,
            policies: question.policies.to_vec(),
            parts: question.parts.iter().map(|part| (*part).clone()).collect(),
            tenancy: question.tenancy.clone(),
            cluster: question.cluster.clone(),
            effective: question.effective.cloned(),
            found: found.into(),
        };
        if let Some(slot) = self.slot(place) {
            let before = slot.lock().unwrap_or_else(PoisonError::into_inner).replace(entry);
            // Freed outside the lock: its parts are trees.
            drop(before);
        }
    }

    fn slot(&self, place: Place) -> Option<&Mutex<Option<Entry>>> {
        self.places.get(usize::try_from(place.0 % PLACES as u64).ok()?)
    }
}

/// Mixes a value in; `None` when it is too large. Numbers are told apart by the comparison.
fn mix(value: &Value, hasher: &mut impl Hasher, nodes: &mut usize) -> Option<()> {
    *nodes = nodes.checked_sub(1)?;
    match value {
        Value::Null => 0u8.hash(hasher),
        Value::Undefined => 1u8.hash(hasher),
        Value::Number(_) => 2u8.hash(hasher),
        Value::Bool(value) => value.hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            for item in items.iter() {
                mix(item, hasher, nodes)?;
            }
        }
        Value::Set(items) => {
            for item in items.iter() {
                mix(item, hasher, nodes)?;
            }
        }
        Value::Object(entries) => {
            entries.len().hash(hasher);
            for (key, value) in entries.iter_sorted() {
                mix(key, hasher, nodes)?;
                mix(value, hasher, nodes)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str) -> Value {
        Value::from_json_str(text).unwrap()
    }

    fn ask(memo: &Memo, policies: &[usize], text: &str, tenancy: &str) -> Option<usize> {
        ask_parts(memo, 1, policies, &[text], tenancy)
    }

    fn ask_parts(memo: &Memo, plan: u64, policies: &[usize], parts: &[&str], tenancy: &str) -> Option<usize> {
        let (parts, tenancy) = (parts.iter().map(|text| input(text)).collect::<Vec<_>>(), input(tenancy));
        let parts: Vec<&Value> = parts.iter().collect();
        let question = Question {
            plan,
            policies,
            parts: &parts,
            tenancy: &tenancy,
            cluster: &Value::Null,
            effective: None,
        };
        let place = memo.place(&question)?;
        let found = memo.recall(place, &question).map(|found| found.len());
        memo.keep(place, &question, vec![Found { policy: 0, deny: vec![], warn: vec![] }; 3]);
        found
    }

    #[test]
    fn what_the_cluster_says_is_part_of_the_question() {
        let memo = Memo::default();
        let known = |cluster: &str| {
            let (tenancy, cluster, parts) = (Value::Null, input(cluster), [&Value::Null]);
            let question = Question {
                plan: 1,
                policies: &[1],
                parts: &parts,
                tenancy: &tenancy,
                cluster: &cluster,
                effective: None,
            };
            let place = memo.place(&question).unwrap();
            let found = memo.recall(place, &question).is_some();
            memo.keep(place, &question, Vec::new());
            found
        };
        let asked = [
            "null",
            "{}",
            r#"{"namespace": {"phase": "Active"}}"#,
            r#"{"namespace": {"phase": "Terminating"}}"#,
        ];
        for cluster in asked {
            assert!(!known(cluster), "{cluster}");
            assert!(known(cluster), "{cluster}");
        }
    }

    #[test]
    fn only_the_very_same_question_is_answered() {
        let memo = Memo::default();
        assert_eq!(ask(&memo, &[1], r#"{"a": 1}"#, "{}"), None);
        assert_eq!(ask(&memo, &[1], r#"{"a": 1}"#, "{}"), Some(3));
        // Numbers share a place and are told apart.
        assert_eq!(ask(&memo, &[1], r#"{"a": 2}"#, "{}"), None);
        assert_eq!(ask(&memo, &[1], r#"{"a": 2}"#, r#"{"b": 1}"#), None);
        assert_eq!(ask(&memo, &[2], r#"{"a": 2}"#, r#"{"b": 1}"#), None);
        // The same values in other parts, or for another plan, are another question.
        for (plan, parts) in [
            (1, &["1", "[2]"][..]),
            (1, &["1"]),
            (1, &["1", "[2]", "null"]),
            (2, &["1", "[2]"]),
            (1, &["[2]", "1"]),
        ] {
            assert_eq!(ask_parts(&memo, plan, &[1], parts, "{}"), None, "{plan} {parts:?}");
            assert_eq!(ask_parts(&memo, plan, &[1], parts, "{}"), Some(3), "{plan} {parts:?}");
        }
        let large = format!("[{}0]", "0,".repeat(NODES_MAX));
        assert_eq!(ask(&memo, &[1], &large, "{}"), None);
        assert_eq!(ask(&memo, &[1], &large, "{}"), None);
    }
}
