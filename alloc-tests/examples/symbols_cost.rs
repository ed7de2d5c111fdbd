//! What names cost in a large program: 10,000 call stacks of a library of more than 100 MB, for the first time.
//!
//! ```sh
//! alloc-tests/large-library.sh /tmp/large        # generates and builds it: some minutes, a GiB
//! cargo run --release -p tenure-alloc-tests --example symbols_cost -- /tmp/large/liblarge.so
//! ```
//!
//! Any library or program will do. Prints the time, the peak of live bytes while the report is made, what the process's
//! resident memory grows by meanwhile (files that are mapped count, and go when the report is done), and the same for a
//! second report. With `backtrace` as the second word the crate of that name does it, for comparison.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;
use std::ffi::CString;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Instant;
use tenure::Symbols;
use tenure::snapshot::Names;
use tenure_alloc_tests::{Tenure, rng::Rng};

/// Counts live bytes.
struct Counting(Tenure);

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes; // Relaxed: a counter
    PEAK.fetch_max(live, Ordering::Relaxed); // Relaxed: as above
}

// SAFETY: counts, and passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: by the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: by the caller's promise.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: by the caller's promise.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOC: Counting = Counting(Tenure::new());

/// Resident KiB: of the heap and of files.
fn resident() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).expect("a line of the status");
    let kib = |name| line(name).trim().trim_end_matches(" kB").parse::<i64>().expect("a number");
    (kib("RssAnon:"), kib("RssFile:"))
}

fn main() {
    let mut words = std::env::args().skip(1);
    let path = words.next().expect("the path of a library");
    let by_backtrace = words.next().is_some_and(|word| word == "backtrace");
    let path = std::fs::canonicalize(path).expect("a file").to_str().expect("UTF-8").to_string();
    let size = std::fs::metadata(&path).expect("a file").len();
    let name = CString::new(path.as_str()).expect("no null");
    // SAFETY: the library's initialisers may run.
    assert!(!unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY) }.is_null(), "it cannot be loaded");
    let snapshot = tenure::snapshot();
    let module = snapshot.modules().iter().find(|m| m.path == path).expect("it is loaded");
    // Stacks of a real program: what they have in common is a few functions, the rest is spread over the code.
    let mut rng = Rng::new(7);
    let code = module.code.iter().max_by_key(|c| c.end - c.start).expect("it has code");
    let mut some = |n: u64| (0..n).map(|_| code.start + rng.next() % (code.end - code.start)).collect::<Vec<_>>();
    let (near, far) = (some(500), some(20_000));
    let sites: Vec<Vec<u64>> = (0..10_000usize)
        .map(|i| {
            let own = far[2 * i..2 * i + 2].iter().copied();
            own.chain((0..10).map(|k| near[(i * 7 + k * 31) % near.len()])).collect()
        })
        .collect();
    let distinct: HashSet<u64> = sites.iter().flatten().copied().collect();
    println!("{path}: {} MB, 10000 sites, {} addresses", size / 1_000_000, distinct.len());
    let mut symbols = Symbols::new();
    for round in ["the first report", "the second"] {
        let (anon, file) = resident();
        PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed); // Relaxed: one thread
        let (before, begin) = (LIVE.load(Ordering::Relaxed), Instant::now()); // Relaxed: as above
        let (mut frames, mut lines) = (0, 0);
        for &address in sites.iter().flatten() {
            if by_backtrace {
                let at = std::ptr::without_provenance_mut(address as usize + 1);
                backtrace::resolve(at, |symbol| {
                    frames += 1;
                    lines += usize::from(symbol.lineno().is_some());
                    std::hint::black_box(symbol.name().map(|n| n.to_string()));
                });
            } else {
                let found = symbols.frames(&snapshot.place(address));
                frames += found.len();
                lines += found.iter().filter(|f| f.line.is_some()).count();
            }
        }
        let (time, peak) = (begin.elapsed(), PEAK.load(Ordering::Relaxed) - before); // Relaxed: as above
        let (anon, file) = (resident().0 - anon, resident().1 - file);
        symbols.finish();
        println!(
            "{round}: {time:.2?}, {frames} frames, {lines} with lines; peak {:.1} MiB of blocks, of which {:.1} are names \
             that stay; resident +{:.1} MiB of memory, +{:.1} of the file",
            peak as f64 / 1048576.0,
            symbols.bytes() as f64 / 1048576.0,
            anon as f64 / 1024.0,
            file as f64 / 1024.0
        );
        if by_backtrace {
            break;
        }
    }
    symbols.notes().iter().for_each(|note| println!("{note}"));
}
