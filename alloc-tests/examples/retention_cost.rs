//! What the report of retention costs: with 4 GiB of pages, and with a million tracked blocks that survive.
//!
//! ```sh
//! cargo run --release -p tenure-alloc-tests --example retention_cost
//! ```
//!
//! Of the 4 GiB nothing is written to, so that it needs no such memory: the pages' headers and bitmaps are what is read.

use std::time::Instant;
use tenure::{Mode, Tenure, retention};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Off);

const MIB: f64 = (1 << 20) as f64;

/// The largest that this process has been, in bytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("it has one");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") * 1024.0
}

fn time(what: &str) {
    // From here on.
    std::fs::write("/proc/self/clear_refs", "5").expect("our own");
    let before = peak();
    let report = retention();
    let memory = peak() - before;
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let begin = Instant::now();
            drop(retention());
            begin.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{what}: {:?} (median of 9, {:?} to {:?}), {:.1} MiB; {} pages, {} mostly empty with {} blocks, {} sites",
        times[4],
        times[0],
        times[8],
        memory / MIB,
        report.pages.pages,
        report.pages.mostly_empty.pages,
        report.pages.mostly_empty.blocks,
        report.survivors.len(),
    );
}

/// Fills pages, and keeps one block in so many of them.
fn blocks(size: usize, bytes: usize, of: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..bytes / size).map(|_| Vec::with_capacity(size)).collect();
    let mut i = 0;
    all.retain(|_| {
        i += 1;
        i % of == 0
    });
    all
}

fn main() {
    let plain = blocks(1024, 4 << 30, 1);
    time("4 GiB of full plain pages of 1 KiB");
    drop(plain);
    let plain = blocks(1024, 4 << 30, 10);
    time("4 GiB of plain pages, one block in ten lives");
    drop(plain);
    tenure::set_mode(Mode::Exact);
    let tracked = blocks(48, 10_000_000 * 48, 10);
    time("10 million tracked blocks of 48 bytes, one in ten lives");
    drop(tracked);
    let tracked = blocks(48, 1_000_000 * 48, 1);
    time("a million tracked blocks of 48 bytes, all live");
    drop(tracked);
}
