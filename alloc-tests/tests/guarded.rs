//! Guarded samples: what is wrong with one is said at once, with the stacks that allocated and freed it, and they weigh what they
//! weigh elsewhere.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::{Outcome, Scenario};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout that exists")
}

#[inline(never)]
fn get(size: usize) -> *mut u8 {
    // SAFETY: the size is not 0.
    let block = unsafe { ALLOC.alloc(black_box(layout(size))) };
    black_box(block)
}

#[inline(never)]
fn put(block: *mut u8, size: usize) {
    // SAFETY: the block is the caller's, where no fault is planted.
    unsafe { ALLOC.dealloc(black_box(block), layout(size)) };
}

#[inline(never)]
fn poke(block: *mut u8, at: isize) {
    // SAFETY: none: faults are planted by this.
    unsafe { black_box(block).wrapping_offset(at).write_volatile(1) };
}

/// Every block of the child is a sample, and guarded.
fn in_a_child(test: &'static str, body: fn()) -> Option<Outcome> {
    Scenario::new(test).env("TENURE", "sampled=1,guarded=1,guarded_slots=2000").outcome(body)
}

/// The child must end with a signal and these lines.
fn says(test: &'static str, lines: &[&str], body: fn()) {
    let Some(outcome) = in_a_child(test, body) else { return };
    assert!(!outcome.completed && outcome.signal().is_some(), "{test}: {}\n{}", outcome.status, outcome.stderr);
    for line in lines {
        assert!(outcome.stderr.contains(line), "{test}: `{line}` is not in:\n{}", outcome.stderr);
    }
}

#[test]
fn a_write_beyond_the_end() {
    let lines = ["heap overflow: the program accessed", "allocated by thread", "#0 (program)+0x"];
    says("a_write_beyond_the_end", &lines, || {
        // Four of five stand at the end of their OS page.
        (0..20).for_each(|_| poke(get(64), 64));
    });
}

#[test]
fn a_write_before_the_beginning() {
    says("a_write_before_the_beginning", &["heap underflow: the program accessed", "1 bytes before it"], || {
        (0..40).for_each(|_| poke(get(64), -1));
    });
}

#[test]
fn a_write_that_its_os_page_hides_until_the_free() {
    let lines = ["1 bytes behind it were overwritten, seen at its free", "allocated by thread"];
    says("a_write_that_its_os_page_hides_until_the_free", &lines, || {
        for _ in 0..20 {
            let block = get(41);
            poke(block, 41);
            put(block, 41);
        }
    });
}

#[test]
fn a_read_after_the_free() {
    let lines = ["use after free: the program accessed", "byte 8 of it", "allocated by thread", "freed by thread"];
    says("a_read_after_the_free", &lines, || {
        let block = get(200);
        put(block, 200);
        // SAFETY: none: that is the fault.
        black_box(unsafe { black_box(block).add(8).read_volatile() });
    });
}

#[test]
fn a_second_free() {
    says("a_second_free", &["was freed twice: it is a guarded block", "freed by thread"], || {
        let block = get(100);
        put(block, 100);
        put(block, 100);
    });
}

#[test]
fn a_free_inside() {
    says("a_free_inside", &["which is not the beginning of a block"], || put(get(100).wrapping_add(8), 100));
}

/// A handler that the program installed runs after ours.
#[test]
fn the_programs_own_handler_runs() {
    extern "C" fn handler(_: libc::c_int) {
        let text = "the handler ran\n";
        // SAFETY: writes and ends the process, both allowed in a handler.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::_exit(3);
        }
    }
    let scenario = Scenario::new("the_programs_own_handler_runs").env("TENURE", "off,guarded=1");
    let outcome = scenario.outcome(|| {
        // Before the first sample, with which ours comes.
        // SAFETY: the handler is one.
        unsafe { libc::signal(libc::SIGSEGV, handler as extern "C" fn(libc::c_int) as usize) };
        tenure::set_mode(tenure::Mode::Sampled { mean: 1 });
        let block = get(200);
        put(block, 200);
        poke(block, 0);
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.status.code(), Some(3), "{}", outcome.stderr);
    let said = outcome.stderr.find("use after free").zip(outcome.stderr.find("the handler ran"));
    assert!(said.is_some_and(|(first, second)| first < second), "{}", outcome.stderr);
}

