//! What a snapshot and a dump cost: a million live blocks, tracked exactly, from 16,384 call stacks.
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
    let (blocks, mut sites) = (held.len(), 0);
    time("a snapshot", || {
        let snapshot = tenure::snapshot();
        assert!(snapshot.tracked().blocks().value >= blocks as f64);
        sites = snapshot.sites().len();
    });
    let path = std::env::temp_dir().join(format!("tenure-snapshot-cost-{}", std::process::id()));
    let mut bytes = 0;
    time("a dump", || {
        tenure::dump::to(&path).expect("written");
        bytes = std::fs::metadata(&path).expect("a file").len();
        std::fs::remove_file(&path).expect("removed");
    });
    println!("{blocks} live blocks of {sites} sites; the dump has {:.1} MiB", bytes as f64 / f64::from(1 << 20));
}

fn time(what: &str, mut f: impl FnMut()) {
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let begin = Instant::now();
            f();
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: {:?} (median of 9, {:?} to {:?})", times[4], times[0], times[8]);
}
