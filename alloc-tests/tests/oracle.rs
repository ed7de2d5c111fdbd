//! Random operations beside a naive oracle: alignment, contents, no overlap, zeroing, what `realloc` keeps.

use std::sync::Mutex;
use tenure_alloc_tests::oracle::Oracle;
use tenure_alloc_tests::player::{Table, play_random};
use tenure_alloc_tests::rng::{Seed, mix};
use tenure_alloc_tests::rss::MIB;
use tenure_alloc_tests::{Tenure, sizes::Sizes};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const LARGEST: usize = 8 * MIB;

#[test]
fn one_thread() {
    for seed in Seed::all(1..=6) {
        let _printed = Seed(seed);
        let oracle = Oracle::new(&ALLOC);
        play_random(&oracle, None, &Sizes::up_to(LARGEST), seed, 10_000, 96 * MIB)
            .unwrap_or_else(|fault| panic!("{fault}"));
        assert!(oracle.is_idle());
    }
}

/// Many more operations than above, on the sizes that the fast path serves.
#[test]
fn one_thread_with_small_blocks() {
    for seed in Seed::all(11..=13) {
        let _printed = Seed(seed);
        let oracle = Oracle::new(&ALLOC);
        play_random(&oracle, None, &Sizes::up_to(2048), seed, 100_000, 4 * MIB)
            .unwrap_or_else(|fault| panic!("{fault}"));
    }
}

/// Half of all blocks change hands over a common table before they are reallocated or freed.
#[test]
fn many_threads() {
    for seed in Seed::all(21..=23) {
        let largest = [LARGEST, 2048, 64 << 10][(seed % 3) as usize];
        let (oracle, table): (_, Table) = (Oracle::new(&ALLOC), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (oracle, table) = (&oracle, &table);
                scope.spawn(move || {
                    let _printed = Seed(seed);
                    let sizes = Sizes::up_to(largest);
                    play_random(oracle, Some(table), &sizes, mix(seed ^ thread << 32), 12_000, 8 * MIB)
                        .unwrap_or_else(|fault| panic!("{fault}"));
                });
            }
        });
        for block in table.into_inner().unwrap() {
            oracle.free(block).unwrap_or_else(|fault| panic!("{fault}"));
        }
        assert!(oracle.is_idle());
    }
}
