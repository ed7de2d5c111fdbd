//! Memory stays bounded, whatever threads do: leaks of a thread's heap, of remote frees or of a class's empty pages
//! show here and nowhere else.
//!
//! Each scenario has a process of its own, because it reads what the process occupies.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{MIB, anonymous, mib};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// A block that has been written to.
fn touched(size: usize) -> Vec<u8> {
    vec![1; size]
}

/// The reading that the others are compared with, and the largest that came after it.
struct Gauge {
    start: usize,
    most: usize,
}

impl Gauge {
    fn new() -> Self {
        let start = anonymous();
        Gauge { start, most: start }
    }

    fn read(&mut self) {
        self.most = self.most.max(anonymous());
    }

    /// Asserts that no reading was more than `limit` above the first.
    #[track_caller]
    fn stays_within(&self, what: &str, limit: usize) {
        let growth = self.most - self.start;
        println!(
            "{what}: {} MiB at the start, at most {} MiB more; {} allowed",
            mib(self.start),
            mib(growth),
            mib(limit)
        );
        assert!(growth <= limit, "{what}: grew by {} MiB, {} allowed", mib(growth), mib(limit));
    }
}

/// What ended threads left, for others to free.
type Estate = Mutex<VecDeque<Vec<Vec<u8>>>>;

/// Allocates about 64 KiB in all classes up to 8 KiB, frees some, hands over the rest, frees what somebody else left.
fn short_life(seed: u64, estate: &Estate) {
    let mut rng = Rng::new(seed);
    let mut blocks = Vec::new();
    let mut bytes = 0;
    while bytes < 64 << 10 {
        let size = rng.log_uniform(8 << 10);
        bytes += size;
        blocks.push(touched(size));
        if rng.one_in(3) {
            let which = rng.below(blocks.len());
            blocks.swap_remove(which);
        }
    }
    let mut estate = estate.lock().unwrap();
    estate.push_back(blocks);
    let inherited = if estate.len() > 8 { estate.pop_front() } else { None };
    drop(estate);
    drop(inherited);
}

fn live_and_die(threads: u64, at_once: u64, estate: &Estate, gauge: &mut Gauge) {
    for round in 0..threads / at_once {
        thread::scope(|scope| {
            for seed in 0..at_once {
                scope.spawn(move || short_life(round << 8 | seed, estate));
            }
        });
        gauge.read();
    }
}

/// Runs twice as many threads, and asserts that they stay within a limit, and that the second half needs hardly more
/// than the first: a figure that still grows has no bound.
fn stays_bounded(what: &str, threads: u64, at_once: u64, limit: usize) {
    let estate = Estate::default();
    let mut all = Gauge::new();
    live_and_die(threads, at_once, &estate, &mut all);
    let mut second_half = Gauge { start: all.most, most: all.most };
    live_and_die(threads, at_once, &estate, &mut second_half);
    all.most = second_half.most;
    all.stays_within(what, limit);
    second_half.stays_within("their second half", limit / 4);
}

/// At no time do they hold a MiB. 16 MiB are allowed: less than 3 KiB for each.
#[test]
fn short_threads_one_after_the_other() {
    Scenario::new("short_threads_one_after_the_other")
        .run(|| stays_bounded("6000 short threads, two at a time", 3000, 2, 16 * MIB));
}

/// The same with 64 at a time, which begin and end in any order: they hold 5 MiB. 48 MiB are allowed: their stacks,
/// and a few hundred KiB for what each heap may hold while it lives, which the next thread has to take over.
#[test]
fn short_threads_in_crowds() {
    Scenario::new("short_threads_in_crowds")
        .run(|| stays_bounded("6400 short threads, 64 at a time", 3200, 64, 48 * MIB));
}

/// Threads that hardly do anything: what a heap costs must come back, and the few blocks that it had at hand.
#[test]
fn threads_that_allocate_once() {
    Scenario::new("threads_that_allocate_once").run(|| {
        let once = || drop([16, 100, 700, 5000].map(touched));
        let spawn = |count: usize| {
            for _ in 0..count {
                thread::spawn(once).join().expect("no panic");
            }
        };
        spawn(500);
        let mut gauge = Gauge::new();
        for _ in 0..10 {
            spawn(600);
            gauge.read();
        }
        gauge.stays_within("6000 threads that allocate once", 3 * MIB);
    });
}

/// One thread only allocates, another only frees: nothing may pile up in either.
#[test]
fn producer_and_consumer() {
    Scenario::new("producer_and_consumer").run(|| {
        // Up to 4 batches of 200 blocks are under way, of 1 KiB in the mean: less than 1 MiB.
        let (sender, receiver) = sync_channel::<Vec<Vec<u8>>>(2);
        let consumer = thread::spawn(move || receiver.into_iter().map(|batch| batch.len()).sum::<usize>());
        let mut rng = Rng::new(1);
        let mut produce = |batches: usize, gauge: &mut Gauge| {
            for number in 0..batches {
                sender
                    .send((0..200).map(|_| touched(rng.log_uniform(8 << 10))).collect())
                    .expect("the consumer listens");
                if number % 100 == 0 {
                    gauge.read();
                }
            }
        };
        produce(500, &mut Gauge::new());
        let mut gauge = Gauge::new();
        produce(2500, &mut gauge);
        drop(sender);
        assert_eq!(consumer.join().expect("no panic"), 3000 * 200);
        gauge.stays_within("500,000 blocks from one thread to another", 8 * MIB);
    });
}

