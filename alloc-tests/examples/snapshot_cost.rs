//! What a snapshot costs: a million live blocks, tracked exactly, from 16,384 call stacks.
//!
//! ```sh
//! cargo run --release -p tenure-alloc-tests --example snapshot_cost
//! ```

use std::hint::black_box;
use std::time::Instant;
use tenure::{Mode, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Exact);

const LEVELS: usize = 14;
const BLOCKS: usize = 64;

/// Calls itself from two places, so that each path through it is a call stack.
#[inline(never)]
fn tree(path: usize, levels: usize, held: &mut Vec<Vec<u8>>) {
    if levels == 0 {
        held.extend((0..black_box(BLOCKS)).map(|i| vec![i as u8; 40]));
    } else if path & 1 == 0 {
        tree(path >> 1, levels - 1, held);
    } else {
        tree(black_box(path) >> 1, levels - 1, held);
        black_box(levels);
    }
    black_box(path);
}

fn main() {
    let mut held = Vec::with_capacity(BLOCKS << LEVELS);
    for path in 0..1 << LEVELS {
        tree(path, LEVELS, &mut held);
    }
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let begin = Instant::now();
            let snapshot = tenure::snapshot();
            let time = begin.elapsed();
            assert!(snapshot.tracked().blocks().value >= held.len() as f64);
            (time, snapshot.sites().len())
        })
        .collect();
    times.sort();
    println!(
        "{} live blocks of {} sites: {:?} (median of 9, {:?} to {:?})",
        held.len(),
        times[4].1,
        times[4].0,
        times[0].0,
        times[8].0
    );
}
