//! Threads that start together and are timed without the time that starting them takes.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Runs `prepare` and then `work` in each of `n` threads, and drops what they worked on. Returns the time from
/// the first start of a `work` to the last end of one: threads note the time themselves, because another thread
/// may be woken late when there are more of them than cores.
pub(super) fn timed<T>(n: usize, prepare: impl Fn(usize) -> T + Sync, work: impl Fn(usize, &mut T) + Sync) -> Duration {
    let (ready, finished) = (Barrier::new(n), Barrier::new(n));
    let run = |i| {
        let mut state = prepare(i);
        ready.wait();
        let start = Instant::now();
        work(i, &mut state);
        let end = Instant::now();
        // Others are still being timed: what this thread frees at its end must not disturb them.
        finished.wait();
        (start, end)
    };
    let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..n).map(|i| scope.spawn(move || run(i))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a workload's thread panicked")).collect()
    });
    let first = times.iter().map(|(start, _)| *start).min();
    let last = times.iter().map(|(_, end)| *end).max();
    first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
}

/// How many of `n` threads run at the same time here.
pub(super) fn at_once(n: usize) -> u32 {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(n)) as u32
}
