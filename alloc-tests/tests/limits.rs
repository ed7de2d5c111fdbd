//! The hard limit: null and not an abort, as near to the limit as a page allows, and everything to be had again afterwards.
//!
//! At the limit nothing here may allocate but the blocks themselves, so they carry their own book-keeping, and nothing is printed
//! before they are freed. The helper thread is off: what it gives back depends on time.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use tenure::limits::{LimitStats, Limits, LimitsError, limits, set_limits};
use tenure::{internals, stats};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::chain::{Chain, Link};
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::dir::Dir;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{MIB, anonymous, mib};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const SLICE: u64 = 64 << 10;

/// A child with words of `TENURE`.
fn with(test: &'static str, words: &str) -> Scenario {
    Scenario::new(test).env("TENURE", &format!("helper=off,{words}"))
}

fn now() -> LimitStats {
    stats().limits
}

/// Allocates blocks of one size until null, or until `most` bytes.
fn exhaust(size: usize, most: usize) -> Chain {
    let mut chain = Chain::new();
    while chain.bytes() < most {
        match Link::allocate(&ALLOC, size, chain.count() as u64) {
            Some(link) => chain.push(link),
            None => break,
        }
    }
    chain
}

/// What the invariant of `arena::held` says, at rest.
#[track_caller]
fn adds_up() {
    let stats = stats();
    assert_eq!(stats.limits.held, (stats.committed + stats.own) as u64, "{stats}");
}

/// For blocks of every kind: the first null comes when less than a page is left; all of it can be had again, twice, though others have
/// cut the memory into other pieces meanwhile.
#[test]
fn null_within_a_page_of_the_limit() {
    const NAME: &str = "null_within_a_page_of_the_limit";
    // A size, the slices of its page, and the limit in MiB.
    const CASES: &[(usize, u64, usize)] = &[
        (40, 1, 24),
        (100, 1, 64),
        (3000, 1, 64),
        (8 << 10, 1, 8),
        (20_000, 3, 64),
        (64 << 10, 8, 64),
        (65_537, 2, 64),
        (200 << 10, 4, 64),
        (5 * MIB, 80, 64),
        (31 * MIB, 496, 200),
        (40 * MIB, 640, 200),
    ];
    for (case, (.., limit)) in CASES.iter().enumerate() {
        for mode in ["sampled", "exact", "off"] {
            let scenario = with(NAME, &format!("{mode},limit={limit}MiB")).env("CASE", &case.to_string());
            scenario.run(|| {
                let case: usize = std::env::var("CASE").expect("set by the parent").parse().expect("a number");
                let (size, slices, _) = CASES[case];
                let hard = now().hard.expect("a limit is set");
                let (mut had, mut left, mut worst) = ([0; 3], [0; 3], 0);
                for round in 0..3 {
                    let before = now();
                    let mut chain = exhaust(size, usize::MAX);
                    let full = now();
                    had[round] = chain.bytes();
                    left[round] = hard.saturating_sub(full.held);
                    worst = worst.max(full.held);
                    assert_eq!(full.refused, before.refused + 1);
                    assert_eq!(full.refused_bytes, before.refused_bytes + size as u64);
                    assert_eq!(chain.free(&ALLOC), 0, "damaged");
                    let mut other = exhaust(size / 3 + 50, hard as usize / 2);
                    assert_eq!(other.free(&ALLOC), 0, "damaged");
                }
                println!("{} of {hard} held, {left:?} left, {had:?} in blocks; {:?}", worst, now().closest);
                // Tables are never refused: one chunk of them may come after the last page.
                assert!(worst <= hard + SLICE, "more than the limit");
                assert!(left.iter().all(|&left| left < slices * SLICE), "a page more was to be had");
                assert!(now().closest.is_some_and(|closest| closest < slices * SLICE));
                // Tables of other sizes stay, which counts in exact mode, but only once.
                assert!(had[1] >= had[0] / 4 * 3 && had[2] >= had[1] / 10 * 9, "less each time");
                internals::check();
                internals::collect();
                adds_up();
            });
            if std::env::var("CASE").is_ok() {
                return;
            }
        }
    }
}

