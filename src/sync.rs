//! Atomics, from std or, under `cfg(loom)`, from loom: the one place that selects.
//!
//! Everything that is checked by loom takes its atomics from here. Statics of the crate exist only without loom,
//! because loom's atomics have no `const` constructor.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
};

/// Tells the processor that this thread waits for another one.
pub(crate) fn spin() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::hint::spin_loop();
}
