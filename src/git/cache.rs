//! A cache of bounded weight. When it is full, entries go at random.
//!
//! If the oldest or all of them went, then one entry more than there is room for, asked for in turn, would mean that none is
//! ever found. So whoever sends more than there is room for gains no more than the share of it that has none.

use std::{collections::HashMap, hash::Hash};

/// Of so many that are offered while there is no room, one is let in.
const ONE_IN: usize = 8;

/// What is kept, by key.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    places: HashMap<K, usize>,
    entries: Vec<CacheEntry<K, V>>,
    weight: usize,
    most: usize,
    /// What the next random number comes from. Who knows it only knows what is read again.
    seed: u64,
}

#[derive(Debug)]
struct CacheEntry<K, V> {
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

    /// Keeps a value if there is room, and else one time in some. For what is seldom asked for again at once: so most of what is
    /// kept is still there when its turn comes, and what comes again and again is soon let in.
    pub(super) fn offer(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight <= self.most || self.random(ONE_IN) == Some(0) {
            self.insert(key, value, weight);
        }
    }

    /// Keeps a value, unless it is heavier than all that is ever kept.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.most {
            return;
        }
        while self.weight + weight > self.most {
            let Some(at) = self.random(self.entries.len()) else { break };
            self.take(at);
        }
        self.weight += weight;
        self.places.insert(key, self.entries.len());
        self.entries.push(CacheEntry { key, value, weight });
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

    /// Some number below a count, by xorshift.
    fn random(&mut self, count: usize) -> Option<usize> {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        usize::try_from(self.seed.checked_rem(u64::try_from(count).ok()?)?).ok()
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

    /// How many of so many that are asked for in turn are found, where there is room for a hundred.
    fn found(keys: u32, keep: fn(&mut Cache<u32, ()>, u32)) -> u32 {
        let mut cache = Cache::new(100);
        (0..100 * keys).fold(0, |found, number| {
            let key = number % keys;
            let known = cache.contains(&key);
            if !known {
                keep(&mut cache, key);
            }
            assert!(cache.weight <= 100);
            found + u32::from(known)
        })
    }

    #[test]
    fn a_little_more_than_there_is_room_for_is_mostly_found() {
        let found = found(110, |cache, key| cache.insert(key, (), 1));
        assert!(found > 7000, "{found}");
    }

    #[test]
    fn of_twice_as_much_as_there_is_room_for_nearly_half_is_found_where_it_is_offered() {
        let offered = found(200, |cache, key| cache.offer(key, (), 1));
        let inserted = found(200, |cache, key| cache.insert(key, (), 1));
        assert!(offered > 8000 && inserted < 6000, "{offered} and {inserted} of 20,000");
        // What comes again and again is let in, however full it is of others.
        let mut cache = Cache::new(100);
        (0..100).for_each(|key| cache.insert(key, (), 1));
        assert!((0..200).any(|_| {
            cache.offer(1000, (), 1);
            cache.contains(&1000)
        }));
    }
}
