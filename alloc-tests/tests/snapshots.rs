//! Snapshots while threads run at full speed: every block that is held is in each of them, once, and nothing is that is not.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng, size_in};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use tenure::Mode;
use tenure::snapshot::{By, Frame, Names, Place, Site, Snapshot};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const ROUNDS: usize = if cfg!(debug_assertions) { 60 } else { 300 };

/// Ends the threads, also if this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Allocates and frees until it is told to stop.
fn churn(seed: u64, stop: &AtomicBool, done: &AtomicU64) {
    let mut rng = rng(seed);
    let mut blocks: Vec<Raw> = Vec::with_capacity(400);
    while !stop.load(SeqCst) {
        if blocks.len() < 300 && !rng.one_in(3) {
            let large = rng.one_in(200);
            blocks.push(Raw::new(if large { size_in(&mut rng, 65_537..1 << 20) } else { size_in(&mut rng, 1..6000) }));
        } else if !blocks.is_empty() {
            let at = rng.below(blocks.len());
            if rng.one_in(4) {
                blocks[at].resize(size_in(&mut rng, 1..6000));
            } else {
                blocks.swap_remove(at).free();
            }
        }
        done.fetch_add(1, SeqCst);
    }
    blocks.drain(..).for_each(Raw::free);
}

/// Every row is of a site and a tag that exist, and could be true.
fn assert_sound(snapshot: &Snapshot) {
    let classes: Vec<u64> = snapshot.stats().classes.iter().map(|class| class.block_size as u64).collect();
    for row in snapshot.rows() {
        let site = snapshot.site(row.site).expect("a row's site is there");
        assert!(site.number <= Site::OVERFLOW || !site.stack.is_empty(), "{site:?}");
        assert!(snapshot.tag(row.tag).is_some(), "{row:?}");
        assert!(classes.contains(&row.block_size) || row.block_size.is_multiple_of(64 << 10), "{row:?}");
        assert!(row.epoch <= snapshot.epoch() + 1_000_000 && row.live.blocks >= 1.0, "{row:?}");
        assert!(row.live.bytes <= row.live.blocks * row.block_size as f64, "{row:?}");
    }
    for site in snapshot.sites() {
        assert!(site.freed.blocks <= site.allocated.blocks, "more was freed than allocated: {site:?}");
        assert!(site.freed.samples <= site.allocated.samples, "{site:?}");
    }
}

fn live_of(snapshot: &Snapshot, tag: &str) -> (f64, f64, f64, f64) {
    let tag = snapshot.tags().iter().find(|t| t.name == tag).expect("it has allocated");
    (tag.live.blocks, tag.live.bytes, tag.allocated.blocks, tag.freed.blocks)
}

#[test]
fn what_is_held_is_counted_once() {
    alone("what_is_held_is_counted_once", || {
        exact(true);
        let stop = AtomicBool::new(false);
        let done = [const { AtomicU64::new(0) }; 3];
        let mut meanwhile = [0u64; 3];
        thread::scope(|scope| {
            let _stop = Stop(&stop);
            for (seed, done) in done.iter().enumerate() {
                let stop = &stop;
                scope.spawn(move || churn(seed as u64, stop, done));
            }
            let mut rng = Rng::new(77);
            let mut held: Vec<Raw> = Vec::with_capacity(5000);
            let (mut allocated, mut freed) = (0.0, 0.0);
            for _ in 0..ROUNDS {
                // Blocks among those of the others, more and fewer of them; each lives as long as the snapshot is taken.
                {
                    let _in = tenure::scope("held");
                    for _ in 0..rng.below(400) {
                        let large = rng.one_in(100);
                        held.push(Raw::new(if large { 300_000 } else { size_in(&mut rng, 1..6000) }));
                        allocated += 1.0;
                    }
                }
                for _ in 0..rng.below(400).min(held.len()) {
                    held.swap_remove(rng.below(held.len())).free();
                    freed += 1.0;
                }
                let bytes: usize = held.iter().map(|block| block.layout.size()).sum();
                let before = done.each_ref().map(|n| n.load(SeqCst));
                let snapshot = tenure::snapshot();
                (0..3).for_each(|i| meanwhile[i] += done[i].load(SeqCst) - before[i]);
                assert_eq!(live_of(&snapshot, "held"), (held.len() as f64, bytes as f64, allocated, freed));
                assert_sound(&snapshot);
            }
            held.iter().for_each(|block| block.free());
        });
        println!("operations during snapshots: {meanwhile:?}");
        assert!(meanwhile.iter().all(|&n| n > 0), "threads run on");
    });
}

