//! Blocks become rows.
//!
//! A hash table of std, with a hash for small numbers. A table of our own, whose slots were cache lines that were touched
//! in batches, was no faster: what many rows wait for is the TLB. Measured 2026-11-21, 1M blocks of 10,000 sites: 20 to 30
//! ms in 30,000 rows, 105 to 150 ms in 290,000.

use super::{Births, Row, Sum};
use crate::track::Live;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// With more rows than this, births are told apart less finely.
const MANY: usize = 1 << 18;
/// All epochs are below this: they are kept in 36 bits.
const EPOCHS: u64 = 1 << 36;

/// Sums blocks up by what they have in common.
pub(super) struct Aggregate {
    rows: Rows,
    births: Births,
    /// Epochs in one; a power of two.
    step: u64,
    most: usize,
}

type Rows = HashMap<Key, Sum, BuildHasherDefault<Fold>>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    site: u32,
    tag: u16,
    block_size: u64,
    epoch: u64,
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64((self.site as u64) << 16 | self.tag as u64);
        hasher.write_u64(self.block_size << 36 ^ self.epoch);
    }
}

/// Each word is multiplied to 128 bits, and the halves are folded: a few nanoseconds, and no pattern survives.
/// The keys are small numbers of our own, so nobody can choose them to collide.
#[derive(Default)]
struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(b.into()));
    }
    #[inline]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9E37_79B9_7F4A_7C15) * 0xD134_2543_DE82_EF95;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

impl Aggregate {
    pub(super) fn new(births: Births) -> Self {
        Aggregate { rows: HashMap::default(), births, step: 1, most: MANY }
    }

    #[inline]
    pub(super) fn add(&mut self, block: Live) {
        let probability = block.rate.probability(block.block_size);
        // A word that says "not tracked" is no tracked block.
        if probability > 0.0 {
            let epoch = self.births.first(block.epoch);
            let key = Key { site: block.site, tag: block.tag, block_size: block.block_size, epoch };
            *self.rows.entry(key).or_default() += Sum::of(block.requested, probability);
            if self.rows.len() > self.most {
                self.coarsen();
            }
        }
    }

    /// Takes epochs together until there are half as many rows, or until that does not help any more.
    #[cold]
    fn coarsen(&mut self) {
        let begin = self.rows.len();
        while self.step < EPOCHS && self.rows.len() > begin / 2 {
            // By three, because one step may not help where the next does.
            let step = self.step << 3;
            let births = self.births.clone().coarser(step);
            let mut fewer = Rows::default();
            for (key, sum) in &self.rows {
                *fewer.entry(Key { epoch: births.first(key.epoch), ..*key }).or_default() += *sum;
            }
            if fewer.len() > self.rows.len() / 16 * 15 {
                break;
            }
            (self.rows, self.step, self.births) = (fewer, step, births);
        }
        self.most = MANY.max(self.rows.len() * 2);
    }

    /// The rows in order, and how many epochs are taken together.
    pub(super) fn finish(self) -> (Vec<Row>, u64) {
        // Numbers are sorted several times as fast as rows.
        let number = |k: &Key| {
            debug_assert!(k.tag < 1 << 12 && k.block_size < 1 << 48 && k.epoch < EPOCHS);
            u128::from(k.site) << 96 | u128::from(k.tag) << 84 | u128::from(k.block_size) << 36 | u128::from(k.epoch)
        };
        let rows: Vec<(Key, Sum)> = self.rows.into_iter().collect();
        let mut order: Vec<(u128, u32)> = rows.iter().zip(0..).map(|((k, _), i)| (number(k), i)).collect();
        order.sort_unstable();
        let row = |&(_, i): &(u128, u32)| {
            let (k, live) = rows[i as usize];
            Row { site: k.site, tag: k.tag, block_size: k.block_size, epoch: k.epoch, live }
        };
        (order.iter().map(row).collect(), self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::clock::Bands;
    use crate::track::rate::Rate;

    fn aggregate() -> Aggregate {
        Aggregate::new(Births::new(0, &Bands { middle: 1, old: 1, permanent: 0 }))
    }

    fn block(site: u32, epoch: u64) -> Live {
        Live { site, tag: 0, rate: Rate::EXACT, requested: 10, block_size: 16, epoch }
    }

    #[test]
    fn equal_blocks_share_a_row() {
        let mut all = aggregate();
        for (site, epoch) in [(2, 7), (1, 9), (2, 7), (2, 6)] {
            all.add(block(site, epoch));
        }
        all.add(Live { rate: Rate::NONE, ..block(9, 9) });
        let (rows, step) = all.finish();
        let found: Vec<_> = rows.iter().map(|r| (r.site, r.epoch, r.live.blocks, r.live.bytes)).collect();
        assert_eq!((found, step), (vec![(1, 9, 1.0, 10.0), (2, 6, 1.0, 10.0), (2, 7, 2.0, 20.0)], 1));
    }

    #[test]
    fn births_over_many_epochs_are_taken_together_and_nothing_is_lost() {
        let mut all = aggregate();
        let n = 3 * MANY as u64;
        for i in 0..n {
            all.add(block((i % 5) as u32, i));
            assert!(all.rows.len() <= MANY);
        }
        let (rows, step) = all.finish();
        assert!(step > 1 && step.is_power_of_two() && rows.iter().all(|r| r.epoch % step == 0));
        assert_eq!(rows.iter().map(|r| r.live).sum::<Sum>().blocks, n as f64);
        // Where epochs are not what makes them many, they stay as they are.
        let mut all = aggregate();
        (0..2 * MANY as u32).for_each(|i| all.add(block(i, 1)));
        let (rows, step) = all.finish();
        assert!(rows.len() == 2 * MANY && step == 1 && rows.iter().all(|r| r.epoch == 1));
    }
}
