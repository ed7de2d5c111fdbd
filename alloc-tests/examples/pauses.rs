//! What automatic collections keep a running thread from its work for, with 4 GiB live in a million blocks.
//!
//! ```sh
//! cargo run --release -p tenure-alloc-tests --example pauses            # every block tracked
//! cargo run --release -p tenure-alloc-tests --example pauses -- sampled
//! ```
//!
//! Two threads allocate and free small blocks until there were some thousand collections of each generation. A pause is a
//! step of a collection, in processor time of the thread that did it; what another thread did at that time is its own time.
//! Printed as well: the longest that any one allocation of the other threads took, by the clock on the wall, which the
//! machine's own pauses are part of.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tenure::generation::{self, Generation, Thresholds};
use tenure::{Mode, internals};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const BLOCKS: usize = 1 << 20;
const COLLECTIONS: u64 = 2000;

fn main() {
    let exact = std::env::args().nth(1).as_deref() != Some("sampled");
    let mode = if exact { Mode::Exact } else { Mode::SAMPLED };
    tenure::set_mode(mode);
    let mut rng = Rng::new(1);
    // 4 KiB on average.
    let live: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; 8 + rng.below(8176)]).collect();
    println!("{mode}: {:.2} GiB live in {} blocks", tenure::stats().live as f64 / (1u64 << 30) as f64, live.len());
    println!(
        "| collection | collections | steps | median | 99.9th percentile | longest | the others' longest allocation |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (generation, young_per_middle, middle_per_old) in
        [(Generation::Young, 1024, 1024), (Generation::Middle, 1, 1024), (Generation::Old, 1, 1)]
    {
        let young_bytes = if generation == Generation::Old { 64 << 20 } else { 4 << 20 };
        let wanted = if generation == Generation::Old { COLLECTIONS / 10 } else { COLLECTIONS };
        let thresholds = Thresholds { young_bytes, young_per_middle, middle_per_old, ..Thresholds::DEFAULT };
        generation::set_thresholds(thresholds).expect("within bounds");
        let begun = generation::stats()[generation as usize].collections;
        internals::forget_pauses();
        let stop = AtomicBool::new(false);
        let longest = thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|seed| {
                    scope.spawn({
                        let stop = &stop;
                        move || churn(seed, stop)
                    })
                })
                .collect();
            while generation::stats()[generation as usize].collections < begun + wanted {
                thread::sleep(Duration::from_millis(50));
            }
            stop.store(true, Relaxed);
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).max()
        });
        let done = generation::stats()[generation as usize].collections - begun;
        let mut pauses: Vec<u64> =
            internals::pauses().into_iter().filter(|(of, _)| *of == generation).map(|(_, nanos)| nanos).collect();
        pauses.sort_unstable();
        let at =
            |share: f64| pauses.get(((pauses.len() - 1) as f64 * share) as usize).map_or(0.0, |&ns| ns as f64 / 1e6);
        println!(
            "| {generation} | {done} | {} | {:.3} ms | {:.3} ms | {:.3} ms | {:.3} ms |",
            pauses.len(),
            at(0.5),
            at(0.999),
            at(1.0),
            longest.unwrap_or_default().as_secs_f64() * 1e3
        );
    }
    drop(live);
}

/// Allocates and frees small blocks of many sizes. The longest that an allocation took.
fn churn(seed: u64, stop: &AtomicBool) -> Duration {
    let mut rng = Rng::new(seed + 10);
    let mut blocks: Vec<Vec<u8>> = (0..4000).map(|_| Vec::new()).collect();
    let mut longest = Duration::ZERO;
    while !stop.load(Relaxed) {
        for _ in 0..1000 {
            let at = rng.below(blocks.len());
            let size = 8 + rng.below(1000);
            let begin = Instant::now();
            blocks[at] = black_box(Vec::with_capacity(size));
            longest = longest.max(begin.elapsed());
        }
    }
    longest
}
