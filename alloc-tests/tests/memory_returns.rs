//! Physical memory goes back to the OS when it is idle, without a call from the user: within about a second, and here
//! within ten, to max(10 %, 4 MiB) of where it started.
//!
//! Each scenario has a process of its own, because it reads what the process occupies.

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{MIB, anonymous, mib, near, settle};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const PATIENCE: Duration = Duration::from_secs(10);

/// Blocks of up to `largest` bytes, written to, `bytes` in all.
fn fill(bytes: usize, largest: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut blocks = Vec::new();
    let mut sum = 0;
    while sum < bytes {
        let size = rng.log_uniform(largest);
        sum += size;
        blocks.push(vec![1; size]);
    }
    blocks
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut rng = Rng::new(seed);
    for end in (1..items.len()).rev() {
        items.swap(end, rng.below(end + 1));
    }
}

#[track_caller]
fn returns_to(start: usize, full: usize) {
    // Or what is compared is not what was meant to be compared.
    assert!(full > start + 150 * MIB, "only {} MiB were filled", mib(full - start));
    match settle(near(start), PATIENCE) {
        Ok((rest, time)) => {
            println!("{} MiB at the start, {} full, {} after {time:.1?}", mib(start), mib(full), mib(rest))
        }
        Err(rest) => panic!(
            "{} MiB at the start, {} full, and still {} after {PATIENCE:?}; {} allowed",
            mib(start),
            mib(full),
            mib(rest),
            mib(near(start))
        ),
    }
}

#[test]
fn after_mixed_sizes() {
    Scenario::new("after_mixed_sizes").run(|| {
        drop(fill(MIB, 64 << 10, 1));
        let start = anonymous();
        let blocks = fill(200 * MIB, 64 << 10, 1);
        let full = anonymous();
        drop(blocks);
        returns_to(start, full);
    });
}

/// In the order in which real programs free: none.
#[test]
fn after_frees_in_random_order() {
    Scenario::new("after_frees_in_random_order").run(|| {
        let start = anonymous();
        let mut blocks = fill(200 * MIB, 4 << 10, 2);
        let full = anonymous();
        shuffle(&mut blocks, 3);
        drop(blocks);
        returns_to(start, full);
    });
}

#[test]
fn after_large_blocks() {
    Scenario::new("after_large_blocks").run(|| {
        let start = anonymous();
        let mut blocks = fill(200 * MIB, 16 * MIB, 4);
        let full = anonymous();
        shuffle(&mut blocks, 5);
        drop(blocks);
        returns_to(start, full);
    });
}

/// Not once, but each time: what is kept ready for the next burst goes as well.
#[test]
fn after_each_of_some_bursts() {
    Scenario::new("after_each_of_some_bursts").run(|| {
        let start = anonymous();
        for seed in 0..3 {
            let blocks = fill(200 * MIB, 100 << 10, seed);
            let full = anonymous();
            drop(blocks);
            returns_to(start, full);
        }
    });
}

/// Eight workers sleep, alive, and never call the allocator again; another thread frees all that they allocated.
#[test]
fn while_the_owners_sleep() {
    Scenario::new("while_the_owners_sleep").run(|| {
        const WORKERS: u64 = 8;
        let start = anonymous();
        let (sender, receiver) = channel();
        let awake = &Barrier::new(WORKERS as usize + 1);
        thread::scope(|scope| {
            for seed in 0..WORKERS {
                let sender = sender.clone();
                scope.spawn(move || {
                    sender.send(fill(200 * MIB / WORKERS as usize, 32 << 10, seed)).expect("somebody listens");
                    drop(sender);
                    awake.wait();
                });
            }
            drop(sender);
            let mut blocks: Vec<Vec<u8>> = receiver.into_iter().flatten().collect();
            let full = anonymous();
            scope.spawn(move || {
                shuffle(&mut blocks, 6);
                drop(blocks);
            });
            // If it panics the workers would be waited for, for ever.
            let outcome = std::panic::catch_unwind(|| returns_to(start, full));
            awake.wait();
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
}

/// Eight workers free all of their own and then sleep, alive.
#[test]
fn while_those_who_freed_sleep() {
    Scenario::new("while_those_who_freed_sleep").run(|| {
        const WORKERS: u64 = 8;
        let start = anonymous();
        let (filled, awake) = (&Barrier::new(WORKERS as usize + 1), &Barrier::new(WORKERS as usize + 1));
        thread::scope(|scope| {
            for seed in 0..WORKERS {
                scope.spawn(move || {
                    let blocks = fill(200 * MIB / WORKERS as usize, 8 << 10, seed);
                    filled.wait();
                    // The reading of the full process comes between the two.
                    filled.wait();
                    drop(blocks);
                    awake.wait();
                });
            }
            filled.wait();
            let full = anonymous();
            filled.wait();
            let outcome = std::panic::catch_unwind(|| returns_to(start, full));
            awake.wait();
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    });
}

/// Without a helper, memory that is used again at once stays: purged each time, it would be faulted in each time.
#[test]
fn a_large_block_again_and_again_without_a_helper() {
    Scenario::new("a_large_block_again_and_again_without_a_helper")
        .env("TENURE", "helper=off,idle=24h,young=1024GiB")
        .run(|| {
            tenure::internals::purge_by_time(true);
            let before = tenure::stats().purged;
            for _ in 0..200 {
                drop(vec![1_u8; 24 * MIB]);
                // One after the other, each of which could purge what was freed before it.
                drop((0..6).map(|_| vec![1_u8; 4 * MIB]).collect::<Vec<_>>());
            }
            let purged = tenure::stats().purged - before;
            assert!(purged < 24 * MIB, "{} MiB were purged for 200 times 24 MiB", mib(purged));
        });
}

/// Without a helper, who frees purges: at once what is far too much, and the rest when it has waited.
#[test]
fn by_those_who_free_without_a_helper() {
    Scenario::new("by_those_who_free_without_a_helper").env("TENURE", "helper=off,idle=24h,young=1024GiB").run(|| {
        tenure::internals::purge_by_time(true);
        let start = anonymous();
        let blocks = fill(200 * MIB, 4 << 20, 7);
        let full = anonymous();
        drop(blocks);
        let at_once = anonymous();
        assert!(at_once < start + 40 * MIB, "{} MiB of {} stay", mib(at_once), mib(full));
        let busy = thread::spawn(|| {
            for _ in 0..PATIENCE.as_millis() / 10 {
                drop(vec![1_u8; 3 * MIB]);
                thread::sleep(Duration::from_millis(10));
            }
        });
        returns_to(start + 3 * MIB, full);
        drop(busy);
    });
}
