//! Sampling: of any set of blocks, as many are tracked as independent trials with p = 1 - exp(-block size / mean) would be.
//! Whatever happens to the magazines in between must not show.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, Since, Trials, alone, block_size, rng, shuffle};
use std::thread;
use tenure::internals::{self, tracker};
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// Sizes of several classes, small to the largest, and how often a test allocates each.
const MIX: [(usize, usize); 7] =
    [(16, 60_000), (100, 40_000), (500, 30_000), (1024, 20_000), (4000, 12_000), (20_000, 6000), (65_536, 4000)];

const MEAN: u64 = 4096;

/// From here on this thread's draws are of this mean: what was drawn before is sent home.
fn set_mean(bytes: u64) {
    tracker::set_mean(bytes);
    internals::collect();
}

fn trials(mix: &[(usize, usize)], mean: u64) -> Trials {
    let mut trials = Trials::default();
    mix.iter().for_each(|&(size, n)| trials.add(n, block_size(size), mean));
    trials
}

#[test]
fn pairs() {
    alone("pairs", || {
        set_mean(MEAN);
        for entry in MIX {
            let since = Since::now();
            (0..entry.1).for_each(|_| Raw::new(entry.0).free());
            trials(&[entry], MEAN).compare(&format!("pairs of {} bytes", entry.0), since.born());
            assert_eq!(since.born(), since.died());
        }
    });
}

/// Each in its own process' share of the trials: the order of the frees decides what the push magazines hold, and nothing else.
#[test]
fn freed_in_any_order() {
    alone("freed_in_any_order", || {
        type Order = fn(&mut [Raw]);
        let orders: [(&str, Order); 3] = [
            ("as they came", |_| ()),
            ("backwards", |blocks| blocks.reverse()),
            ("in random order", |blocks| shuffle(blocks, 5)),
        ];
        let mut blocks: Vec<Raw> = Vec::with_capacity(3000);
        set_mean(MEAN);
        for (name, order) in orders {
            let since = Since::now();
            let small = [(16, 60_000), (100, 36_000), (500, 30_000), (1024, 15_000)];
            for (size, n) in small {
                for _ in 0..n / 3000 {
                    blocks.extend((0..3000).map(|_| Raw::new(size)));
                    order(&mut blocks);
                    blocks.drain(..).for_each(Raw::free);
                }
            }
            trials(&small, MEAN).compare(name, since.born());
            assert_eq!((since.died(), since.requested()), (since.born(), 0));
        }
    });
}

/// Random replacement over live blocks of several classes, so that no class's magazines are used alone.
#[test]
fn mixed_sizes() {
    alone("mixed_sizes", || {
        let mut rng = rng(9);
        let mut live: Vec<Raw> = (0..5000).map(|_| Raw::new(8)).collect();
        set_mean(MEAN);
        let (since, mut trials) = (Since::now(), Trials::default());
        let blocks = MIX.map(|(size, _)| (size, block_size(size)));
        for _ in 0..120_000 {
            let (size, block) = blocks[rng.below(5)];
            let new = Raw::new(size);
            trials.add(1, block, MEAN);
            let i = rng.below(live.len());
            std::mem::replace(&mut live[i], new).free();
        }
        trials.compare("mixed", since.born());
        live.drain(..).for_each(Raw::free);
        assert_eq!((since.died(), since.requested()), (since.born(), 0));
    });
}

#[test]
fn two_threads() {
    alone("two_threads", || {
        set_mean(MEAN);
        let since = Since::now();
        // What std allocates for two threads is a dozen of small blocks: nothing beside thousands of trials.
        thread::scope(|scope| {
            let threads = [0, 1].map(|seed| {
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    let mut live = [const { None }; 200];
                    for (size, n) in MIX {
                        for _ in 0..n {
                            if let Some(old) = live[rng.below(200)].replace(Raw::new(size)) {
                                Raw::free(old);
                            }
                        }
                    }
                    live.into_iter().flatten().for_each(Raw::free);
                })
            });
            // A scope's end waits for the closures only: what std frees at a thread's end would come later.
            threads.into_iter().for_each(|t| t.join().expect("a thread"));
        });
        trials(&MIX.map(|(size, n)| (size, 2 * n)), MEAN).compare("two threads", since.born());
        assert_eq!((since.died(), since.requested()), (since.born(), 0));
    });
}

