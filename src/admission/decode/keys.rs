//! Keys of objects: each once in an object, and each allocated once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::policy::Value;

/// Keys of one object, by a keyed hash: 64 bits of it, so a false alarm is a denial once in an age, and never a
/// missed duplicate.
#[derive(Default)]
pub(super) struct Seen {
    few: Vec<u64>,
    many: Option<HashSet<u64>>,
}

static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// Beyond this a linear look costs more than a table.
const FEW: usize = 32;

impl Seen {
    /// Whether the key is new.
    pub(super) fn first(&mut self, key: &str) -> bool {
        let hash = HASHER.hash_one(key);
        if let Some(many) = &mut self.many {
            return many.insert(hash);
        }
        if self.few.contains(&hash) {
            return false;
        }
        self.few.push(hash);
        if self.few.len() > FEW {
            self.many = Some(self.few.drain(..).collect());
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
