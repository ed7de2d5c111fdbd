//! An operating system that refuses memory: for tests, which cannot otherwise reach the paths behind a refusal.

use crate::sync::{AtomicUsize, Ordering};

/// Requests for memory that are still granted; `usize::MAX` grants all.
static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Grants `n` more requests for memory, then refuses all, until called again with `usize::MAX`.
/// Returns how many were refused since the last call.
pub(crate) fn refuse_after(n: usize) -> usize {
    LEFT.store(n, Ordering::SeqCst); // SeqCst: tests, not speed
    REFUSED.swap(0, Ordering::SeqCst)
}

pub(crate) fn refuses() -> bool {
    let left = LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| match n {
        usize::MAX => None,
        n => Some(n.saturating_sub(1)),
    });
    let no = left == Ok(0);
    if no {
        REFUSED.fetch_add(1, Ordering::SeqCst);
    }
    no
}
