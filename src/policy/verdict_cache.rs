//! Caches the findings of policies by the SHA-256 of everything they depend on. Failures are not cached.
//!
//! Policies are pure functions of what they read, and the Pods of a ReplicaSet differ only in parts that no policy reads.
//! Findings are cached per plan and per policy, since a new label may matter to one policy only.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::effective::Effective;
use super::finding::Finding;
use portcullis_rego::Value;

/// Bytes of all entries. A busy cluster needs a few dozen of about 2 KiB.
const BUDGET: usize = 4 << 20;

/// Bytes of the findings of one entry; larger ones are not cached.
const FINDINGS_MAX: usize = 64 << 10;

/// Bytes of one key's input. Hashing a longer one takes longer than evaluating it.
const INPUT_MAX: usize = 256 << 10;

/// Entries that the tables are sized for at first.
const EXPECTED: usize = 1024;

/// Overhead of an entry: two words of a table, the links of a list, the counts of an `Arc`.
const ENTRY_BYTES: usize = 96;

/// Bytes that are buffered before hashing: a call for each field costs more than the copy.
const BUFFER_BYTES: usize = 1 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFindings {
    /// Index of the policy in its set.
    pub policy: usize,
    pub deny: Vec<Finding>,
    pub warn: Vec<Finding>,
}

/// A SHA-256.
pub type Digest = [u8; 32];

/// Everything that the findings of some policies depend on.
#[derive(Debug, Clone, Copy)]
pub struct CacheInput<'a> {
    /// [`Plan::id`](super::Plan::id) for the whole plan; 0 where `parts` are what one policy reads.
    pub plan: u64,
    /// Indexes, in order.
    pub policies: &'a [usize],
    /// The input document or the parts of it that are read.
    pub parts: &'a [&'a Value],
    /// Digest of `data.tenancy`. The rest of `data` belongs to the policy set, except for the parameters.
    pub tenancy: &'a Digest,
    /// `data.cluster` where one of the policies can read it, else null.
    pub cluster: &'a Value,
    /// The tenant's effective parameters, where policy sets are attached.
    pub effective: Option<&'a Arc<Effective>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    digest: Digest,
    /// Bytes that were hashed.
    pub size: usize,
}

/// The cached findings of one policy set; dropped with it.
#[derive(Debug)]
pub struct VerdictCache(Cache<CacheKey, Arc<[PolicyFindings]>, Weight>);

#[derive(Debug, Clone)]
struct Weight;

impl Default for VerdictCache {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED, BUDGET as u64, Weight))
    }
}

impl VerdictCache {
    pub fn get(&self, key: &CacheKey) -> Option<Arc<[PolicyFindings]>> {
        self.0.get(key)
    }

    /// Caches findings that are not too large. Entries that were never hit are evicted first, so a stream of distinct inputs
    /// does not evict those that repeat.
    pub fn insert(&self, key: CacheKey, found: Vec<PolicyFindings>) {
        let found = found.into();
        if weight(&found) <= FINDINGS_MAX {
            self.0.insert(key, found);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

impl Weighter<CacheKey, Arc<[PolicyFindings]>> for Weight {
    fn weight(&self, _: &CacheKey, found: &Arc<[PolicyFindings]>) -> u64 {
        (size_of::<CacheKey>() + ENTRY_BYTES + weight(found)) as u64
    }
}

fn weight(found: &Arc<[PolicyFindings]>) -> usize {
    let findings = found.iter().flat_map(|found| found.deny.iter().chain(&found.warn));
    size_of_val(&**found) + findings.map(Finding::bytes).sum::<usize>()
}

impl CacheInput<'_> {
    /// The cache key; `None` where the input is too long.
    pub fn key(&self) -> Option<CacheKey> {
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
        Some(CacheKey { digest, size })
    }
}

/// The digest of a value of any size.
pub fn digest(value: &Value) -> Digest {
    let mut digest = Digester { max: usize::MAX, ..Digester::default() };
    // Without a bound `value` never stops early.
    let _ = digest.value(value);
    digest.finish().0
}

/// Hashes values so that equal bytes mean equal values: each value has a type tag, and strings and collections have their
/// length.
struct Digester {
    hash: Sha256,
    buffer: Vec<u8>,
    size: usize,
    max: usize,
}

impl Default for Digester {
    fn default() -> Self {
        Self { hash: Sha256::new(), buffer: Vec::with_capacity(BUFFER_BYTES), size: 0, max: INPUT_MAX }
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
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.hash.update(&self.buffer);
            self.buffer.clear();
            // A longer input gets no key, so its bytes need no hash.
            if bytes.len() > BUFFER_BYTES && self.size <= self.max {
                return self.hash.update(bytes);
            }
        }
        if bytes.len() <= BUFFER_BYTES {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn finish(mut self) -> (Digest, usize) {
        self.hash.update(&self.buffer);
        (self.hash.finalize().into(), self.size)
    }
}

#[cfg(test)]
mod tests;
