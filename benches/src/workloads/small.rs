//! Small blocks that their own thread frees.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use super::parallel::{at_once, timed};
use crate::block::{Block, block, replace};
use crate::rng::Rng;

type Small = Box<[MaybeUninit<u64>; 4]>;

/// Live blocks of a thread of [`mixed`]: about 10 MiB, more than a core's own caches hold.
const SLOTS: usize = 20_000;

/// A block of 32 bytes, the first of them written.
#[inline]
fn small(i: usize) -> Small {
    let mut block: Small = Box::new([MaybeUninit::uninit(); 4]);
    block[0].write(i as u64);
    block
}

/// Allocates 32 bytes and frees them.
pub(super) fn pair32(ops: usize) -> Duration {
    let start = Instant::now();
    for i in 0..ops {
        black_box(&*small(i));
    }
    start.elapsed()
}

/// The loop of [`pair32`] around nothing.
pub(super) fn bare_loop(ops: usize) -> Duration {
    let start = Instant::now();
    for i in 0..ops {
        black_box(&i);
    }
    start.elapsed()
}

/// Allocates 64 blocks of 32 bytes and frees them in reverse order.
pub(super) fn lifo64(ops: usize) -> Duration {
    let mut stack: [Option<Small>; 64] = [const { None }; 64];
    let start = Instant::now();
    for _ in 0..ops.div_ceil(stack.len()) {
        for (i, slot) in stack.iter_mut().enumerate() {
            *slot = Some(small(i));
        }
        black_box(&stack);
        for slot in stack.iter_mut().rev() {
            *slot = None;
        }
    }
    start.elapsed()
}

/// Replaces random blocks of 16 to 1024 bytes, in `THREADS` threads that share nothing. The time is that of the
/// threads that run at once, added up: an allocator that does not disturb them has one figure for all numbers of
/// threads.
pub(super) fn mixed<const THREADS: usize>(ops: usize) -> Duration {
    let fill = |thread| {
        let mut rng = Rng::new(thread as u64);
        let slots: Vec<Block> = (0..SLOTS).map(|_| block(rng.between(16, 1024))).collect();
        (rng, slots)
    };
    let wall = timed(THREADS, fill, |_, (rng, slots)| {
        for _ in 0..ops.div_ceil(THREADS) {
            replace(&mut slots[rng.below(SLOTS)], rng.between(16, 1024));
        }
    });
    wall * at_once(THREADS)
}
