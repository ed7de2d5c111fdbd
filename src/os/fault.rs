//! Accesses that the processor refuses: a handler of `SIGSEGV` that may say something before the process does what it would
//! have done.

use super::process::this_thread;
use super::unix::{nap, preserving_errno};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use libc::{c_int, c_void, siginfo_t};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Gets the address of an access that was refused. It may neither allocate nor wait for a lock.
pub(crate) type Explain = fn(*mut u8);

static EXPLAIN: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static INSTALLED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicU32 = AtomicU32::new(0);

/// Where nobody has a handler of his own after so many calls of [`install`], nobody will.
const PATIENCE: u32 = 64;
/// How long a thread waits for a report of another one: so many times so many milliseconds.
const NAPS: u32 = 200;
const NAP: u64 = 5;
/// A program that is not written in Rust has no runtime to wait for.
const NOW: bool = cfg!(feature = "c-interface");

/// What the process did on the signal before.
struct Before(UnsafeCell<MaybeUninit<libc::sigaction>>);
// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Before {}
static BEFORE: Before = Before(UnsafeCell::new(MaybeUninit::uninit()));

/// Chooses who explains. Nothing is installed yet.
pub(crate) fn explain_by(explain: Explain) {
    EXPLAIN.store(explain as *mut c_void, Ordering::Relaxed); // Relaxed: a function of the program
}

/// Installs the handler, if somebody explains; for whoever makes something inaccessible, each time.
///
/// Rust's runtime has a handler too, which tells of stacks that overflow, and installs it before `main` if there is none. So
/// ours waits until it is there.
pub(crate) fn install() {
    // Relaxed, all of it: hints, but for the exchange, which one thread wins.
    if INSTALLED.load(Ordering::Relaxed) || EXPLAIN.load(Ordering::Relaxed).is_null() {
        return;
    }
    preserving_errno(|| {
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: asks; zeroes are a valid struct.
        let none = unsafe {
            libc::sigaction(libc::SIGSEGV, std::ptr::null(), before.as_mut_ptr());
            before.assume_init().sa_sigaction == libc::SIG_DFL
        };
        if none && !NOW && ASKED.fetch_add(1, Ordering::Relaxed) < PATIENCE || INSTALLED.swap(true, Ordering::Relaxed) {
            return;
        }
        // SAFETY: this thread alone writes what was before, and then installs who reads it.
        unsafe {
            let before = (*BEFORE.0.get()).write(before.assume_init());
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
            if let libc::SIG_DFL | libc::SIG_IGN = before.sa_sigaction {
                // What is ignored interrupts no system call.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
                libc::sigemptyset(&mut action.sa_mask);
            } else {
                // Ours calls it, so it runs on the stack and under the mask that it was installed with.
                let kept = libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
                action.sa_flags = libc::SA_SIGINFO | before.sa_flags & kept;
                action.sa_mask = before.sa_mask;
            }
            libc::sigaction(libc::SIGSEGV, &action, null_mut());
        }
    });
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    /// The thread that explains; 0: none does.
    static TELLS: AtomicU32 = AtomicU32::new(0);
    /// The handler from before was to be called once, and was.
    static SPENT: AtomicBool = AtomicBool::new(false);
    // SAFETY: the kernel's struct; what is left for the process to do was written before.
    unsafe {
        let explain = EXPLAIN.load(Ordering::Relaxed); // Relaxed: see `explain_by`
        // Positive: the kernel refused an access, and nobody sent the signal.
        let is_sent = (*info).si_code <= 0;
        if !is_sent && !explain.is_null() {
            let me = this_thread();
            // Relaxed, all of it: one thread wins, and nothing else is read by the others.
            match TELLS.compare_exchange(0, me, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let explain = std::mem::transmute::<*mut c_void, Explain>(explain);
                    preserving_errno(|| explain((*info).si_addr().cast()));
                    TELLS.store(0, Ordering::Relaxed);
                }
                // The explanation itself was refused an access.
                Err(who) if who == me => (),
                // One report is enough, but this thread may end the process, so the other one first comes to its end.
                Err(_) => {
                    (0..NAPS).take_while(|_| TELLS.load(Ordering::Relaxed) != 0).for_each(|_| nap(NAP));
                }
            }
        }
        let before = (*BEFORE.0.get()).assume_init_ref();
        let only_once = before.sa_flags & libc::SA_RESETHAND != 0 && before.sa_sigaction != libc::SIG_IGN;
        // Relaxed: one thread wins.
        let spent = only_once && SPENT.swap(true, Ordering::Relaxed);
        match if spent { libc::SIG_DFL } else { before.sa_sigaction } {
            libc::SIG_IGN if is_sent => (),
            libc::SIG_DFL | libc::SIG_IGN => {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &action, null_mut());
                // Back in the program an access is refused once more, and does what it always did. What was sent would be
                // gone, so it is sent again: it waits until this handler returns.
                if is_sent {
                    libc::syscall(libc::SYS_tgkill, libc::getpid(), this_thread(), signal);
                }
            }
            handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler = std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(handler);
                handler(signal, info, context);
            }
            handler => std::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal),
        }
    }
}
