//! Threads and processes: the end of a thread, `fork`, and a helper thread.

use super::file::Reading;
use crate::config::Signal;
use crate::sync::{AtomicPtr, Ordering};
use libc::c_void;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// A function that runs at the end of each thread that armed it.
#[derive(Clone, Copy)]
pub(crate) struct ThreadEnd(libc::pthread_key_t);

impl ThreadEnd {
    /// `None` if the process has no key left.
    pub(crate) fn new(f: unsafe extern "C" fn(*mut c_void)) -> Option<Self> {
        let mut key = 0;
        // SAFETY: the key is written before it is used.
        (unsafe { libc::pthread_key_create(&mut key, Some(f)) } == 0).then_some(ThreadEnd(key))
    }

    /// Has the function run at the end of this thread, with `value`, which must not be null. `false` if refused.
    pub(crate) fn arm(self, value: *mut c_void) -> bool {
        // SAFETY: the key is valid from `new` to `cancel`.
        unsafe { libc::pthread_setspecific(self.0, value) == 0 }
    }
}

/// Has the functions run around every `fork`, in the forking thread. `false` if the system refuses.
pub(crate) fn on_fork(
    before: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    // SAFETY: the functions live as long as the program does, and glibc drops them when their library is unloaded.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

/// Starts a detached thread on a small stack with every signal blocked. `false` if the system refuses.
/// The thread may not allocate from the global allocator.
pub(crate) fn spawn(f: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    spawn_with(128 << 10, f)
}

/// The same with so many bytes of stack.
pub(crate) fn spawn_with(stack: usize, f: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    // Thread-local variables of the program are carved out of the stack, so a very small one may not do: try twice.
    let try_with = |stack| {
        let mut attr = MaybeUninit::uninit();
        let mut id = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised first and destroyed last; the masks are initialised by the calls.
        unsafe {
            if libc::pthread_attr_init(attr.as_mut_ptr()) != 0 {
                return false;
            }
            libc::pthread_attr_setdetachstate(attr.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
            libc::pthread_attr_setstacksize(attr.as_mut_ptr(), stack);
            let (mut all, mut was) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            libc::sigfillset(all.as_mut_ptr());
            // The new thread inherits the mask: no handler of the program ever runs on it.
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), was.as_mut_ptr());
            let started = libc::pthread_create(id.as_mut_ptr(), attr.as_ptr(), f, null_mut()) == 0;
            libc::pthread_sigmask(libc::SIG_SETMASK, was.as_ptr(), null_mut());
            libc::pthread_attr_destroy(attr.as_mut_ptr());
            started
        }
    };
    super::unix::preserving_errno(|| [stack, stack.max(2 << 20)].into_iter().any(try_with))
}

/// Runs `f` with every signal blocked: a thread that it starts has none of the program's handlers run on it.
#[cfg(feature = "tower")]
pub(crate) fn without_signals<T>(f: impl FnOnce() -> T) -> T {
    struct Back(libc::sigset_t);
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: the mask is the one that the thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, null_mut()) };
        }
    }
    let (mut all, mut was) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both masks are initialised by the calls, the second with the thread's own if the call fails.
    let _back = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, null_mut(), was.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), null_mut());
        Back(was.assume_init())
    };
    f()
}

/// Where the C library says whether the process has one thread; null if it does not.
static ALONE: AtomicPtr<libc::c_char> = AtomicPtr::new(null_mut());

/// Finds out whether the C library can say so: glibc can, from 2.32 on. May call the program's `malloc`.
#[cfg(target_env = "gnu")]
pub(super) fn learn_whether_alone() {
    // A static has a name, by which the linker puts it beside what else each process reads.
    static NAME: [u8; 23] = *b"__libc_single_threaded\0";
    // SAFETY: the name ends with a null; whoever asks `dlerror` next must not hear of us.
    unsafe {
        let at = libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr().cast());
        if at.is_null() {
            libc::dlerror();
        }
        ALONE.store(at.cast(), Ordering::Relaxed); // Relaxed: a constant of the C library
    }
}

/// Whether it is known that the process has no thread but this one.
pub(crate) fn is_alone() -> bool {
    let at = ALONE.load(Ordering::Relaxed); // Relaxed: as above
    // SAFETY: the C library's, and there for ever. It changes as this thread starts others.
    !at.is_null() && unsafe { at.read_volatile() } != 0
}

/// This thread makes way for others from here on: 10 steps lower than it was. Best effort.
#[cfg(feature = "tower")]
pub(crate) fn lower_priority() {
    // SAFETY: no preconditions. Of one thread, as Linux has it, though POSIX says of the process.
    unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, this_thread());
        libc::setpriority(libc::PRIO_PROCESS, this_thread(), now + 10);
    }
}

