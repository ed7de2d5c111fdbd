//! Magazines are taken from threads that run, at full speed and by surprise: no block is lost, and none is handed out twice.
//! And from threads that sleep, which then hold next to nothing.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, rng};
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use tenure::internals::{self, tracker};
use tenure::{Tenure, stats};

// Without the helper, which takes magazines too: here it is known who does.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false);

/// How long threads run.
const WHILE: Duration = Duration::from_millis(1200);

/// What a test writes into both ends of a block that nobody else may have.
static STAMPS: AtomicU64 = AtomicU64::new(1);

/// The oracle: a block with its size, and a stamp that no other block ever had. Two owners of one block would each find
/// the other's stamp.
#[repr(C)]
struct Stamped {
    stamp: u64,
    size: usize,
}

fn new(size: usize) -> *mut Stamped {
    assert!(size >= size_of::<Stamped>() + size_of::<u64>());
    let block = Raw::aligned(size, 8).at.cast::<Stamped>();
    let stamp = STAMPS.fetch_add(1, SeqCst);
    // SAFETY: the block is new, ours, and that long.
    unsafe {
        block.write(Stamped { stamp, size });
        last(block, size).write(stamp);
    }
    block
}

fn last(block: *mut Stamped, size: usize) -> *mut u64 {
    block.wrapping_byte_add((size - size_of::<u64>()) & !7).cast()
}

/// Verifies the stamps, wipes them and frees the block.
///
/// # Safety
/// The block came from [`new`], and is the caller's.
unsafe fn free(block: *mut Stamped, expected: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        let Stamped { stamp, size } = block.read();
        assert!(
            stamp == expected && size < 1 << 20 && last(block, size).read() == stamp,
            "{block:p} was handed out twice: stamp {stamp:#x} and size {size}, but its owner wrote {expected:#x}"
        );
        // A second owner that frees the block too must not find what it expects.
        block.write(Stamped { stamp: 0, size: usize::MAX });
        Raw { at: block.cast(), layout: std::alloc::Layout::from_size_align(size, 8).expect("a layout") }.free();
    }
}

fn stamp(block: *mut Stamped) -> u64 {
    // SAFETY: the callers own the block.
    unsafe { (*block).stamp }
}

/// Small classes with full magazines, and those whose magazines hold one or two.
const SIZES: [usize; 8] = [24, 32, 64, 200, 1024, 5000, 12_000, 60_000];

/// Allocates, exchanges and frees until told to stop: pops in long runs and in pairs, so that the pop word is met everywhere.
fn run(seed: u64, table: &[AtomicPtr<Stamped>], stop: &AtomicBool) -> u64 {
    let mut rng = rng(seed);
    let mut held = [(null_mut::<Stamped>(), 0); 160];
    let (mut n, mut operations) = (0, 0);
    while !stop.load(SeqCst) {
        let largest = 1 + rng.below(SIZES.len());
        let size = SIZES[rng.below(largest)];
        let (up, down) = (rng.below(40), rng.below(40));
        for _ in 0..up.min(held.len() - n) {
            let block = new(size);
            held[n] = (block, stamp(block));
            n += 1;
        }
        for _ in 0..down.min(n) {
            n -= 1;
            let (block, expected) = held[n];
            // One of eight goes to whoever comes, and what lay there is freed here.
            let (block, expected) = if rng.one_in(8) {
                assert_eq!(stamp(block), expected);
                let other = table[rng.below(table.len())].swap(block, SeqCst);
                if other.is_null() {
                    continue;
                }
                (other, stamp(other))
            } else {
                (block, expected)
            };
            // SAFETY: the block was this thread's, or the table's.
            unsafe { free(block, expected) };
        }
        operations += (up + down) as u64;
    }
    // SAFETY: this thread's blocks.
    held[..n].iter().for_each(|&(block, stamp)| unsafe { free(block, stamp) });
    operations
}

/// Three threads on whatever processors there are, and one that takes from them as fast as it can.
fn hammer(test: &'static str, mut disturb: impl FnMut(u64)) {
    alone(test, || {
        let before = stats();
        let stop = AtomicBool::new(false);
        let table = [const { AtomicPtr::new(null_mut()) }; 64];
        let (mut rounds, mut operations) = (0, 0);
        thread::scope(|scope| {
            let threads = [1, 2, 3].map(|seed| {
                let (table, stop) = (&table, &stop);
                scope.spawn(move || run(seed, table, stop))
            });
            let begin = Instant::now();
            while begin.elapsed() < WHILE {
                disturb(rounds);
                rounds += 1;
                if rounds % 512 == 0 {
                    internals::check();
                }
            }
            stop.store(true, SeqCst);
            operations = threads.map(|t| t.join().expect("no block was handed out twice")).iter().sum();
        });
        for slot in &table {
            let block = slot.swap(null_mut(), SeqCst);
            if !block.is_null() {
                // SAFETY: the table's blocks are nobody else's.
                unsafe { free(block, stamp(block)) };
            }
        }
        let after = stats();
        println!(
            "{operations} operations, taken from {rounds} times, {} sent home",
            after.sent_home - before.sent_home
        );
        assert!(operations > 10_000 && rounds > 100, "nothing was going on");
        assert!(after.sent_home - before.sent_home > 1000, "nothing was taken");
        internals::check();
        internals::collect();
        assert_eq!((stats().live_blocks, stats().live), (before.live_blocks, before.live), "blocks are lost");
        tracker::set_exact(false);
    });
}