/// Zeroed, over-aligned, and moved: each has a path of its own.
#[test]
fn every_path_is_refused() {
    const NAME: &str = "every_path_is_refused";
    for words in ["limit=64MiB", "limit=64MiB,exact"] {
        with(NAME, words).env("CASE", "1").run(|| {
            let layout = |size, align| Layout::from_size_align(size, align).expect("a layout");
            let start = now().refused;
            // SAFETY: no layout is empty, and a block is freed with its own.
            unsafe {
                for (size, align) in
                    [(65 * MIB, 8), (65 * MIB, 1 << 20), (MIB, 64 * MIB), (usize::MAX / 4, 8), (1 << 40, 8)]
                {
                    assert!(ALLOC.alloc(layout(size, align)).is_null() == (size > 64 * MIB), "{size}, {align}");
                }
                assert!(ALLOC.alloc_zeroed(layout(65 * MIB, 8)).is_null());
                let mut chain = exhaust(4000, usize::MAX);
                let full = now().refused;
                for (size, align) in [(1, 64 << 10), (3000, 4096), (MIB, MIB), (100, 32 * MIB), (100, 64 * MIB)] {
                    assert!(ALLOC.alloc(layout(size, align)).is_null(), "{size}, {align}");
                    assert!(ALLOC.alloc_zeroed(layout(size.max(align), align)).is_null(), "{size}, {align}");
                }
                assert_eq!(now().refused, full + 10);
                let many = now().refused - start;
                let damaged = chain.free(&ALLOC);
                println!("{many} refusals");
                assert_eq!(damaged, 0);
                // What was written to before reads as zero.
                let zeroed = ALLOC.alloc_zeroed(layout(40 * MIB, 4096));
                assert!(!zeroed.is_null());
                assert!(std::slice::from_raw_parts(zeroed, 40 * MIB).iter().all(|&byte| byte == 0));
                ALLOC.dealloc(zeroed, layout(40 * MIB, 4096));
            }
            internals::check();
        });
        if std::env::var("CASE").is_ok() {
            return;
        }
    }
}

/// A block that cannot grow is as it was. One whose memory is moved needs room for the difference only.
#[test]
fn realloc_keeps_the_old_block() {
    with("realloc_keeps_the_old_block", "limit=64MiB").run(|| {
        for start in [1000usize, 100 << 10, 3 * MIB, 30 * MIB] {
            let mut vec: Vec<u8> = Vec::with_capacity(start);
            vec.extend((0..start).map(|i| (i / 7) as u8));
            let intact = |vec: &[u8]| vec.iter().enumerate().all(|(i, &byte)| byte == (i / 7) as u8);
            let refused = now().refused;
            assert!(vec.try_reserve_exact(64 * MIB).is_err());
            assert_eq!(now().refused, refused + 1, "{start}: one allocation, one refusal");
            assert!(intact(&vec) && vec.capacity() == start);
            let mut chain = exhaust(2000, usize::MAX);
            let (at, refused) = (vec.as_ptr(), now().refused);
            let failed = vec.try_reserve_exact(start + 5 * MIB).is_err();
            let (counted, same) = (now().refused - refused, vec.as_ptr() == at);
            assert_eq!(chain.free(&ALLOC), 0, "damaged");
            assert!(failed && same && intact(&vec), "{start}");
            assert_eq!(counted, 1, "{start}");
            let more = 20 * MIB;
            vec.try_reserve_exact(more).unwrap_or_else(|_| panic!("there is room again: {}", stats()));
            assert!(intact(&vec) && vec.capacity() >= start + more);
        }
        // 30 MiB grow to 55: there is no room for both, and none is needed.
        let mut vec = vec![7u8; 30 * MIB];
        let in_the_way = vec![1u8; 100 << 10];
        vec.try_reserve_exact(25 * MIB).expect("what is moved does not count twice");
        assert!(vec.iter().all(|&byte| byte == 7) && in_the_way[0] == 1);
        drop((vec, in_the_way));
        internals::collect();
        adds_up();
    });
}