/// What is guarded is counted as any sample: the estimate of what lives is right.
#[test]
fn samples_weigh_what_they_weigh() {
    const BLOCKS: usize = 200_000;
    const SIZE: usize = 100;
    let scenario =
        Scenario::new("samples_weigh_what_they_weigh").env("TENURE", "sampled=16KiB,guarded=2,guarded_slots=700");
    scenario.run(|| {
        let before = tenure::snapshot().tracked().bytes();
        let all: Vec<*mut u8> = (0..BLOCKS).map(|_| get(SIZE)).collect();
        let snapshot = tenure::snapshot();
        let grown = snapshot.tracked().bytes().value - before.value;
        let right = (BLOCKS * SIZE + all.capacity() * 8) as f64;
        let error = snapshot.tracked().bytes().standard_error.max(before.standard_error);
        assert!((grown - right).abs() < 5.0 * error, "{grown} of {right}, with an error of {error}");
        assert!(error < 0.1 * right, "{error}");
        all.into_iter().for_each(|block| put(block, SIZE));
        let left = tenure::snapshot().tracked().bytes().value - before.value;
        assert!(left.abs() < 5.0 * error + 8.0 * BLOCKS as f64, "{left} bytes are left");
    });
}

/// Slots are bounded, and are used again; contents and alignments are right; resizing moves blocks out.
#[test]
fn slots_serve_again_and_again() {
    let Some(outcome) = Scenario::new("slots_serve_again_and_again")
        .env("TENURE", "sampled=1,guarded=1,guarded_slots=20")
        .outcome(|| {
            let mut kept = Vec::new();
            for i in 1..4000usize {
                let (size, align) = (1 + i * 7 % 4000, 1 << (i % 8));
                let layout = Layout::from_size_align(size, align).expect("a layout");
                // SAFETY: blocks are used within their sizes, and freed once, with their layouts.
                unsafe {
                    let block = ALLOC.alloc(layout);
                    assert!(block.addr().is_multiple_of(align), "{block:p} at {align}");
                    block.write_bytes(i as u8, size);
                    let block = ALLOC.realloc(block, layout, size + 9);
                    assert!((0..size).all(|k| block.add(k).read() == i as u8), "{size}");
                    kept.push((block, Layout::from_size_align(size + 9, align).expect("a layout")));
                    if kept.len() > 10 {
                        let (block, layout) = kept.remove(i % 10);
                        ALLOC.dealloc(block, layout);
                    }
                }
            }
        })
    else {
        return;
    };
    assert!(outcome.completed && outcome.stderr.is_empty(), "{}\n{}", outcome.status, outcome.stderr);
}

/// At a limit, who finds neither a slot nor a tracked page for a sample gets the block that is no sample: no memory is refused
/// while the thread's magazine has some.
#[test]
fn at_a_limit_samples_are_lost_and_blocks_are_not() {
    const NAME: &str = "at_a_limit_samples_are_lost_and_blocks_are_not";
    Scenario::new(NAME).env("TENURE", "helper=off,sampled=1,guarded=1,guarded_slots=2,limit=32MiB").run(|| {
        // They are never freed.
        let n = (0..).take_while(|_: &usize| !get(3000).is_null()).count();
        tenure::set_mode(tenure::Mode::Off);
        let left = (0..1000).filter(|_| !get(3000).is_null()).count();
        tenure::limits::set_limits(tenure::limits::Limits::default()).expect("no limit is a limit");
        println!("{n} blocks, and {left} that were refused before");
        assert!(n > 1000 && left == 0, "{n}, {left}");
    });
}

