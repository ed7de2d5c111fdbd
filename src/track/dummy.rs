//! A tracker that counts: what the real one will be told, in numbers that a test can compare. For tests only.

use crate::pages::page::Word;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

// Relaxed throughout: tests rest their threads before they compare.
static EXACT: AtomicBool = AtomicBool::new(false);
static MEAN: AtomicU64 = AtomicU64::new(0);
/// How often the mean was changed.
static DRAWS: AtomicU64 = AtomicU64::new(0);
static SEEDS: AtomicU64 = AtomicU64::new(1);
static BORN: AtomicU64 = AtomicU64::new(0);
static DIED: AtomicU64 = AtomicU64::new(0);
static REQUESTED: AtomicU64 = AtomicU64::new(0);

/// What is kept for a thread.
pub(crate) type State = [u64; 8];

/// Marks a word that the dummy has written.
const MARK: u64 = 0x7E17_0000_0000_0000;

/// What of the opaque state of a thread means what.
const SEED: usize = 0;
const EXACT_HERE: usize = 1;

/// Every thread tracks every block, from its next slow path on.
pub fn set_exact(on: bool) {
    EXACT.store(on, Ordering::Relaxed);
}

/// The thread with this state tracks every block, whatever the others do.
pub(crate) fn set_exact_here(state: &mut State, on: bool) {
    state[EXACT_HERE] = on as u64;
}

/// One block in so many bytes is tracked; 0: none.
pub fn set_mean(bytes: u64) {
    MEAN.store(bytes, Ordering::Relaxed);
    DRAWS.fetch_add(1, Ordering::Relaxed);
}

/// Tracked blocks that were allocated, that were freed, and the bytes requested for those that live.
pub fn counts() -> (u64, u64, u64) {
    (BORN.load(Ordering::Relaxed), DIED.load(Ordering::Relaxed), REQUESTED.load(Ordering::Relaxed))
}

/// Whether the thread with this state tracks every block.
pub(crate) fn is_exact(state: &State) -> bool {
    EXACT.load(Ordering::Relaxed) || state[EXACT_HERE] != 0
}

/// A block of `size` bytes is sampled with p = 1 - exp(-size / mean): how many until one is, itself included.
pub(crate) fn draw(tracker: &mut State, size: usize) -> u64 {
    match MEAN.load(Ordering::Relaxed) {
        0 => u64::MAX,
        mean => (-random(tracker).ln() * mean as f64 / size as f64) as u64 + 1,
    }
}

pub(crate) fn draws() -> u64 {
    DRAWS.load(Ordering::Relaxed)
}

pub(crate) fn draw_large(tracker: &mut State, size: usize) -> bool {
    is_exact(tracker) || draw(tracker, size) == 1
}

pub(crate) fn born(_: &mut State, word: &Word, requested: usize, block_size: usize, _: u64) {
    assert!(requested <= block_size);
    word.0[0].store(MARK | BORN.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    word.0[1].store(requested as u64, Ordering::Relaxed);
    REQUESTED.fetch_add(requested as u64, Ordering::Relaxed);
}

pub(crate) fn died(word: &Word, _: usize) {
    if word.0[0].load(Ordering::Relaxed) & MARK != MARK {
        crate::os::die!("a tracked block died that was not born");
    }
    DIED.fetch_add(1, Ordering::Relaxed);
    REQUESTED.fetch_sub(word.0[1].load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Uniform in (0, 1]: splitmix64 (Steele, Lea and Flood, 2014), seeded differently in each thread.
fn random(tracker: &mut State) -> f64 {
    if tracker[SEED] == 0 {
        tracker[SEED] = SEEDS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0xD134_2543_DE82_EF95);
    }
    tracker[SEED] = tracker[SEED].wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = tracker[SEED];
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11).wrapping_add(1) as f64 / (1u64 << 53) as f64
}
