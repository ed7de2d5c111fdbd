//! Blocks that are large, and blocks that grow.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::{Outcome, Setting};
use crate::block::{block, empty_slots};
use crate::rng::Rng;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How large the two growing vectors become, in bytes.
const GROWN: usize = 16 * MIB;

/// Runs `pass` `passes` times; the outcome's time is that of one.
pub(super) fn passes(passes: usize, mut pass: impl FnMut()) -> Outcome {
    let start = Instant::now();
    for _ in 0..passes {
        pass();
    }
    Outcome { ns: start.elapsed().as_nanos() as f64 / passes as f64, rss: Vec::new() }
}

/// Replaces random blocks of 64 KiB to 4 MiB among 64 and writes to each 4 KiB of the new one.
pub(super) fn large(setting: &Setting) -> Outcome {
    let mut rng = Rng::new(1);
    let mut slots = empty_slots(64);
    let outcome = passes(setting.scaled(8_000), || {
        let slot = &mut slots[rng.below(64)];
        *slot = Default::default();
        *slot = block(rng.between(64 * KIB, 4 * MIB));
        for page in slot.chunks_mut(4 * KIB) {
            page[0].write(1);
        }
    });
    black_box(&slots);
    outcome
}

/// A `Vec<u8>` grows to 16 MiB by single bytes and short slices.
pub(super) fn vec_u8(setting: &Setting) -> Outcome {
    let text = [b'x'; 15];
    passes(setting.scaled(20), || {
        let mut grown = Vec::new();
        while grown.len() < GROWN {
            grown.push(b'y');
            grown.extend_from_slice(black_box(&text));
        }
        black_box(&grown);
    })
}

/// A `Vec<u64>` grows to 16 MiB by single numbers.
pub(super) fn vec_u64(setting: &Setting) -> Outcome {
    passes(setting.scaled(20), || {
        let mut grown = Vec::new();
        for i in 0..(GROWN / size_of::<u64>()) as u64 {
            grown.push(i);
        }
        black_box(&grown);
    })
}

/// Many a `Vec<u64>` grows to a length from 1 to 64; 64 of them are alive at any time. One operation is one vector.
pub(super) fn vec_small(ops: usize) -> Duration {
    let mut rng = Rng::new(1);
    let mut alive: [Vec<u64>; 64] = [const { Vec::new() }; 64];
    let start = Instant::now();
    for i in 0..ops {
        let mut grown = Vec::new();
        for number in 0..rng.between(1, 64) as u64 {
            grown.push(number);
        }
        alive[i % 64] = grown;
    }
    black_box(&alive);
    start.elapsed()
}