/// `SIGSEGV` is sent to this thread.
fn send() {
    // SAFETY: no preconditions.
    unsafe { libc::raise(libc::SIGSEGV) };
}

/// Our handler is installed over this.
fn installed_over(action: libc::sighandler_t) {
    // SAFETY: a disposition, which is no handler.
    unsafe { libc::signal(libc::SIGSEGV, action) };
    tenure::set_mode(tenure::Mode::Sampled { mean: 1 });
    (0..100).for_each(|_| put(get(200), 200));
}

#[test]
fn a_signal_that_is_sent_ends_the_process() {
    let scenario = Scenario::new("a_signal_that_is_sent_ends_the_process").env("TENURE", "off,guarded=1");
    let outcome = scenario.outcome(|| {
        installed_over(libc::SIG_DFL);
        send();
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGSEGV), "{}\n{}", outcome.status, outcome.stderr);
}

#[test]
fn a_signal_that_is_sent_is_ignored_if_it_was_to_be() {
    let scenario = Scenario::new("a_signal_that_is_sent_is_ignored_if_it_was_to_be").env("TENURE", "off,guarded=1");
    let outcome = scenario.outcome(|| {
        installed_over(libc::SIG_IGN);
        (0..3).for_each(|_| send());
        eprintln!("it goes on");
        let block = get(200);
        put(block, 200);
        poke(block, 0);
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGSEGV), "{}\n{}", outcome.status, outcome.stderr);
    for line in ["it goes on", "use after free"] {
        assert!(outcome.stderr.contains(line), "`{line}` is not in:\n{}", outcome.stderr);
    }
}

/// The program's own handler runs as it was installed: with its mask, and only once if it wanted that.
#[test]
fn the_programs_own_handler_runs_as_it_was_installed() {
    extern "C" fn handler(_: libc::c_int) {
        // SAFETY: asks, and writes, both allowed in a handler.
        unsafe {
            let mut mask: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut mask);
            let masked = |signal| libc::sigismember(&mask, signal) == 1;
            let right = masked(libc::SIGUSR1) && !masked(libc::SIGUSR2) && !masked(libc::SIGSEGV);
            let text = if right { "the mask is right\n" } else { "the mask is wrong\n" };
            libc::write(2, text.as_ptr().cast(), text.len());
        }
    }
    const NAME: &str = "the_programs_own_handler_runs_as_it_was_installed";
    let outcome = Scenario::new(NAME).env("TENURE", "off,guarded=1").outcome(|| {
        // SAFETY: zeroes are a valid struct, and the handler is one.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_NODEFER | libc::SA_RESETHAND;
            libc::sigaddset(&mut action.sa_mask, libc::SIGUSR1);
            libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut());
        }
        tenure::set_mode(tenure::Mode::Sampled { mean: 1 });
        put(get(200), 200);
        send();
        eprintln!("it goes on");
        send();
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGSEGV), "{}\n{}", outcome.status, outcome.stderr);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines, ["the mask is right", "it goes on"]);
}

/// Threads that are stopped at the same moment: the report of one is complete before another one ends the process.
#[test]
fn threads_wait_for_a_report() {
    const NAME: &str = "threads_wait_for_a_report";
    for _ in 0..10 {
        let scenario = Scenario::new(NAME).env("TENURE", "sampled=1,guarded=1,guarded_slots=2000");
        let outcome = scenario.outcome(|| {
            let start = std::sync::Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let block = get(200);
                        put(block, 200);
                        start.wait();
                        poke(block, 0);
                    });
                }
            });
        });
        let Some(outcome) = outcome else { return };
        assert_eq!(outcome.signal(), Some(libc::SIGSEGV), "{}\n{}", outcome.status, outcome.stderr);
        // The stack of the free is what comes last.
        let free = outcome.stderr.split_once("freed by thread");
        assert!(free.is_some_and(|(_, stack)| stack.contains("#1 ")), "{}", outcome.stderr);
    }
}