/// The figures of a site never go back, whichever thread frees.
#[test]
fn totals_only_grow() {
    alone("totals_only_grow", || {
        exact(true);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = Stop(&stop);
            let (sender, receiver) = std::sync::mpsc::sync_channel::<Raw>(64);
            let stop = &stop;
            scope.spawn(move || {
                // What one thread allocates, the other frees.
                while !stop.load(SeqCst) && sender.send(Raw::new(40)).is_ok() {}
            });
            scope.spawn(move || receiver.iter().for_each(Raw::free));
            scope.spawn(move || {
                // No block lives but one, for a moment.
                while !stop.load(SeqCst) {
                    (0..100).for_each(|_| Raw::new(50).free());
                }
            });
            let mut last = tenure::snapshot();
            for _ in 0..4 * ROUNDS {
                let next = tenure::snapshot();
                assert_sound(&next);
                for site in last.sites() {
                    let now = next.site(site.number).expect("it stays");
                    assert!(now.allocated.blocks >= site.allocated.blocks, "{site:?} {now:?}");
                    assert!(now.allocated.bytes >= site.allocated.bytes, "{site:?} {now:?}");
                    assert_eq!(now.stack, site.stack);
                }
                last = next;
            }
        });
    });
}

/// Modes change meanwhile, threads begin and end.
#[test]
fn among_short_threads_and_changing_modes() {
    alone("among_short_threads_and_changing_modes", || {
        exact(true);
        let held: Vec<Raw> = {
            let _in = tenure::scope("held");
            (0..500).map(|i| Raw::new(1 + i * 13)).collect()
        };
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = Stop(&stop);
            for seed in 0..2 {
                let stop = &stop;
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    while !stop.load(SeqCst) {
                        let size = size_in(&mut rng, 1..3000);
                        let block = thread::spawn(move || {
                            (0..20).for_each(|_| Raw::new(size).free());
                            Raw::new(size)
                        });
                        block.join().expect("it ends").free();
                        tenure::set_mode([Mode::Exact, Mode::Off, Mode::Sampled { mean: 1000 }][rng.below(3)]);
                    }
                });
            }
            for _ in 0..ROUNDS {
                let snapshot = tenure::snapshot();
                let (blocks, bytes, ..) = live_of(&snapshot, "held");
                // And the vector that holds them.
                let right: usize =
                    held.iter().map(|b| b.layout.size()).sum::<usize>() + held.capacity() * size_of::<Raw>();
                assert_eq!((blocks, bytes), (501.0, right as f64));
                for row in snapshot.rows() {
                    assert!(snapshot.site(row.site).is_some() && snapshot.tag(row.tag).is_some());
                }
            }
        });
        held.iter().for_each(|block| block.free());
    });
}

/// Two threads take snapshots at the same time.
#[test]
fn two_at_once() {
    alone("two_at_once", || {
        exact(true);
        let held: [Raw; 50] = {
            let _in = tenure::scope("held");
            std::array::from_fn(|i| Raw::new(1 + i * 500))
        };
        thread::scope(|scope| {
            let snapshots = || (0..ROUNDS).for_each(|_| assert_eq!(live_of(&tenure::snapshot(), "held").0, 50.0));
            let threads = [scope.spawn(snapshots), scope.spawn(snapshots)];
            // A scope does not wait until what std holds for its threads is freed.
            threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        });
        // None of what they took is in the next one.
        let snapshot = tenure::snapshot();
        assert_eq!(snapshot.tracked().blocks, 50.0, "{snapshot:#?}");
        held.iter().for_each(|block| block.free());
    });
}

/// Names that take a snapshot while a report asks for them, which it does untracked; the thread is exact again after it.
#[test]
fn nested_in_a_report() {
    struct Nested(f64);
    impl Names for Nested {
        fn frames(&mut self, place: &Place<'_>) -> Arc<[Frame]> {
            let snapshot = tenure::snapshot();
            self.0 = self.0.max(live_of(&snapshot, "held").0);
            black_box(vec![0u8; 100]);
            [Frame::new(&format!("f{:x}", place.address), None, None)].into()
        }
    }
    alone("nested_in_a_report", || {
        exact(true);
        let held = {
            let _in = tenure::scope("held");
            Raw::new(100)
        };
        let snapshot = tenure::snapshot();
        let mut names = Nested(0.0);
        assert!(!snapshot.group_by(By::Function, &mut names).is_empty());
        assert_eq!(names.0, 1.0);
        let again = Raw::new(10);
        assert!(again.birth().is_some(), "this thread tracks on");
        let panics = std::panic::catch_unwind(|| {
            struct Panics;
            impl Names for Panics {
                fn frames(&mut self, _: &Place<'_>) -> Arc<[Frame]> {
                    std::panic::resume_unwind(Box::new(1))
                }
            }
            tenure::snapshot().group_by(By::Line, &mut Panics).len()
        });
        assert!(panics.is_err());
        let last = Raw::new(10);
        assert!(last.birth().is_some(), "also after a panic in a report");
        [held, again, last].iter().for_each(|block| block.free());
    });
}
