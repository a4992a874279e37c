//! Keys of objects: each once in an object, and each allocated once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::policy::Value;

/// Up to here a linear look is cheaper than a table, and needs no allocation; few objects have more keys.
const FEW: usize = 16;

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Keys of one object, by a keyed hash: 64 bits of it, so a false alarm is a denial once in an age, and never a
/// missed duplicate.
#[derive(Default)]
pub(super) struct Seen {
    few: [u64; FEW],
    count: usize,
    many: Option<HashSet<u64>>,
}

impl Seen {
    /// Whether the key is new.
    pub(super) fn first(&mut self, key: &str) -> bool {
        let hash = HASHER.hash_one(key);
        if let Some(many) = &mut self.many {
            return many.insert(hash);
        }
        if self.few.iter().take(self.count).any(|seen| *seen == hash) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = hash;
                self.count += 1;
            }
            None => self.many = Some(self.few.iter().copied().chain([hash]).collect()),
        }
        true
    }
}

/// Keys a thread remembers, so that `containers` is allocated once and not once an object.
const INTERNED_MAX: usize = 1024;

thread_local! {
    static KEYS: RefCell<HashMap<Box<str>, Value, RandomState>> = RefCell::new(HashMap::default());
}

/// A key as an engine value; common ones are shared.
pub fn interned(key: &str) -> Value {
    if key.len() > 48 {
        return Value::String(key.into());
    }
    KEYS.with_borrow_mut(|keys| {
        if let Some(known) = keys.get(key) {
            return known.clone();
        }
        let value = Value::String(key.into());
        if keys.len() < INTERNED_MAX {
            keys.insert(key.into(), value.clone());
        }
        value
    })
}
