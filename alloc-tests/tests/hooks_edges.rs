//! Corners of the hooks: alignments that round a request up, one thread's exact mode and large blocks, a change of mean that nobody
//! announces, magazines that are taken from a thread again and again, and what a vanished thread's magazines for tracked blocks held.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, Since, Trials, alone, block_size, exact};
use std::sync::Barrier;
use tenure::internals::{self, tracker};
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// What a request was rounded up to for its alignment is not what was requested.
#[test]
fn requested_bytes_are_those_of_the_layout() {
    alone("requested_bytes_are_those_of_the_layout", || {
        exact(true);
        for align in (0..=22).map(|log| 1usize << log) {
            for size in [1, 40, 1001, 8193, 70_001] {
                let since = Since::now();
                let block = Raw::aligned(size, align);
                assert_eq!(block.birth().map(|b| b.requested), Some(size as u64), "{:?}", block.layout);
                assert_eq!(since.requested(), size as i64, "{:?}", block.layout);
                block.free();
            }
        }
    });
}

/// `set_exact_here` says: this thread tracks every block.
#[test]
fn one_exact_thread_tracks_its_large_blocks() {
    alone("one_exact_thread_tracks_its_large_blocks", || {
        tracker::set_exact_here(true);
        let since = Since::now();
        let block = Raw::new(200_000);
        assert_eq!((since.born(), block.birth().is_some()), (1, true));
        block.free();
        tracker::set_exact_here(false);
    });
}

/// A draw that was made with another mean is void: "a change of mean redraws".
#[test]
fn a_mean_that_changes_between_two_allocations() {
    alone("a_mean_that_changes_between_two_allocations", || {
        let block = block_size(64);
        for (from, to) in [(1 << 40, 4096), (1 << 16, 1024), (1024, 1 << 16)] {
            let mut trials = Trials::default();
            let mut born = 0;
            for _ in 0..300 {
                tracker::set_mean(from);
                internals::collect();
                Raw::new(64).free();
                tracker::set_mean(to);
                // What lies in the magazine was drawn before: a thread learns of a change at its next slow path.
                (0..200).map(|_| Raw::new(64)).collect::<Vec<_>>().into_iter().for_each(Raw::free);
                let since = Since::now();
                let blocks = std::array::from_fn::<_, 500, _>(|_| Raw::new(64));
                born += since.born();
                trials.add(500, block, to);
                blocks.into_iter().for_each(Raw::free);
            }
            if to < from {
                trials.compare(&format!("mean {from} becomes {to}"), born);
            } else {
                // The other way round the trials are few: their number says enough.
                let few = (300.0 * 500.0 * block as f64 / to as f64) as u64;
                assert!(born < 2 * few + 20, "mean {from} becomes {to}: {born} births, about {few} are right");
            }
        }
    });
}

/// A slow thread: its magazines are idle at each look, and are taken each time before it has popped more than a few blocks.
#[test]
fn taken_between_a_few_allocations() {
    alone("taken_between_a_few_allocations", || {
        const MEAN: u64 = 512;
        tracker::set_mean(MEAN);
        internals::collect();
        for (size, between) in [(128, 1), (128, 2), (64, 3), (256, 5)] {
            let since = Since::now();
            let n = 12_000;
            for i in 0..n {
                // Leaked until below, so that nothing of it comes back through a push magazine.
                let block = Raw::new(size);
                if i % between == 0 {
                    // The first call looks, the second finds that nothing has changed.
                    internals::take_idle();
                    internals::take_idle();
                }
                block.free();
            }
            let mut trials = Trials::default();
            trials.add(n, block_size(size), MEAN);
            trials.compare(&format!("{size} bytes, taken after each {between}"), since.born());
        }
    });
}

/// The sampled and the exact mode of large blocks see the same size, that of the block.
#[test]
fn large_blocks_are_trials_of_their_block_size() {
    alone("large_blocks_are_trials_of_their_block_size", || {
        const MEAN: u64 = 400_000;
        tracker::set_mean(MEAN);
        let since = Since::now();
        let mut trials = Trials::default();
        for _ in 0..20_000 {
            Raw::new((64 << 10) + 8).free();
        }
        trials.add(20_000, 128 << 10, MEAN);
        trials.compare("64 KiB + 8, in blocks of 128 KiB", since.born());
    });
}

/// "In a forked child, what the other threads' magazines held at the fork counts as live for ever": tracked blocks' magazines too.
#[test]
fn a_vanished_exact_thread() {
    alone("a_vanished_exact_thread", || {
        const SIZE: usize = 5000;
        exact(true);
        let (ready, done) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let blocks = std::array::from_fn::<_, 40, _>(|_| Raw::new(SIZE));
                blocks[39].free();
                ready.wait();
                done.wait();
                blocks[..39].iter().for_each(|b| b.free());
            });
            ready.wait();
            let parent = tenure::stats();
            let class = parent.classes.iter().position(|c| c.block_size >= SIZE).expect("a class");
            // SAFETY: the other thread sleeps and holds no lock; the child only reads the statistics and exits.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let now = tenure::stats();
                let (was, now) = (&parent.classes[class], &now.classes[class]);
                eprintln!(
                    "live {}, cached {}; in the child {}, {}",
                    was.live_blocks, was.cached_blocks, now.live_blocks, now.cached_blocks
                );
                let right = now.live_blocks == was.live_blocks + was.cached_blocks;
                // SAFETY: the child ends here, without the handlers and buffers that it shares with its parent.
                unsafe { libc::_exit(!right as i32) };
            }
            let mut status = 0;
            // SAFETY: the status is ours.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            done.wait();
            other.join().expect("the other thread");
            assert_eq!(status, 0, "what the vanished thread held does not count as live");
        });
    });
}
