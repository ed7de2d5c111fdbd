//! Walks through the frame that the kernel builds for a signal's handler, from wherever the signal came.

use crate::compare::{Compared, LAST, compare, watched};
use std::ffi::c_int;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use tenure::internals::unwind::{self, Ending};

extern "C" fn on_signal(_: c_int) {
    compare();
}

fn handle(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
    // SAFETY: the handler only captures, which may be done anywhere.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        libc::sigemptyset(&mut action.sa_mask);
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Raises the signal some calls further down, and returns what its handler saw.
#[inline(never)]
fn raise(signal: c_int, depth: usize) -> Compared {
    let room = black_box([depth; 7]);
    let compared = if depth == 0 {
        LAST.set(None);
        // SAFETY: it has a handler.
        unsafe { libc::raise(signal) };
        LAST.get().expect("the handler has run")
    } else {
        raise(signal, depth - 1)
    };
    black_box(room);
    compared
}

#[test]
fn on_the_stack_of_the_thread() {
    handle(libc::SIGUSR1, on_signal, 0);
    for depth in [0, 3, 30] {
        let seen = raise(libc::SIGUSR1, depth);
        assert_eq!((seen.ending, seen.interrupted, seen.switches), (Ending::Complete, 1, 0));
        assert!(seen.frames > depth + 4);
    }
}

#[test]
fn on_a_stack_of_its_own() {
    handle(libc::SIGURG, on_signal, libc::SA_ONSTACK);
    let run = || {
        let mut stack = vec![0u8; 256 << 10];
        let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        let mut before = MaybeUninit::uninit();
        // SAFETY: the stack outlives its use: it is given back below.
        unsafe { assert_eq!(libc::sigaltstack(&stack, before.as_mut_ptr()), 0) };
        let seen = raise(libc::SIGURG, 3);
        // SAFETY: what the call above has written.
        unsafe { libc::sigaltstack(before.as_ptr(), std::ptr::null_mut()) };
        seen
    };
    for seen in [run(), thread::spawn(run).join().expect("no panic")] {
        assert_eq!((seen.ending, seen.interrupted), (Ending::Complete, 1));
        assert!(seen.frames > 6);
    }
}

/// A handler that is interrupted by another one: two frames of the kernel's.
#[test]
fn a_signal_in_a_handler() {
    extern "C" fn outer(_: c_int) {
        raise(libc::SIGUSR1, 1);
    }
    handle(libc::SIGUSR1, on_signal, 0);
    handle(libc::SIGWINCH, outer, 0);
    let seen = raise(libc::SIGWINCH, 1);
    assert_eq!((seen.ending, seen.interrupted), (Ending::Complete, 2));
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Signals at any instruction: the first one of a function, between two pushes, in a system call, in the unwinders.
#[test]
fn from_wherever() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    static ENDED_EARLY: AtomicU64 = AtomicU64::new(0);
    extern "C" fn count(_: c_int) {
        let seen = compare();
        assert_eq!(seen.interrupted, 1, "the handler's caller is always there");
        SEEN.fetch_add(1, Relaxed);
        ENDED_EARLY.fetch_add(matches!(seen.ending, Ending::Complex | Ending::Foreign).into(), Relaxed);
    }
    handle(libc::SIGUSR2, count, libc::SA_RESTART);
    // SAFETY: the thread's own handle.
    let target = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    let work = |i: usize| {
        let mut all: Vec<_> = (0..200).map(|k| format!("{:?}", (k * 7919 + i) as f64 / 3.0)).collect();
        all.sort();
        let n: usize =
            all.iter().filter_map(|x| x.parse::<f64>().ok()).map(|x| x.sqrt().exp().ln() as usize & 0xff).sum();
        // Compiled C code, through the procedure linkage table.
        // SAFETY: both strings end with a null.
        black_box(n + unsafe { libc::strtod(c"1.5e3".as_ptr(), std::ptr::null_mut()) } as usize)
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                // SAFETY: the target runs until this thread is joined.
                unsafe { libc::pthread_kill(target, libc::SIGUSR2) };
                // Not at every instruction, or the target would never get on.
                for _ in 0..black_box(30 + SEEN.load(Relaxed) % 97 * 3) {
                    std::hint::spin_loop();
                }
            }
        });
        // If this thread panics, the other one must end all the same.
        let _stop = Stop(&done);
        let enough = if cfg!(debug_assertions) { 20_000 } else { 50_000 };
        let mut i = 0;
        while SEEN.load(Relaxed) < enough {
            i += 1;
            black_box(work(i));
            if i % 64 == 0 {
                watched(|| _ = black_box(work(i)));
            }
        }
    });
    let (seen, early) = (SEEN.load(Relaxed), ENDED_EARLY.load(Relaxed));
    println!("{seen} signals; {early} walks ended early");
    assert!(early * 100 < seen, "more than one of a hundred ended early");
}