/// Both directions at once, with large blocks among the small ones: a block for a block, 300 MiB in all.
#[test]
fn threads_that_free_each_other() {
    Scenario::new("threads_that_free_each_other").run(|| {
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        let (to_second, from_first) = sync_channel::<Vec<u8>>(64);
        let (to_first, from_second) = sync_channel::<Vec<u8>>(64);
        let exchange = |seed: u64, sender: SyncSender<Vec<u8>>, receiver: Receiver<Vec<u8>>| {
            move || {
                let mut rng = Rng::new(seed);
                for _ in 0..20_000 {
                    let largest = if rng.one_in(50) { 1 << 20 } else { 16 << 10 };
                    // The other one may have done its rounds.
                    let _ = sender.send(touched(rng.log_uniform(largest)));
                    drop(receiver.recv());
                    // Relaxed: the count is only for the readings.
                    ROUNDS.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let threads =
            [thread::spawn(exchange(1, to_second, from_second)), thread::spawn(exchange(2, to_first, from_first))];
        while ROUNDS.load(Ordering::Relaxed) < 8000 {
            thread::yield_now();
        }
        let mut gauge = Gauge::new();
        while !threads.iter().all(|thread| thread.is_finished()) {
            gauge.read();
            thread::sleep(std::time::Duration::from_millis(1));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        // 128 blocks in the queues, of up to 1 MiB but 20 KiB in the mean.
        gauge.stays_within("two threads that free each other's blocks", 24 * MIB);
    });
}

const TOOTH: usize = 32 * MIB;

fn fill(size: usize, blocks: &mut Vec<Vec<u8>>) {
    (0..TOOTH / size).for_each(|_| blocks.push(touched(size)));
}

/// 32 MiB of one class, all freed, then 32 MiB of another: an empty page serves every class. 1.25 times and 12 MiB
/// are allowed (internal waste, the pages' tables, what magazines hold); without reuse it would be 12 times.
#[test]
fn sawtooth_of_small_classes() {
    Scenario::new("sawtooth_of_small_classes").run(|| {
        // The vector's own 24 MiB are there from the start: a sawtooth of `Vec`s would need them in another place
        // each time.
        let mut blocks = vec![Vec::new(); TOOTH / 32];
        blocks.clear();
        let mut gauge = Gauge::new();
        for size in [32, 1024, 48, 4096, 80, 8192, 640, 112, 2048, 320, 3000, 160] {
            fill(size, &mut blocks);
            gauge.read();
            blocks.clear();
        }
        gauge.stays_within("32 MiB of one small class after the other", TOOTH / 4 * 5 + 12 * MIB);
    });
}

/// Small, medium and large blocks in turns. Large ones may come straight from the OS while what was freed is still
/// due to be given back: that is twice the 32 MiB, and 16 MiB for the rest; without reuse it would be 12 times.
#[test]
fn sawtooth_of_all_sizes() {
    Scenario::new("sawtooth_of_all_sizes").run(|| {
        let mut blocks = vec![Vec::new(); TOOTH / 64];
        blocks.clear();
        let mut gauge = Gauge::new();
        for size in [64, MIB, 4096, 4 * MIB, 200, 300 << 10, 16 << 10, 2 * MIB, 64 << 10, 512, 100 << 10, 32 << 10] {
            fill(size, &mut blocks);
            gauge.read();
            blocks.clear();
        }
        gauge.stays_within("32 MiB of small, medium and large blocks in turns", 2 * TOOTH + 16 * MIB);
    });
}

/// Each tooth is filled by a new thread and freed by another: what they leave serves the next, whatever its class.
#[test]
fn sawtooth_over_threads() {
    Scenario::new("sawtooth_over_threads").run(|| {
        let mut blocks = vec![Vec::new(); TOOTH / 128];
        blocks.clear();
        let mut gauge = Gauge::new();
        for size in [128, 1024, 8192, 256, 4096, 144, 2000, 600] {
            let filler = thread::spawn(move || {
                fill(size, &mut blocks);
                blocks
            });
            blocks = filler.join().expect("no panic");
            gauge.read();
            blocks = thread::spawn(move || {
                blocks.clear();
                blocks
            })
            .join()
            .expect("no panic");
        }
        gauge.stays_within("32 MiB of one class after the other, by threads that end", TOOTH / 4 * 5 + 12 * MIB);
    });
}
