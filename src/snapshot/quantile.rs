//! Quantiles of the gamma distribution, which are what Poisson intervals are made of.

// Not through std, which would load the system's libm: 300 KiB resident in every program that the preloaded library is in.
use libm::{exp, log};

/// The logarithm of the gamma function for `a > 0`, by Stirling's series (Abramowitz and Stegun, 6.1.41), from 10 up.
fn ln_gamma(mut a: f64) -> f64 {
    let mut below = 1.0;
    while a < 10.0 {
        below *= a;
        a += 1.0;
    }
    let z = 1.0 / (a * a);
    let series = (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z / 1680.0))) / a;
    (a - 0.5) * log(a) - a + 0.5 * log(2.0 * std::f64::consts::PI) + series - log(below)
}

/// The probability that a gamma variable of this shape is at most `x`: the series 6.5.29 of Abramowitz and Stegun for
/// small `x`, the continued fraction 6.5.31 for others, evaluated by Lentz's method.
pub(super) fn gamma_probability(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = exp(shape * log(x) - x - ln_gamma(shape));
    if x < shape + 1.0 {
        let (mut term, mut sum, mut a) = (1.0 / shape, 1.0 / shape, shape);
        while term > sum * 1e-15 {
            a += 1.0;
            term *= x / a;
            sum += term;
        }
        return (front * sum).min(1.0);
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - shape;
    let (mut c, mut d) = (1.0 / tiny, 1.0 / b);
    let mut fraction = d;
    for i in 1..100_000 {
        let numerator = i as f64 * (shape - i as f64);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        if c.abs() < tiny {
            c = tiny;
        }
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (1.0 - front * fraction).max(0.0)
}

/// Where [`gamma_probability`] reaches `p`, by bisection: it is for reports, and cannot fail to converge.
pub(super) fn gamma(shape: f64, p: f64) -> f64 {
    if shape <= 0.0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, shape + 10.0);
    while gamma_probability(shape, high) < p && high < 1e300 {
        low = high;
        high *= 2.0;
    }
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if gamma_probability(shape, middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// How many standard errors to each side hold this share of a normal distribution: 1.96 for 0.95.
pub(super) fn normal(confidence: f64) -> f64 {
    (2.0 * gamma(0.5, confidence)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1e-3), "{a} is not {b}");
    }

    #[test]
    fn as_printed_in_tables() {
        near(normal(0.95), 1.959964);
        near(normal(0.99), 2.575829);
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(ln_gamma(101.0), 363.739376);
        // Half a chi-square quantile: Garwood's limits for 0, 1, 5, 10 and 100 events.
        near(gamma(1.0, 0.975), 3.688879);
        near(gamma(1.0, 0.025), 0.025318);
        near(gamma(2.0, 0.975), 5.571643);
        near(gamma(5.0, 0.025), 1.623486);
        near(gamma(6.0, 0.975), 11.668332);
        near(gamma(11.0, 0.975), 18.390356);
        near(gamma(100.0, 0.025), 81.36395);
        near(gamma(101.0, 0.975), 121.62679);
    }

    #[test]
    fn a_quantile_undoes_the_probability() {
        for shape in [0.5, 1.0, 7.5, 29.0, 1e3, 1e6] {
            for p in [0.001, 0.025, 0.5, 0.975, 0.999] {
                assert!((gamma_probability(shape, gamma(shape, p)) - p).abs() < 1e-6, "{shape} {p}");
            }
        }
    }
}
