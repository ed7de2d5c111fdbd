//! What callers do wrong ends the process, by one line that says what and where: nothing is silently absorbed.
//!
//! Debug builds check every free. Release builds notice what costs the fast path nothing: a block that comes home
//! twice does so at the latest when its thread ends.

use std::alloc::{GlobalAlloc, Layout};
use std::thread;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::{BAD_FREE_SIZE, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn small() -> Layout {
    Layout::from_size_align(BAD_FREE_SIZE, 8).expect("a layout that exists")
}

fn large() -> Layout {
    Layout::from_size_align(3 << 20, 8).expect("a layout that exists")
}

/// Runs `bad` in a thread, which ends, of a process that must not survive it. `bad` returns the address that it freed
/// wrongly, having announced it first.
fn is_noticed(test: &'static str, bad: fn()) {
    let outcome = Scenario::new(test).patience(60).outcome(|| {
        thread::spawn(bad).join().expect("no panic");
    });
    let Some(outcome) = outcome else { return };
    assert!(!outcome.completed, "{test}: it went unnoticed");
    let signal = outcome.signal().unwrap_or_else(|| panic!("{test}: {}\n{}", outcome.status, outcome.stderr));
    if cfg!(debug_assertions) {
        assert_eq!(signal, libc::SIGABRT, "{}", outcome.stderr);
        let address =
            outcome.stdout.split("address ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("announced");
        let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("tenure")).collect();
        assert_eq!(lines.len(), 1, "one line, in:\n{}", outcome.stderr);
        assert!(lines[0].contains(address), "{address} is not in: {}", lines[0]);
        println!("{}", lines[0]);
    }
}

/// The signal handlers of the machine's own libc may say something too; the address is what the line must name.
fn announce(block: *mut u8) {
    println!("address {block:?}");
}

#[test]
fn a_small_block_freed_twice() {
    is_noticed("a_small_block_freed_twice", || {
        // SAFETY: none: the second free is what the allocator must not survive.
        unsafe {
            let block = ALLOC.alloc(small());
            announce(block);
            ALLOC.dealloc(block, small());
            ALLOC.dealloc(block, small());
        }
    });
}

#[test]
fn a_small_block_freed_twice_with_another_between() {
    is_noticed("a_small_block_freed_twice_with_another_between", || {
        // SAFETY: none, as above.
        unsafe {
            let (block, other) = (ALLOC.alloc(small()), ALLOC.alloc(small()));
            announce(block);
            ALLOC.dealloc(block, small());
            ALLOC.dealloc(other, small());
            ALLOC.dealloc(block, small());
        }
    });
}

/// The block's own word says that it died, in release builds too, some frees later.
#[test]
fn a_tracked_block_freed_twice() {
    is_noticed("a_tracked_block_freed_twice", || {
        let _exact = tenure::exact_scope();
        // SAFETY: none: the second free is what the allocator must not survive.
        unsafe {
            let (block, other) = (ALLOC.alloc(small()), ALLOC.alloc(small()));
            announce(block);
            ALLOC.dealloc(block, small());
            ALLOC.dealloc(other, small());
            ALLOC.dealloc(block, small());
            // Before the magazines go home with the thread, where it would be noticed anyway.
            for _ in 0..20 {
                ALLOC.dealloc(ALLOC.alloc(small()), small());
            }
            libc::_exit(0);
        }
    });
}

#[test]
fn a_large_block_freed_twice() {
    is_noticed("a_large_block_freed_twice", || {
        // SAFETY: none, as above.
        unsafe {
            let block = ALLOC.alloc(large());
            announce(block);
            ALLOC.dealloc(block, large());
            ALLOC.dealloc(block, large());
        }
    });
}

#[test]
fn a_block_of_somebody_else() {
    is_noticed("a_block_of_somebody_else", || {
        // SAFETY: none: the pages are ours, but not the allocator's.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let pages = libc::mmap(std::ptr::null_mut(), 64 << 20, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            let block = pages.cast::<u8>().add(33 << 20);
            announce(block);
            ALLOC.dealloc(block, small());
        }
    });
}

#[test]
fn an_address_inside_a_block() {
    if !cfg!(debug_assertions) {
        return;
    }
    is_noticed("an_address_inside_a_block", || {
        // SAFETY: none: no block starts there.
        unsafe {
            let block = ALLOC.alloc(small()).add(8);
            announce(block);
            ALLOC.dealloc(block, small());
        }
    });
}
