//! Modes that change while threads allocate, resize, exchange and free; what totals say afterwards; what outlives a mode,
//! a fork, a scope; and leaks that are named.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, rng, size_in};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tenure::internals::{self, tracker};
use tenure::snapshot::{By, Snapshot, Sum};
use tenure::{Mode, Symbols};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// What was allocated is what was freed: to the last block if all were exact, else as closely as sums of floats are.
fn assert_balanced(what: &str, allocated: &Sum, freed: &Sum) {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    let same = near(allocated.blocks, freed.blocks) && near(allocated.bytes, freed.bytes);
    assert!(same && allocated.samples == freed.samples, "{what}: allocated {allocated:?}, freed {freed:?}");
}

/// Nothing tracked is live, and every site and tag has freed what it allocated.
fn assert_all_died(snapshot: &Snapshot) {
    if !snapshot.rows().is_empty() {
        panic!("something lives: {:#}", snapshot.group_by(By::Site, &mut Symbols::new()));
    }
    for site in snapshot.sites() {
        assert_balanced(&format!("site {}", site.number), &site.allocated, &site.freed);
    }
    for tag in snapshot.tags() {
        assert_balanced(&format!("tag {:?}", tag.name), &tag.allocated, &tag.freed);
    }
}

type Slots = [Mutex<Option<Raw>>; 96];

/// A size: mostly small, sometimes large, rarely huge.
fn any_size(rng: &mut Rng) -> usize {
    match rng.below(1000) {
        0 => 33 << 20,
        1..10 => size_in(rng, 65_000..3 << 20),
        10..100 => size_in(rng, 2000..65_000),
        _ => size_in(rng, 1..2000),
    }
}

/// Takes a block out of the table or makes one, resizes it or not, and puts it back or frees it.
fn one_operation(rng: &mut Rng, slots: &Slots) {
    let mut block = match slots[rng.below(slots.len())].lock().expect("nobody panics").take() {
        Some(block) => block,
        None if rng.one_in(4) => Raw::aligned(any_size(rng).min(1 << 20), 1 << rng.below(13)),
        None => Raw::new(any_size(rng)),
    };
    let size = block.layout.size();
    match rng.below(6) {
        0 => block.resize(size_in(rng, size / 2..size + 1).max(1)), // in place, mostly
        1 => block.resize(size + 1 + size / 8),
        2 => block.resize(any_size(rng)),
        _ => (),
    }
    match rng.below(3) {
        0 => block.free(),
        _ => {
            let other = slots[rng.below(slots.len())].lock().expect("nobody panics").replace(block);
            other.into_iter().for_each(Raw::free);
        }
    }
}

const TAGS: [&str; 4] = ["one", "two", "three", ""];

fn any_mode(rng: &mut Rng) -> Mode {
    match rng.below(6) {
        0 => Mode::Off,
        1 => Mode::Sampled { mean: 1 << rng.below(24) },
        2 => Mode::Sampled { mean: 100_000 },
        3 => Mode::SAMPLED,
        _ => Mode::Exact,
    }
}

/// Threads work, and modes change, until `rounds` are over; `meanwhile` is called in each.
fn switch_at_random(seed: u64, rounds: usize, modes: fn(&mut Rng) -> Mode, mut meanwhile: impl FnMut(usize)) {
    let slots: Slots = [const { Mutex::new(None) }; 96];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads = [0, 1, 2].map(|i| {
            let (slots, stop) = (&slots, &stop);
            scope.spawn(move || {
                let mut rng = rng(seed * 10 + i);
                while !stop.load(SeqCst) {
                    let _in = tenure::scope(TAGS[rng.below(4)]);
                    let _exact = rng.one_in(10).then(tenure::exact_scope);
                    (0..50).for_each(|_| one_operation(&mut rng, slots));
                    if rng.one_in(20) {
                        tenure::set_mode(modes(&mut rng));
                    }
                }
            })
        });
        let wait = Stop(&stop);
        let mut rng = rng(seed);
        for round in 0..rounds {
            tenure::set_mode(modes(&mut rng));
            thread::sleep(Duration::from_millis(rng.below(4) as u64));
            meanwhile(round);
        }
        drop(wait);
        join(threads);
    });
    for slot in &slots {
        slot.lock().expect("nobody panics").take().into_iter().for_each(Raw::free);
    }
}

