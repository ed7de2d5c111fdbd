//! The loader's list of what is loaded, read under the loader's lock, and `fork`.
//!
//! glibc frees that lock in no forked child: one that was forked while a thread held it would wait for ever at its own look,
//! at a dump or a snapshot. So a fork waits for the looks of this allocator, and these wait for the fork. Neither waits for
//! long: somebody may look while the loader's lock is held by a thread that waits for one of us. What others do under that lock
//! while the process forks is beyond us.

use super::lock::Futex;
use super::{nap, uptime_ms};
use crate::sync::{Ordering, spin};
use libc::{c_int, c_void, dl_phdr_info, size_t};

/// Threads that look.
static INSIDE: Futex = Futex::new(0);
/// Threads that fork.
static FORKING: Futex = Futex::new(0);

/// Milliseconds that one waits for the other.
const PATIENCE: u64 = 1000;

/// What the loader calls for the program and each library, until it returns another number than 0.
pub(super) type Callback = unsafe extern "C" fn(*mut dl_phdr_info, size_t, *mut c_void) -> c_int;

/// Calls `f` for all that is loaded, with `data`, under the loader's lock.
///
/// # Safety
/// `f` takes such data, and does not unwind.
pub(super) unsafe fn each(f: Callback, data: *mut c_void) {
    let until = uptime_ms() + PATIENCE;
    // SeqCst, here and in `before_fork`: each writes its own word and then reads the other's, and one must see the other.
    INSIDE.fetch_add(1, Ordering::SeqCst);
    while FORKING.load(Ordering::SeqCst) != 0 && uptime_ms() < until {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        nap(1);
        INSIDE.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: by the caller's promise.
    unsafe { libc::dl_iterate_phdr(Some(f), data) };
    INSIDE.fetch_sub(1, Ordering::Release); // Release: what was done under the lock comes before the fork
}

/// Waits until nobody looks. Before all locks: whoever looks may wait for one that waits for them.
pub(crate) fn before_fork() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    let (until, mut looks) = (uptime_ms() + PATIENCE, 0);
    while INSIDE.load(Ordering::SeqCst) != 0 && uptime_ms() < until {
        looks += 1;
        // A look takes some ten microseconds.
        if looks < 1000 { spin() } else { nap(1) }
    }
}

pub(crate) fn after_fork_in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

/// In the child there is no other thread.
pub(crate) fn after_fork_in_child() {
    INSIDE.store(0, Ordering::SeqCst);
    FORKING.store(0, Ordering::SeqCst);
}
