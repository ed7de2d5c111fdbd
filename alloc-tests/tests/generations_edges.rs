//! Collections where somebody else is at work at the same moment: the helper, a purge, a fork, a hook that misbehaves.
//!
//! Each scenario has a process of its own: clock, collections and hooks are the process'.

use std::hint::black_box;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use tenure::generation::{self, Event, Generation::*};
use tenure::{Tenure, Thresholds};
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new().thresholds(QUICK);

const QUICK: Thresholds =
    Thresholds { young_bytes: 1 << 20, young_per_middle: 3, middle_per_old: 4, free_percent: 25, idle_ms: 86_400_000 };
const MIB: usize = 1 << 20;

fn churn(bytes: usize) {
    for _ in 0..bytes / 1024 {
        drop(black_box(vec![0u8; 1024]));
    }
}

/// Waits for it, far longer than it takes on a busy machine.
fn comes_true(mut what: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if what() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_panics_payload_panics_too() {
    Scenario::new("a_panics_payload_panics_too").run(|| {
        struct Worse;
        impl Drop for Worse {
            fn drop(&mut self) {
                panic!("this is planned as well");
            }
        }
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        fn hook(_: Event<'_>) {
            HEARD.fetch_add(1, SeqCst);
            std::panic::panic_any(Worse);
        }
        generation::disable();
        let _hook = generation::on_collection(&hook).expect("there is room");
        _ = generation::collect(Young);
        assert_eq!(HEARD.load(SeqCst), 2);
        // On the hooks' own thread, too, where nothing else would catch it.
        // How many collections that are is a matter of time: it goes on until a second one was heard of.
        generation::enable();
        let twice = comes_true(|| {
            churn(3 * MIB);
            HEARD.load(SeqCst) > 3
        });
        assert!(twice, "{} calls", HEARD.load(SeqCst));
    });
}

#[test]
fn a_removed_hook_is_not_begun() {
    Scenario::new("a_removed_hook_is_not_begun").run(|| {
        generation::disable();
        static SECOND: AtomicUsize = AtomicUsize::new(0);
        static REMOVED: OnceLock<std::sync::Mutex<Option<generation::HookId>>> = OnceLock::new();
        fn first(_: Event<'_>) {
            if let Some(id) = REMOVED.get().and_then(|slot| slot.lock().expect("nobody panics").take()) {
                generation::remove_hook(id);
            }
        }
        fn second(_: Event<'_>) {
            SECOND.fetch_add(1, SeqCst);
        }
        let _first = generation::on_collection(&first).expect("there is room");
        let id = generation::on_collection(&second).expect("there is room");
        _ = REMOVED.set(std::sync::Mutex::new(Some(id)));
        _ = generation::collect(Young);
        assert_eq!(SECOND.load(SeqCst), 0, "it was removed before its call began");
    });
}

/// What a collection makes due is purged, though nobody frees anything from then on.
#[test]
fn the_helper_hears_of_a_collection() {
    Scenario::new("the_helper_hears_of_a_collection").run(|| {
        generation::disable();
        // Less than would start the helper is due at any time; what the threads hold in magazines is more.
        const THREADS: usize = 32;
        let (filled, done) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let blocks: Vec<_> = (0..100).map(|_| vec![1u8; 3000]).collect();
                    filled.wait();
                    drop(blocks);
                    filled.wait();
                    done.wait();
                });
            }
            filled.wait();
            filled.wait();
            _ = generation::collect(Young);
            let young = generation::collect(Young);
            let due = tenure::stats().due;
            println!("{young}; {due} due");
            if due < 3 * MIB {
                println!("skipped: the_helper_hears_of_a_collection, because only {due} bytes became due");
            } else {
                assert!(comes_true(|| tenure::stats().due < 2 * MIB), "{}", tenure::stats().due);
            }
            done.wait();
        });
    });
}

#[test]
fn an_old_one_gives_all_back() {
    Scenario::new("an_old_one_gives_all_back").env("TENURE", "helper=off").run(|| {
        generation::disable();
        let keep = vec![1u8; 64 * MIB];
        for round in 0..4 {
            // Together no more than the frees themselves let stay.
            let freed: Vec<_> = (0..3).map(|_| vec![1u8; 2 * MIB + MIB / 2]).collect();
            drop(freed);
            let some = Thresholds { free_percent: 1 + round * 3, ..QUICK };
            generation::set_thresholds(some).expect("within bounds");
            let before = tenure::stats().due;
            assert!(before >= 7 * MIB, "{before}");
            let old = generation::collect(Old);
            let due = tenure::stats().due;
            let much = before * 100 > old.committed_before as usize * some.free_percent as usize;
            assert!(much == (due == 0), "{before}, then {due} of {}: {some:?}", old.committed_before);
            if !much {
                generation::set_thresholds(Thresholds { free_percent: 1, ..QUICK }).expect("within bounds");
                _ = generation::collect(Old);
            }
        }
        drop(keep);
    });
}