/// Threads that come to the limit at the same time do not pass it, and none of what they hold afterwards is lost to the others.
#[test]
fn many_threads() {
    with("many_threads", "limit=128MiB").run(|| {
        let hard = now().hard.expect("a limit is set");
        let most = AtomicUsize::new(0);
        let mut had = [0; 4];
        for sum in &mut had {
            let go = AtomicBool::new(false);
            let chains = thread::scope(|scope| {
                let threads = [1, 2, 3, 4, 5, 6].map(|seed| {
                    let (go, most) = (&go, &most);
                    scope.spawn(move || {
                        while !go.load(SeqCst) {
                            thread::yield_now();
                        }
                        let (mut rng, mut chain) = (Rng::new(seed), Chain::new());
                        while let Some(link) = Link::allocate(&ALLOC, rng.log_uniform(300 << 10).max(32), rng.next()) {
                            chain.push(link);
                            most.fetch_max(now_held(), SeqCst);
                        }
                        chain
                    })
                });
                go.store(true, SeqCst);
                threads.map(|thread| thread.join().expect("no panic"))
            });
            for mut chain in chains {
                *sum += chain.bytes();
                assert_eq!(chain.free(&ALLOC), 0, "damaged");
            }
        }
        let most = most.load(SeqCst) as u64;
        println!("{had:?} in blocks, at most {most} of {hard} held; {:?}", now());
        assert!(most <= hard + 4 * SLICE, "{most} of {hard}");
        assert!(had.iter().all(|&sum| sum as u64 >= hard / 2 && sum >= had[0] / 10 * 8), "{had:?}");
        internals::check();
        internals::collect();
        adds_up();
    });
}

fn now_held() -> usize {
    internals::held()
}

/// What lies in the magazines of threads that sleep, and in pages that were freed a moment ago, is there for whoever needs it.
#[test]
fn nothing_stays_with_threads_that_sleep() {
    with("nothing_stays_with_threads_that_sleep", "limit=32MiB").run(|| {
        let alone = exhaust(3000, usize::MAX).free_all();
        let (filled, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    // A magazine of each class, several of some.
                    let mut chain = Chain::new();
                    for size in (32..60 << 10).step_by(900) {
                        (0..4).filter_map(|key| Link::allocate(&ALLOC, size, key)).for_each(|link| chain.push(link));
                    }
                    assert_eq!(chain.free(&ALLOC), 0, "damaged");
                    filled.fetch_add(1, SeqCst);
                    while !done.load(SeqCst) {
                        thread::sleep(std::time::Duration::from_millis(10));
                    }
                });
            }
            while filled.load(SeqCst) < 12 {
                thread::yield_now();
            }
            let before = stats();
            let mut chain = exhaust(3000, usize::MAX);
            let (amount, after) = (chain.bytes(), stats());
            assert_eq!(chain.free(&ALLOC), 0, "damaged");
            done.store(true, SeqCst);
            println!(
                "{} KiB in magazines, then {}; {:.1} MiB to be had, {:.1} without the threads",
                before.in_magazines >> 10,
                after.in_magazines >> 10,
                mib(amount),
                mib(alone)
            );
            // The threads' heaps, and one block of each class up to 8 KiB for each of them, are the difference.
            assert!(amount >= alone - 8 * MIB, "{} of {} MiB", mib(amount), mib(alone));
            assert!(after.in_magazines < before.in_magazines.max(MIB), "they still have it");
        });
    });
}

