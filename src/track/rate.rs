//! How a block came to be tracked, in 16 bits: not at all, by a sample drawn at a mean distance, or because every block was;
//! and then, on behalf of which watch.

use super::watch::MOST;

/// What a tracked block weighs: 1/p blocks, and the variance that it brings, (1 - p)/p².
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) weight: f64,
    pub(crate) variance: f64,
}

/// A mean distance between samples in bytes, as 10 bits of mantissa and 6 of exponent; or, beyond those, one of the other
/// answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u16);

const MANTISSA: u32 = 10;
/// The code of the largest mean. Those between it and [`Rate::EXACT`] are watches.
const LAST_MEAN: u16 = 50 << MANTISSA | ((1 << MANTISSA) - 1);
const _: () = assert!(MOST < Rate::EXACT.0 - LAST_MEAN);

impl Rate {
    /// Nothing is tracked; in a word: no block.
    pub(crate) const NONE: Rate = Rate(0);
    /// Every block is tracked.
    pub(crate) const EXACT: Rate = Rate(u16::MAX);

    /// Samples at a mean distance of so many bytes, which is rounded to ten significant bits (0.1 %). 0: none.
    pub(crate) const fn sampled(mean: u64) -> Rate {
        if mean == 0 {
            return Rate::NONE;
        }
        let shift = (u64::BITS - mean.leading_zeros()).saturating_sub(MANTISSA);
        // Rounded to the nearest; what overflows the mantissa is the next power of two.
        let half = if shift == 0 { 0 } else { 1 << (shift - 1) };
        let m = mean.saturating_add(half) >> shift;
        let (m, shift) = if m >> MANTISSA == 0 { (m, shift) } else { (m >> 1, shift + 1) };
        // The largest mean would read as `EXACT`: means beyond 2^60 are that.
        if shift > 50 { Rate(LAST_MEAN) } else { Rate((shift as u16) << MANTISSA | m as u16) }
    }

    /// Every block is tracked, this one on behalf of a watch. The watch is 1 to [`MOST`].
    pub(crate) const fn watched(watch: u16) -> Rate {
        Rate(LAST_MEAN + watch)
    }

    /// Whether the block is tracked because every one is.
    #[inline]
    pub(crate) const fn is_exact(self) -> bool {
        self.0 > LAST_MEAN
    }

    /// The watch; `None` if it is no block of one.
    #[inline]
    pub(crate) const fn watch(self) -> Option<u16> {
        if self.is_exact() && self.0 != Rate::EXACT.0 { Some(self.0 - LAST_MEAN) } else { None }
    }

    /// The mean distance in bytes; `None` if nothing is sampled.
    pub(crate) const fn mean(self) -> Option<u64> {
        match self {
            Rate::NONE => None,
            rate if rate.is_exact() => None,
            Rate(code) => Some(((code & ((1 << MANTISSA) - 1)) as u64) << (code >> MANTISSA)),
        }
    }

    /// What a tracked block of so many bytes stands for.
    pub(crate) fn weight(self, block_size: u64) -> Weight {
        let p = self.probability(block_size);
        Weight { weight: 1.0 / p, variance: (1.0 - p) / (p * p) }
    }

    /// The probability with which a block of so many bytes is tracked.
    pub(crate) fn probability(self, block_size: u64) -> f64 {
        match self.mean() {
            Some(mean) => -libm::expm1(-(block_size as f64) / mean as f64),
            None if self.is_exact() => 1.0,
            None => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_to_a_thousandth() {
        for mean in (0..60).flat_map(|e| [1u64 << e, (1 << e) + (1 << e) / 3, (1 << e) - 1]).filter(|&m| m > 0) {
            let rounded = Rate::sampled(mean).mean().expect("a mean");
            assert!((rounded as f64 / mean as f64 - 1.0).abs() <= 1.0 / 1024.0, "{mean} became {rounded}");
            assert_eq!(Rate::sampled(rounded).mean(), Some(rounded), "rounding twice is rounding once");
        }
        assert_eq!(Rate::sampled(512 << 10).mean(), Some(512 << 10));
        assert_eq!(Rate::sampled(0), Rate::NONE);
        assert!(Rate::sampled(u64::MAX).mean().is_some());
    }

    #[test]
    fn probabilities() {
        assert_eq!(Rate::EXACT.probability(8), 1.0);
        assert_eq!(Rate::NONE.probability(8), 0.0);
        for watch in [1, 2, MOST] {
            let rate = Rate::watched(watch);
            assert_eq!((rate.watch(), rate.is_exact(), rate.mean()), (Some(watch), true, None));
            assert_eq!((rate.probability(8), rate.weight(8).variance), (1.0, 0.0));
        }
        assert_eq!((Rate::EXACT.watch(), Rate::NONE.watch(), Rate::sampled(u64::MAX).watch()), (None, None, None));
        assert!(!Rate::NONE.is_exact() && !Rate::sampled(u64::MAX).is_exact());
        let p = Rate::sampled(512 << 10).probability(64);
        assert!((p / (64.0 / 524288.0) - 1.0).abs() < 1e-3);
        assert!(Rate::sampled(512 << 10).probability(64 << 20) > 1.0 - 1e-12);
    }
}
