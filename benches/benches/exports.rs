//! What each export of a snapshot of 10,000 call stacks costs: time, and memory beyond what it gives.
//!
//! The stacks are those of a parser, `syn`, on real sources, held as trees. Names are looked up once before.
//!
//! ```sh
//! cargo bench -p tenure-benches --features exports --bench exports
//! ```
//!
//! With `--smoke` a few stacks, once: shows that it works, measures nothing.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tenure::export::{self, OpenMetrics, Value};
use tenure::{Mode, Symbols, Tenure};

/// Tenure, and beside it the bytes that are held and their peak.
struct Counted(Tenure);

// Relaxed: one thread allocates.
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOC: Counted = Counted(Tenure::new().mode(Mode::Exact));

// SAFETY: as tenure does it.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let held = HELD.fetch_add(size, Relaxed) + size - layout.size();
        HELD.fetch_sub(layout.size(), Relaxed);
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller's.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

const SITES: usize = 10_000;
const RUNS: usize = 9;

fn main() {
    let smoke = !std::env::args().any(|a| a == "--bench") || std::env::args().any(|a| a == "--smoke");
    let (sites, runs) = if smoke { (100, 1) } else { (SITES, RUNS) };
    let mut trees = Vec::new();
    let mut earlier = None;
    for file in tenure_benches::sources::choose() {
        let source = std::fs::read_to_string(file).unwrap_or_default();
        trees.extend(syn::parse_file(&source).ok());
        let now = tenure::snapshot();
        if now.sites().len() >= sites {
            break;
        }
        if earlier.is_none() && now.sites().len() >= sites / 2 {
            earlier = Some(now);
            // What grew and what shrank.
            trees.truncate(trees.len() / 2);
        }
    }
    let snapshot = tenure::snapshot();
    let earlier = earlier.unwrap_or_else(|| snapshot.clone());
    let mut names = Symbols::new();
    let addresses: std::collections::HashSet<u64> = snapshot.sites().iter().flat_map(|s| &s.stack).copied().collect();
    let frames: usize = snapshot.sites().iter().map(|s| s.stack.len()).sum();
    println!(
        "{} sites of {frames} frames at {} addresses, {} rows\n",
        snapshot.sites().len(),
        addresses.len(),
        snapshot.rows().len()
    );
    println!("| export | time | memory beyond the output | output |\n| --- | ---: | ---: | ---: |");
    // What was allocated, because all stacks have that.
    let (value, options) = (Value::AllocatedBytes, OpenMetrics::new());
    let mut row = |name: &str, export: &mut dyn FnMut(&mut Symbols) -> Vec<u8>| {
        export(&mut names);
        let mut times = Vec::new();
        let (mut most, mut output) = (0, 0);
        for _ in 0..runs {
            let before = HELD.load(Relaxed);
            PEAK.store(before, Relaxed);
            let begin = Instant::now();
            let bytes = black_box(export(&mut names));
            times.push(begin.elapsed());
            output = bytes.len();
            most = most.max((PEAK.load(Relaxed) - before).saturating_sub(bytes.capacity()));
        }
        println!("| {name} | {:.0} ms | {:.1} MiB | {:.1} MiB |", ms(median(times)), mib(most), mib(output));
    };
    row("json", &mut |n| export::json(&snapshot, n).into());
    row("pprof", &mut |n| export::pprof(&snapshot, n));
    row("folded", &mut |n| export::folded(&snapshot, n, value).into());
    row("flame_graph", &mut |n| export::flame_graph(&snapshot, n, value).into());
    row("flame_graph_diff", &mut |n| export::flame_graph_diff(&snapshot, &earlier, n, None, value).into());
    row("dhat", &mut |n| export::dhat(&snapshot, n).into());
    row("openmetrics", &mut |n| export::openmetrics(&snapshot, n, options).into());
    drop(trees);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
