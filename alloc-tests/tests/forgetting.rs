//! Scopes that are over forget their blocks, while those are freed and resized and counted, and others begin.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use tenure::internals::tracker as internals;
use tenure::testing::{Scope, measure};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const SIZES: [usize; 5] = [16, 100, 3000, 60_000, 200_000];

/// Mostly small ones.
fn block(rng: &mut Rng) -> Vec<u8> {
    let sizes = if rng.below(16) == 0 { &SIZES[..] } else { &SIZES[..3] };
    black_box(Vec::with_capacity(sizes[rng.below(sizes.len())]))
}

/// Has scopes forget as often as it can, until the guard is dropped.
fn forgetting<'scope>(threads: &'scope thread::Scope<'scope, '_>, done: &'scope Done) -> impl Drop + use<'scope> {
    struct Stop<'a>(&'a Done);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.stop.store(true, Relaxed);
        }
    }
    threads.spawn(|| {
        while !done.stop.load(Relaxed) {
            done.times.fetch_add(internals::forget_watches() as u32, Relaxed);
        }
    });
    Stop(done)
}

#[derive(Default)]
struct Done {
    stop: AtomicBool,
    times: AtomicU32,
}

/// Each scope counts to the byte what its own thread does, whatever is forgotten meanwhile; and in the end no number is lost.
#[test]
fn while_others_free_and_resize() {
    Scenario::new("while_others_free_and_resize").run(|| {
        let pool = Mutex::new(VecDeque::new());
        let done = Done::default();
        thread::scope(|threads| {
            let workers: Vec<_> = (0..3)
                .map(|seed| {
                    let pool = &pool;
                    threads.spawn(move || {
                        let mut rng = Rng::new(seed + 1);
                        for _ in 0..1500 {
                            let (mut blocks, mut allocated) = (Vec::with_capacity(64), 0);
                            let m = measure(|| {
                                for _ in 0..rng.below(64) {
                                    let block = block(&mut rng);
                                    allocated += block.capacity() as u64;
                                    blocks.push(block);
                                }
                                if rng.below(2) == 0 {
                                    drop(blocks.pop());
                                }
                            });
                            let live: usize = blocks.iter().map(Vec::capacity).sum();
                            assert_eq!((m.allocated.bytes, m.live.bytes), (allocated, live as u64));
                            // At the moment when they may be forgotten: resized in place, and freed.
                            blocks.iter_mut().for_each(|block| block.shrink_to(block.capacity() * 4 / 5));
                            blocks.truncate(2);
                            // Others resize and free what is left, and so does this thread what others left.
                            let mut taken: Vec<Vec<u8>> = {
                                let mut pool = pool.lock().expect("no panic");
                                pool.extend(blocks);
                                let n = pool.len().saturating_sub(300);
                                pool.drain(..n).collect()
                            };
                            taken.iter_mut().for_each(|block| block.shrink_to(block.capacity() * 4 / 5));
                        }
                    })
                })
                .collect();
            let _forgetting = forgetting(threads, &done);
            workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
        });
        assert!(done.times.load(Relaxed) > 10, "{:?}", done.times);
        assert!(pool.lock().expect("no panic").len() > 100, "the blocks of some live");
        internals::forget_watches();
        assert_eq!(internals::watches_in_use(), 0);
        drop(pool);
        assert_eq!(internals::watches_in_use(), 0);
    });
}

/// A block that leaves its scope lives: no snapshot misses it.
#[test]
fn a_snapshot_sees_each_block() {
    Scenario::new("a_snapshot_sees_each_block").run(|| {
        // Nothing but what is measured: one sample would weigh as much as a hundred blocks.
        tenure::set_mode(tenure::Mode::Off);
        let done = Done::default();
        thread::scope(|threads| {
            let _forgetting = forgetting(threads, &done);
            let mut rng = Rng::new(1);
            for _ in 0..60 {
                let _in = tenure::scope("kept");
                let kept: Vec<_> = (0..200).map(|_| measure(|| block(&mut rng)).value).collect();
                let of_tag = |snapshot: tenure::Snapshot| -> f64 {
                    snapshot.tags().iter().filter(|tag| tag.name == "kept").map(|tag| tag.live.blocks).sum()
                };
                assert_eq!(of_tag(tenure::snapshot()), 200.0);
                drop(kept);
            }
        });
    });
}

/// What is in a scope that goes on is not forgotten, and what has left one is not debited to a later one.
#[test]
fn who_forgets() {
    Scenario::new("who_forgets").run(|| {
        let mut rng = Rng::new(1);
        let outer = Scope::begin();
        let inner = measure(|| vec![0u8; 100]);
        internals::forget_watches();
        assert_eq!(internals::watches_in_use(), 2, "the outer one still counts");
        drop(inner.value);
        assert_eq!(outer.so_far().live.bytes, 0);
        let kept = vec![0u8; 50];
        assert_eq!(outer.end().live.bytes, 50);
        let late = measure(|| block(&mut rng)).value;
        internals::forget_watches();
        assert_eq!(internals::watches_in_use(), 0);
        let m = measure(|| drop((kept, late)));
        assert_eq!((m.allocated.blocks, m.freed.blocks), (0, 0));
    });
}

/// In the child nobody is about to forget, though somebody was in the parent.
#[test]
fn a_fork() {
    Scenario::new("a_fork").run(|| {
        let done = Done::default();
        thread::scope(|threads| {
            let _forgetting = forgetting(threads, &done);
            for _ in 0..50 {
                let kept: Vec<_> = (0..20).map(|_| measure(|| vec![0u8; 100]).value).collect();
                // SAFETY: the child does what may be done after a fork with this allocator, and ends.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    drop(kept);
                    let again = measure(|| vec![0u8; 10]).value;
                    let fine = internals::forget_watches() && internals::watches_in_use() == 0;
                    drop(again);
                    // SAFETY: ends the process.
                    unsafe { libc::_exit(if fine { 0 } else { 1 }) };
                }
                let mut status = 0;
                // SAFETY: writes to ours.
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!(status, 0, "the child's status");
            }
        });
    });
}
