//! What the policies of a plan found, kept for input that comes again.
//!
//! A policy is a pure function of what it reads, and most of a review is never read: the Pods of a ReplicaSet differ in
//! name and uid, and to the policies they are one question. A label that is new to one policy is nothing to another, so
//! each policy is also asked by itself. What failed is not kept.
//!
//! A question is known by the SHA-256 of everything its answer depends on, so of the question itself nothing is kept,
//! and two questions with one digest are out of reach. All answers together stay within [`BUDGET`].

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::effective::Effective;
use super::finding::Finding;
use portcullis_rego::Value;

/// Bytes of all answers with their keys. A busy cluster asks a few dozen questions of some 2 KiB.
const BUDGET: usize = 4 << 20;

/// Bytes of one answer; a tenant's text in a finding can have megabytes, which is not worth the place.
const ANSWER_MAX: usize = 64 << 10;

/// Bytes of one question. A longer one takes longer to digest than most of it takes to evaluate.
const QUESTION_MAX: usize = 256 << 10;

/// Answers that the tables are made for at first.
const EXPECTED: usize = 1024;

/// Bytes that the cache itself needs for an entry: two words of a table, the links of a list, the counts of an `Arc`.
const ENTRY: usize = 96;

/// Bytes that gather before they are digested: a call for each field costs more than the copy.
const GATHERED: usize = 1 << 10;

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

/// A SHA-256.
pub type Digest = [u8; 32];

/// What is asked: which policies, of what.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The [`Plan::id`](super::Plan::id) by which `parts` make an input; 0 where they are what one policy reads of it.
    pub plan: u64,
    /// Indexes of the policies, in order.
    pub policies: &'a [usize],
    /// Everything that the answer depends on, but for data.
    pub parts: &'a [&'a Value],
    /// The digest of `data.tenancy`; the rest of `data` is the set's own, but for the parameters.
    pub tenancy: &'a Digest,
    /// `data.cluster` where one of the policies can read it, else null.
    pub cluster: &'a Value,
    /// What policy sets of the tenant make of the parameters, if it has any.
    pub effective: Option<&'a Arc<Effective>>,
}

/// Where the answer to a question is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    digest: Digest,
    /// Bytes of the question.
    pub size: usize,
}

/// The answers of one policy set; they go with it.
#[derive(Debug)]
pub struct VerdictCache(Cache<Key, Arc<[Found]>, Weight>);

#[derive(Debug, Clone)]
struct Weight;

impl Default for VerdictCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, BUDGET as u64, Weight))
    }
}

impl VerdictCache {
    /// The answer, if this very question was asked before.
    pub fn get(&self, key: &Key) -> Option<Arc<[Found]>> {
        self.0.get(key)
    }

    /// Keeps an answer that is not too large. Answers that are never asked for are evicted first, so that questions
    /// that each come once do not evict those that come again.
    pub fn insert(&self, key: Key, found: Vec<Found>) {
        let found = found.into();
        if weight(&found) <= ANSWER_MAX {
            self.0.insert(key, found);
        }
    }

    /// Bytes that the answers hold.
    pub fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

impl Weighter<Key, Arc<[Found]>> for Weight {
    fn weight(&self, _: &Key, found: &Arc<[Found]>) -> u64 {
        (size_of::<Key>() + ENTRY + weight(found)) as u64
    }
}

fn weight(found: &Arc<[Found]>) -> usize {
    let findings = found.iter().flat_map(|found| found.deny.iter().chain(&found.warn));
    size_of_val(&**found) + findings.map(Finding::bytes).sum::<usize>()
}

impl Question<'_> {
    /// Where its answer is kept; `None` for a question that is too long.
    pub fn key(&self) -> Option<Key> {
        let mut digest = Digester::default();
        digest.count(self.plan);
        digest.count(self.effective.map_or(0, |effective| effective.id));
        digest.count(self.policies.len() as u64);
        self.policies.iter().for_each(|policy| digest.count(*policy as u64));
        digest.bytes(self.tenancy);
        digest.value(self.cluster)?;
        digest.count(self.parts.len() as u64);
        self.parts.iter().try_for_each(|part| digest.value(part))?;
        let (digest, size) = digest.finish();
        Some(Key { digest, size })
    }
}

/// The digest of a value, of any size.
pub fn digest(value: &Value) -> Digest {
    let mut digest = Digester { max: usize::MAX, ..Digester::default() };
    // Without a bound it never ends early.
    let _ = digest.value(value);
    digest.finish().0
}

/// Writes values so that two of them have the same bytes only where they are equal: each with its type, and what has
/// parts or letters with their number.
struct Digester {
    hash: Sha256,
    gathered: Vec<u8>,
    size: usize,
    max: usize,
}

impl Default for Digester {
    fn default() -> Self {
        Self { hash: Sha256::new(), gathered: Vec::with_capacity(GATHERED), size: 0, max: QUESTION_MAX }
    }
}

impl Digester {
    fn value(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Null => self.tag(0),
            Value::Undefined => self.tag(1),
            Value::Bool(value) => self.tag(2 + u8::from(*value)),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    self.tag(4);
                    self.count(number);
                } else if let Some(number) = number.as_i64() {
                    self.tag(5);
                    self.bytes(&number.to_le_bytes());
                } else {
                    self.tag(6);
                    self.text(&number.format_decimal());
                }
            }
            Value::String(text) => {
                self.tag(7);
                self.text(text);
            }
            Value::Array(items) => {
                self.tag(8);
                self.count(items.len() as u64);
                items.iter().try_for_each(|item| self.value(item))?;
            }
            Value::Set(items) => {
                self.tag(9);
                self.count(items.len() as u64);
                items.iter().try_for_each(|item| self.value(item))?;
            }
            Value::Object(entries) => {
                self.tag(10);
                self.count(entries.len() as u64);
                for (key, value) in entries.iter_sorted() {
                    self.value(key)?;
                    self.value(value)?;
                }
            }
        }
        (self.size <= self.max).then_some(())
    }

    fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    fn count(&mut self, count: u64) {
        self.bytes(&count.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.size += bytes.len();
        if self.gathered.len() + bytes.len() > GATHERED {
            self.hash.update(&self.gathered);
            self.gathered.clear();
            // What comes after is of no use: the question is refused.
            if bytes.len() > GATHERED && self.size <= self.max {
                return self.hash.update(bytes);
            }
        }
        if bytes.len() <= GATHERED {
            self.gathered.extend_from_slice(bytes);
        }
    }

    fn finish(mut self) -> (Digest, usize) {
        self.hash.update(&self.gathered);
        (self.hash.finalize().into(), self.size)
    }
}

#[cfg(test)]
mod tests;
