//! Stacks that are not a thread's own, and handlers of signals.

use crate::checked::watched;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

const ROUNDS: usize = if cfg!(debug_assertions) { 100 } else { 300 };

#[test]
fn segments_of_stacker() {
    #[inline(never)]
    fn down(n: usize) -> Box<usize> {
        if n == 0 { black_box(Box::new(n)) } else { stacker::grow(256 << 10, || black_box(down(n - 1))) }
    }
    #[inline(never)]
    fn now_and_then(n: usize) -> usize {
        stacker::maybe_grow(32 << 10, 128 << 10, || {
            let room = black_box([n; 60]);
            let block = black_box(Box::new(n));
            let below = if n > 0 { now_and_then(n - 1) } else { 0 };
            black_box(room);
            below + *block
        })
    }
    let tally = watched(|| {
        for round in 0..ROUNDS {
            black_box(down(round % 4));
            black_box(now_and_then(round * 7 % 150));
        }
    });
    println!("{tally:?}");
    assert!(tally.blocks > ROUNDS);
}

#[test]
fn coroutines_in_turns() {
    use corosensei::{Coroutine, CoroutineResult};
    let tally = watched(|| {
        let new = |seed: usize| {
            Coroutine::new(move |yielder: &corosensei::Yielder<usize, usize>, mut input: usize| {
                for _ in 0..ROUNDS {
                    let text = format!("{input}-{seed}");
                    input = yielder.suspend(text.len());
                    black_box(vec![input; 3]);
                    drop(text);
                }
            })
        };
        let mut all = [new(1), new(22), new(333)];
        for i in 0..3 * ROUNDS {
            let CoroutineResult::Yield(n) = all[i * 7 % 3].resume(i) else { break };
            black_box(Box::new(n));
        }
        all.iter_mut().for_each(|coroutine| coroutine.force_unwind());
    });
    println!("{tally:?}");
    assert!(tally.blocks > 3 * ROUNDS);
}

fn handle(signal: i32, f: extern "C" fn(i32)) {
    // SAFETY: the handler allocates, but interrupts only code that does not.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = f as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Signals that come wherever the program stands, but for its allocations.
#[test]
fn handlers_that_allocate() {
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn on_signal(_: i32) {
        black_box(Box::new(HANDLED.load(SeqCst)));
        black_box(format!("{}", HANDLED.fetch_add(1, SeqCst)));
    }
    handle(libc::SIGUSR1, on_signal);
    /// Computes, and allocates nothing, until the handler has run; deep in the stack, at some place.
    #[inline(never)]
    fn wait(n: usize, until: usize) -> usize {
        if n > 0 {
            return black_box(wait(n - 1, until)) + 1;
        }
        let mut sum = 0usize;
        while HANDLED.load(SeqCst) < until {
            sum = (0..20).fold(sum, |a, b| black_box(a.wrapping_mul(31) ^ b));
        }
        sum
    }
    let mask = |how| {
        // SAFETY: the set is initialised before use.
        unsafe {
            let mut set = MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), libc::SIGUSR1);
            assert_eq!(libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut()), 0);
        }
    };
    // SAFETY: the thread's own handle.
    let target = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        mask(libc::SIG_BLOCK); // the other thread inherits it
        scope.spawn(|| {
            while !done.load(SeqCst) {
                // SAFETY: the target waits for this thread.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                black_box((0..100).fold(0, |a, b| black_box(a ^ b)));
            }
        });
        let tally = watched(|| {
            for i in 0..ROUNDS {
                black_box(Box::new(i));
                mask(libc::SIG_UNBLOCK);
                black_box(wait(i % 10, HANDLED.load(SeqCst) + 3));
                mask(libc::SIG_BLOCK);
                black_box(vec![i; 2]);
            }
        });
        done.store(true, SeqCst);
        println!("{} signals, {tally:?}", HANDLED.load(SeqCst));
        assert!(tally.blocks > 8 * ROUNDS);
        // The stack of a handler goes on with what it interrupted.
        assert!(tally.early * 10 < tally.blocks, "{tally:?}");
    });
}
