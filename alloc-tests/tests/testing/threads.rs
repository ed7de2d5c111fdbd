//! Threads and tasks, in a scope and beside it.

use super::{block, count};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use tenure::InScopeExt;
use tenure::testing::{Scope, assert_no_alloc, measure, measure_async};

/// As `cargo test` runs tests: each exact, while threads outside allocate all the time.
#[test]
fn noise_outside() {
    let stop = AtomicBool::new(false);
    let shared = Mutex::new(Vec::with_capacity(1000));
    thread::scope(|threads| {
        let noise: Vec<_> = (0..3)
            .map(|i| {
                let (stop, shared) = (&stop, &shared);
                threads.spawn(move || {
                    while !stop.load(Relaxed) {
                        drop(block(16 << (i * 3)));
                        drop(block(100));
                        // What the watched threads leave is freed out here.
                        drop(shared.lock().expect("no panic").pop());
                    }
                })
            })
            .collect();
        let watched: Vec<_> = (0..3)
            .map(|i| {
                let shared = &shared;
                threads.spawn(move || {
                    for n in 0..300 {
                        let m = measure(|| (0..n % 7 + i).map(|_| drop(block(100))).count() as u64);
                        assert_eq!(m.allocated, count(m.value, 100 * m.value));
                        assert_eq!(m.freed, m.allocated);
                        assert_no_alloc(thread::yield_now);
                        let scope = Scope::begin();
                        let left = block(50);
                        let mut pile = shared.lock().expect("no panic");
                        if pile.len() < 1000 {
                            pile.push(left);
                        }
                        drop(pile);
                        assert_eq!(scope.end().allocated, count(1, 50));
                    }
                })
            })
            .collect();
        watched.into_iter().for_each(|thread| thread.join().expect("its figures are right"));
        stop.store(true, Relaxed);
        noise.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    });
}

#[test]
fn frees_on_other_threads_count() {
    // A barrier and a mutex, because a channel may allocate where it waits.
    let (handed, turn) = (Mutex::new(Vec::new()), Barrier::new(2));
    const SIZES: [usize; 4] = [10, 3000, 30_000, 300_000];
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in SIZES {
                turn.wait();
                drop(std::mem::take(&mut *handed.lock().expect("no panic")));
                turn.wait();
            }
        });
        let scope = Scope::begin();
        for bytes in SIZES {
            *handed.lock().expect("no panic") = block(bytes);
            turn.wait();
            turn.wait();
        }
        let m = scope.end();
        assert_eq!((m.allocated, m.freed, m.peak), (count(4, 333_010), count(4, 333_010), count(1, 300_000)));
    });
}