#[test]
fn everything_is_taken_all_the_time() {
    hammer("everything_is_taken_all_the_time", |_| _ = internals::collect());
}

/// As the helper thread does it, much faster.
#[test]
fn what_is_idle_is_taken() {
    hammer("what_is_idle_is_taken", |_| internals::take_idle());
}

/// With samples cut into the magazines, at a mean that changes.
#[test]
fn while_sampling() {
    hammer("while_sampling", |round| {
        tracker::set_mean([400, 4000, 0, 50_000][round as usize / 64 % 4]);
        if round % 2 == 0 { internals::take_idle() } else { _ = internals::collect() }
    });
}

/// Threads become exact and plain again between two looks.
#[test]
fn while_modes_change() {
    hammer("while_modes_change", |round| {
        tracker::set_exact(round / 16 % 2 == 1);
        internals::take_idle();
        internals::collect();
    });
}

/// Threads whose magazines are full, then sleep: what they hold is taken, and they go on with what is left.
#[test]
fn from_threads_that_sleep() {
    alone("from_threads_that_sleep", || {
        const THREADS: usize = 4;
        let (asleep, awake) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        let live = stats().live_blocks;
        thread::scope(|scope| {
            let threads: [_; THREADS] = std::array::from_fn(|seed| {
                let (asleep, awake) = (&asleep, &awake);
                scope.spawn(move || {
                    let mut rng = rng(seed as u64);
                    let mut held = [(null_mut(), 0); 300];
                    for round in 0..40 {
                        // A burst: both magazines of a few classes, popped to somewhere in the middle.
                        for slot in &mut held {
                            let block = new(SIZES[(round + rng.below(3)) % 6]);
                            *slot = (block, stamp(block));
                        }
                        // SAFETY: this thread's blocks.
                        held[..rng.below(300)]
                            .iter_mut()
                            .for_each(|slot| unsafe { free(slot.0, std::mem::take(&mut slot.1)) });
                        asleep.wait();
                        awake.wait();
                        for (block, stamp) in held.iter().filter(|slot| slot.1 != 0) {
                            // SAFETY: as above.
                            unsafe { free(*block, *stamp) };
                        }
                    }
                })
            });
            for round in 0..40 {
                asleep.wait();
                internals::collect(); // this thread's own
                let full = stats();
                if round % 2 == 0 {
                    // The first look sees that somebody was there, the second that nobody is.
                    internals::take_idle();
                    internals::take_idle();
                }
                let taken = stats();
                internals::check();
                awake.wait();
                assert_eq!(taken.live_blocks, full.live_blocks, "what is live stays so");
                // A slot of each class may be in the sleeper's hands, so a block of each stays.
                let most: usize = SIZES.iter().map(|size| THREADS * size * 9 / 8).sum();
                assert!(taken.in_magazines <= most, "{} bytes are left in sleepers' magazines", taken.in_magazines);
            }
            // A scope's end waits for the closures only: what std frees at a thread's end would come later.
            threads.into_iter().for_each(|t| t.join().expect("no block was handed out twice"));
        });
        internals::collect();
        assert_eq!(stats().live_blocks, live, "blocks are lost");
    });
}

/// A look takes only what nobody touched since the last one.
#[test]
fn what_is_in_use_is_left() {
    alone("what_is_in_use_is_left", || {
        internals::collect();
        // Far from the end of either magazine, whatever they hold.
        let blocks = [64; 4].map(Raw::new);
        blocks[0].free();
        internals::take_idle();
        let cached = || stats().classes.iter().find(|c| c.block_size == 64).expect("a class").cached_blocks;
        let held = cached();
        for _ in 0..4 {
            let block = Raw::new(64);
            internals::take_idle();
            block.free();
        }
        assert!(held > 8);
        assert_eq!(cached(), held);
        blocks[1..].iter().for_each(|b| b.free());
    });
}

/// What was taken from sleepers can be had by others: the pages are whole again, and are given back.
#[test]
fn pages_of_sleepers_are_given_back() {
    alone("pages_of_sleepers_are_given_back", || {
        const SIZE: usize = 1024;
        let (asleep, awake) = (Barrier::new(9), Barrier::new(9));
        let class = stats().classes.iter().position(|c| c.block_size == SIZE).expect("a class");
        let before = stats().classes[class].pages;
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let blocks: Vec<Raw> = (0..1000).map(|_| Raw::new(SIZE)).collect();
                    blocks.into_iter().for_each(Raw::free);
                    asleep.wait();
                    awake.wait();
                });
            }
            asleep.wait();
            let full = stats();
            internals::collect();
            internals::take_idle();
            let taken = stats();
            awake.wait();
            println!("{} pages, then {}", full.classes[class].pages, taken.classes[class].pages);
            // The slot that a sleeper's pop word points at stays its own, and keeps a page.
            assert!(taken.classes[class].cached_blocks <= 8);
            assert!(taken.classes[class].pages <= before + 8);
        });
    });
}
