//! What a scope of `tenure::testing` costs: the threads outside it, and the code in it.
//!
//! Outside: a worker allocates and frees, and is timed by its own processor time, while another thread works, in a scope
//! each time or in none; or sleeps, in a scope or in none. Rounds in shuffled order; ratios are of neighbours in time, their
//! median with an interval that holds the true one with 95 %.
//!
//! `cargo run --release -p tenure-alloc-tests --example scope_cost [rounds]`. Needs two processors that are idle. With
//! `pairs N MODE` it only runs N pairs in a scope, in an exact scope, or plain, for a tool that counts instructions.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tenure::testing::{Scope, measure};
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();

/// This thread's processor time.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Allocates and frees so many blocks of 8 to 1,000 bytes, 500 of them live at a time; some are allocated again.
fn work(n: usize, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut live: Vec<Vec<u8>> = Vec::new();
    live.resize_with(500, Vec::new);
    for _ in 0..n {
        let at = rng.below(500);
        live[at] = black_box(Vec::with_capacity(8 + rng.below(992)));
    }
}

fn pairs(n: usize) {
    for _ in 0..n {
        drop(black_box(Box::new([0u8; 32])));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Other {
    Works,
    WorksInScopes,
    Sleeps,
    SleepsInScope,
}

/// Nanoseconds of the worker.
fn round(other: Other, seed: u64) -> f64 {
    let (begin, done) = (Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let sits = (other == Other::SleepsInScope).then(Scope::begin);
            begin.wait();
            while !done.load(Relaxed) {
                match other {
                    Other::Works => work(2000, seed),
                    Other::WorksInScopes => drop(measure(|| work(2000, seed))),
                    Other::Sleeps | Other::SleepsInScope => std::thread::sleep(Duration::from_millis(1)),
                }
            }
            drop(sits);
        });
        begin.wait();
        work(20_000, seed);
        let before = now();
        work(400_000, seed);
        let time = now() - before;
        done.store(true, Relaxed);
        time
    })
}

fn median(mut ratios: Vec<f64>) -> (f64, f64, f64) {
    ratios.sort_by(f64::total_cmp);
    let n = ratios.len();
    // The order statistics about 1.96 standard deviations of the binomial distribution from the middle.
    let off = (1.96 * (n as f64).sqrt() / 2.0).ceil() as usize;
    (ratios[(n / 2).saturating_sub(off)], ratios[n / 2], ratios[(n / 2 + off).min(n - 1)])
}

/// Nanoseconds a pair.
fn inside(f: impl Fn(usize)) -> f64 {
    f(10_000);
    let times = (0..7).map(|_| {
        let begin = Instant::now();
        f(200_000);
        begin.elapsed().as_nanos() as f64 / 200_000.0
    });
    times.fold(f64::INFINITY, f64::min)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [what, n, mode] = &args[..]
        && what == "pairs"
    {
        let n = n.parse().expect("a number of pairs");
        match mode.as_str() {
            "scope" => drop(measure(|| pairs(n))),
            "exact" => {
                let _exact = tenure::exact_scope();
                pairs(n);
            }
            _ => pairs(n),
        }
        return;
    }
    let rounds = args.first().map_or(40, |n| n.parse().expect("a number of rounds"));
    let mut rng = Rng::new(1);
    let (mut works, mut sleeps) = (Vec::new(), Vec::new());
    for seed in 0..rounds {
        let mut all =
            [Other::Works, Other::WorksInScopes, Other::Sleeps, Other::SleepsInScope].map(|other| (other, 0.0));
        for i in (1..4).rev() {
            all.swap(i, rng.below(i + 1));
        }
        all.iter_mut().for_each(|(other, time)| *time = round(*other, seed));
        let of = |which| all.iter().find(|(other, _)| *other == which).expect("one of four").1;
        works.push(of(Other::WorksInScopes) / of(Other::Works));
        sleeps.push(of(Other::SleepsInScope) / of(Other::Sleeps));
    }
    for (what, ratios) in [("works", works), ("sleeps", sleeps)] {
        let (low, middle, high) = median(ratios);
        println!(
            "beside a thread that {what} in a scope: {middle:.3} ({low:.3} to {high:.3}) of the time beside one in none"
        );
    }
    println!("a pair of 32 bytes: {:.1} ns", inside(pairs));
    println!("in an exact scope: {:.1} ns", {
        let _exact = tenure::exact_scope();
        inside(pairs)
    });
    println!("in a scope that measures: {:.1} ns", measure(|| inside(pairs)).value);
    println!(
        "a scope in which nothing happens: {:.0} ns",
        inside(|n| (0..n / 100).for_each(|_| drop(measure(|| ())))) * 100.0
    );
}