/// A thread that runs gives up what it holds when it is asked, at its next refill, once.
#[test]
fn threads_that_run_give_up_what_they_hold() {
    with("threads_that_run_give_up_what_they_hold", "off").run(|| {
        // What the test harness' thread has is there before, and stays.
        let before = stats().in_magazines;
        let cached = || stats().in_magazines.saturating_sub(before);
        let fill = || {
            for size in (200..8000).step_by(150) {
                exhaust(size, 12 << 10).free_all();
            }
        };
        fill();
        let full = cached();
        // Small blocks of one class, more than the thread keeps of it.
        let refill = || exhaust(64, 60_000).free_all();
        refill();
        let kept = cached();
        internals::ask_to_give_up();
        refill();
        let given = cached();
        fill();
        refill();
        let again = cached();
        println!("{full} bytes in magazines, {kept} without being asked, {given} after it, {again} later");
        assert!(kept > full / 4, "it would have given them up anyway: {full}, {kept}");
        assert!(given < kept / 4, "{kept}, {given}");
        assert!(again > full / 4, "asked once, it gives once: {full}, {again}");
    });
}

/// A limit that is set below what is held refuses, until enough was freed; one that is taken away refuses nothing.
#[test]
fn lowered_and_raised() {
    Scenario::new("lowered_and_raised").env("TENURE", "helper=off").run(|| {
        assert_eq!((limits(), now().hard, now().closest), (Limits::new(), None, None));
        let held: Vec<Vec<u8>> = (0..40).map(|_| vec![1; MIB]).collect();
        let refused = |size: usize| Vec::<u8>::new().try_reserve_exact(size).is_err();
        assert!(!refused(100 * MIB));
        set_limits(Limits::new().hard(20 << 20)).expect("they are fine");
        assert_eq!((limits(), now().hard, now().closest), (Limits::new().hard(20 << 20), Some(20 << 20), Some(0)));
        assert!(refused(100 << 10) && refused(2 * MIB));
        let mut held = held.into_iter();
        // Below the limit only when more than half of it is gone: blocks, tables, and what the test harness has.
        held.by_ref().take(15).for_each(drop);
        assert!(refused(100 << 10));
        held.by_ref().take(10).for_each(drop);
        assert!(!refused(100 << 10) && refused(10 * MIB));
        set_limits(Limits::new().hard(80 << 20)).expect("they are fine");
        assert!(!refused(10 * MIB) && refused(100 * MIB));
        assert!(now().closest.is_some_and(|left| left > 20 << 20), "{:?}", now());
        set_limits(Limits::new()).expect("they are fine");
        assert!(!refused(100 * MIB));
        assert_eq!((now().hard, now().refused), (None, 5));
        drop(held);
    });
}

#[test]
fn what_contradicts_itself_is_an_error() {
    Scenario::new("what_contradicts_itself_is_an_error").env("TENURE", "").run(|| {
        let before = Limits::new().soft_percent(50).hard(1 << 30);
        set_limits(before).expect("they are fine");
        for (limits, text) in [
            (
                Limits::new().soft(2 << 30).hard(1 << 30),
                "the soft limit of 2GiB is above the hard one of 1GiB: choose one that is not",
            ),
            (
                Limits::new().soft_percent(50),
                "a soft limit in percents is a part of the hard one: choose that too, or a soft one in bytes",
            ),
        ] {
            assert_eq!(set_limits(limits).expect_err("a contradiction").to_string(), text);
        }
        assert_eq!((limits(), now().soft), (before, Some((1 << 30) / 100 * 50)));
        assert_eq!(before.to_string(), "limit=1GiB,soft_limit=50%");
        let hook: fn(&tenure::limits::Pressure) = |_| ();
        (0..16).for_each(|_| tenure::limits::on_pressure(hook).expect("there is room"));
        let error = tenure::limits::on_pressure(hook).expect_err("the seventeenth");
        assert_eq!(error, LimitsError::TooManyHooks);
        assert_eq!(error.to_string(), "there are 16 functions for the soft limit already: call several from one");
    });
}

