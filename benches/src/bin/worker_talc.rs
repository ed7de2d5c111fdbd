//! Runs one workload on talc over the system allocator, from which it takes chunks of a megabyte.

use std::alloc::System;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;

use talc::DefaultBinning;
use talc::lock_api::{GuardSend, RawMutex};
use talc::{source::GlobalAllocSource, sync::TalcLock};

#[global_allocator]
static ALLOC: TalcLock<YieldLock, GlobalAllocSource<System>, DefaultBinning> =
    TalcLock::new(GlobalAllocSource::new(System));

/// talc leaves the lock to its user. A lock that only spins loses whole time slices where threads outnumber
/// cores, and one that parks may allocate: this one spins for a moment, then yields.
struct YieldLock(AtomicBool);

// SAFETY: the flag is set by one thread at a time, and only the thread that set it clears it.
unsafe impl RawMutex for YieldLock {
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        let mut spins = 0;
        while !self.try_lock() {
            if spins < 64 {
                spins += 1;
                spin_loop();
            } else {
                yield_now();
            }
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire because the holder before us wrote the heap that we are about to read.
        !self.0.swap(true, Ordering::Acquire)
    }

    #[inline]
    unsafe fn unlock(&self) {
        // Release because the next holder must see what we wrote.
        self.0.store(false, Ordering::Release);
    }
}

fn main() {
    tenure_benches::worker::main();
}