#[test]
fn inherited_by_threads() {
    let m = measure(|| {
        let held = Arc::new(Mutex::new(Vec::with_capacity(8)));
        let workers: Vec<_> = (0..4)
            .map(|i| {
                let held = held.clone();
                thread::spawn(tenure::inherit(move || {
                    let inner = measure(|| block(1000 + i));
                    assert_eq!(inner.allocated, count(1, 1000 + i as u64));
                    held.lock().expect("no panic").push(inner.value);
                    // Not handed on: what this thread does is not watched.
                    thread::spawn(|| drop(block(77_777))).join().expect("it does not panic");
                }))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("it does not panic"));
        thread::scope(|threads| {
            let worker = threads.spawn(tenure::inherit(|| block(2000)));
            held.lock().expect("no panic").push(worker.join().expect("it does not panic"));
        });
        held
    });
    let of = |bytes: u64| m.sites.iter().any(|s| s.allocated.bytes == bytes && s.live == s.allocated);
    assert!(of(1000 + 1001 + 1002 + 1003) && of(2000), "{:?}", m.sites);
    assert!(!m.sites.iter().any(|s| s.allocated.bytes == 77_777));
}

/// A closure that runs when its scope is long over, and its number another scope's.
/// As a pool does it: threads that were there before, one closure for all of them, other work in between.
#[test]
fn inherited_by_each_task() {
    let scope = Scope::begin();
    let task = tenure::inherit_each(|bytes: usize| block(bytes));
    let results: Vec<_> = thread::scope(|threads| {
        let workers: Vec<_> = (0..3)
            .map(|i| {
                let task = &task;
                threads.spawn(move || {
                    drop(block(7_777));
                    let kept = task(100 + i);
                    drop(task(1000));
                    drop(block(7_777));
                    kept
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().expect("no panic")).collect()
    });
    let m = scope.end();
    let of = |bytes: u64| m.sites.iter().find(|s| s.allocated == count(3, bytes)).map(|s| s.live);
    assert_eq!((of(303), of(3000)), (Some(count(3, 303)), Some(count(0, 0))), "{:?}", m.sites);
    assert!(m.sites.iter().all(|s| s.allocated.bytes % 7_777 != 0), "{:?}", m.sites);
    drop(results);
}

#[test]
fn inherited_too_late() {
    let scope = Scope::begin();
    let late = tenure::inherit(|| {
        let m = measure(|| block(10));
        assert_eq!(m.allocated, count(1, 10));
        block(100)
    });
    scope.end();
    let m = measure(|| {
        let outside = thread::spawn(late).join().expect("it does not panic");
        assert_eq!(outside.capacity(), 100);
    });
    assert!(m.sites.iter().all(|s| s.allocated.bytes != 100), "another scope's closure is not counted here");
    // One that began in time, and goes on when the scope is over.
    let (go, gone) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let scope = Scope::begin();
    let inner = Scope::begin();
    let worker = {
        let (go, gone) = (go.clone(), gone.clone());
        thread::spawn(tenure::inherit(move || {
            gone.wait();
            go.wait();
            block(12_345)
        }))
    };
    gone.wait();
    let inner = inner.end();
    go.wait();
    let late = worker.join().expect("it does not panic");
    let m = scope.end();
    let counts = |sites: &[tenure::testing::Site]| sites.iter().filter(|s| s.allocated == count(1, 12_345)).count();
    assert_eq!((counts(&inner.sites), counts(&m.sites)), (0, 1), "the scope around it still counts");
    drop(late);
}

/// A future that allocates at each poll, and says on which thread it was polled.
#[derive(Default)]
struct Steps {
    done: usize,
    held: Vec<Vec<u8>>,
}

impl Future for Steps {
    type Output = Vec<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.done == 6 {
            return Poll::Ready(std::mem::take(&mut self.held));
        }
        self.done += 1;
        let held = block(100);
        drop(block(900));
        if self.held.capacity() == 0 {
            self.held.reserve_exact(6);
        }
        self.held.push(held);
        Poll::Pending
    }
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Polls on another thread each time. What those threads do besides is not watched.
fn poll_around<F: Future + Send>(future: F) -> F::Output
where
    F::Output: Send,
{
    let mut future = pin!(future);
    loop {
        let polled = thread::scope(|threads| {
            let poll = || {
                drop(block(5_000));
                let polled = future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Nobody))));
                drop(block(5_000));
                polled
            };
            threads.spawn(poll).join().expect("it does not panic")
        });
        if let Poll::Ready(value) = polled {
            return value;
        }
    }
}

#[test]
fn a_future_on_several_threads() {
    let vec = 6 * size_of::<Vec<u8>>() as u64;
    let m = poll_around(measure_async(Steps::default()));
    assert_eq!((m.allocated, m.live), (count(13, 6 * 1000 + vec), count(7, 600 + vec)));
    assert_eq!(m.peak.bytes, 500 + 900 + 100 + vec);
    drop(m);
    for named in [false, true] {
        let scope = Scope::begin();
        let future = if named { Steps::default().in_scope("steps") } else { Steps::default().in_current_scope() };
        let left = thread::spawn(|| poll_around(future)).join().expect("it does not panic");
        let m = scope.end();
        let sum = |bytes: u64| m.sites.iter().filter(|s| s.allocated.bytes == bytes).map(|s| s.live).next();
        assert_eq!((sum(600), sum(5400), sum(vec)), (Some(count(6, 600)), Some(count(0, 0)), Some(count(1, vec))));
        assert!(m.sites.iter().all(|s| s.allocated.bytes % 5_000 != 0), "{:?}", m.sites);
        drop(left);
    }
}

/// As a timeout does: it is over, though what it runs is not, and holds something.
struct GivesUp(Option<Vec<u8>>);

impl Future for GivesUp {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<usize> {
        if let Some(held) = &self.0 {
            return Poll::Ready(held.capacity());
        }
        self.0 = Some(block(100));
        Poll::Pending
    }
}

#[test]
fn a_future_that_is_over_holds_nothing() {
    let m = poll_around(measure_async(GivesUp(None)));
    assert_eq!((m.value, m.allocated, m.freed), (100, count(1, 100), count(1, 100)));
    let m = poll_around(measure_async(Box::pin(GivesUp(None))));
    assert_eq!((m.allocated, m.freed), (count(1, 100), count(1, 100)), "the box is from outside");
}