/// Of sparse pages, the holes are dug before anything is refused; and what lies in them is not to be had while the limit is reached.
#[test]
fn holes_are_dug_and_not_filled_beyond_the_limit() {
    with("holes_are_dug_and_not_filled_beyond_the_limit", "off,limit=64MiB").run(|| {
        let hard = now().hard.expect("a limit is set");
        // One block of 64 stays: 64 KiB apart.
        let mut all = exhaust(1000, usize::MAX);
        let (mut few, mut n, mut damaged) = (Chain::new(), 0, 0);
        while let Some(link) = all.pop() {
            n += 1;
            if n % 64 == 0 { few.push(link) } else { damaged += usize::from(!link.free(&ALLOC)) }
        }
        let sparse = now().held;
        let mut large = exhaust(MIB, usize::MAX);
        let (bytes, held, stats) = (large.bytes(), now().held, stats());
        let resident = anonymous();
        // All that is free lies in holes now, or nearly: the limit keeps it there.
        let mut small = exhaust(1000, usize::MAX);
        let (filled, refilled) = (small.bytes(), now().held);
        damaged += large.free(&ALLOC);
        let mut rest = exhaust(1000, usize::MAX);
        let again = rest.bytes();
        damaged += small.free(&ALLOC) + rest.free(&ALLOC) + few.free(&ALLOC);
        println!(
            "{n} blocks, {:.1} MiB held, sparse; then {:.1} MiB in large blocks, {:.1} held with {:.1} of holes, {:.1} resident; {:.1} MiB in \
             small ones; {:.1} when the large ones were gone",
            mib(sparse as usize),
            mib(bytes),
            mib(held as usize),
            mib(stats.holes),
            mib(resident),
            mib(filled),
            mib(again),
        );
        assert_eq!(damaged, 0);
        assert!(bytes >= 30 * MIB, "the holes were not to be had");
        assert!(held <= hard + SLICE && refilled <= hard + SLICE, "{held}, {refilled} of {hard}");
        assert!(filled <= (hard - held) as usize + 4 * MIB, "the holes were filled beyond the limit");
        assert!(again >= 25 * MIB, "the holes cannot be filled again");
        internals::check();
        internals::collect();
        adds_up();
    });
}

/// A child of `fork` has the limit of its parent.
#[test]
fn in_a_forked_child() {
    with("in_a_forked_child", "limit=48MiB").run(|| {
        let kept = vec![1u8; 10 * MIB];
        // SAFETY: the child ends with `_exit`, and runs nothing of the test harness.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let chain = exhaust(10_000, usize::MAX);
                let stats = now();
                let right = chain.bytes() > 20 * MIB && stats.refused == 1 && stats.held <= (48 << 20) + SLICE;
                libc::_exit(if right { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0, "the child's status");
        }
        assert_eq!((kept[1], now().refused), (1, 0));
    });
}

/// The dump is there when the allocation returns null.
#[test]
fn a_dump_comes_first() {
    let dir = Dir::new("limits");
    let words = format!("exact,limit=64MiB,dump=failure,dump_path={}", dir.path("%n"));
    let outcome = with("a_dump_comes_first", &words).env("DUMP", &dir.path("1")).outcome(|| {
        let path = std::env::var("DUMP").expect("set by the parent");
        let path = std::ffi::CString::new(path).expect("a path");
        // SAFETY: C strings.
        let exists = || unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 };
        let before = exists();
        let mut chain = exhaust(100_000, usize::MAX);
        let after = exists();
        assert_eq!(chain.free(&ALLOC), 0);
        assert!(!before && after, "{before}, {after}");
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    assert!(outcome.stderr.contains("no memory for 100000 bytes: wrote "), "{outcome:?}");
    let text = std::fs::read_to_string(dir.path("1")).expect("a dump");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let found = json["snapshot"]["stats"]["limits"].as_object().or(json["stats"]["limits"].as_object());
    let limits = found.expect("the limits are in it");
    assert_eq!((limits["hard"].as_u64(), limits["refused"].as_u64()), (Some(64 << 20), Some(1)), "{limits:?}");
    assert!(limits.get("soft").is_none(), "{limits:?}");
}

trait FreeAll {
    fn free_all(self) -> usize;
}

impl FreeAll for Chain {
    /// Gives all of them back, and says how many bytes they were.
    fn free_all(mut self) -> usize {
        let bytes = self.bytes();
        assert_eq!(self.free(&ALLOC), 0, "damaged");
        bytes
    }
}
