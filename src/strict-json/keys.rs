//! Detects duplicate keys by a keyed hash of each key.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::LazyLock;

/// The number of keys up to which a linear search is cheaper than a table.
const FEW: usize = 64;

/// Random for each process, so that an attacker cannot prepare collisions.
static SEEDS: LazyLock<[u64; 2]> = LazyLock::new(|| [0, 1].map(|n: u64| RandomState::new().hash_one(n)));

/// The keys of the open objects, as 64-bit hashes. A duplicate is never missed; a collision rejects a valid text, which is
/// very rare.
pub(super) struct Keys {
    seeds: [u64; 2],
    /// The hashes of an inner object come after those of the objects around it.
    hashes: Vec<u64>,
    object: OpenObject,
    around: Vec<OpenObject>,
    /// For objects with many keys: the start of their hashes, and a table of them.
    tables: Vec<(usize, Table)>,
}

type Table = HashSet<u64, BuildHasherDefault<IdentityHasher>>;

#[derive(Clone, Copy, Default)]
struct OpenObject {
    start: usize,
    /// A set of six bits of each hash. It suffices to see that most keys are new.
    bits: u64,
}

/// A hash that is updated by sixteen bytes at a time. The last block is padded with zeros, which no key contains.
#[derive(Clone, Copy)]
pub(super) struct KeyHasher {
    state: u64,
    seed: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            seeds: *SEEDS,
            hashes: Vec::with_capacity(64),
            object: OpenObject::default(),
            around: Vec::with_capacity(16),
            tables: Vec::new(),
        }
    }
}

impl Keys {
    #[inline]
    pub(super) fn open_object(&mut self) {
        self.around.push(self.object);
        self.object = OpenObject { start: self.hashes.len(), bits: 0 };
    }

    #[inline]
    pub(super) fn close_object(&mut self) {
        self.hashes.truncate(self.object.start);
        // Outer objects have tables too.
        while self.tables.last().is_some_and(|(start, _)| *start >= self.object.start) {
            self.tables.pop();
        }
        self.object = self.around.pop().unwrap_or_default();
    }

    #[inline]
    pub(super) fn hasher(&self) -> KeyHasher {
        let [state, seed] = self.seeds;
        KeyHasher { state, seed }
    }

    /// Adds a key to the innermost object; false if it is a duplicate.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        let bit = 1 << (hash >> 58);
        if self.object.bits & bit != 0 && !self.is_new(hash) {
            return false;
        }
        self.object.bits |= bit;
        self.hashes.push(hash);
        true
    }

    #[inline(never)]
    fn is_new(&mut self, hash: u64) -> bool {
        let start = self.object.start;
        let hashes = self.hashes.get(start..).unwrap_or_default();
        if hashes.len() <= FEW {
            return !hashes.contains(&hash);
        }
        if self.tables.last().is_none_or(|(of, _)| *of != start) {
            self.tables.push((start, Table::default()));
        }
        let Some((_, table)) = self.tables.last_mut() else { return false };
        // The table lacks the hashes that were new by their bits.
        table.extend(hashes.iter().skip(table.len()));
        !table.contains(&hash)
    }
}

impl KeyHasher {
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.state
    }

    pub(super) fn of(mut self, key: &[u8]) -> u64 {
        let (blocks, rest) = key.as_chunks::<16>();
        for block in blocks {
            self.next(*block);
        }
        self.last(padded(rest), rest.len());
        self.state
    }

    #[inline(always)]
    fn add(&mut self, bits: u128) {
        let [low, high] = halves(bits);
        let [low, high] = halves(u128::from(low ^ self.state) * u128::from(high ^ self.seed));
        self.state = low ^ high;
    }
}

/// Receives the bytes of a string, sixteen at a time.
pub(super) trait Blocks {
    fn next(&mut self, block: [u8; 16]);

    /// The last `length` bytes, fewer than sixteen, at the start of a block.
    fn last(&mut self, block: [u8; 16], length: usize);
}

impl Blocks for () {
    fn next(&mut self, _: [u8; 16]) {}

    fn last(&mut self, _: [u8; 16], _: usize) {}
}

/// The first sixteen bytes, padded with zeros.
pub(super) fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut block = [0; 16];
    block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    block
}

impl Blocks for KeyHasher {
    #[inline(always)]
    fn next(&mut self, block: [u8; 16]) {
        self.add(u128::from_le_bytes(block));
    }

    #[inline(always)]
    fn last(&mut self, block: [u8; 16], length: usize) {
        self.add(u128::from_le_bytes(block) & !(u128::MAX << (8 * length)));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it returns both halves")]
#[inline]
const fn halves(bits: u128) -> [u64; 2] {
    [bits as u64, (bits >> 64) as u64]
}

/// The identity: the keys of the table are hashes.
#[derive(Default)]
pub(super) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // A set of u64 does not call this.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