/// A scope does not wait until its threads have freed what std holds for them.
fn join<const N: usize>(threads: [thread::ScopedJoinHandle<'_, ()>; N]) {
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
}

#[test]
fn modes_at_random() {
    alone("modes_at_random", || {
        for seed in 1..4 {
            switch_at_random(seed, 200, any_mode, |round| {
                if round % 20 == 0 {
                    drop(tenure::snapshot());
                    internals::check();
                }
            });
            tenure::set_mode(Mode::Off);
            let snapshot = tenure::snapshot();
            let total: u64 = snapshot.sites().iter().map(|s| s.allocated.samples).sum();
            println!("{} sites, {total} tracked blocks", snapshot.sites().len());
            assert!(total > 10_000, "modes were in effect");
            assert_all_died(&snapshot);
        }
    });
}

/// Without samples every figure is a whole number, and exact.
#[test]
fn off_and_exact_in_turns() {
    alone("off_and_exact_in_turns", || {
        let modes = |rng: &mut Rng| if rng.one_in(2) { Mode::Off } else { Mode::Exact };
        // Something may have been a sample before the test began.
        let before = tenure::snapshot();
        switch_at_random(7, 300, modes, |_| ());
        tenure::set_mode(Mode::Off);
        let snapshot = tenure::snapshot();
        assert_all_died(&snapshot);
        for site in snapshot.sites().iter().filter(|site| before.site(site.number).is_none()) {
            assert_eq!((site.allocated, site.allocated.blocks.fract()), (site.freed, 0.0));
            assert_eq!(site.allocated.blocks_variance, 0.0);
        }
        let blocks = |all: &mut dyn Iterator<Item = Sum>| all.map(|sum| sum.samples).sum::<u64>();
        assert_eq!(
            blocks(&mut snapshot.sites().iter().map(|s| s.allocated)),
            blocks(&mut snapshot.tags().iter().map(|t| t.allocated)),
            "every block has a site and a tag, or none"
        );
    });
}

/// From the first block on: what lives is what is tracked.
#[test]
fn nothing_is_untracked() {
    Scenario::new("nothing_is_untracked").env("TENURE", "exact").run(|| {
        thread::scope(|scope| {
            for i in 0..2 {
                scope.spawn(move || {
                    let mut rng = rng(i);
                    let mut all: Vec<Vec<u8>> = Vec::new();
                    for _ in 0..5000 {
                        all.push(vec![0; any_size(&mut rng).min(200_000)]);
                        if all.len() > 100 {
                            all.swap_remove(rng.below(100)).resize(rng.below(5000), 1);
                        }
                    }
                });
            }
        });
        let blocks: Vec<Raw> = (0..1000).map(|i| Raw::new(1 + i * 100)).collect();
        let snapshot = tenure::snapshot();
        let (untracked, tracked) = (snapshot.untracked(), snapshot.tracked());
        println!("{tracked:?}, {untracked:?}");
        assert!(tracked.samples > 1000);
        // What the harness holds from before this allocator's first look, if anything.
        assert!(untracked.blocks.value.abs() <= 2.0, "{untracked:?}");
        blocks.iter().for_each(|block| block.free());
    });
}

/// A large block that is a sample shrinks where it is. What is freed is not less than nothing.
#[test]
fn samples_that_shrink_in_place() {
    alone("samples_that_shrink_in_place", || {
        tenure::set_mode(Mode::Sampled { mean: 4 << 20 });
        for round in 0..200 {
            let mut block = Raw::new(8 << 20);
            let at = block.at;
            for size in [6 << 20, 3 << 20, (1 << 20) + 5, 100_000, 70_000] {
                block.resize(size);
                assert_eq!(block.at, at, "in place");
                if round < 20 {
                    let snapshot = tenure::snapshot();
                    for site in snapshot.sites() {
                        let (a, f) = (&site.allocated, &site.freed);
                        assert!(f.blocks >= 0.0 && f.bytes >= 0.0 && a.blocks >= 0.0 && a.bytes >= 0.0, "{a:?} {f:?}");
                        assert!((a.blocks - f.blocks - site.live.blocks).abs() < 1e-6 * a.blocks.max(1.0), "{site:?}");
                        assert!((a.bytes - f.bytes - site.live.bytes).abs() < 1e-6 * a.bytes.max(1.0), "{site:?}");
                    }
                }
            }
            block.free();
        }
        tenure::set_mode(Mode::Off);
        assert_all_died(&tenure::snapshot());
        // Each of the 200 blocks was allocated as 8 MiB, and of each all was freed.
        let snapshot = tenure::snapshot();
        let mut allocated = Sum::default();
        snapshot.sites().iter().for_each(|site| allocated += site.allocated);
        let off = |value: f64, right: f64, variance: f64| (value - right) / variance.sqrt();
        // The variance that is stated is of what lived last; the blocks' own at birth is (1 - p) / p.
        let p: f64 = 1.0 - (-2.0f64).exp();
        println!("{allocated:?}");
        // A survivor of all the steps stands for 1/p(70,000) = 32 blocks.
        let variance = 200.0 * (1.0 / (1.0 - (-131_072.0 / (4 << 20) as f64).exp()) - 1.0);
        assert!(p > 0.8 && off(allocated.blocks, 200.0, variance).abs() < 5.0, "{allocated:?}");
    });
}

/// "A tracked block is counted when it is freed, an untracked one is not": also if it grows in between.
#[test]
fn a_large_block_from_before_the_switch_stays_untracked() {
    alone("a_large_block_from_before_the_switch_stays_untracked", || {
        let mut block = Raw::new(100_000);
        hooks_support::exact(true);
        let at = block.at;
        for size in [130_000, 140_000, 1 << 20, 70_000] {
            block.resize(size);
            if block.at == at {
                assert_eq!(block.birth(), None, "it grew to {size} in place");
            }
        }
        block.free();
    });
}

#[test]
fn scopes_nest_and_end_in_any_order() {
    alone("scopes_nest_and_end_in_any_order", || {
        let tracked = || {
            let block = Raw::new(40);
            let is = block.birth().is_some();
            block.free();
            is
        };
        assert!(!tracked());
        let (a, b, c) = (tenure::exact_scope(), tenure::exact_scope(), tenure::exact_scope());
        assert!(tracked());
        thread::spawn(move || assert!(!tracked(), "another thread is not exact")).join().expect("it ends");
        for scope in [b, a] {
            drop(scope);
            assert!(tracked(), "one scope is left");
        }
        // The process' mode comes and goes inside.
        tenure::set_mode(Mode::Exact);
        drop(c);
        assert!(tracked());
        let inner = tenure::exact_scope();
        tenure::set_mode(Mode::Off);
        assert!(tracked());
        assert_eq!(tenure::mode(), Mode::Off);
        drop(inner);
        assert!(!tracked());
        // In threads, at the same time, with scopes that outlive each other.
        thread::scope(|scope| {
            for seed in 0..3 {
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    let mut scopes = Vec::new();
                    for _ in 0..500 {
                        if rng.one_in(2) {
                            scopes.push(tenure::exact_scope());
                        } else if !scopes.is_empty() {
                            drop(scopes.swap_remove(rng.below(scopes.len())));
                        }
                        assert_eq!(tracked(), !scopes.is_empty());
                    }
                    std::mem::forget(scopes); // what they want ends with the thread
                });
            }
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(!tracked(), "a new thread in an ended one's place"));
            }
        });
        assert!(!tracked());
    });
}

