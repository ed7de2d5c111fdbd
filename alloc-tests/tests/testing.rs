//! `tenure::testing`: exact in each scope, whatever other threads do; its assertions, and what they say.
//!
//! No `#[ignore]`, no process for each test: they run beside each other, as users' tests do.

#[path = "testing/guards.rs"]
mod guards;
#[path = "testing/messages.rs"]
mod messages;
#[path = "testing/oracle.rs"]
mod oracle;
#[path = "testing/threads.rs"]
mod threads;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use tenure::testing::{Count, Scope, measure, measure_async};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// A block that is allocated in any build, by a function that has its whole name in any build.
#[inline(never)]
fn block(bytes: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(bytes))
}

fn count(blocks: u64, bytes: u64) -> Count {
    Count { blocks, bytes }
}

#[test]
fn to_the_block_and_to_the_byte() {
    let before = block(1000);
    let m = measure(|| {
        drop(before);
        let _one = block(10);
        drop(block(100_000));
        drop(block(5000));
        (block(20), block(3 << 20))
    });
    assert_eq!(m.allocated, count(5, 10 + 100_000 + 5000 + 20 + (3 << 20)));
    assert_eq!(m.freed, count(3, 105_010));
    assert_eq!(m.live, count(2, 20 + (3 << 20)));
    assert_eq!(m.peak, count(3, 10 + 20 + (3 << 20)));
    assert_eq!(m.resized, 0);
    let sum = |f: fn(&tenure::testing::Site) -> Count| {
        m.sites.iter().map(f).fold(Count::default(), |a, b| count(a.blocks + b.blocks, a.bytes + b.bytes))
    };
    assert_eq!((sum(|s| s.allocated), sum(|s| s.live)), (m.allocated, m.live));
    assert_eq!(sum(|s| s.at_peak).bytes, m.peak.bytes);
    assert_eq!(measure(|| ()).allocated, Count::default());
}

#[test]
fn resized_in_place_or_moved() {
    let layout = |bytes| Layout::from_size_align(bytes, 8).expect("a layout");
    // SAFETY: each block is freed once, with its layout.
    let m = measure(|| unsafe {
        let p = ALLOC.alloc(layout(1000));
        let q = ALLOC.realloc(p, layout(1000), 900);
        assert_eq!(p, q, "in place");
        let p = ALLOC.realloc(q, layout(900), 1001);
        assert_eq!(p, q, "in place");
        let q = ALLOC.realloc(p, layout(1001), 5000);
        assert_ne!(p, q, "moved");
        ALLOC.dealloc(q, layout(5000));
    });
    assert_eq!((m.allocated, m.freed), (count(2, 1000 + 101 + 5000), count(2, 100 + 1001 + 5000)));
    assert_eq!((m.live, m.peak, m.resized), (count(0, 0), count(2, 6001), 2));
    // Large blocks are moved by their pages, or grow in place: that is the arena's to say. The bytes are right in any case.
    let mut large = block(0);
    let m = measure(|| {
        for mib in [1, 2, 1, 8, 3] {
            large.reserve_exact(mib << 20);
            large.shrink_to(mib << 20);
        }
    });
    assert_eq!((m.live, m.peak.bytes >= 8 << 20), (count(1, 3 << 20), true));
    let was = large.as_ptr();
    let m = measure(|| large.shrink_to(2 << 20));
    assert_eq!(
        (m.allocated, was == large.as_ptr()),
        (count(0, 0), true),
        "a block from outside that stays is not counted"
    );
}

#[test]
fn scopes_nest() {
    let outer = Scope::begin();
    let _a = block(10);
    let inner = measure(|| {
        let innermost = measure(|| block(100));
        assert_eq!((innermost.allocated, innermost.live), (count(1, 100), count(1, 100)));
        (block(1000), innermost.value)
    });
    assert_eq!(inner.allocated, count(2, 1100));
    assert_eq!(outer.so_far().allocated, count(3, 1110), "readings are not in it");
    drop(inner);
    let m = outer.end();
    assert_eq!((m.allocated, m.live, m.peak), (count(3, 1110), count(1, 10), count(3, 1110)));
}

/// Scopes that end in another order than they nest are exact all the same, and leave nothing behind.
#[test]
fn scopes_in_any_order() {
    for _ in 0..3 {
        let outer = Scope::begin();
        let first = Scope::begin();
        let second = Scope::begin();
        let _a = block(10);
        assert_eq!(first.end().allocated, count(1, 10));
        let _b = block(20);
        let third = Scope::begin();
        let _c = block(40);
        assert_eq!(second.end().allocated, count(3, 70));
        let _d = block(80);
        assert_eq!(third.end().allocated, count(2, 120));
        let _e = block(160);
        assert_eq!(outer.end().allocated, count(5, 310));
        assert_eq!(measure(|| block(5)).allocated, count(1, 5));
    }
    // More than there can be at a time: each is free again.
    for _ in 0..10_000 {
        let (first, second) = (Scope::begin(), Scope::begin());
        drop(first);
        drop(second);
    }
    let (outer, guard) = (Scope::begin(), tenure::testing::no_alloc());
    drop(outer);
    let _f = block(7);
    assert!(guards::message(std::panic::AssertUnwindSafe(|| drop(guard))).starts_with("1 block (7 bytes) allocated"));
}

