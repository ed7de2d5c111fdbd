//! The clock: one epoch for each `young_bytes` that the process allocates, counted in block bytes.
//!
//! Threads report what they allocated in steps of at least 64 KiB, so the clock is behind by up to that for each thread.

use crate::os;
use crate::sync::{AtomicU64, Ordering};

/// Bytes of an epoch, by default.
const YOUNG_BYTES: u64 = 64 << 20;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static EPOCH: AtomicU64 = AtomicU64::new(0);
static DUE: AtomicU64 = AtomicU64::new(YOUNG_BYTES);
static STEP: AtomicU64 = AtomicU64::new(YOUNG_BYTES);

/// When the process began, in nanoseconds since 1970.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Before the first block.
pub(crate) fn begin() {
    BEGAN.store(os::unix_nanos(), Ordering::Relaxed); // Relaxed: before there is anybody to read it
}

/// When the process began, in nanoseconds since 1970.
pub(crate) fn began() -> u64 {
    BEGAN.load(Ordering::Relaxed)
}

/// A thread has allocated so many more bytes. Relaxed throughout: the clock orders nothing, it counts.
pub(crate) fn allocated(bytes: usize) {
    let now = ALLOCATED.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    let due = DUE.load(Ordering::Relaxed);
    if now >= due {
        let next = now + STEP.load(Ordering::Relaxed);
        // Of several threads that see the threshold passed, one ticks.
        if DUE.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            EPOCH.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The current epoch: 0 at the start of the process.
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

/// Changes the length of an epoch, from now on.
#[cfg(feature = "internals")]
pub(crate) fn set_young_bytes(bytes: u64) {
    STEP.store(bytes, Ordering::Relaxed);
    DUE.store(ALLOCATED.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
}