/// Runs `f` in a child of this process; it returns an exit code.
fn forked(f: impl FnOnce() -> i32) {
    // SAFETY: the child uses the allocator, whose part in `fork` is tested here; and nothing that another thread holds.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::alarm(60);
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(99);
            libc::_exit(code);
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0, "the child's status");
    }
}

#[inline(never)]
fn keeps(n: usize) -> Vec<Raw> {
    (0..n).map(|_| Raw::new(777)).collect()
}

/// Blocks of 777 bytes that a snapshot has.
fn of_777(snapshot: &Snapshot) -> (f64, f64, f64) {
    let sites = snapshot.sites().iter().filter(|s| s.smallest == 777 && s.largest == 777);
    sites.fold((0.0, 0.0, 0.0), |(live, allocated, freed), s| {
        (live + s.live.blocks, allocated + s.allocated.blocks, freed + s.freed.blocks)
    })
}

#[test]
fn forks_in_the_middle() {
    alone("forks_in_the_middle", || {
        tenure::set_mode(Mode::Exact);
        let kept = keeps(100);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stop = &stop;
            let threads = [0, 1].map(|seed| {
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    let slots: Slots = [const { Mutex::new(None) }; 96];
                    while !stop.load(SeqCst) {
                        one_operation(&mut rng, &slots);
                    }
                    slots.into_iter().filter_map(|slot| slot.into_inner().expect("nobody panics")).for_each(Raw::free);
                })
            });
            let wait = Stop(stop);
            for round in 0..30 {
                forked(|| {
                    let first = tenure::snapshot();
                    if of_777(&first) != (100.0, 100.0, 0.0) {
                        return 1;
                    }
                    kept[..50].iter().for_each(|block| block.free());
                    let more = keeps(7);
                    let second = tenure::snapshot();
                    if of_777(&second) != (57.0, 107.0, 50.0) {
                        return 2;
                    }
                    if round % 2 == 0 {
                        tenure::set_mode(Mode::Off);
                    }
                    more.iter().for_each(|block| block.free());
                    // Threads of its own.
                    thread::spawn(move || kept_on(more.len())).join().map_or(3, |()| 0)
                });
            }
            drop(wait);
            join(threads);
        });
        kept.iter().for_each(|block| block.free());
        tenure::set_mode(Mode::Off);
        drop(kept);
        assert_all_died(&tenure::snapshot());
    });
}

