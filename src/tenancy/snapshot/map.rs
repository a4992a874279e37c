//! A map whose copies share what did not change: with 10,000 namespaces a change copies some forty entries.
//!
//! Sharded by a hash of the key up to its first `/`, so everything of one tenant is in one shard; each shard is a
//! sorted list.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;

/// A copy costs this many reference counts, a change a list of `len() / SHARDS` entries.
const SHARDS: usize = 256;

type Shard<V> = Arc<Vec<(Arc<str>, V)>>;

/// Values by text; a clone increments one reference count.
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
    pub fn get(&self, key: &str) -> Option<&V> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    pub fn get_key_value(&self, key: &str) -> Option<(&Arc<str>, &V)> {
        let shard = self.shard(key);
        let at = shard.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        shard.get(at).map(|(key, value)| (key, value))
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter()).map(|(key, value)| (key, value))
    }

    pub fn sorted(&self) -> Vec<(&Arc<str>, &V)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// Entries whose key begins with `parent/`, in order, with the rest of the key. `parent` must contain the keys'
    /// first part, as `acme` and `acme/shop` do for `acme/shop/frontend`.
    pub fn below<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a str, &'a Arc<str>, &'a V)> {
        let shard = self.shard(parent);
        let rest = move |key: &'a str| key.strip_prefix(parent)?.strip_prefix('/');
        let from = shard.partition_point(|(key, _)| **key < *parent);
        // `a-b` sorts between `a` and `a/`, so it is skipped and does not end the range.
        let own = shard.get(from..).unwrap_or_default().iter();
        own.take_while(move |(key, _)| key.starts_with(parent))
            .filter_map(move |(key, value)| Some((rest(key)?, key, value)))
    }

    fn shard(&self, key: &str) -> &[(Arc<str>, V)] {
        self.shards.get(place(key)).map_or(&[], |shard| shard.as_slice())
    }
}

impl<V: Clone> Map<V> {
    /// Inserts a value and returns the previous one.
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

    /// Removes a value. A missing key does not copy the shard.
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

/// A fixed seed, so that equal maps have equal shards. Colliding keys slow down changes, hardly lookups.
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
    fn copy_shares_unchanged_shards() {
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
        fn behaves_as_a_btree_map(edits in prop::collection::vec(("[ab](-[ab])?(/[ab](-[ab])?){0,2}", prop::option::of(0..9_u8)), 0..60)) {
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
