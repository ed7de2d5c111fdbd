//! Something that one thread at a time has, for as long as it takes: not a lock that a `fork` waits for.
//!
//! The owner is a process and a thread. What a vanished thread had at a fork, nobody has in the child; and a thread that asks
//! again for what it has, in a signal handler perhaps, is told so and does not wait for itself.
//!
//! A process is its number, and how many forks lie before it: the first process of a namespace is number 1, as its parent may
//! be in its own; and a fork that calls no handlers has another number at least.

use super::nap;
use super::process::this_thread;
use super::uptime_ms;
use crate::sync::{AtomicU64, Ordering};
use std::cell::UnsafeCell;

/// The kernel numbers threads and processes below 2^22.
const THREAD_BITS: u32 = 22;

/// As many as there is room for beside the two numbers.
const MOST_FORKS: u64 = 1 << (64 - 2 * THREAD_BITS);

/// Forks that lie before this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// This is another process than it was.
pub(crate) fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed); // Relaxed: there is no other thread
}

fn this_process() -> u64 {
    let forks = FORKS.load(Ordering::Relaxed) % MOST_FORKS; // Relaxed: written before there are threads
    forks << THREAD_BITS | u64::from(std::process::id())
}

/// Data with an owner.
pub(crate) struct Owned<T> {
    /// The process and the thread that have it; 0: none.
    owner: AtomicU64,
    data: UnsafeCell<T>,
}

// SAFETY: only the owner touches the data.
unsafe impl<T: Send> Sync for Owned<T> {}

/// Somebody else has it, or this thread has it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl<T> Owned<T> {
    pub(crate) const fn new(data: T) -> Self {
        Owned { owner: AtomicU64::new(0), data: UnsafeCell::new(data) }
    }

    /// Runs `f` with the data, when nobody else has them; waits so many milliseconds, or for ever. `f` is told whether a thread
    /// had them that does not exist in this process: they may be half written then, but whole in what any bytes are valid for.
    pub(crate) fn with<R>(&self, patience: Option<u64>, f: impl FnOnce(&mut T, bool) -> R) -> Result<R, Busy> {
        struct Back<'a>(&'a AtomicU64);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.store(0, Ordering::Release); // Release: the next owner sees what this one left
            }
        }
        let process = this_process();
        let me = process << THREAD_BITS | u64::from(this_thread());
        let mut until = None;
        let before = loop {
            let owner = self.owner.load(Ordering::Relaxed); // Relaxed: the exchange looks again
            if owner == me {
                return Err(Busy);
            }
            let free = owner == 0 || owner >> THREAD_BITS != process;
            // Acquire: what the last owner left must be seen.
            if free && self.owner.compare_exchange(owner, me, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                break owner;
            }
            if let Some(patience) = patience
                && uptime_ms() >= *until.get_or_insert_with(|| uptime_ms() + patience)
            {
                return Err(Busy);
            }
            nap(1);
        };
        let _back = Back(&self.owner);
        // SAFETY: this thread is the owner.
        Ok(f(unsafe { &mut *self.data.get() }, before != 0))
    }
}