/// An old collection that is asked for is whole, whoever else is purging meanwhile.
#[test]
fn purges_of_others_are_waited_for() {
    Scenario::new("purges_of_others_are_waited_for").env("TENURE", "helper=off").run(|| {
        generation::disable();
        generation::set_thresholds(Thresholds { free_percent: 1, ..QUICK }).expect("within bounds");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            // Frees much all the time, and purges for that.
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    drop(black_box(vec![1u8; 12 * MIB]));
                }
            });
            for _ in 0..60 {
                let large: Vec<_> = (0..8).map(|_| vec![1u8; 3 * MIB]).collect();
                let keep = vec![1u8; 256 * MIB];
                drop(large);
                _ = generation::collect(Old);
                drop(keep);
                // The other thread's block alone may be there, and it may just have been freed.
                let old = generation::collect(Old);
                assert!(tenure::stats().due <= 24 * MIB, "{old}: {}", tenure::stats().due);
            }
            stop.store(true, SeqCst);
        });
    });
}

/// No place is left for a huge block whose purge is halfway when eight others were freed meanwhile.
#[test]
fn no_huge_block_is_lost() {
    Scenario::new("no_huge_block_is_lost").env("TENURE", "helper=off").run(|| {
        generation::disable();
        generation::set_thresholds(Thresholds { free_percent: 1, ..QUICK }).expect("within bounds");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    _ = generation::collect(Old);
                }
            });
            // Large enough that what frees may leave due is more than nine of them.
            let keep = vec![0u8; 4 << 30];
            for _ in 0..40 {
                let mut huge: Vec<_> = (0..12).map(|_| vec![0u8; 40 * MIB]).collect();
                huge.iter_mut().for_each(|block| block.iter_mut().step_by(256 << 10).for_each(|byte| *byte = 1));
                for block in huge {
                    drop(block);
                    thread::yield_now();
                }
            }
            stop.store(true, SeqCst);
            drop(keep);
        });
        assert!(
            comes_true(|| {
                _ = generation::collect(Old);
                tenure::stats().due == 0
            }),
            "{} bytes are due for ever",
            tenure::stats().due
        );
    });
}

/// Thresholds that were very long, with a collection on its way, do not delay what shorter ones ask for.
#[test]
fn shorter_thresholds_hold_at_once() {
    Scenario::new("shorter_thresholds_hold_at_once").run(|| {
        churn(2 * MIB);
        generation::set_thresholds(Thresholds { young_bytes: 1 << 40, idle_ms: 100, ..QUICK }).expect("within bounds");
        thread::sleep(Duration::from_millis(250));
        churn(8 * MIB);
        generation::set_thresholds(QUICK).expect("within bounds");
        let all = || generation::stats().iter().map(|g| g.collections).sum::<u64>();
        let before = all();
        churn(64 * MIB);
        assert!(all() > before + 20, "{before}, then {}", all());
    });
}

/// Steps, trace lines and a census on the smallest stack that there is.
#[test]
fn on_a_small_stack() {
    Scenario::new("on_a_small_stack").env("TENURE", "exact,trace,helper=off").run(|| {
        extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
            churn(40 * MIB);
            _ = generation::collect(Old);
            std::ptr::null_mut()
        }
        // SAFETY: the attributes are initialised first, and the thread is joined.
        unsafe {
            let (mut attr, mut id) = (std::mem::zeroed(), 0);
            assert_eq!(libc::pthread_attr_init(&mut attr), 0);
            assert_eq!(libc::pthread_attr_setstacksize(&mut attr, STACK), 0);
            assert_eq!(libc::pthread_create(&mut id, &attr, run, std::ptr::null_mut()), 0);
            assert_eq!(libc::pthread_join(id, std::ptr::null_mut()), 0);
        }
        assert!(generation::stats()[Old as usize].collections > 1);
    });
}

