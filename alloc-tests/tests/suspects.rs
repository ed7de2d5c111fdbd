//! Suspects from end to end: programs with leaks in them, and with what only looks like one, under the real collections.
//!
//! Each scenario has a process of its own. Time ends no epoch there: all that counts is what the program allocates.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use tenure::generation::{self, Generation};
use tenure::snapshot::{By, Culprit};
use tenure::{Symbols, Tenure, Thresholds};
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::dir::Dir;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false).thresholds(QUICK);

/// An old collection for each 4 MiB.
const QUICK: Thresholds =
    Thresholds { young_bytes: 1 << 20, young_per_middle: 2, middle_per_old: 2, free_percent: 25, idle_ms: 86_400_000 };

type Block = Box<[u8]>;

/// What holds each kind of block: one line for each, which its name stands for.
mod lines {
    use super::{Block, black_box};

    macro_rules! lines {
        ($($name:ident)*) => { $(
            #[inline(never)]
            pub(super) fn $name(bytes: usize) -> Block {
                black_box(vec![1u8; bytes].into_boxed_slice())
            }
        )* };
    }

    lines!(churn cache session sawtooth slow_leak fast_leak render);
}

/// A service's state, or a thread's share of it. A round is about 4 MiB.
struct Service {
    rng: Rng,
    /// Which part of a round this is, of how many.
    shares: usize,
    round: usize,
    leaks: bool,
    cache: Vec<Block>,
    sessions: Vec<(usize, Block)>,
    sawtooth: Vec<Block>,
    recent: VecDeque<Block>,
    leaked: Vec<Block>,
}

impl Service {
    fn new(seed: u64, shares: usize) -> Service {
        Service {
            rng: Rng::new(seed),
            shares,
            round: 0,
            leaks: true,
            cache: Vec::with_capacity(4096),
            sessions: Vec::with_capacity(4096),
            sawtooth: Vec::with_capacity(4096),
            recent: VecDeque::with_capacity(4096),
            leaked: Vec::with_capacity(65536),
        }
    }

    fn round(&mut self) {
        let (round, n) = (self.round, 960 / self.shares);
        self.round += 1;
        self.sessions.retain(|session| session.0 > round);
        for i in 0..n {
            let size = 2048 + self.rng.below(2048);
            // Most of what is churned dies at once, some a little later, one in 40 never.
            let block = lines::churn(size);
            if self.rng.one_in(8) {
                self.recent.push_back(block);
                if self.recent.len() > 64 {
                    self.recent.pop_front();
                }
            }
            let block = lines::slow_leak(512);
            if self.leaks && i % 8 == 0 {
                self.leaked.push(block);
            }
            if i % 16 == 0 && round < 30 {
                self.cache.push(lines::cache(2048)); // 120 KiB a round, for 30
            }
            if i % 8 == 1 {
                let life = 1 - (self.rng.next() as f64 / u64::MAX as f64).ln().floor() as i64;
                self.sessions.push((round + life as usize * 4, lines::session(1024)));
            }
            if i % 16 == 2 {
                self.sawtooth.push(lines::sawtooth(1500));
            }
            if self.leaks && i % 16 == 3 {
                self.leaked.push(lines::fast_leak(4096)); // 240 KiB a round
            }
            let block = lines::render(600);
            if i % 8 == 4 && self.leaks {
                let _tenant = tenure::scope("tenant seven");
                self.leaked.push(lines::render(1000)); // 120 KiB a round
            }
            drop(block);
        }
        if round % 9 == 8 {
            self.sawtooth.clear();
        }
    }
}

/// Nanoseconds of an epoch. As the machine has it, a site that grows while the machine comes to run faster is no suspect.
const PACE: u64 = 1_000_000;

/// So many rounds, by so many threads together.
fn serve(threads: usize, rounds: usize, services: &mut [Service]) {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for service in services {
            scope.spawn(|| {
                for _ in 0..rounds {
                    service.round();
                    barrier.wait();
                }
            });
        }
    });
}

fn olds() -> u64 {
    generation::stats()[2].collections
}

/// Names of all lines that a service has. Looking them up allocates so much that old collections pass, which see no growth: so it
/// is done once, before anything has grown.
fn names(services: &mut [Service]) -> Symbols {
    let mut names = Symbols::new();
    serve(services.len(), 5, services);
    _ = tenure::snapshot().group_by(By::Line, &mut names);
    names
}

/// The functions of the suspects' lines, the worst first.
fn suspects(names: &mut Symbols) -> Vec<String> {
    let snapshot = tenure::snapshot();
    let report = snapshot.suspects_named(names);
    println!("{report}");
    report.iter().map(|(_, frame)| frame.function.trim_start_matches("suspects::lines::").to_string()).collect()
}

/// The suspects, when all of these are among them. While the machine comes to run faster, what a site holds is put down to that,
/// and it is no suspect; so there are some rounds more for it.
fn served_until(services: &mut [Service], names: &mut Symbols, all: &[&str]) -> Vec<String> {
    for _ in 0..100 {
        let named = suspects(names);
        if all.iter().all(|one| named.iter().any(|name| name == one)) {
            return named;
        }
        serve(services.len(), 1, services);
    }
    panic!("not all of {all:?} are named");
}

