//! A generator of random numbers that a failing test can be replayed from: one `u64` is its whole state.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers, on every machine.
    pub const fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next number; all 64 bits are good.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`. The bias of the remainder is irrelevant at the bounds that tests use.
    pub const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in `n` times.
    pub const fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Of every power of two up to `max` as much as of any other: from 1 to `max`, both included.
    pub fn log_uniform(&mut self, max: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        // max + 1 and the floor, so that 1 has a share too.
        let value = (unit * ((max + 1) as f64).ln()).exp();
        (value as usize).clamp(1, max)
    }
}

/// A bijection that spreads every input bit over the output.
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Prints the seed if the thread leaves the scope by a panic: what somebody needs to see the failure again.
#[derive(Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// The seeds to run: the one in `TENURE_TEST_SEED` if it is set, else the given ones.
    pub fn all(usual: impl IntoIterator<Item = u64>) -> Vec<u64> {
        match std::env::var("TENURE_TEST_SEED") {
            Ok(seed) => vec![seed.parse().expect("TENURE_TEST_SEED is a decimal number")],
            Err(_) => usual.into_iter().collect(),
        }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}: run again with TENURE_TEST_SEED={}", self.0, self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn log_uniform_keeps_its_bounds_and_reaches_both() {
        let mut rng = Rng::new(1);
        let drawn: Vec<usize> = (0..10_000).map(|_| rng.log_uniform(16)).collect();
        assert_eq!(drawn.iter().min(), Some(&1));
        assert_eq!(drawn.iter().max(), Some(&16));
    }
}