#[test]
fn scopes_in_random_order() {
    let mut seed = 1u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    // The scopes that are open, and what was allocated before them.
    let mut open = Vec::with_capacity(20);
    let mut before = Count::default();
    for step in 0..5_000 {
        match random(4) {
            0 if open.len() < 20 => open.push((Scope::begin(), before)),
            1 if !open.is_empty() => {
                let (scope, then): (Scope, Count) = open.remove(random(open.len()));
                let allocated = count(before.blocks - then.blocks, before.bytes - then.bytes);
                assert_eq!(scope.end().allocated, allocated, "step {step}");
            }
            _ => {
                let bytes = random(100) + 1;
                drop(block(bytes));
                before = count(before.blocks + 1, before.bytes + bytes as u64);
            }
        }
    }
}

#[test]
fn a_panic_ends_the_scope() {
    for _ in 0..3 {
        let outer = Scope::begin();
        let caught = std::panic::catch_unwind(|| {
            measure(|| {
                let _held = block(50);
                std::panic::resume_unwind(Box::new(7u64));
            })
        });
        assert_eq!(*caught.expect_err("it does").downcast::<u64>().expect("the payload"), 7);
        let _after = block(60);
        let m = outer.end();
        assert_eq!(m.sites.iter().filter(|s| s.allocated == count(1, 50) && s.live.blocks == 0).count(), 1);
        assert_eq!(m.live, count(1, 60));
        drop(block(70));
        assert_eq!(measure(|| ()).allocated, Count::default(), "nothing is watched any more");
    }
}

/// More scopes one after the other than there can be at a time; and blocks of old ones that are freed in later ones.
#[test]
fn a_late_free_is_no_later_scopes() {
    let mut late = Vec::with_capacity(64);
    for i in 0..20_000 {
        let m = measure(|| {
            if late.len() == 64 {
                drop(late.swap_remove(i * 7 % 64));
            }
            drop(block(40));
            block(24)
        });
        assert_eq!((m.allocated, m.freed, m.live), (count(2, 64), count(1, 40), count(1, 24)), "scope {i}");
        late.push(m.value);
        drop(block(8));
    }
}

#[test]
fn too_many_scopes() {
    Scenario::new("too_many_scopes").run(|| {
        // Those that are over are forgotten, though their blocks live.
        let mut blocks: Vec<_> = (0..20_000).map(|_| measure(|| block(8)).value).collect();
        let mut open: Vec<_> = (0..8192).map(|_| measure_async(async {})).collect();
        let full = std::panic::catch_unwind(|| measure(|| ())).expect_err("there is none left");
        let message = full.downcast::<String>().expect("a message");
        assert!(message.starts_with("no scope for memory tests is left: 8192 are open"), "{message}");
        drop(open.swap_remove(4711));
        assert_eq!(measure(|| drop(block(3))).allocated, count(1, 3));
        open.clear();
        blocks.clear();
        let m = measure(|| (0..100).map(|_| measure(|| block(8))).collect::<Vec<_>>().len());
        assert!(m.value == 100 && m.allocated.blocks > 100);
    });
}

/// The scope goes on in the child, and so do scopes that begin there; a thread that is not there leaves no lock behind.
#[test]
fn a_fork() {
    Scenario::new("a_fork").run(|| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            let worker = threads.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    measure(|| drop(block(100)));
                }
            });
            for _ in 0..200 {
                let scope = Scope::begin();
                let held = block(10);
                // SAFETY: the child runs on this thread alone, and ends by `_exit`.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    drop(held);
                    let inner = measure(|| block(30));
                    let m = scope.end();
                    let right = m.allocated == count(2, 40) && m.freed == count(1, 10) && inner.live == count(1, 30);
                    // SAFETY: no destructor is needed.
                    unsafe { libc::_exit(if right { 0 } else { 1 }) };
                }
                let mut status = 0;
                // SAFETY: the child is ours.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0, "the child's figures are right");
                assert_eq!(scope.end().live, count(1, 10));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            worker.join().expect("it does not panic");
        });
    });
}

/// In all modes of the process the same is counted.
#[test]
fn modes_of_the_process() {
    for mode in ["off", "exact", "sampled=64"] {
        Scenario::new("modes_of_the_process").env("TENURE", mode).run(|| {
            let snapshot = || tenure::snapshot().tracked().blocks;
            let m = measure(|| {
                let held: Vec<_> = (0..1000).map(|_| block(16)).collect();
                assert!(snapshot() >= 1001.0, "tracked, whatever the mode");
                held
            });
            assert_eq!((m.allocated, m.freed), (count(1001, 16 * 1000 + 24 * 1000), count(0, 0)));
            let origin = tenure::origin(&m.value[0]).expect("tracked");
            assert!(!origin.sampled, "an exact block");
            // Blocks that an exact thread frees wait for their burial otherwise, and would be in the peak.
            let m = measure(|| (0..100).for_each(|_| drop(block(16))));
            assert_eq!((m.allocated.blocks, m.freed.blocks, m.peak), (100, 100, count(1, 16)));
        });
        if std::env::var("TENURE_TEST_CHILD").is_ok() {
            return;
        }
    }
}
