//! A cache of bounded weight. When it is full, entries go at random.
//!
//! If the oldest or all of them went, then one entry more than there is room for, asked for in turn, would mean that none is
//! ever found. So whoever sends more than there is room for gains no more than the share of it that has none.

use std::{collections::HashMap, hash::Hash};

/// What is kept, by key.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    places: HashMap<K, usize>,
    entries: Vec<Kept<K, V>>,
    weight: usize,
    most: usize,
    /// What the next random number comes from. Who knows it only knows what is read again.
    seed: u64,
}

#[derive(Debug)]
struct Kept<K, V> {
    key: K,
    value: V,
    weight: usize,
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// One whose entries have at most so much weight together.
    pub(super) fn new(most: usize) -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), weight: 0, most, seed: 1 }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.places.get(key).and_then(|at| self.entries.get(*at)).map(|kept| &kept.value)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// Keeps a value, unless it is heavier than all that is ever kept.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.most {
            return;
        }
        while self.weight + weight > self.most {
            let Some(at) = self.random() else { break };
            self.take(at);
        }
        self.weight += weight;
        self.places.insert(key, self.entries.len());
        self.entries.push(Kept { key, value, weight });
    }

    fn remove(&mut self, key: &K) {
        if let Some(at) = self.places.get(key) {
            self.take(*at);
        }
    }

    fn take(&mut self, at: usize) {
        let taken = self.entries.swap_remove(at);
        self.weight -= taken.weight;
        self.places.remove(&taken.key);
        if let Some(moved) = self.entries.get(at) {
            self.places.insert(moved.key, at);
        }
    }

    /// The place of some entry, by xorshift.
    fn random(&mut self) -> Option<usize> {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let count = u64::try_from(self.entries.len()).ok()?;
        usize::try_from(self.seed.checked_rem(count)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_limit_and_what_is_kept_is_found() {
        let mut cache = Cache::new(100);
        for number in 0..1000_u32 {
            cache.insert(number, number, 7);
            assert_eq!(cache.get(&number), Some(&number));
            assert!(cache.weight <= 100);
        }
        assert_eq!((cache.entries.len(), cache.places.len(), cache.weight), (14, 14, 98));
        for (key, at) in &cache.places {
            assert_eq!(cache.entries[*at].key, *key);
        }
        // One that is heavier than everything has no place, also in that of an older value.
        cache.insert(999, 0, 101);
        assert!(!cache.contains(&999));
        cache.insert(1, 1, 100);
        assert_eq!((cache.entries.len(), cache.weight), (1, 100));
        cache.insert(1, 2, 50);
        assert_eq!((cache.get(&1), cache.weight), (Some(&2), 50));
    }

    #[test]
    fn a_little_more_than_there_is_room_for_is_mostly_found() {
        let mut cache = Cache::new(100);
        let mut found = 0;
        for number in 0..11_000_u32 {
            let key = number % 110;
            found += usize::from(cache.contains(&key));
            if !cache.contains(&key) {
                cache.insert(key, (), 1);
            }
        }
        assert!(found > 7000, "{found}");
    }
}