/// The number of this thread, as the system has it. Never 0.
pub(crate) fn this_thread() -> u32 {
    // SAFETY: no preconditions. The system call, because older C libraries have no function for it.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// Whether this is the only thread of the process; `false` if that is not known.
pub(crate) fn is_single_threaded() -> bool {
    let (mut status, mut length) = ([0; 4096], 0);
    let Ok(mut file) = Reading::open(c"/proc/self/status") else { return false };
    while let Ok(n @ 1..) = file.read(&mut status[length..]) {
        length += n;
    }
    let mut lines = status[..length].split(|&byte| byte == b'\n');
    lines.any(|line| line.strip_prefix(b"Threads:").is_some_and(|n| n.trim_ascii() == b"1"))
}

/// Has a function run when the process exits: after `main` has returned, or `exit` was called. `false` if refused. The C
/// library may allocate, from itself.
pub(crate) fn at_exit(f: extern "C" fn()) -> bool {
    // SAFETY: the function lives as long as the program: libraries with this allocator stay loaded.
    unsafe { libc::atexit(f) == 0 }
}

/// The system's number of a signal.
pub(crate) fn number(signal: Signal) -> libc::c_int {
    match signal {
        Signal::Hup => libc::SIGHUP,
        Signal::Quit => libc::SIGQUIT,
        Signal::Usr1 => libc::SIGUSR1,
        Signal::Usr2 => libc::SIGUSR2,
        Signal::Urg => libc::SIGURG,
        Signal::Io => libc::SIGIO,
        Signal::Pwr => libc::SIGPWR,
        Signal::Winch => libc::SIGWINCH,
    }
}

/// Has a handler run on a signal, on whichever thread gets it. `false` if the system refuses.
///
/// # Safety
/// The handler does only what is safe in one, and leaves `errno` alone.
pub(crate) unsafe fn on_signal(signal: Signal, handler: extern "C" fn(i32)) -> bool {
    // SAFETY: zeroes are a valid struct, and its set is initialised; by the caller's promise the handler is one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(i32) as usize;
        // Where a thread has a stack for signals, its own may have no room: coroutines' have not.
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(number(signal), &action, null_mut()) == 0
    }
}

/// Runs `f`, which writes to files, while this thread gets no signal for that: by default, a file that grows beyond the process'
/// limit and a pipe that nobody reads end the process. The write fails all the same.
pub(crate) fn without_signals_for_writing<T>(f: impl FnOnce() -> T) -> T {
    let (mut these, mut was) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the sets are initialised by the calls, before they are used.
    unsafe {
        libc::sigemptyset(these.as_mut_ptr());
        libc::sigaddset(these.as_mut_ptr(), libc::SIGXFSZ);
        libc::sigaddset(these.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, these.as_ptr(), was.as_mut_ptr());
        let result = f();
        // What has come is taken away, but for what the program itself holds back.
        for signal in [libc::SIGXFSZ, libc::SIGPIPE] {
            if libc::sigismember(was.as_ptr(), signal) == 1 {
                libc::sigdelset(these.as_mut_ptr(), signal);
            }
        }
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        super::unix::preserving_errno(|| while libc::sigtimedwait(these.as_ptr(), null_mut(), &now) > 0 {});
        libc::pthread_sigmask(libc::SIG_SETMASK, was.as_ptr(), null_mut());
        result
    }
}

/// Lets signals reach this thread, which [`spawn`] has shut off from all, and gives the thread a name.
pub(crate) fn receive(signals: impl IntoIterator<Item = Signal>, name: &CStr) {
    // SAFETY: the set is initialised by the first call; the name is a C string.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        for signal in signals {
            let mut set = MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), number(signal));
            libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), null_mut());
        }
    }
}

/// Keeps the library that holds an address loaded for ever; does nothing if that is the program itself. Takes the loader's
/// lock, so it is for code that the loader calls.
pub(crate) fn pin_library(address: *const c_void) {
    // SAFETY: `dladdr` fills the struct or returns 0; the name that it gives lives as long as the library.
    unsafe {
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        if libc::dladdr(address, info.as_mut_ptr()) == 0 || info.assume_init().dli_fname.is_null() {
            return;
        }
        let info = info.assume_init();
        // The program's own headers stand on its first OS page.
        let program = libc::getauxval(libc::AT_PHDR) as usize & !(super::page_size() - 1);
        if info.dli_fbase.addr() != program {
            libc::dlopen(info.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE);
        }
    }
}
