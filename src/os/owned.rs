//! Something that one thread at a time has, for as long as it takes: not a lock that a `fork` waits for.
//!
//! The owner is a process and a thread. What a vanished thread had at a fork, nobody has in the child; and a thread that asks
//! again for what it has, in a signal handler perhaps, is told so and does not wait for itself.

use super::nap;
use super::process::this_thread;
use super::uptime_ms;
use crate::sync::{AtomicU64, Ordering};
use std::cell::UnsafeCell;

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
        let pid = std::process::id();
        let me = u64::from(pid) << 32 | u64::from(this_thread());
        let mut until = None;
        let before = loop {
            let owner = self.owner.load(Ordering::Relaxed); // Relaxed: the exchange looks again
            if owner == me {
                return Err(Busy);
            }
            let free = owner == 0 || owner >> 32 != u64::from(pid);
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
