//! The keys of the objects that are open: each once in its object.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::LazyLock;

use super::text::blocks::{Blocks, padded};

/// Up to here a linear look is cheaper than a table; few objects have more keys.
const FEW: usize = 64;

/// Chosen at random in each process, so that nobody can prepare keys that collide.
static SEEDS: LazyLock<[u64; 2]> = LazyLock::new(|| [0, 1].map(|n: u64| RandomState::new().hash_one(n)));

/// Keys by 64 bits of a keyed hash: a false alarm is a denial once in an age, and a duplicate is never missed.
pub(super) struct Keys {
    seeds: [u64; 2],
    /// Those of an inner object stand behind those of the objects around it.
    hashes: Vec<u64>,
    object: Object,
    around: Vec<Object>,
    /// Of objects with many keys: where their hashes start, and a table of them.
    tables: Vec<(usize, Table)>,
}

type Table = HashSet<u64, BuildHasherDefault<Hashed>>;

/// An object that is open.
#[derive(Clone, Copy, Default)]
struct Object {
    start: usize,
    /// Six bits of each hash, as a set. Most keys are new by them alone.
    bits: u64,
}

/// A hash that grows by sixteen bytes at a time; the last are filled up with zeros, which no key holds.
#[derive(Clone, Copy)]
pub(super) struct Mixed {
    state: u64,
    seed: u64,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            seeds: *SEEDS,
            hashes: Vec::with_capacity(64),
            object: Object::default(),
            around: Vec::with_capacity(16),
            tables: Vec::new(),
        }
    }
}

impl Keys {
    /// An object begins.
    #[inline]
    pub(super) fn enter(&mut self) {
        self.around.push(self.object);
        self.object = Object { start: self.hashes.len(), bits: 0 };
    }

    /// The innermost object ends.
    #[inline]
    pub(super) fn leave(&mut self) {
        self.hashes.truncate(self.object.start);
        // Those of outer objects stand before: there may be one for each level.
        while self.tables.last().is_some_and(|(start, _)| *start >= self.object.start) {
            self.tables.pop();
        }
        self.object = self.around.pop().unwrap_or_default();
    }

    /// A hash of nothing yet.
    #[inline]
    pub(super) fn mix(&self) -> Mixed {
        let [state, seed] = self.seeds;
        Mixed { state, seed }
    }

    /// Whether a key is new to the innermost object.
    #[inline]
    pub(super) fn first(&mut self, hash: u64) -> bool {
        let bit = 1 << (hash >> 58);
        if self.object.bits & bit != 0 && !self.look(hash) {
            return false;
        }
        self.object.bits |= bit;
        self.hashes.push(hash);
        true
    }

    #[inline(never)]
    fn look(&mut self, hash: u64) -> bool {
        let start = self.object.start;
        let hashes = self.hashes.get(start..).unwrap_or_default();
        if hashes.len() <= FEW {
            return !hashes.contains(&hash);
        }
        if self.tables.last().is_none_or(|(of, _)| *of != start) {
            self.tables.push((start, Table::default()));
        }
        let Some((_, table)) = self.tables.last_mut() else { return false };
        // Those that were new by their bits alone, or came before there was a table.
        table.extend(hashes.iter().skip(table.len()));
        !table.contains(&hash)
    }
}

impl Mixed {
    /// The hash, after the last block.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.state
    }

    /// The hash of a whole key.
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

impl Blocks for Mixed {
    #[inline(always)]
    fn next(&mut self, block: [u8; 16]) {
        self.add(u128::from_le_bytes(block));
    }

    #[inline(always)]
    fn last(&mut self, block: [u8; 16], length: usize) {
        self.add(u128::from_le_bytes(block) & !(u128::MAX << (8 * length)));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
#[inline]
const fn halves(bits: u128) -> [u64; 2] {
    [bits as u64, (bits >> 64) as u64]
}

/// What is hashed already.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not asked by a set of u64.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
