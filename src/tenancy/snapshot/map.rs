//! A map whose copies share what did not change: of a ledger with 10,000 namespaces a change copies some forty entries.
//!
//! Shards by a hash of the key up to its first `/`, each a sorted list. So what lies below one tenant lies together, and
//! the memory is that of the entries.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

/// A copy costs so many reference counts, a change a list of `len() / SHARDS` entries.
const SHARDS: usize = 256;

type Shard<V> = Arc<Vec<(Arc<str>, V)>>;

/// Values by text; to clone it is to count one reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Map<V> {
    shards: Arc<Vec<Shard<V>>>,
    len: usize,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        let empty = Shard::default();
        Self { shards: Arc::new(vec![empty; SHARDS]), len: 0 }
    }
}

impl<V> Map<V> {
    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&V> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The key as it is shared with others, and its value.
    pub fn get_key_value(&self, key: &str) -> Option<(&Arc<str>, &V)> {
        let shard = self.shard(key);
        let at = shard.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        shard.get(at).map(|(key, value)| (key, value))
    }

    /// Whether the key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every entry, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(key, value)| (key, value))
    }

    /// Every entry in the order of the keys.
    pub fn sorted(&self) -> Vec<(&Arc<str>, &V)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// The entries whose key begins with `parent/`, in order, each with the rest of its key. Of `parent` the part before
    /// its first `/`, if it has one, must be that of the keys, as `acme` and `acme/shop` are of `acme/shop/frontend`.
    pub fn below<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a str, &'a Arc<str>, &'a V)> {
        let shard = self.shard(parent);
        let rest = move |key: &'a str| key.strip_prefix(parent)?.strip_prefix('/');
        let from = shard.partition_point(|(key, _)| **key < *parent);
        // Between `a` and `a/` sort `a-b` and what is below it: those are passed over, not the end.
        let own = shard.get(from..).unwrap_or_default().iter();
        own.take_while(move |(key, _)| key.starts_with(parent))
            .filter_map(move |(key, value)| Some((rest(key)?, key, value)))
    }

    fn shard(&self, key: &str) -> &[(Arc<str>, V)] {
        self.shards.get(place(key)).map_or(&[], |shard| shard.as_slice())
    }
}

impl<V: Clone> Map<V> {
    /// Puts a value in; the one before, if there was one.
    pub fn insert(&mut self, key: Arc<str>, value: V) -> Option<V> {
        let shard = Arc::make_mut(self.shards_mut().get_mut(place(&key))?);
        match shard.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => shard.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err(at) => {
                shard.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    /// Takes a value out. What is not there is not looked for in a copy.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let at = self.shard(key).binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        let shard = Arc::make_mut(self.shards_mut().get_mut(place(key))?);
        let (_, value) = shard.remove(at);
        self.len -= 1;
        Some(value)
    }

    fn shards_mut(&mut self) -> &mut Vec<Shard<V>> {
        Arc::make_mut(&mut self.shards)
    }
}

/// Fixed, so that equal maps have equal shards. Whoever prepares keys that meet in one makes changes slow, lookups hardly.
fn place(key: &str) -> usize {
    let first = key.split_once('/').map_or(key, |(first, _)| first);
    usize::try_from(FixedState::with_seed(0).hash_one(first) % SHARDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copy_shares_what_it_does_not_change() {
        let mut old = Map::default();
        for n in 0..1000 {
            old.insert(format!("t{n}").into(), n);
        }
        let mut new = old.clone();
        assert_eq!(new.insert("t7".into(), 70), Some(7));
        assert_eq!((old.get("t7"), new.get("t7")), (Some(&7), Some(&70)));
        let shared = old.shards.iter().zip(new.shards.iter()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, SHARDS - 1);
    }

    proptest! {
        /// As a `BTreeMap` would, whatever is done to it.
        #[test]
        fn it_is_a_map(edits in prop::collection::vec(("[ab](-[ab])?(/[ab](-[ab])?){0,2}", prop::option::of(0..9_u8)), 0..60)) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            for (key, value) in edits {
                let before = match value {
                    Some(value) => (map.insert(key.as_str().into(), value), model.insert(key, value)),
                    None => (map.remove(&key), model.remove(&key)),
                };
                prop_assert_eq!(before.0, before.1);
            }
            let seen: Vec<(String, u8)> = map.sorted().into_iter().map(|(k, v)| (k.to_string(), *v)).collect();
            prop_assert_eq!(&seen, &model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
            for parent in ["a", "b", "a-b", "a/b", "a/a-b"] {
                let below: Vec<&str> = map.below(parent).map(|(_, key, _)| &**key).collect();
                let prefix = format!("{parent}/");
                let expected: Vec<&str> = model.keys().filter(|k| k.starts_with(&prefix)).map(String::as_str).collect();
                prop_assert_eq!(below, expected);
            }
        }
    }
}