/// A thread that ends takes its draw with it; what it did not pop was no trial.
#[test]
fn short_threads() {
    alone("short_threads", || {
        // Of blocks that std does not ask for in its threads, so that all of them are known.
        const SIZE: usize = 900;
        let before = tenure::stats();
        let class = before.classes.iter().position(|c| c.block_size >= SIZE).expect("a class");
        set_mean(MEAN);
        let since = Since::now();
        let n = 1500;
        for i in 0..n {
            thread::spawn(move || (0..1 + i % 40).for_each(|_| Raw::new(SIZE).free())).join().expect("a thread");
        }
        let born = since.born();
        let after = tenure::stats();
        // The rest of the births are std's own, and trials just as well.
        let mut trials = Trials::default();
        for (before, after) in before.classes.iter().zip(after.classes.iter()) {
            trials.add((after.allocated_blocks - before.allocated_blocks) as usize, after.block_size, MEAN);
        }
        trials.compare("short threads", born);
        let blocks: u64 = (0..n).map(|i| 1 + i % 40).sum();
        let allocated = after.classes[class].allocated_blocks - before.classes[class].allocated_blocks;
        assert!((blocks..blocks + 10).contains(&allocated), "{allocated} allocated, {blocks} asked for");
    });
}

/// The owner gives its magazines up half-way, whatever they hold.
#[test]
fn dropped_half_way() {
    alone("dropped_half_way", || {
        set_mean(MEAN);
        for between in [3, 20, 100, 300] {
            let n = (200 * between).clamp(6000, 40_000);
            let since = Since::now();
            for i in 0..n {
                let block = Raw::new(512);
                if i % between == 0 {
                    internals::collect();
                }
                block.free();
            }
            trials(&[(512, n)], MEAN).compare(&format!("given up after each {between}"), since.born());
        }
    });
}

/// Another thread takes the magazines while their owner allocates.
#[test]
fn taken_while_in_use() {
    alone("taken_while_in_use", || {
        set_mean(MEAN);
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            let thief = scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    internals::collect();
                    thread::sleep(std::time::Duration::from_micros(50));
                }
            });
            let since = Since::now();
            let mix = [(64, 150_000), (512, 100_000)];
            for (size, n) in mix {
                for _ in 0..n / 50 {
                    let blocks = std::array::from_fn::<_, 50, _>(|_| Raw::new(size));
                    blocks.into_iter().for_each(Raw::free);
                }
            }
            trials(&mix, MEAN).compare("taken while in use", since.born());
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
            thief.join().expect("the thief");
        });
    });
}

#[test]
fn over_aligned() {
    alone("over_aligned", || {
        set_mean(MEAN);
        let (since, mut all) = (Since::now(), Trials::default());
        for align in [16, 64, 256, 4096, 65_536] {
            let n = 200_000 / (1 + align / 16).min(40);
            (0..n).for_each(|_| Raw::aligned(align, align).free());
            all.add(n, block_size(align), MEAN);
        }
        all.compare("over-aligned", since.born());
    });
}

/// Large blocks are one trial each.
#[test]
fn large() {
    alone("large", || {
        let mean = 1 << 20;
        set_mean(mean);
        for (size, n) in [(128 << 10, 20_000), (512 << 10, 8000), (1 << 20, 5000)] {
            let since = Since::now();
            (0..n).for_each(|_| Raw::new(size).free());
            trials(&[(size, n)], mean).compare(&format!("large blocks of {size}"), since.born());
            assert_eq!(since.born(), since.died());
        }
    });
}

/// Each mean is in effect from its announcement on, and zero is none.
#[test]
fn the_mean_changes() {
    alone("the_mean_changes", || {
        let mut all = Trials::default();
        let since = Since::now();
        for round in 0..40 {
            for mean in [1024, 1 << 16, 0, 8192] {
                set_mean(mean);
                let before = since.born();
                for _ in 0..1000 {
                    let blocks = [Raw::new(256), Raw::new(1000), Raw::new(48)];
                    blocks.into_iter().for_each(Raw::free);
                }
                if mean == 0 {
                    assert_eq!(since.born(), before, "round {round}: nothing is sampled");
                } else {
                    [256, 1000, 48].into_iter().for_each(|size| all.add(1000, block_size(size), mean));
                }
            }
        }
        all.compare("means in turns", since.born());
    });
}

/// Exact for a while, sampled again: the draws begin anew.
#[test]
fn after_exact_mode() {
    alone("after_exact_mode", || {
        set_mean(MEAN);
        let (mut all, mut born) = (Trials::default(), 0);
        for _ in 0..300 {
            hooks_support::exact(true);
            let since = Since::now();
            (0..20).for_each(|_| Raw::new(300).free());
            assert_eq!(since.born(), 20);
            hooks_support::exact(false);
            let since = Since::now();
            (0..150).for_each(|_| Raw::new(300).free());
            all.add(150, block_size(300), MEAN);
            born += since.born();
        }
        all.compare("sampled after exact", born);
    });
}