/// Single steps: the processor traps after each instruction, and the handler compares. So every instruction of a piece
/// of code is a place where a function was interrupted: prologues, epilogues, the procedure linkage table.
pub(crate) mod steps {
    use super::*;
    use std::cell::Cell;
    use std::ffi::c_void;

    const TRAP_FLAG: i64 = 0x100;

    thread_local! {
        static STEPPING: Cell<bool> = const { Cell::new(false) };
        static STEPS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
        static ALONE: Cell<bool> = const { Cell::new(false) };
    }

    extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
        let ending = if ALONE.get() {
            unwind::walk(unwind::Registers::here(), &mut [unwind::Frame::NONE; 64]).1
        } else {
            compare().ending
        };
        let (steps, early) = STEPS.get();
        // Where there are no rules, libgcc ends as well: the comparison has seen to that. rust-lld's procedure linkage
        // tables have none.
        STEPS.set((steps + 1, early + usize::from(matches!(ending, Ending::Complex | Ending::Foreign))));
        if !STEPPING.get() {
            // SAFETY: the kernel's own.
            unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG };
        }
    }

    /// Runs `f` in single steps; returns how many there were, and how many walks ended early though there were rules.
    #[inline(never)]
    pub(crate) fn of(f: impl FnOnce()) -> (usize, usize) {
        // SAFETY: the handler only captures.
        unsafe {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
            action.sa_sigaction = on_trap as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()), 0);
        }
        STEPS.set((0, 0));
        STEPPING.set(true);
        // SAFETY: sets one flag of the processor; the stack is as it was. The red zone is not used: no `nostack`.
        unsafe { std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
        f();
        STEPPING.set(false);
        STEPS.get()
    }

    /// The same without a comparison.
    pub(crate) fn alone(f: impl FnOnce()) -> (usize, usize) {
        ALONE.set(true);
        let result = of(f);
        ALONE.set(false);
        result
    }
}

#[test]
fn after_every_instruction() {
    let work = |n: usize| {
        let mut all: Vec<String> = (0..n).map(|i| format!("{:.2}", i as f64 * 1.7)).collect();
        all.sort();
        let found = all.iter().filter_map(|x| x.parse::<f32>().ok()).fold(0.0, f32::max);
        black_box((all, found, std::env::var("HOME").is_ok(), std::time::Instant::now()));
    };
    work(3);
    let (steps, early) = steps::of(|| work(if cfg!(debug_assertions) { 3 } else { 20 }));
    println!("{steps} steps; {early} walks ended early");
    assert!(steps > 10_000, "{steps}");
    assert_eq!(early, 0, "walks ended early");
}

/// Where libgcc leaves its own frame for that of a handler of panics, the tables are wrong, and libgcc crashes if it
/// walks there. Our walk may end in nonsense, but it ends.
#[test]
fn in_the_midst_of_a_panic() {
    let panic = || black_box(std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7))).is_err());
    panic();
    let (steps, early) = steps::alone(|| _ = panic());
    println!("{steps} steps; {early} walks ended early");
    assert!(early < 100, "{early}");
}
