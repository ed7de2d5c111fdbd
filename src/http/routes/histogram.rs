//! How sizes are distributed: counts in buckets that are powers of four, so that a few of them reach from a small block to a
//! gigabyte, and a quantile is known to within a factor of four; and the exact sum and maximum.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nothing at all, and 64 B to 1 GiB. What is more is in one bucket more.
pub(crate) const BOUNDS: [u64; 14] = {
    let mut bounds = [0; 14];
    let mut i = 1;
    while i < bounds.len() {
        bounds[i] = 64 << (2 * (i - 1));
        i += 1;
    }
    bounds
};

const _: () = assert!(BOUNDS[13] == 1 << 30);

/// Any number of threads may count at once. Relaxed throughout: these are counts, and nothing else is said by them.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
    max: AtomicU64,
}

/// What a histogram has counted. Those who count go on meanwhile: `sum` and `max` may be of a value more than the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many values were at most as large as [`BOUNDS`] say and larger than the one before; the last: larger than all.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) sum: u64,
    pub(crate) max: u64,
}

impl Histogram {
    pub(super) fn count(&self, value: u64) {
        self.buckets[BOUNDS.partition_point(|&bound| bound < value)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        self.max.fetch_max(value, Relaxed);
    }

    pub(super) fn counts(&self) -> Counts {
        let buckets = self.buckets.each_ref().map(|n| n.load(Relaxed));
        Counts { buckets, sum: self.sum.load(Relaxed), max: self.max.load(Relaxed) }
    }
}

impl Counts {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.count() == 0 { 0.0 } else { self.sum as f64 / self.count() as f64 }
    }

    /// The size that a share of the values do not exceed, as if they lay evenly between the bounds of its bucket; never more
    /// than the largest. 0 if there are none.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let rank = share * self.count() as f64;
        let mut below = 0.0;
        for (i, &n) in self.buckets.iter().enumerate() {
            let n = n as f64;
            if n > 0.0 && below + n >= rank {
                let from = if i == 0 { 0 } else { BOUNDS[i - 1] } as f64;
                let to = BOUNDS.get(i).copied().unwrap_or(self.max).min(self.max) as f64;
                return from.min(to) + (to - from).max(0.0) * ((rank - below) / n).clamp(0.0, 1.0);
            }
            below += n;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_bucket_of_the_first_bound_that_it_does_not_exceed() {
        for (value, bucket) in
            [(0, 0), (1, 1), (64, 1), (65, 2), (256, 2), (257, 3), (1 << 30, 13), ((1 << 30) + 1, 14), (u64::MAX, 14)]
        {
            let histogram = Histogram::default();
            histogram.count(value);
            let counts = histogram.counts();
            assert_eq!(counts.buckets.iter().position(|&n| n == 1), Some(bucket), "{value}");
            assert_eq!((counts.count(), counts.sum, counts.max), (1, value, value));
        }
    }

    #[test]
    fn quantiles_are_within_their_bucket() {
        let histogram = Histogram::default();
        assert_eq!((histogram.counts().quantile(0.5), histogram.counts().mean()), (0.0, 0.0));
        (0..90).for_each(|_| histogram.count(0));
        (0..9).for_each(|_| histogram.count(200));
        histogram.count(5000);
        let counts = histogram.counts();
        assert_eq!((counts.quantile(0.5), counts.quantile(1.0)), (0.0, 5000.0));
        assert!((64.0..=256.0).contains(&counts.quantile(0.95)), "{}", counts.quantile(0.95));
        assert_eq!(counts.mean(), 68.0);
    }
}