const STACK: usize = 24 << 10;

/// A trace line goes to a pipe that nobody reads: no reason to end.
#[test]
fn nobody_reads_the_trace() {
    Scenario::new("nobody_reads_the_trace").env("TENURE", "trace").run(|| {
        let mut ends = [0; 2];
        // SAFETY: the pipe's ends are ours; what stands at 2 is kept.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            let stderr = libc::dup(2);
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            assert_eq!(libc::dup2(ends[1], 2), 2);
            drop(std::fs::File::from_raw_fd(ends[0]));
            *libc::__errno_location() = 77;
            _ = generation::collect(Old);
            let errno = *libc::__errno_location();
            assert_eq!(libc::dup2(stderr, 2), 2);
            assert_eq!(errno, 77);
        }
    });
}

/// A child whose process has the same number as its parent, in another namespace.
#[test]
fn a_child_with_the_parents_number() {
    Scenario::new("a_child_with_the_parents_number").patience(30).run(|| {
        // SAFETY: plain system calls; children leave by `_exit`.
        unsafe {
            if libc::unshare(libc::CLONE_NEWPID) != 0 {
                println!("skipped: a_child_with_the_parents_number, because no namespace of processes can be made");
                return;
            }
            generation::disable();
            let first = libc::fork();
            if first == 0 {
                assert!(std::process::id() == 1);
                let _busy = thread::spawn(|| {
                    loop {
                        _ = generation::collect(Old);
                    }
                });
                thread::sleep(Duration::from_millis(20));
                if libc::unshare(libc::CLONE_NEWPID) != 0 {
                    libc::_exit(3);
                }
                // The first of its own namespace again.
                let second = libc::fork();
                if second == 0 {
                    let number = generation::collect(Young).number;
                    libc::_exit(if number > 0 { 0 } else { 1 });
                }
                let mut status = 0;
                let ended = libc::waitpid(second, &mut status, 0) == second;
                libc::_exit(if ended && status == 0 { 0 } else { 4 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(first, &mut status, 0), first);
            match libc::WEXITSTATUS(status) {
                3 => println!("skipped: a_child_with_the_parents_number, because namespaces do not nest here"),
                code => assert_eq!((code, status), (0, 0), "the child collects"),
            }
        }
    });
}

/// Statistics that a forked child reads first do not hide that a collection was cut off.
#[test]
fn a_forked_child_reads_first() {
    Scenario::new("a_forked_child_reads_first").run(|| {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    churn(1 << 20);
                }
            });
            for _ in 0..60 {
                // SAFETY: the child calls nothing that needs the thread that it does not have.
                let pid = unsafe { libc::fork() };
                assert!(pid >= 0);
                if pid == 0 {
                    let before = generation::stats()[0].collections;
                    _ = generation::collect(Old);
                    churn(16 << 20);
                    let good = generation::stats()[0].collections > before + 5;
                    tenure::internals::check();
                    // SAFETY: no destructors, no exit handlers.
                    unsafe { libc::_exit(if good { 0 } else { 1 }) };
                }
                let mut status = 0;
                // SAFETY: the child is ours.
                assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
                assert_eq!(status, 0, "the child collects");
            }
            stop.store(true, SeqCst);
        });
    });
}

/// The empty tracked pages that shards keep for the next sample do not add up when threads end.
#[test]
fn adopted_spare_pages_are_retired() {
    Scenario::new("adopted_spare_pages_are_retired").env("TENURE", "exact,helper=off").run(|| {
        generation::disable();
        const SIZES: [usize; 8] = [40, 72, 200, 400, 600, 1200, 2400, 5000];
        let pages = || {
            let stats = tenure::stats();
            SIZES
                .iter()
                .map(|size| stats.classes.iter().find(|c| c.block_size >= *size).map_or(0, |c| c.pages))
                .sum::<usize>()
        };
        let before = pages();
        for _ in 0..3 {
            let barrier = Barrier::new(16);
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        barrier.wait();
                        let blocks: Vec<_> = SIZES.iter().map(|&size| black_box(vec![1u8; size])).collect();
                        barrier.wait();
                        drop(blocks);
                    });
                }
            });
            (0..3).for_each(|_| _ = generation::collect(Old));
        }
        (0..3).for_each(|_| _ = generation::collect(Middle));
        let after = pages();
        println!("{before} pages before, {after} after");
        assert!(after <= before + 2, "{before} pages before, {after} after");
    });
}
