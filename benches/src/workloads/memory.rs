//! What is given back. RSS above the start, in KiB.

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, Setting};
use crate::block::{Block, block, empty_slots};
use crate::rng::Rng;
use crate::rss;

const MIB: usize = 1 << 20;

/// Blocks freed, mostly at random, and their memory asked for again in other sizes: the time of the four phases,
/// and RSS after each, and after two idle seconds.
pub(super) fn fragment(setting: &Setting) -> Outcome {
    let volume = setting.scaled(475 * MIB);
    let mut rng = Rng::new(1);
    // Sizes are 520 bytes on average; a fiftieth more slots than that needs.
    let mut slots = empty_slots(volume / 510);
    let mut phases = Phases::begin();

    let mut filled = 0;
    let mut live = 0;
    phases.run("fill", || {
        while live < volume && filled < slots.len() {
            slots[filled] = block(rng.between(16, 1024));
            live += slots[filled].len();
            filled += 1;
        }
    });

    rng.shuffle(&mut slots[..filled]);
    let kept = filled / 10;
    phases.run("free90", || {
        for slot in &mut slots[kept..filled] {
            live -= slot.len();
            *slot = Block::default();
        }
    });

    // No size of the first filling: what was freed serves only if pages or neighbours are put together again.
    phases.run("refill", || {
        for slot in &mut slots[kept..filled] {
            if live >= volume {
                break;
            }
            *slot = block(rng.between(1025, 2048));
            live += slot.len();
        }
    });

    phases.run("freed", || {
        for slot in &mut slots {
            *slot = Block::default();
        }
    });

    thread::sleep(setting.idle());
    phases.note("idle");
    phases.outcome
}

struct Phases {
    start_kib: u64,
    outcome: Outcome,
}

impl Phases {
    fn begin() -> Self {
        // Room for the notes now, so that they do not allocate between the phases.
        let outcome = Outcome { ns: 0.0, rss: Vec::with_capacity(8) };
        Self { start_kib: rss::now_kib(), outcome }
    }

    fn run(&mut self, name: &'static str, phase: impl FnOnce()) {
        let start = Instant::now();
        phase();
        self.outcome.ns += start.elapsed().as_nanos() as f64;
        self.note(name);
    }

    fn note(&mut self, name: &'static str) {
        self.outcome.rss.push((name, rss::now_kib().saturating_sub(self.start_kib)));
    }
}

const WORKERS: usize = 8;

/// Eight threads allocate 32 MiB together and sleep on; this thread frees every block. What remains after two
/// seconds is what sleeping threads hold back, their stacks included.
pub(super) fn idle8(setting: &Setting) -> Outcome {
    let share = setting.scaled(32 * MIB) / WORKERS;
    let slots: Vec<Mutex<Vec<Block>>> = (0..WORKERS).map(|_| Mutex::new(empty_slots(share / 510))).collect();
    let (allocated, measured) = (Barrier::new(WORKERS + 1), Barrier::new(WORKERS + 1));
    let mut phases = Phases::begin();
    thread::scope(|scope| {
        for (i, slots) in slots.iter().enumerate() {
            let (allocated, measured) = (&allocated, &measured);
            scope.spawn(move || {
                let mut rng = Rng::new(i as u64);
                let mut live = 0;
                for slot in slots.lock().expect("no other thread has had it").iter_mut() {
                    if live >= share {
                        break;
                    }
                    *slot = block(rng.between(16, 1024));
                    live += slot.len();
                }
                allocated.wait();
                measured.wait();
            });
        }
        allocated.wait();
        phases.note("allocated");
        phases.run("freed", || {
            for slots in &slots {
                slots.lock().expect("no thread panicked").fill_with(Block::default);
            }
        });
        thread::sleep(setting.idle());
        phases.note("idle");
        measured.wait();
    });
    phases.outcome
}

/// Nothing: what a program's allocator costs before it is used.
pub(super) fn empty(_: &Setting) -> Outcome {
    Outcome { ns: Duration::ZERO.as_nanos() as f64, rss: vec![("empty", rss::now_kib())] }
}
