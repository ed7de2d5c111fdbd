//! What the tests of the hooks share: raw blocks, whose allocation allocates nothing else, and figures that are compared.
//!
//! Each test runs in a process of its own ([`alone`]): the tracker counts for the whole process, and so do the statistics. There
//! the harness sleeps, so that all that is counted is the test's.

use crate::ALLOC;
use std::alloc::{GlobalAlloc, Layout};
use std::ops::Range;
use tenure::internals::{self, Birth, tracker};
use tenure_alloc_tests::child::Scenario;

/// A block. It is given back by [`Raw::free`], and leaked otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) at: *mut u8,
    pub(crate) layout: Layout,
}

// SAFETY: a block belongs to whoever has the value, and is bound to no thread.
unsafe impl Send for Raw {}
// SAFETY: a shared value shows an address and no contents; only the owner frees the block, by the tests' own discipline.
unsafe impl Sync for Raw {}

impl Raw {
    pub(crate) fn new(size: usize) -> Self {
        Self::aligned(size, 1)
    }

    pub(crate) fn aligned(size: usize, align: usize) -> Self {
        let raw = Self::try_aligned(size, align);
        assert!(!raw.at.is_null(), "there is memory for {:?}", raw.layout);
        raw
    }

    /// The address may be null.
    pub(crate) fn try_aligned(size: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // Through the static and not `std::alloc`, whose calls the compiler may leave out in pairs.
        // SAFETY: no test asks for 0 bytes.
        Raw { at: unsafe { ALLOC.alloc(layout) }, layout }
    }

    /// `false` if it was refused; the block is then as it was.
    pub(crate) fn try_resize(&mut self, size: usize) -> bool {
        // SAFETY: the block is ours, and the size fits a layout.
        let at = unsafe { ALLOC.realloc(self.at, self.layout, size) };
        if !at.is_null() {
            *self = Raw { at, layout: Layout::from_size_align(size, self.layout.align()).expect("a layout") };
        }
        !at.is_null()
    }

    pub(crate) fn resize(&mut self, size: usize) {
        assert!(self.try_resize(size), "there is memory for {size}");
    }

    pub(crate) fn free(self) {
        // SAFETY: whoever has the value owns the block; no test frees one twice.
        unsafe { ALLOC.dealloc(self.at, self.layout) }
    }

    /// What is known of the block if it is tracked.
    pub(crate) fn birth(&self) -> Option<Birth> {
        // SAFETY: the block came from this allocator and lives.
        unsafe { internals::birth(self.at) }
    }

    /// Bytes that a caller may not lose.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is ours and that long; `u8` has no invalid values, and the kernel or a test wrote these.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.layout.size()) }
    }
}

/// Runs a test's body in a process without other tests, then checks the allocator's invariants there.
pub(crate) fn alone(test: &'static str, body: impl FnOnce()) {
    // Nothing is tracked before the test asks for it, the harness' beginning neither.
    Scenario::new(test).env("TENURE", "off").run(|| {
        // What std sets up at a first thread and a first line of output must not fall into a test's figures.
        std::thread::spawn(|| ()).join().expect("an empty thread");
        println!("{test}");
        wait_for_the_harness();
        body();
        tracker::set_exact(false);
        tracker::set_mean(0);
        internals::adopt_mode();
        internals::check();
    });
}

/// The harness' own thread does its accounts after it has started the test, then sleeps until the end.
fn wait_for_the_harness() {
    let (mut before, mut same) = (0, 0);
    while same < 10 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let now = tenure::stats().allocated_blocks;
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
}

/// The tracker's counts since a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(u64, u64, u64);

impl Since {
    pub(crate) fn now() -> Self {
        let (born, died) = tracker::born_and_died();
        Since(born, died, tracker::requested())
    }

    pub(crate) fn born(&self) -> u64 {
        tracker::born_and_died().0 - self.0
    }

    pub(crate) fn died(&self) -> u64 {
        tracker::born_and_died().1 - self.1
    }

    /// How many requested bytes more are live and tracked.
    pub(crate) fn requested(&self) -> i64 {
        tracker::requested().wrapping_sub(self.2) as i64
    }
}

/// This thread, and all that begin or take a slow path from here on.
pub(crate) fn exact(on: bool) {
    tracker::set_exact(on);
    internals::adopt_mode();
}

/// Bytes of the block that serves a request of the statistics' classes.
pub(crate) fn block_size(size: usize) -> usize {
    let class = tenure::stats().classes.iter().map(|c| c.block_size).find(|&block| block >= size);
    class.unwrap_or(size.next_multiple_of(64 << 10))
}

/// Counts trials of which each succeeds with p = 1 - exp(-block size / mean), to compare with what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trials {
    expected: f64,
    variance: f64,
}

impl Trials {
    pub(crate) fn add(&mut self, n: usize, block_size: usize, mean: u64) {
        let p = 1.0 - (-(block_size as f64) / mean as f64).exp();
        self.expected += n as f64 * p;
        self.variance += n as f64 * p * (1.0 - p);
    }

    /// # Panics
    /// If so many successes are five standard errors or more away: one correct run in two million.
    pub(crate) fn compare(&self, what: &str, born: u64) {
        let error = self.variance.sqrt();
        let off = (born as f64 - self.expected) / error;
        println!("{what}: {born} born, {:.0} ± {error:.0} expected: off by {off:+.1} standard errors", self.expected);
        assert!(self.expected > 12.0 * error, "{what}: too few trials to say anything");
        assert!(off.abs() < 5.0, "{what}: {born} were born, {:.0} ± {error:.0} are right", self.expected);
    }
}

/// A generator with a constant seed for each test thread.
pub(crate) fn rng(seed: u64) -> tenure_alloc_tests::rng::Rng {
    tenure_alloc_tests::rng::Rng::new(seed)
}

/// Indices of a range in random order, in memory that was there before.
pub(crate) fn shuffle<T>(all: &mut [T], seed: u64) {
    let mut rng = rng(seed);
    for i in (1..all.len()).rev() {
        all.swap(i, rng.below(i + 1));
    }
}

/// A size from the range.
pub(crate) fn size_in(rng: &mut tenure_alloc_tests::rng::Rng, range: Range<usize>) -> usize {
    range.start + rng.below(range.len())
}
