//! Blocks that another thread frees.

use std::array;
use std::collections::VecDeque;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, Scope, yield_now};
use std::time::{Duration, Instant};

use super::parallel::{at_once, timed};
use crate::block::{Block, block, empty_slots, replace};
use crate::rng::Rng;

/// Blocks that change hands at once.
const BATCH: usize = 256;

/// No panic can leave these mutexes' contents half changed, and a panic ends the worker anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a workload's thread panicked")
}

const LARSON_THREADS: usize = 2;
const LARSON_SLOTS: usize = 5_000;
const LARSON_GENERATIONS: usize = 60;
/// How often a thread of a generation gives its array away and takes another.
const LARSON_EXCHANGES: usize = 10;

/// Replaces random blocks in arrays that go from thread to thread: each thread exchanges its array now and then,
/// and leaves it to a successor when it ends. What is freed was mostly allocated by others, dead or alive.
pub(super) fn larson(ops: usize) -> Duration {
    let mut rng = Rng::new(1);
    let mut fill = || -> Vec<Block> { (0..LARSON_SLOTS).map(|_| block(rng.between(16, 1024))).collect() };
    // One more array than threads, so that an exchange never waits.
    let spare = Mutex::new(fill());
    let arrays: [Vec<Block>; LARSON_THREADS] = array::from_fn(|_| fill());
    let work = Larson { spare, ops: ops.div_ceil(LARSON_THREADS * LARSON_GENERATIONS * LARSON_EXCHANGES) };
    let start = Instant::now();
    thread::scope(|scope| {
        let work = &work;
        for (lane, array) in arrays.into_iter().enumerate() {
            scope.spawn(move || work.generation(scope, LARSON_GENERATIONS, Rng::new(lane as u64), array));
        }
    });
    start.elapsed() * at_once(LARSON_THREADS)
}

struct Larson {
    spare: Mutex<Vec<Block>>,
    /// Between two exchanges.
    ops: usize,
}

impl Larson {
    fn generation<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        left: usize,
        mut rng: Rng,
        mut array: Vec<Block>,
    ) {
        for _ in 0..LARSON_EXCHANGES {
            for _ in 0..self.ops {
                replace(&mut array[rng.below(LARSON_SLOTS)], rng.between(16, 1024));
            }
            std::mem::swap(&mut array, &mut lock(&self.spare));
        }
        if left > 1 {
            scope.spawn(move || self.generation(scope, left - 1, rng, array));
        }
    }
}

/// Batches that may be under way between the two threads of [`prodcons`].
const RING: usize = 16;

/// One thread allocates, another frees, and a ring of batches between them bounds how far they part.
pub(super) fn prodcons(ops: usize) -> Duration {
    let batches = ops.div_ceil(BATCH);
    let ring: [Mutex<Vec<Block>>; RING] = array::from_fn(|_| Mutex::new(empty_slots(BATCH)));
    let (produced, consumed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // The mutexes order the batches themselves; the counters only say whose turn it is.
    let produce = || {
        let mut rng = Rng::new(1);
        for i in 0..batches {
            wait_until(|| i - consumed.load(Ordering::Acquire) < RING);
            for slot in lock(&ring[i % RING]).iter_mut() {
                *slot = block(rng.between(16, 512));
            }
            produced.store(i + 1, Ordering::Release);
        }
    };
    let consume = || {
        for i in 0..batches {
            wait_until(|| produced.load(Ordering::Acquire) > i);
            for slot in lock(&ring[i % RING]).iter_mut() {
                *slot = Block::default();
            }
            consumed.store(i + 1, Ordering::Release);
        }
    };
    timed(2, |_| (), |thread, ()| if thread == 0 { produce() } else { consume() })
}

/// Spins, because what is waited for takes a microsecond; yields in time, because there may be one core only.
fn wait_until(ready: impl Fn() -> bool) {
    let mut spins = 0;
    while !ready() {
        if spins < 1000 {
            spins += 1;
            spin_loop();
        } else {
            yield_now();
        }
    }
}

/// Producers of [`churn64`], and as many consumers.
const PAIRS: usize = 32;
const CHURN_GENERATIONS: usize = 8;
/// Batches that may wait for a consumer.
const QUEUE: usize = 64;

/// The same exchange among 64 threads, each of which ends after an eighth of its part and leaves the rest to a
/// successor. Any consumer may get any producer's blocks.
pub(super) fn churn64(ops: usize) -> Duration {
    let queue = Queue {
        batches: Mutex::new(VecDeque::with_capacity(QUEUE)),
        filled: Condvar::new(),
        taken: Condvar::new(),
        share: ops.div_ceil(PAIRS * CHURN_GENERATIONS * BATCH),
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let queue = &queue;
        for pair in 0..PAIRS {
            scope.spawn(move || queue.produce(scope, CHURN_GENERATIONS, Rng::new(pair as u64)));
            scope.spawn(move || queue.consume(scope, CHURN_GENERATIONS));
        }
    });
    start.elapsed()
}

struct Queue {
    batches: Mutex<VecDeque<[Block; BATCH]>>,
    filled: Condvar,
    taken: Condvar,
    /// Batches that one thread produces or consumes in its life.
    share: usize,
}

impl Queue {
    fn produce<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, left: usize, mut rng: Rng) {
        for _ in 0..self.share {
            let batch = array::from_fn(|_| block(rng.between(16, 512)));
            let mut batches = lock(&self.batches);
            while batches.len() == QUEUE {
                batches = self.taken.wait(batches).expect("a workload's thread panicked");
            }
            batches.push_back(batch);
            drop(batches);
            self.filled.notify_one();
        }
        if left > 1 {
            scope.spawn(move || self.produce(scope, left - 1, rng));
        }
    }

    fn consume<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, left: usize) {
        for _ in 0..self.share {
            let mut batches = lock(&self.batches);
            let batch = loop {
                match batches.pop_front() {
                    Some(batch) => break batch,
                    None => batches = self.filled.wait(batches).expect("a workload's thread panicked"),
                }
            };
            drop(batches);
            self.taken.notify_one();
            drop(batch);
        }
        if left > 1 {
            scope.spawn(move || self.consume(scope, left - 1));
        }
    }
}
