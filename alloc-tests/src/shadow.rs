//! Which addresses are in use, by the tests' own account.

use std::collections::BTreeMap;
use std::sync::Mutex;

const SHARDS: usize = 64;
const REGION: usize = 4 << 20;

/// A set of disjoint ranges of addresses, for many threads.
///
/// Cut into shards by address, because one lock around every operation would put the threads in a queue and hide the
/// allocator's races. A range stands, whole, in the shard of each region that it touches: two ranges that overlap
/// meet in at least one.
#[derive(Debug)]
pub struct Shadow {
    shards: [Mutex<BTreeMap<usize, usize>>; SHARDS],
}

impl Shadow {
    /// Nothing is in use.
    pub const fn new() -> Self {
        Shadow { shards: [const { Mutex::new(BTreeMap::new()) }; SHARDS] }
    }

    fn shards(&self, start: usize, end: usize) -> impl Iterator<Item = &Mutex<BTreeMap<usize, usize>>> {
        let (first, last) = (start / REGION, (end - 1) / REGION);
        (first..=last).take(SHARDS).map(|region| &self.shards[region % SHARDS])
    }

    /// Takes `start..end`, which is not empty, into use.
    ///
    /// # Errors
    /// The range in use that it overlaps. Nothing is undone then: the test is over.
    pub fn insert(&self, start: usize, end: usize) -> Result<(), (usize, usize)> {
        for shard in self.shards(start, end) {
            let mut ranges = shard.lock().unwrap();
            // The ranges are disjoint, so the last one that starts before our end is the one that ends last.
            if let Some((&other, &other_end)) = ranges.range(..end).next_back()
                && other_end > start
            {
                return Err((other, other_end));
            }
            ranges.insert(start, end);
        }
        Ok(())
    }

    /// Takes a range out of use. To be called before the allocator learns of it: afterwards another thread may have
    /// it.
    ///
    /// # Panics
    /// If the range was not in use: the test itself is wrong.
    pub fn remove(&self, start: usize, end: usize) {
        for shard in self.shards(start, end) {
            assert_eq!(shard.lock().unwrap().remove(&start), Some(end), "the test frees what it does not have");
        }
    }

    /// Whether nothing is in use.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().unwrap().is_empty())
    }
}

impl Default for Shadow {
    fn default() -> Self {
        Shadow::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_found_and_neighbours_are_not() {
        let shadow = Shadow::new();
        let base = 10 * REGION;
        shadow.insert(base + 100, base + 200).unwrap();
        shadow.insert(base + 200, base + 300).unwrap();
        shadow.insert(base + 50, base + 100).unwrap();
        for (start, end) in [(100, 200), (150, 160), (99, 400), (0, 51), (299, 300)] {
            assert!(shadow.insert(base + start, base + end).is_err(), "{start}..{end}");
        }
        shadow.remove(base + 100, base + 200);
        shadow.insert(base + 100, base + 200).unwrap();
    }

    #[test]
    fn a_range_over_all_shards_meets_a_small_one_in_its_middle() {
        let shadow = Shadow::new();
        shadow.insert(REGION, 200 * REGION).unwrap();
        assert!(shadow.insert(150 * REGION + 8, 150 * REGION + 16).is_err());
        shadow.remove(REGION, 200 * REGION);
        assert!(shadow.is_empty());
    }
}
