//! Sums over blocks that were counted or sampled, and how far off they may be.

use super::quantile;
use crate::track;
use std::ops::{Add, AddAssign};

/// Blocks and the bytes requested for them, counted or estimated from samples.
///
/// A block that was tracked with probability p stands for 1/p blocks and requested/p bytes (Horvitz and Thompson,
/// 1952), which makes the sums unbiased; it adds (1 - p)/p² to the variance, times requested² for bytes. A block that
/// was tracked for certain adds 1 and no variance: what consists of such blocks alone is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Sum {
    /// Blocks.
    pub blocks: f64,
    /// Bytes, as requested.
    pub bytes: f64,
    /// The variance of `blocks`; 0 if exact.
    pub blocks_variance: f64,
    /// The variance of `bytes`, in bytes squared; 0 if exact.
    pub bytes_variance: f64,
    /// Tracked blocks among them.
    pub samples: u64,
}

impl Sum {
    /// A tracked block.
    #[inline]
    pub(crate) fn of(requested: u64, probability: f64) -> Sum {
        let weight = 1.0 / probability;
        let (bytes, variance) = (requested as f64, (1.0 - probability) * weight * weight);
        Sum {
            blocks: weight,
            bytes: bytes * weight,
            blocks_variance: variance,
            bytes_variance: variance * bytes * bytes,
            samples: 1,
        }
    }

    /// The blocks, with their error.
    pub fn blocks(&self) -> Estimate {
        Estimate { value: self.blocks, standard_error: self.blocks_variance.max(0.0).sqrt(), samples: self.samples }
    }

    /// The bytes, with their error.
    pub fn bytes(&self) -> Estimate {
        Estimate { value: self.bytes, standard_error: self.bytes_variance.max(0.0).sqrt(), samples: self.samples }
    }

    /// The mean size requested, in bytes; 0 without blocks.
    pub fn mean(&self) -> f64 {
        if self.blocks > 0.0 { self.bytes / self.blocks } else { 0.0 }
    }

    /// A part less. The part is of other blocks than what is left, so their variances add up to that of the whole. What
    /// rounding leaves below nothing is nothing.
    pub(super) fn less(&self, part: &Sum) -> Sum {
        let less = |a: f64, b: f64| if a - b > a * 1e-12 { a - b } else { 0.0 };
        Sum {
            blocks: less(self.blocks, part.blocks),
            bytes: less(self.bytes, part.bytes),
            blocks_variance: less(self.blocks_variance, part.blocks_variance),
            bytes_variance: less(self.bytes_variance, part.bytes_variance),
            samples: self.samples.saturating_sub(part.samples),
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        [self.blocks, self.bytes, self.blocks_variance, self.bytes_variance].iter().all(|x| x.is_finite() && *x >= 0.0)
    }
}

impl AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Sum) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        self.blocks_variance += other.blocks_variance;
        self.bytes_variance += other.bytes_variance;
        // What is read from a file may say anything.
        self.samples = self.samples.saturating_add(other.samples);
    }
}

impl Add for Sum {
    type Output = Sum;
    fn add(mut self, other: Sum) -> Sum {
        self += other;
        self
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Sum>>(all: I) -> Sum {
        all.fold(Sum::default(), Sum::add)
    }
}

impl From<track::Estimate> for Sum {
    fn from(e: track::Estimate) -> Sum {
        Sum {
            blocks: e.blocks,
            bytes: e.bytes,
            blocks_variance: e.blocks_variance,
            bytes_variance: e.bytes_variance,
            samples: e.samples,
        }
    }
}

/// A figure and its error.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Estimate {
    /// The figure itself; unbiased.
    pub value: f64,
    /// The standard error of `value`, in its unit; 0 if `value` is exact.
    pub standard_error: f64,
    /// Tracked blocks that it rests on.
    pub samples: u64,
}

/// From so many samples on, an estimate is as good as normally distributed.
const MANY: f64 = 30.0;

/// A Poisson count of so many is, however few blocks it comes from; and its limits take long to find.
const VERY_MANY: f64 = 1000.0;

impl Estimate {
    /// Whether nothing was estimated.
    pub fn is_exact(&self) -> bool {
        self.standard_error == 0.0
    }

    /// The limits between which the truth lies with a probability of `confidence` (0.95, say). Allocates nothing.
    ///
    /// From 30 samples on, `value` ± z standard errors. Below, the limits of a Poisson count: Garwood's (Biometrika 28,
    /// 1936), scaled for unequal weights as by Dobson, Kuulasmaa, Eberle and Scherer (Statistics in Medicine 10, 1991)
    /// and by Fay and Feuer (Statistics in Medicine 16, 1997), whose lower limit it has: with a variance of s², an
    /// estimate x is what n = x²/s² samples of the weight s²/x give. The same if n is below 30, as in a sum that few
    /// of many samples dominate; from n = 1,000 on, both limits are those of the normal distribution again. The upper limit
    /// takes the next, unseen, sample to weigh s²/x too; Fay and Feuer take the largest possible weight, which is not
    /// known here. With no sample at all, nothing is said: both limits are 0.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        if self.is_exact() || self.value <= 0.0 {
            return (self.value, self.value);
        }
        let weight = self.standard_error * self.standard_error / self.value;
        let count = self.value / weight;
        if count >= VERY_MANY || self.samples as f64 >= MANY && count >= MANY {
            let z = quantile::normal(confidence);
            return (self.value - z * self.standard_error, self.value + z * self.standard_error);
        }
        let tail = (1.0 - confidence) / 2.0;
        (weight * quantile::gamma(count, tail), weight * quantile::gamma(count + 1.0, 1.0 - tail))
    }
}

/// A difference of two figures, and its error. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Difference {
    /// The figure itself; unbiased.
    pub value: f64,
    /// The standard error of `value`, in its unit; 0 if `value` is exact.
    pub standard_error: f64,
}

impl Difference {
    pub(crate) fn new(value: f64, variance: f64) -> Difference {
        Difference { value, standard_error: variance.max(0.0).sqrt() }
    }

    /// Whether nothing was estimated.
    pub fn is_exact(&self) -> bool {
        self.standard_error == 0.0
    }

    /// The limits between which the truth lies with a probability of `confidence`, as `value` ± z standard errors.
    /// Allocates nothing.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let z = if self.is_exact() { 0.0 } else { quantile::normal(confidence) };
        (self.value - z * self.standard_error, self.value + z * self.standard_error)
    }
}
