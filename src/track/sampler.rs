//! When samples fall.
//!
//! Samples are Poisson in bytes: a block of so many bytes is one with p = 1 - exp(-bytes / mean), independently of all
//! others. A sum of Poisson processes is one, so each class of each thread runs its own, and the number of blocks until
//! the next sample is geometric with that p.

use super::rate::Rate;
use super::state::State;
use crate::os;

/// How many blocks of `size` bytes are allocated until one is a sample, itself included; `u64::MAX` for none.
pub(super) fn draw(state: &mut State, rate: Rate, size: usize) -> u64 {
    match rate.mean() {
        None => u64::MAX,
        // An exponential distance in bytes, in blocks: rounded up it is geometric with p = 1 - exp(-size / mean).
        Some(mean) => ((-libm::log(random(state)) * mean as f64 / size as f64) as u64).saturating_add(1),
    }
}

/// Uniform in (0, 1]: splitmix64 (Steele, Lea and Flood, 2014), seeded differently in each thread.
pub(super) fn random(state: &mut State) -> f64 {
    let seed = state.seed();
    if *seed == 0 {
        *seed = os::seed();
    }
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11).wrapping_add(1) as f64 / (1u64 << 53) as f64
}
