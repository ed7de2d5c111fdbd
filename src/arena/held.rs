//! How much physical memory the allocator holds, and the limit that it may not exceed.
//!
//! Counted in atomics and not under the arena's lock, because three sources grow it under three locks: slices, holes that are
//! filled again, and the allocator's own tables. Each grows it by an OS page or more at a time; the fast paths know nothing of it.

use crate::sync::{AtomicUsize, Ordering};

/// Invariant, while nothing changes: `held = (slices in use + due) * SLICE - holes + bytes of tables`, which is
/// [`Stats::committed`](crate::Stats::committed) and [`Stats::own`](crate::Stats::own) together
/// (`alloc-tests/tests/limits.rs`).
struct Held {
    bytes: AtomicUsize,
    /// `usize::MAX` for none.
    limit: AtomicUsize,
    /// The least that was left of it since [`forget_closest`].
    closest: AtomicUsize,
}

static HELD: Held = Held::new();

/// The allocator is about to hold so many bytes more. `false` if the limit refuses it; nothing has changed then. While more
/// than the limit is held (it was lowered), nothing is granted, not even memory that is held already.
#[inline]
pub(crate) fn grow(bytes: usize) -> bool {
    HELD.grow(bytes)
}

/// The same for what cannot be refused: the allocator's tables, without which it could not even free.
pub(crate) fn add(bytes: usize) {
    HELD.add(bytes);
}

/// So many bytes went back to the system.
#[inline]
pub(crate) fn shrink(bytes: usize) {
    HELD.bytes.fetch_sub(bytes, Ordering::Relaxed);
}

/// Whether so many bytes more would be granted.
pub(crate) fn fits(bytes: usize) -> bool {
    HELD.fits(bytes)
}

/// Bytes that are held.
pub(crate) fn bytes() -> usize {
    HELD.bytes.load(Ordering::Relaxed)
}

/// The least that was left below the limit.
pub(crate) fn closest() -> usize {
    HELD.closest.load(Ordering::Relaxed)
}

/// There is another limit, to which nobody has come near.
pub(crate) fn forget_closest() {
    HELD.closest.store(limit().saturating_sub(bytes()), Ordering::Relaxed);
}

/// `usize::MAX` if there is none.
pub(crate) fn limit() -> usize {
    HELD.limit.load(Ordering::Relaxed)
}

/// `usize::MAX` for none.
pub(crate) fn set_limit(bytes: usize) {
    HELD.limit.store(bytes, Ordering::Relaxed);
}

// Relaxed throughout: numbers, which order nothing. That no two threads exceed the limit together is what the exchange of one
// word gives.
impl Held {
    const fn new() -> Held {
        Held { bytes: AtomicUsize::new(0), limit: AtomicUsize::new(usize::MAX), closest: AtomicUsize::new(usize::MAX) }
    }

    #[inline]
    fn grow(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |held: usize| held.checked_add(bytes).filter(|&sum| sum <= limit);
        let before = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        before.map(|before| self.note(before + bytes, limit)).is_ok()
    }

    fn add(&self, bytes: usize) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.note(before + bytes, self.limit.load(Ordering::Relaxed));
    }

    fn note(&self, held: usize, limit: usize) {
        let left = limit.saturating_sub(held);
        if left < self.closest.load(Ordering::Relaxed) {
            self.closest.fetch_min(left, Ordering::Relaxed);
        }
    }

    fn fits(&self, bytes: usize) -> bool {
        let sum = self.bytes.load(Ordering::Relaxed).checked_add(bytes);
        sum.is_some_and(|sum| sum <= self.limit.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let held = Held::new();
        let now = || (held.bytes.load(Ordering::Relaxed), held.closest.load(Ordering::Relaxed));
        assert!(held.grow(usize::MAX - 1) && !held.grow(2));
        held.bytes.store(10, Ordering::Relaxed);
        held.closest.store(usize::MAX, Ordering::Relaxed);
        held.limit.store(100, Ordering::Relaxed);
        for too_much in [91, 1000, usize::MAX] {
            assert!(!held.fits(too_much) && !held.grow(too_much));
            assert_eq!(now(), (10, usize::MAX));
        }
        assert!(held.grow(50));
        assert_eq!(now(), (60, 40));
        assert!(held.fits(40) && held.grow(40) && held.grow(0) && !held.grow(1));
        assert_eq!(now(), (100, 0));
        // Above the limit: nothing at all.
        held.add(1);
        assert!(!held.fits(0) && !held.grow(0));
    }
}
