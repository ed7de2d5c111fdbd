//! `Tenure` as a value beside another global allocator, which serves the test itself: what is wrong with one does not hide in the other.
//! Under AddressSanitizer this is where it sees a write of ours into memory that is not: the global allocator is its own.

use std::sync::Mutex;
use tenure::Tenure;
use tenure_alloc_tests::oracle::Oracle;
use tenure_alloc_tests::player::{Table, play_random};
use tenure_alloc_tests::rng::{Seed, mix};
use tenure_alloc_tests::rss::MIB;
use tenure_alloc_tests::sizes::Sizes;

static TENURE: Tenure = Tenure::new();

#[test]
fn one_thread() {
    for seed in Seed::all(31..=33) {
        let _printed = Seed(seed);
        for largest in [2048, 64 << 10, 8 * MIB] {
            let oracle = Oracle::new(&TENURE);
            play_random(&oracle, None, &Sizes::up_to(largest), seed, 8000, 32 * MIB)
                .unwrap_or_else(|fault| panic!("{fault}"));
            assert!(oracle.is_idle());
        }
    }
}

#[test]
fn many_threads() {
    for seed in Seed::all(41..=42) {
        let (oracle, table): (_, Table) = (Oracle::new(&TENURE), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (oracle, table) = (&oracle, &table);
                scope.spawn(move || {
                    let _printed = Seed(seed);
                    play_random(oracle, Some(table), &Sizes::up_to(64 << 10), mix(seed ^ thread << 32), 6000, 4 * MIB)
                        .unwrap_or_else(|fault| panic!("{fault}"));
                });
            }
        });
        for block in table.into_inner().expect("nobody panicked") {
            oracle.free(block).unwrap_or_else(|fault| panic!("{fault}"));
        }
        assert!(oracle.is_idle());
    }
}
