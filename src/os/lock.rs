//! A lock that spins for a moment, then sleeps in the kernel. It never allocates, and it can be held across `fork`.
//!
//! Three states, as in Ulrich Drepper's "Futexes Are Tricky" (2011), mutex 2: free, held, held with sleepers.

use crate::sync::{AtomicU32, Ordering, spin};
use std::ops::{Deref, DerefMut};

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// The word that sleepers wait on.
pub(crate) type Futex = AtomicU32;

const FREE: u32 = 0;
const HELD: u32 = 1;
const SLEEPERS: u32 = 2;

/// Data behind a lock.
pub(crate) struct Lock<T> {
    state: Futex,
    data: UnsafeCell<T>,
    #[cfg(loom)]
    bed: (loom::sync::Mutex<()>, loom::sync::Condvar),
}

// SAFETY: the lock gives one thread at a time access to the data.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(data: T) -> Self {
        Lock { state: Futex::new(FREE), data: UnsafeCell::new(data) }
    }

    #[cfg(loom)]
    pub(crate) fn new(data: T) -> Self {
        let bed = (loom::sync::Mutex::new(()), loom::sync::Condvar::new());
        Lock { state: Futex::new(FREE), data: UnsafeCell::new(data), bed }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.acquire();
        Guard { lock: self }
    }

    /// Takes the lock without a guard: for `fork`, where the holder returns twice.
    #[inline]
    pub(crate) fn acquire(&self) {
        // Acquire because what the last holder wrote must be seen.
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.wait();
        }
    }

    /// The lock, if nobody holds it: for whoever must not wait.
    #[cfg(not(loom))]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        // As in `acquire`.
        let free = self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free.then_some(Guard { lock: self })
    }

    /// Gives back what [`Self::acquire`] took.
    #[inline]
    pub(crate) fn release(&self) {
        // Release because the next holder must see what this one wrote.
        if self.state.swap(FREE, Ordering::Release) == SLEEPERS {
            self.wake();
        }
    }

    #[cold]
    fn wait(&self) {
        // A critical section here is a few hundred nanoseconds: on a second processor it ends while we spin.
        for _ in 0..if cfg!(loom) { 1 } else { 100 } {
            if self.state.load(Ordering::Relaxed) == FREE
                && self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            spin();
        }
        // From here on the holder must wake somebody, so the state says so, whoever takes the lock.
        while self.state.swap(SLEEPERS, Ordering::Acquire) != FREE {
            self.sleep();
        }
    }
}

#[cfg(not(loom))]
impl<T> Lock<T> {
    fn sleep(&self) {
        super::futex_wait(&self.state, SLEEPERS, 0);
    }

    fn wake(&self) {
        super::futex_wake(&self.state, 1);
    }
}

/// A futex for loom: as in the kernel, whoever sleeps looks at the word under the lock that whoever wakes takes.
#[cfg(loom)]
impl<T> Lock<T> {
    fn sleep(&self) {
        let bed = self.bed.0.lock().unwrap();
        if self.state.load(Ordering::Relaxed) == SLEEPERS {
            drop(self.bed.1.wait(bed).unwrap());
        }
    }

    fn wake(&self) {
        let _bed = self.bed.0.lock().unwrap();
        self.bed.1.notify_one();
    }
}

/// The right to use the data; dropping it frees the lock.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.release();
    }
}

#[cfg(not(loom))]
impl<T> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof that this thread holds the lock.
        unsafe { &*self.lock.data.get() }
    }
}

#[cfg(not(loom))]
impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.data.get() }
    }
}

#[cfg(loom)]
impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is proof that this thread holds the lock.
        self.lock.data.with(|p| unsafe { &*p })
    }
}

#[cfg(loom)]
impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        self.lock.data.with_mut(|p| unsafe { &mut *p })
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// One at a time, each sees what the one before wrote, and nobody sleeps for ever: loom fails on a deadlock.
    fn count(threads: usize, times: usize) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let lock = Arc::new(Lock::new(0));
            let run = |lock: Arc<Lock<usize>>| move || (0..times).for_each(|_| *lock.lock() += 1);
            let others: Vec<_> = (1..threads).map(|_| thread::spawn(run(lock.clone()))).collect();
            run(lock.clone())();
            others.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(*lock.lock(), threads * times);
        });
    }

    #[test]
    fn two_threads() {
        count(2, 2);
    }

    #[test]
    fn three_threads() {
        count(3, 1);
    }
}