/// A service that leaks for 65 old collections or more, and then no more.
fn leaks_are_named(threads: usize, seed: u64) {
    tenure::internals::set_pace(PACE);
    let mut services: Vec<_> = (0..threads).map(|i| Service::new(seed + i as u64, threads)).collect();
    let names = &mut names(&mut services);
    while olds() < 65 {
        serve(threads, 1, &mut services);
    }
    let named = served_until(&mut services, names, &["fast_leak", "slow_leak", "scope tenant seven"]);
    assert_eq!(named[0], "fast_leak", "{named:?}");
    let innocent = ["cache", "session", "sawtooth", "churn"];
    assert!(!named.iter().any(|name| innocent.contains(&name.as_str())), "{named:?}");
    // Nothing is leaked any more: the list is empty after six old collections, and what was old when it ended.
    services.iter_mut().for_each(|service| service.leaks = false);
    let before = olds();
    while olds() < before + 8 {
        serve(threads, 1, &mut services);
    }
    assert_eq!(suspects(names), [""; 0]);
}

#[test]
fn leaks_of_one_thread_exact() {
    Scenario::new("leaks_of_one_thread_exact").env("TENURE", "exact").run(|| leaks_are_named(1, 1));
}

#[test]
fn leaks_of_four_threads_exact() {
    Scenario::new("leaks_of_four_threads_exact").env("TENURE", "exact").run(|| leaks_are_named(4, 2));
}

#[test]
fn leaks_of_one_thread_sampled() {
    Scenario::new("leaks_of_one_thread_sampled").env("TENURE", "sampled=4KiB").run(|| leaks_are_named(1, 3));
}

#[test]
fn leaks_of_four_threads_sampled() {
    Scenario::new("leaks_of_four_threads_sampled").env("TENURE", "sampled=4KiB").run(|| leaks_are_named(4, 4));
}

/// What is frozen is nobody's leak, however it grew; what leaks afterwards is.
#[test]
fn what_is_frozen_is_not_suspect() {
    Scenario::new("what_is_frozen_is_not_suspect").env("TENURE", "exact").run(|| {
        tenure::internals::set_pace(PACE);
        let mut services = [Service::new(5, 1)];
        let names = &mut names(&mut services);
        serve(1, 40, &mut services);
        served_until(&mut services, names, &["fast_leak"]);
        generation::freeze();
        generation::collect(Generation::Old);
        serve(1, 3, &mut services);
        assert_eq!(suspects(names), [""; 0]);
        let frozen = olds();
        served_until(&mut services, names, &["fast_leak", "scope tenant seven"]);
        println!("{} old collections", olds() - frozen);
        generation::unfreeze();
        serve(1, 3, &mut services);
        assert_eq!(suspects(names), [""; 0], "what is old at once has not grown");
        served_until(&mut services, names, &["fast_leak", "scope tenant seven"]);
    });
}

/// What a loop of collections sees is the same again and again: nothing grows. What leaks on is named again.
#[test]
fn collections_in_a_loop_see_no_growth() {
    Scenario::new("collections_in_a_loop_see_no_growth").env("TENURE", "exact").run(|| {
        tenure::internals::set_pace(PACE);
        generation::disable();
        let mut services = [Service::new(6, 1)];
        let names = &mut names(&mut services);
        serve(1, 4, &mut services);
        for _ in 0..100 {
            generation::collect(Generation::Old);
        }
        assert_eq!(suspects(names), [""; 0]);
        generation::enable();
        serve(1, 20, &mut services);
        served_until(&mut services, names, &["fast_leak"]);
        for _ in 0..100 {
            generation::collect(Generation::Old);
        }
        assert_eq!(suspects(names), [""; 0]);
        serve(1, 20, &mut services);
        served_until(&mut services, names, &["fast_leak"]);
    });
}

/// Whose blocks they are is said by number, and the numbers are of sites and tags that the snapshot has.
#[test]
fn numbers_are_those_of_the_snapshot() {
    static KEPT: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    Scenario::new("numbers_are_those_of_the_snapshot").env("TENURE", "exact").run(|| {
        tenure::internals::set_pace(PACE);
        for i in 0..1000 {
            for _ in 0..32 {
                drop(lines::churn(32 << 10));
            }
            let _in = tenure::scope("a tag");
            let block = lines::fast_leak(10_000);
            KEPT.lock().expect("no panic").push(block);
            // Sooner or later: see `served_until`.
            if i >= 120 && tenure::snapshot().suspects().len() >= 2 {
                break;
            }
        }
        // Looking up names moves the clock, by some collections that see no growth.
        generation::disable();
        let snapshot = tenure::snapshot();
        let dir = Dir::new("suspects");
        tenure::dump::to(dir.path("dump")).expect("written");
        let dumped = tenure::export::from_file(dir.path("dump")).expect("a dump").0;
        assert_eq!(dumped.suspects(), snapshot.suspects());
        assert_eq!(dumped.generations().stats, snapshot.generations().stats);
        let text = tenure::export::json(&snapshot, &mut Symbols::new());
        let (read, mut names) = tenure::export::from_json(&text).expect("a snapshot");
        assert_eq!(read, snapshot);
        assert_eq!(
            read.suspects_named(&mut names).to_string(),
            snapshot.suspects_named(&mut Symbols::new()).to_string()
        );
        let mut seen = [false; 2];
        for suspect in snapshot.suspects() {
            match suspect.culprit {
                Culprit::Site(number) => seen[0] |= snapshot.site(number).is_some_and(|site| site.live.bytes >= 1e6),
                Culprit::Tag(number) => seen[1] |= snapshot.tag(number).is_some_and(|tag| tag.name == "a tag"),
            }
            assert!(suspect.old_bytes > 0.0 && suspect.bytes_per_epoch > 0.0 && suspect.confidence >= 0.99);
        }
        assert_eq!(seen, [true; 2]);
    });
}
