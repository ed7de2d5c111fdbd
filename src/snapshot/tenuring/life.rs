//! The life table: how many of those that came to an age died there, and so how likely it is to get so old.

use super::Share;
use crate::snapshot::Sum;
use crate::track::ages::{AGES, bucket};

/// Ages that are told apart.
const BANDS: usize = AGES + 1;

/// A row of the life table: blocks of some ages.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LifeBand {
    /// The first age, in epochs.
    pub from: u64,
    /// The age after the last; `None` if there is none.
    pub until: Option<u64>,
    /// What died at these ages.
    pub died: Sum,
    /// What lives, and has these ages now: it will die at this age or a later one.
    pub living: Sum,
    /// The share of blocks that come to be `from` epochs old: the product-limit estimate (Kaplan and Meier, Journal of the American
    /// Statistical Association 53, 1958), in which those that still live are at risk for half of the ages that they are at, as in a
    /// life table (Cutler and Ederer, Journal of Chronic Diseases 8, 1958).
    ///
    /// Its error has two parts: of the samples, by the delta method; and Greenwood's (1926), of so many blocks as
    /// draws from those that the program might have allocated. So it is not 0 where every block was tracked.
    pub come_to_it: Share,
}

/// What died at each age and what lives at each.
pub(super) struct Ages {
    died: [Sum; BANDS],
    living: [Sum; BANDS],
}

impl Ages {
    /// What died in the epoch of its birth, and with 1, 2 to 3, 4 to 7, ... epochs.
    pub(super) fn new(at_once: Sum, aged: &[Sum]) -> Ages {
        let mut ages = Ages { died: [Sum::default(); BANDS], living: [Sum::default(); BANDS] };
        ages.died[0] = at_once;
        ages.died[1..].iter_mut().zip(aged).for_each(|(to, from)| *to = *from);
        ages
    }

    pub(super) fn live(&mut self, age: u64, live: Sum) {
        self.living[if age == 0 { 0 } else { 1 + bucket(age) }] += live;
    }

    /// The rows, up to the last that there is something of.
    pub(super) fn table(&self) -> Vec<LifeBand> {
        let is_used = |i: &usize| [self.died[*i], self.living[*i]].iter().any(|s| s.blocks > 0.0 || s.bytes > 0.0);
        let last = (0..BANDS).rev().find(is_used).unwrap_or(0);
        let come = self.come_to();
        let band = |i: usize| LifeBand {
            from: if i == 0 { 0 } else { 1 << (i - 1) },
            until: (i < AGES).then_some(1 << i),
            died: self.died[i],
            living: self.living[i],
            come_to_it: come[i],
        };
        (0..=last).map(band).collect()
    }

    /// The share of blocks that come to each age.
    fn come_to(&self) -> [Share; BANDS] {
        // Who is at risk of dying at an age: those that died there or later, or live at a later one; half of those that live
        // at it.
        let (mut at_risk, mut later) = ([0.0; BANDS], 0.0);
        for i in (0..BANDS).rev() {
            at_risk[i] = later + self.died[i].blocks + self.living[i].blocks / 2.0;
            later += self.died[i].blocks + self.living[i].blocks;
        }
        let variance: f64 = self.died.iter().chain(&self.living).map(|s| s.blocks_variance).sum();
        let blocks = if variance > 0.0 { later * later / variance } else { f64::INFINITY };
        let mut come = [Share::ALL; BANDS];
        // What one more block of a row would change in the logarithm of the share, by what became of it.
        let (mut by_death, mut by_life, mut greenwood) = ([0.0; BANDS], [0.0; BANDS], 0.0);
        for i in 0..BANDS - 1 {
            let (died, risk) = (self.died[i].blocks, at_risk[i]);
            let left = risk - died;
            if left <= 0.0 {
                // Nobody comes further: all died here, or there was nobody.
                let value = if died > 0.0 { 0.0 } else { come[i].value };
                come[i + 1..].fill(Share { value, standard_error: 0.0, blocks: blocks.min(risk) });
                return come;
            }
            greenwood += died / (risk * left);
            by_death[i] -= 1.0 / risk;
            by_life[i] += (1.0 / left - 1.0 / risk) / 2.0;
            for later in i + 1..BANDS {
                by_death[later] += 1.0 / left - 1.0 / risk;
                by_life[later] += 1.0 / left - 1.0 / risk;
            }
            let sampled: f64 = (0..BANDS)
                .map(|k| {
                    by_death[k].powi(2) * self.died[k].blocks_variance
                        + by_life[k].powi(2) * self.living[k].blocks_variance
                })
                .sum();
            let value = come[i].value * left / risk;
            come[i + 1] = Share { value, standard_error: value * (sampled + greenwood).sqrt(), blocks };
        }
        come
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(blocks: f64) -> Sum {
        Sum { blocks, bytes: blocks * 10.0, samples: blocks as u64, ..Sum::default() }
    }

    #[test]
    fn what_nobody_censors_is_the_share_itself() {
        let ages = Ages::new(exact(900.0), &[exact(50.0), exact(25.0), exact(0.0), exact(25.0)]);
        let table = ages.table();
        let come: Vec<f64> = table.iter().map(|b| b.come_to_it.value).collect();
        let expected = [1.0, 0.1, 0.05, 0.025, 0.025];
        assert!(come.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{come:?}");
        assert_eq!(table.iter().map(|b| (b.from, b.until)).collect::<Vec<_>>().last(), Some(&(8, Some(16))));
        // Greenwood's error is the binomial one then.
        for (band, p) in table.iter().zip(expected).skip(1) {
            let binomial = (p * (1.0 - p) / 1000.0_f64).sqrt();
            assert!((band.come_to_it.standard_error / binomial - 1.0).abs() < 1e-9, "{band:?}");
        }
    }

    /// The example of a life table by hand: 20 died and 10 are left at age 0, 10 died and 30 are left at age 1.
    #[test]
    fn those_that_live_count_half() {
        let mut ages = Ages::new(exact(20.0), &[exact(10.0), exact(30.0)]);
        ages.live(0, exact(10.0));
        ages.live(1, exact(30.0));
        let come: Vec<_> = ages.table().iter().map(|b| b.come_to_it).collect();
        let (first, second) = (1.0 - 20.0 / 95.0, (1.0 - 20.0 / 95.0) * (1.0 - 10.0 / 55.0));
        assert!((come[1].value - first).abs() < 1e-12 && (come[2].value - second).abs() < 1e-12, "{come:?}");
        let greenwood = second * f64::sqrt(20.0 / (95.0 * 75.0) + 10.0 / (55.0 * 45.0));
        assert!((come[2].standard_error - greenwood).abs() < 1e-12, "{come:?}");
    }

    #[test]
    fn nothing_and_all_at_once() {
        let table = Ages::new(exact(0.0), &[]).table();
        assert_eq!((table.len(), table[0].come_to_it.value), (1, 1.0));
        let mut ages = Ages::new(exact(0.0), &[]);
        ages.live(1 << 20, exact(5.0));
        let table = ages.table();
        assert_eq!((table.len(), table[14].until, table[14].from, table[14].come_to_it.value), (15, None, 8192, 1.0));
        assert_eq!(table[14].living.blocks, 5.0);
    }
}
