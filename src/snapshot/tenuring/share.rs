//! A share of blocks or bytes, and its error.

use crate::snapshot::quantile;

/// A share, from 0 to 1, as a ratio of estimates, and its error. `NaN` where it is a share of nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Share {
    /// The share itself. Its bias goes to 0 with the number of samples, and is far below its error.
    pub value: f64,
    /// The standard error of `value`; 0 if it is exact.
    pub standard_error: f64,
    /// On how many blocks of equal weight it rests: where all sampled ones went one way, the error says nothing. Infinite if
    /// it is exact.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) blocks: f64,
}

impl Share {
    /// What is certain.
    pub(super) const ALL: Share = Share { value: 1.0, standard_error: 0.0, blocks: f64::INFINITY };

    /// The share of what is in, of what is in or out; of what is undecided, half counts. Each a sum and its variance.
    ///
    /// The three are sums over different blocks, which are independent: the error is by the delta method.
    pub(super) fn of(inside: (f64, f64), out: (f64, f64), undecided: (f64, f64)) -> Share {
        let all = inside.0 + out.0 + undecided.0 / 2.0;
        let variance = inside.1 + out.1 + undecided.1 / 4.0;
        let blocks = if variance > 0.0 { all * all / variance } else { f64::INFINITY };
        let value = if all > 0.0 { inside.0 / all } else { f64::NAN };
        let spread = (1.0 - value).powi(2) * inside.1 + value * value * (out.1 + undecided.1 / 4.0);
        Share { value, standard_error: spread.sqrt() / all, blocks }
    }

    /// Whether nothing was estimated.
    pub fn is_exact(&self) -> bool {
        self.standard_error == 0.0 && self.blocks == f64::INFINITY
    }

    /// The limits between which the truth lies with a probability of `confidence` (0.95, say). Allocates nothing.
    ///
    /// Wilson's (Journal of the American Statistical Association 22, 1927), for the number of blocks of equal weight that
    /// would have this error: within 0 and 1, and of some width also where every sample went one way.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        if self.is_exact() || self.value.is_nan() {
            return (self.value, self.value);
        }
        let (p, spread) = (self.value, self.value * (1.0 - self.value));
        let n = if self.standard_error > 0.0 && spread > 0.0 {
            spread / (self.standard_error * self.standard_error)
        } else {
            self.blocks
        };
        let z = quantile::normal(confidence);
        let (middle, scale) = (p + z * z / (2.0 * n), 1.0 + z * z / n);
        let reach = z * (spread / n + z * z / (4.0 * n * n)).sqrt();
        (((middle - reach) / scale).max(0.0), ((middle + reach) / scale).min(1.0))
    }
}