fn kept_on(n: usize) {
    keeps(n).iter().for_each(|block| block.free());
}

/// What a thread had freed before a fork is free in the child, where there is no such thread.
#[test]
fn what_another_thread_freed_is_free_in_a_forked_child() {
    alone("what_another_thread_freed_is_free_in_a_forked_child", || {
        tenure::set_mode(Mode::Exact);
        let freed = Barrier::new(2);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                keeps(40).iter().for_each(|block| block.free());
                freed.wait();
                while !stop.load(SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            freed.wait();
            let _stop = Stop(&stop);
            assert_eq!(of_777(&tenure::snapshot()), (0.0, 40.0, 40.0));
            forked(|| {
                let seen = of_777(&tenure::snapshot());
                eprintln!("in the child, live, allocated, freed: {seen:?}");
                (seen != (0.0, 40.0, 40.0)).into()
            });
        });
    });
}

/// If one thread panics, the others must end all the same.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[inline(never)]
fn forgets_one() {
    std::mem::forget(black_box(Box::new([7u8; 123])));
    black_box(());
}
const LINE: u32 = line!() - 3;

#[test]
fn a_leak_of_one_block_is_named() {
    let scenario = Scenario::new("a_leak_of_one_block_is_named").env("TENURE", "exact");
    let outcome = scenario.outcome(|| {
        let before = tenure::snapshot();
        let (sender, receiver) = mpsc::channel::<Vec<String>>();
        let consumer = thread::spawn(move || receiver.iter().map(|all| all.len()).sum::<usize>());
        for i in 0..300 {
            sender.send((0..i % 30).map(|i| i.to_string()).collect()).expect("it listens");
            if i == 150 {
                forgets_one();
            }
        }
        drop(sender);
        assert!(consumer.join().expect("it ends") > 0);
        let mut symbols = Symbols::new();
        print!("\n{}", tenure::snapshot().diff(&before, By::Line, &mut symbols).top(3));
    });
    if let Some(outcome) = outcome {
        outcome.print();
        assert!(outcome.status.success());
        let line = format!("modes.rs:{LINE}");
        let named = |text: &&str| text.contains("forgets_one") && text.contains(&line) && text.contains("123 B");
        let found = outcome.stdout.lines().find(named);
        assert!(found.is_some(), "a line that names forgets_one, {line} and 123 B");
    }
}

#[inline(never)]
fn forgets_many() {
    for i in 0..64_000usize {
        std::mem::forget(black_box(vec![i as u8; 1000]));
    }
}

/// 64 MB are some 120 samples.
#[test]
fn a_larger_leak_is_named_by_samples() {
    let outcome = Scenario::new("a_larger_leak_is_named_by_samples").env("TENURE", "sampled").outcome(|| {
        for i in 0..20_000usize {
            black_box(vec![0u8; 1 + i % 10_000]);
        }
        forgets_many();
        let snapshot = tenure::snapshot();
        let groups = snapshot.group_by(By::Function, &mut Symbols::new());
        print!("\n{}", groups.clone().top(3));
        let first = &groups[0];
        let bytes = first.live.bytes();
        println!("{}: {} ± {}", first.name, bytes.value, bytes.standard_error);
        assert!(first.name.contains("forgets_many"));
        assert!((bytes.value - 64e6).abs() < 5.0 * bytes.standard_error, "{bytes:?}");
    });
    if let Some(outcome) = outcome {
        outcome.print();
        assert!(outcome.status.success());
        assert!(outcome.stdout.contains("forgets_many"));
    }
}

/// An exact thread's own figures: what is born and what dies, by number.
#[test]
fn a_block_is_counted_where_it_is_freed() {
    alone("a_block_is_counted_where_it_is_freed", || {
        tenure::set_mode(Mode::Exact);
        let (born, died) = tracker::born_and_died();
        let blocks: Vec<Raw> = (0..100).map(|i| Raw::new(1 + i * 20)).collect();
        tenure::set_mode(Mode::Off);
        let (here, there) = blocks.split_at(50);
        here.iter().for_each(|block| block.free());
        thread::scope(|scope| _ = scope.spawn(|| there.iter().for_each(|block| block.free())));
        drop(blocks);
        let (born_now, died_now) = tracker::born_and_died();
        assert_eq!((born_now - born, died_now - died), (101, 101));
    });
}
