//! Models for loom: how magazines are taken from a running thread ([`super::steal`]), and how they change hands in a
//! depot ([`super::depot`]). The steps and their orderings are those of the code; numbers stand for pointers.

use crate::os::lock::Lock;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, fence};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::sync::atomic::Ordering::Relaxed;

/// The kernel's barrier, which another thread passes without knowing: that thread looks between any two of its
/// steps whether it should, and only then passes a fence. So it passes one at any point of its program, but none more.
struct Barrier {
    asked: AtomicBool,
    passed: AtomicBool,
}

impl Barrier {
    /// Between two steps of the owner.
    fn step(&self) {
        if self.asked.load(Relaxed) {
            self.pass();
        }
    }

    fn pass(&self) {
        fence(Ordering::SeqCst);
        self.passed.store(true, Ordering::Release);
    }

    /// Returns when the owner has passed it.
    fn barrier(&self) {
        fence(Ordering::SeqCst);
        self.asked.store(true, Ordering::Release);
        while !self.passed.load(Ordering::Acquire) {
            thread::yield_now();
        }
        fence(Ordering::SeqCst);
    }
}

/// Blocks of a magazine.
const N: usize = 3;

/// A class of a thread: two words and two magazines. A slot of 0 is a null.
struct Class {
    pop: AtomicUsize,
    pop_slots: [AtomicUsize; N + 1],
    push: AtomicUsize,
    push_slots: [AtomicUsize; N + 1],
    /// The gate, which has its own test.
    gate: Mutex<()>,
    barrier: Barrier,
}

impl Class {
    /// Blocks 1 to `N` to be popped, the last first; block `N + 1` is pushed already.
    fn new() -> Self {
        let class = Class {
            pop: AtomicUsize::new(N),
            pop_slots: std::array::from_fn(AtomicUsize::new),
            push: AtomicUsize::new(2),
            push_slots: std::array::from_fn(|_| AtomicUsize::new(0)),
            gate: Mutex::new(()),
            barrier: Barrier { asked: AtomicBool::new(false), passed: AtomicBool::new(false) },
        };
        class.push_slots[1].store(N + 1, Relaxed);
        class
    }

    /// The owner's fast path, and what of the slow path matters here. 0: a refill came.
    fn alloc(&self) -> usize {
        let slot = self.pop.load(Relaxed);
        self.barrier.step();
        let block = self.pop_slots[slot].load(Relaxed);
        self.barrier.step();
        if block != 0 {
            self.pop.store(slot - 1, Relaxed);
            self.barrier.step();
            return block;
        }
        let _inside = loop {
            // The kernel's barrier does not wait for a thread that waits at the gate.
            self.barrier.step();
            match self.gate.try_lock() {
                Ok(inside) => break inside,
                Err(_) => thread::yield_now(),
            }
        };
        let block = self.pop_slots[slot].load(Relaxed);
        // A refill gives the magazine away: what is put into it from here on is lost.
        self.pop.store(if block != 0 { slot - 1 } else { 0 }, Relaxed);
        block
    }

    fn free(&self, block: usize) {
        let slot = self.push.load(Relaxed);
        self.push_slots[slot].store(block, Relaxed);
        self.barrier.step();
        self.push.store(slot + 1, Ordering::Release);
        self.barrier.step();
    }

    /// The collector: what it has taken.
    fn take(&self) -> Vec<usize> {
        let _claimed = self.gate.lock().unwrap();
        let mut taken = Vec::new();
        // Step 2: the push magazine, below the word.
        let push = self.push.load(Ordering::Acquire);
        taken.extend((1..push).map(|slot| self.push_slots[slot].swap(0, Relaxed)));
        // Step 3: the pop magazine, below `t0`.
        let t0 = self.pop.load(Relaxed);
        let hauled: Vec<_> = (1..t0).rev().map(|slot| (slot, self.pop_slots[slot].swap(0, Relaxed))).collect();
        self.barrier.barrier();
        let t1 = self.pop.load(Ordering::Acquire);
        for (slot, block) in hauled {
            if slot < t1 {
                taken.push(block);
            } else if slot == t1 {
                self.pop_slots[slot].store(block, Relaxed);
            }
        }
        taken
    }

    /// What is left for the owner, which looks at no slot above its words.
    fn left(&self) -> Vec<usize> {
        let popped = (1..=self.pop.load(Relaxed)).rev().map(|slot| self.pop_slots[slot].load(Relaxed));
        popped.chain((1..self.push.load(Relaxed)).map(|slot| self.push_slots[slot].load(Relaxed))).collect()
    }
}

/// No block is lost, and none is anybody's twice.
fn steal(owner: impl Fn(&Class) -> Vec<usize> + Copy + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let class = Arc::new(Class::new());
        let its = class.clone();
        let running = thread::spawn(move || {
            let held = owner(&its);
            its.barrier.pass(); // a thread that has ended needs no barrier
            held
        });
        let mut all = class.take();
        all.extend(running.join().unwrap());
        all.extend(class.left());
        all.retain(|&block| block != 0);
        all.sort_unstable();
        assert!(all.is_sorted_by(|a, b| a < b), "a block was handed out twice: {all:?}");
        assert_eq!(all.len(), N + 1, "a block is lost: {all:?}");
    });
}

#[test]
fn loom_steal_from_one_that_pops() {
    steal(|class| (0..3).map(|_| class.alloc()).collect());
}

#[test]
fn loom_steal_from_one_that_pops_and_pushes() {
    steal(|class| {
        let block = class.alloc();
        if block != 0 {
            class.free(block);
        }
        vec![class.alloc()]
    });
}

/// A depot: whatever goes in comes out once, and the hint lets nobody wait or starve.
#[test]
fn loom_depot() {
    struct Depot {
        hint: AtomicUsize,
        lock: Lock<(Vec<usize>, Vec<usize>)>,
    }
    impl Depot {
        fn exchange_for_full(&self, empty: usize) -> Option<usize> {
            if self.hint.load(Relaxed) == 0 {
                return None;
            }
            let mut depot = self.lock.lock();
            let full = depot.0.pop()?;
            depot.1.push(empty);
            self.hint.store(depot.0.len(), Relaxed);
            Some(full)
        }

        fn leave_full(&self, full: usize) -> usize {
            let mut depot = self.lock.lock();
            depot.0.push(full);
            self.hint.store(depot.0.len(), Relaxed);
            depot.1.pop().unwrap_or(0)
        }
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let depot = Arc::new(Depot { hint: AtomicUsize::new(1), lock: Lock::new((vec![1], Vec::new())) });
        let theirs = depot.clone();
        let other = thread::spawn(move || {
            let mut has = vec![theirs.exchange_for_full(10).unwrap_or(10)];
            has.push(theirs.leave_full(2));
            has
        });
        let mut all = vec![depot.exchange_for_full(20).unwrap_or(20)];
        all.extend(other.join().unwrap());
        let rest = depot.lock.lock();
        assert_eq!(depot.hint.load(Relaxed), rest.0.len(), "the hint is right when nobody is at it");
        all.extend(rest.0.iter().chain(&rest.1));
        all.retain(|&m| m != 0);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 10, 20], "each magazine is somebody's, once");
    });
}
