//! Keeps a thread's slow paths and whoever takes from its magazines apart, at no cost to the thread.
//!
//! The thread announces itself with an ordinary store, then looks whether somebody has claimed its heap. The other
//! side claims, makes every thread of the process pass a memory barrier, and then looks whether the thread is inside.
//! That is Dekker's algorithm with the whole price on the rare side (the idea of Dice, Huang and Yang, "Asymmetric
//! Dekker Synchronization", 2001; the kernel's `membarrier` is the barrier).

use crate::sync::{AtomicBool, Ordering, spin};

/// One for each heap.
pub(crate) struct Gate {
    inside: AtomicBool,
    claimed: AtomicBool,
}

impl Gate {
    // Outside loom, a gate is part of a heap, which begins as zeroed memory.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Gate { inside: AtomicBool::new(false), claimed: AtomicBool::new(false) }
    }

    /// The owner enters its slow path. Waits while somebody takes from its magazines: microseconds, rarely.
    #[inline]
    pub(crate) fn enter(&self) {
        loop {
            // Relaxed, and no fence in the machine code: `claim` puts a barrier between this store and the load below.
            self.inside.store(true, Ordering::Relaxed);
            light_barrier();
            // Acquire because what the other side wrote into the magazines must be seen.
            if !self.claimed.load(Ordering::Acquire) {
                return;
            }
            self.step_aside();
        }
    }

    #[cold]
    fn step_aside(&self) {
        self.inside.store(false, Ordering::Release); // Release: as in `leave`
        let mut tries = 0;
        while self.claimed.load(Ordering::Relaxed) {
            tries += 1;
            if tries < 100 || cfg!(loom) {
                spin()
            } else {
                // Asleep, not yielding: a real-time thread would never let the other one run.
                std::thread::sleep(std::time::Duration::from_micros(50))
            }
        }
    }

    /// Whether the owner, who asks, is on its slow path: then a signal has interrupted it there.
    #[cfg(not(loom))]
    pub(crate) fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed) // Relaxed: the owner's own
    }

    /// The owner leaves its slow path.
    #[inline]
    pub(crate) fn leave(&self) {
        // Release because the other side, once it sees this, reads what the slow path wrote.
        self.inside.store(false, Ordering::Release);
    }

    /// Somebody else wants to take from the owner's magazines. `false` if the owner is on its slow path, or if there
    /// is no such barrier. One at a time: callers hold the lock of whoever takes (`steal`).
    pub(crate) fn claim(&self) -> bool {
        self.claimed.store(true, Ordering::Relaxed); // Relaxed: the barrier orders it
        // Acquire because what the owner's slow path wrote must be seen.
        if heavy_barrier() && !self.inside.load(Ordering::Acquire) {
            return true;
        }
        self.unclaim();
        false
    }

    /// Whoever claimed is done.
    pub(crate) fn unclaim(&self) {
        self.claimed.store(false, Ordering::Release); // Release: the owner's Acquire in `enter`
    }
}

#[cfg(not(loom))]
fn light_barrier() {
    crate::sync::compiler_fence(Ordering::SeqCst); // SeqCst: the store must stand before the load in the machine code
}
#[cfg(not(loom))]
fn heavy_barrier() -> bool {
    crate::os::barrier()
}

/// loom has no barrier that one thread passes on behalf of another: there both sides pay.
#[cfg(loom)]
fn light_barrier() {
    crate::sync::fence(Ordering::SeqCst);
}
#[cfg(loom)]
fn heavy_barrier() -> bool {
    crate::sync::fence(Ordering::SeqCst);
    true
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct Guarded(Gate, UnsafeCell<usize>);

    // SAFETY: the gate keeps the two sides apart, which is what loom checks here.
    unsafe impl Sync for Guarded {}
    // SAFETY: as above.
    unsafe impl Send for Guarded {}

    impl Guarded {
        fn touch(&self) -> usize {
            // SAFETY: as above; loom panics where it is not so.
            self.1.with_mut(|n| unsafe {
                *n += 1;
                *n
            })
        }
    }

    /// Owner and taker are never at it together, and each sees what the other did.
    #[test]
    fn owner_and_collector() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(|| {
            let guarded = Arc::new(Guarded(Gate::new(), UnsafeCell::new(0)));
            let owner = guarded.clone();
            let owner = thread::spawn(move || {
                for _ in 0..2 {
                    owner.0.enter();
                    owner.touch();
                    owner.0.leave();
                }
            });
            let mut claims = 0;
            for _ in 0..2 {
                if guarded.0.claim() {
                    guarded.touch();
                    guarded.0.unclaim();
                    claims += 1;
                }
            }
            owner.join().unwrap();
            assert_eq!(guarded.touch(), 3 + claims, "somebody's work is lost");
        });
    }
}
