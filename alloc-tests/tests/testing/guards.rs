//! Guards for code that may not allocate.

use super::{block, count};
use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::{Arc, Barrier};
use std::thread;
use tenure::testing::{measure, no_alloc, no_alloc_or_abort, permit};
use tenure_alloc_tests::child::Scenario;

/// The message of the panic that `f` ends with.
#[track_caller]
pub(crate) fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    *catch_unwind(f).expect_err("it panics").downcast::<String>().expect("a message")
}

#[test]
fn nothing_is_allocated() {
    let mut held = block(100);
    let old = block(100);
    let guard = no_alloc();
    held.extend_from_slice(&[1; 100]);
    drop(old);
    drop(guard);
}

#[test]
fn what_is_allocated_is_said_at_the_end() {
    let text = message(|| {
        let _guard = no_alloc();
        // A number that is not known to the compiler: three turns are one call.
        for _ in 0..black_box(3) {
            drop(block(50));
        }
        thread::spawn(tenure::inherit(|| drop(block(60)))).join().expect("the panic is the guard's");
    });
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains(" allocated where none may be, since alloc-tests/tests/testing/guards.rs:"), "{text}");
    assert_eq!(lines[1], "allocated by");
    assert!(lines.iter().any(|l| l.contains("150 bytes in 3 blocks  testing::block (tests/testing.rs:")), "{text}");
    assert!(lines.iter().any(|l| l.contains("60 bytes in 1 block  ")), "{text}");
}

/// A panic goes its way: it is not followed by another one, which would be an abort.
#[test]
fn a_panic_comes_first() {
    let text = message(|| {
        let _guard = no_alloc();
        let why = permit(|| String::from("the first"));
        drop(block(10));
        std::panic::panic_any(why);
    });
    assert_eq!(text, "the first");
}

/// A thread that was brought in by what was permitted goes on when that is over.
#[test]
fn a_permission_outlives_its_closure() {
    let barriers = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let _guard = no_alloc();
    let worker = permit(|| {
        let of_worker = barriers.clone();
        let worker = thread::spawn(tenure::inherit(move || {
            of_worker[0].wait();
            of_worker[1].wait();
            drop(block(6_666));
        }));
        barriers[0].wait();
        worker
    });
    barriers[1].wait();
    worker.join().expect("no panic");
}

#[test]
fn what_is_permitted() {
    let m = measure(|| {
        let _guard = no_alloc();
        let inner = measure(|| permit(|| (block(10), permit(|| block(11)))));
        assert_eq!((inner.allocated, inner.live), (count(2, 21), count(2, 21)), "what measures counts it");
        permit(|| thread::spawn(tenure::inherit(|| drop(block(5_555)))).join().expect("no panic"));
        drop(inner);
    });
    assert!(m.sites.iter().any(|s| s.allocated == count(1, 5_555)), "{:?}", m.sites);
    assert_eq!(permit(|| block(5)).capacity(), 5, "where no guard stands");
    let text = message(|| {
        let _guard = no_alloc();
        permit(|| {
            let _inner = no_alloc();
            drop(block(12));
        });
    });
    assert!(
        text.starts_with("1 block (12 bytes) allocated where none may be"),
        "a guard further in is its own: {text}"
    );
}

#[test]
fn an_abort_at_the_first_allocation() {
    let outcome = Scenario::new("guards::an_abort_at_the_first_allocation").outcome(|| {
        let _guard = no_alloc_or_abort();
        permit(|| println!("{:?} is permitted", block(10)));
        thread::yield_now();
        drop(block(4321));
        unreachable!("the process is gone");
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGABRT), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("is permitted"));
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(lines[0], "tenure: 4321 bytes are allocated where none may be; the call stack:");
    assert!(lines[1].starts_with("tenure:   the program+0x"), "{}", outcome.stderr);
    assert!(lines.iter().any(|l| l.starts_with("tenure:   libc.so.6+0x")), "{}", outcome.stderr);
    let named = lines.iter().position(|l| l.contains("testing::block (tests/testing.rs:"));
    let then = named.and_then(|at| lines.get(at + 1)).copied().unwrap_or_default();
    assert!(then.contains("(tests/testing/guards.rs:"), "{}", outcome.stderr);
}

/// In a scope that measures inside of a guard, too.
#[test]
fn an_abort_from_further_in() {
    let outcome = Scenario::new("guards::an_abort_from_further_in").outcome(|| {
        let _guard = no_alloc_or_abort();
        measure(|| drop(block(21)));
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGABRT), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("tenure: 21 bytes are"), "{}", outcome.stderr);
}
